"""The SFT-GAN generator: a residual network modulated per pixel by segmentation maps."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import convolution, kaiming_normal, shuffle_stage, upsample_nearest
from jaxsr.types import UserError

_GAIN = 0.1
_SCALE = 4
_CONDITION_SLOPE = 0.1
_FIT = "use variant 'pytorch', a parent of scale 4, and the same features and blocks in both"


class SFTLayer(nn.Module):
    """Spatial feature transform: an affine map of x whose terms come from the condition.

    gamma = A1 lrelu(A0 c + a0) + a1, beta = B1 lrelu(B0 c + b0) + b1 (1x1 convolutions);
    x (1 + gamma) + beta with `residual`, slope 0.1 (PyTorch variant);
    x gamma + beta without, slope 0.01 (Torch variant, the one of the paper).

    x [B,H,W,C], condition [B,H,W,K] -> [B,H,W,C]. 6,336 parameters for C 64, K 32.
    Source: arXiv:1804.02815 section 3.2; xinntao/SFTGAN d98889e, architectures.py.
    """

    residual: bool
    slope: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        hidden = condition.shape[-1]
        options = dict(kernel_init=kaiming_normal(_GAIN), dtype=self.dtype)
        terms = []
        for term in ("scale", "shift"):
            y = convolution(hidden, 1, name=f"SFT_{term}_conv0", **options)(condition)
            y = nn.leaky_relu(y, self.slope)
            terms.append(convolution(x.shape[-1], 1, name=f"SFT_{term}_conv1", **options)(y))
        gamma, beta = terms
        return x * (1 + gamma) + beta if self.residual else x * gamma + beta


class _Residual(nn.Module):
    """Residual block with an SFT layer before each convolution.

    pytorch: x + conv1(SFT1(ReLU(conv0(SFT0(x))))).
    torch: x + conv1(ReLU(SFT1(conv0(ReLU(SFT0(x)))))).
    """

    variant: str
    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        sft0, sft1 = (_sft(self.variant, name, self.dtype) for name in ("sft0", "sft1"))
        conv0, conv1 = (
            convolution(
                self.features, 3, name=name, kernel_init=kaiming_normal(_GAIN), dtype=self.dtype
            )
            for name in ("conv0", "conv1")
        )
        if self.variant == "pytorch":
            return x + conv1(sft1(nn.relu(conv0(sft0(x, condition))), condition))
        return x + conv1(nn.relu(sft1(conv0(nn.relu(sft0(x, condition))), condition)))


class SFTNet(nn.Module):
    """Generator conditioned on segmentation probability maps, times four.

    c = CondNet(seg): 4x4 stride 4 convolution, then four 1x1, LeakyReLU 0.1 between them, so
    each LR pixel sees exactly its own block of maps. F0 = conv0(lq); F = F0 + conv(SFT(blocks(F0)))
    with c given to every SFT layer; then the upsampling branch. The long skip is added after
    the last convolution (the code; the paper's figure draws it before).

    lq [B,H,W,3] RGB in [0,1], seg [B,4H,4W,classes] class probabilities (order of the
    segmentation network) -> [B,4H,4W,3] float32, not clipped. ValueError for an unknown variant
    or a seg that is not four times lq with `classes` channels. `variant` 'pytorch' (pixel
    shuffle, 1 + gamma; 1,833,763 parameters) or 'torch' (nearest, gamma, ReLU before the
    convolutions; the network of the paper; 1,612,195). Kernels start Kaiming normal (fan_in)
    x 0.1, biases 0. Parameter names are the published ones, dots before digits as underscores.

    Source: arXiv:1804.02815 section 3; xinntao/SFTGAN d98889e, SFT_Net and SFT_Net_torch.
    """

    variant: str = "pytorch"
    features: int = 64
    blocks: int = 16
    condition: int = 32
    condition_hidden: int = 128
    classes: int = 8
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, seg: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # no batch normalisation, no dropout
        if self.variant not in ("pytorch", "torch"):
            raise ValueError(f"variant must be 'pytorch' or 'torch', not {self.variant!r}.")
        check_prior(lq, seg, classes=self.classes)
        c = condition_maps(
            seg, features=self.condition, hidden=self.condition_hidden, dtype=self.dtype
        )
        return modulated(
            lq,
            c,
            variant=self.variant,
            features=self.features,
            blocks=self.blocks,
            dtype=self.dtype,
        )


def check_prior(lq: jax.Array, seg: jax.Array, *, classes: int) -> None:
    """ValueError for a seg that is not [B,4H,4W,classes] beside lq [B,H,W,C]."""
    b, h, w, _ = lq.shape
    expected = (b, _SCALE * h, _SCALE * w, classes)
    if seg.shape != expected:
        raise ValueError(f"seg must be {expected} for lq {lq.shape}, not {seg.shape}.")


def condition_maps(seg: jax.Array, *, features: int, hidden: int, dtype: Any) -> jax.Array:
    """CondNet: [B,4H,4W,classes] -> [B,H,W,features], computed once for all SFT layers.

    Called inside a compact module: its convolutions become the caller's children CondNet_0, …
    """
    options = dict(padding=0, kernel_init=kaiming_normal(_GAIN), dtype=dtype)
    c = convolution(hidden, _SCALE, stride=_SCALE, name="CondNet_0", **options)(seg)
    for index in (2, 4, 6, 8):
        c = nn.leaky_relu(c, _CONDITION_SLOPE)
        width = features if index == 8 else hidden
        c = convolution(width, 1, name=f"CondNet_{index}", **options)(c)
    return c


def modulated(
    lq: jax.Array, c: jax.Array, *, variant: str, features: int, blocks: int, dtype: Any
) -> jax.Array:
    """The network behind CondNet: lq [B,H,W,3], condition [B,H,W,K] -> float32 [B,4H,4W,3].

    A condition [B,1,1,K] modulates all pixels alike. Called inside a compact module, whose children
    the layers become.
    """
    options = dict(kernel_init=kaiming_normal(_GAIN), dtype=dtype)
    first = convolution(features, 3, name="conv0", **options)(lq)
    x = first
    for i in range(blocks):
        x = _Residual(variant, features, dtype, name=f"sft_branch_{i}")(x, c)
    x = _sft(variant, f"sft_branch_{blocks}", dtype)(x, c)
    x = first + convolution(features, 3, name=f"sft_branch_{blocks + 1}", **options)(x)
    for i in range(2):
        if variant == "pytorch":
            x = shuffle_stage(x, 2, name=f"HR_branch_{3 * i}", gain=_GAIN, dtype=dtype)
        else:
            conv = convolution(features, 3, name=f"HR_branch_{3 * i + 1}", **options)
            x = nn.relu(conv(upsample_nearest(x, 2)))
    x = nn.relu(convolution(features, 3, name="HR_branch_6", **options)(x))
    return convolution(3, 3, name="HR_branch_8", **options)(x).astype(jnp.float32)


def _sft(variant: str, name: str, dtype: Any) -> SFTLayer:
    """The SFT layer of a variant: its modulation and its slope belong together."""
    residual = variant == "pytorch"
    return SFTLayer(residual, slope=0.1 if residual else 0.01, dtype=dtype, name=name)


def is_condition(path: Sequence[Any]) -> bool:
    """True when a parameter belongs to the condition network or an SFT layer.

    `path` is the sequence of key names (or of jax.tree_util keys) from the root of the
    parameters of an SFTNet. 279,264 of its parameters are; the published recipe trains them
    alone, at a higher rate, for the first 20,000 steps.

    Source: XPixelGroup/BasicSR 9fd09d4, SFTGAN_ACD_model.py: names that contain SFT or Cond.
    """
    names = (str(getattr(key, "key", key)) for key in path)
    return any("SFT" in name or "Cond" in name for name in names)


def from_parent(params: Mapping[str, Any], parent_params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of an SFTNet whose convolutions outside SFT and CondNet come from its parent.

    `params` are those of SFTNet(variant='pytorch'), `parent_params` those of a LegacySRResNet of
    scale 4 with the same features and blocks. Neither is modified. With freshly initialised
    SFT layers the result reproduces the parent for any prior: they start as the identity.

    Raises UserError when the two do not fit: another variant, width or number of blocks.
    Source: arXiv:1804.02815 section 4.1; XPixelGroup/BasicSR 9fd09d4, transfer_params_sft.py.
    """
    blocks = sum(name.startswith("sub_") for name in parent_params.get("model_1", {})) - 1
    moves = {("conv0",): ("model_0",), (f"sft_branch_{blocks + 1}",): ("model_1", f"sub_{blocks}")}
    for i in range(blocks):
        for ours, theirs in (("conv0", "res_0"), ("conv1", "res_2")):
            moves[f"sft_branch_{i}", ours] = ("model_1", f"sub_{i}", theirs)
    for ours, theirs in ((0, 2), (3, 5), (6, 8), (8, 10)):
        moves[(f"HR_branch_{ours}",)] = (f"model_{theirs}",)
    rest = [
        path for path, _ in jax.tree_util.tree_leaves_with_path(params) if not is_condition(path)
    ]
    if len(rest) != 2 * len(moves):
        raise UserError(
            f"The parent has {len(moves)} convolutions and the SFT network "
            f"{len(rest) // 2} outside its SFT layers; {_FIT}."
        )
    result = jax.tree.map(lambda leaf: leaf, dict(params))  # new containers, same arrays
    for target, source in moves.items():
        _copy(result, target, _at(parent_params, source))
    return result


def _at(tree: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    for name in path:
        tree = tree.get(name, {})
    return tree


def _copy(tree: dict[str, Any], path: tuple[str, ...], layer: Mapping[str, Any]) -> None:
    """Put `layer` in place of the one at `path`; same parameter names and shapes or UserError."""
    old = _at(tree, path)
    new_shapes, old_shapes = jax.tree.map(jnp.shape, layer), jax.tree.map(jnp.shape, old)
    if not layer or dict(new_shapes) != dict(old_shapes):
        raise UserError(
            f"The parent cannot fill {'/'.join(path)}: it has {dict(new_shapes)}, the "
            f"SFT network {dict(old_shapes)}; {_FIT}."
        )
    _at(tree, path[:-1])[path[-1]] = dict(layer)
