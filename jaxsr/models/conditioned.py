"""Other ways to condition SFT-GAN's generator on the prior: FiLM, concatenation, composition.

What the paper compares with beyond the names of these three is not published; each is built here as the
specification of SFT-GAN says, from the layers of the same parent, and starts as the parent.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxsr.models.blocks import convolution, kaiming_normal
from jaxsr.models.legacy_srresnet import GENERATOR_GAIN, reconstruction, residual_blocks
from jaxsr.models.sftnet import check_prior, condition_maps, is_condition, modulated
from jaxsr.types import UserError

_FACTORS = (2, 2)  # of the pixel shuffles: ×4
_SCALE = 4


class FiLMNet(nn.Module):
    """SFTNet (PyTorch variant) whose modulation does not vary over the image.

    The mean of CondNet(seg) over all pixels, one vector an image, goes through the same 33 pairs of
    heads, so gamma and beta are one number a feature map. For a prior that is constant over the image
    the output is SFTNet's with the same parameters; their names and number are the same too.

    lq [B,H,W,3] RGB in [0,1], seg [B,4H,4W,classes] -> [B,4H,4W,3] float32, not clipped; ValueError
    for another size of seg. 1,833,763 parameters. Every pixel depends on the whole prior.
    Source: Perez et al., arXiv:1709.07871; in SFT-GAN, arXiv:1804.02815 section 4.3.
    """

    features: int = 64
    blocks: int = 16
    condition: int = 32
    condition_hidden: int = 128
    classes: int = 8
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, seg: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # no batch normalisation, no dropout
        check_prior(lq, seg, classes=self.classes)
        c = condition_maps(
            seg, features=self.condition, hidden=self.condition_hidden, dtype=self.dtype
        )
        c = jnp.mean(c, (1, 2), keepdims=True)
        return modulated(
            lq, c, variant="pytorch", features=self.features, blocks=self.blocks, dtype=self.dtype
        )


class ConcatNet(nn.Module):
    """The parent with the prior as further channels of its input.

    The maps are averaged over blocks of 4×4 and joined with lq. The first convolution, of 11 channels,
    is written as the sum of the parent's and one of the maps alone, `Cond_0`, which starts at zero: the
    network then starts as its parent, and what is new can be told from what is not.

    lq [B,H,W,3] RGB in [0,1], seg [B,4H,4W,classes] -> [B,4H,4W,3] float32, not clipped; ValueError
    for another size of seg. 1,559,107 parameters; other names are those of LegacySRResNet.
    Source: the baseline of arXiv:1804.02815 section 4.3.
    """

    features: int = 64
    blocks: int = 16
    classes: int = 8
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, seg: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # no batch normalisation, no dropout
        check_prior(lq, seg, classes=self.classes)
        x = convolution(self.features, 3, name="model_0", **_options(self.dtype))(lq)
        x += convolution(
            self.features, 3, name="Cond_0", bias=False, kernel_init=nn.initializers.zeros,
            dtype=self.dtype,
        )(block_means(seg))  # fmt: skip
        places = range(self.blocks)
        x = _Branch(self.features, places, False, self.dtype, name="model_1")(x, x)
        return reconstruction(x, _FACTORS, gain=GENERATOR_GAIN, dtype=self.dtype)


class CompositionalNet(nn.Module):
    """A branch for every class on shared lower layers, weighed by the class probabilities.

    The first convolution and `shared` residual blocks see the image; each of the branches has the
    remaining blocks, the convolution that ends them, the long skip, and its own upsampling to an image
    y_k. Output Σ_k P_k y_k. With `joined` the branches end before the upsampling, which is one for all
    and gets Σ_k P̄_k F_k, P̄ being the prior averaged over blocks of 4×4.

    lq [B,H,W,3] RGB in [0,1], seg [B,4H,4W,classes] of sum 1 -> [B,4H,4W,3] float32, not clipped;
    ValueError for another size of seg. 8,287,512 parameters (5,948,931 with `joined`); names within a
    branch are those of LegacySRResNet. Cost grows with the classes: no branch is left out.
    Source: Zhu et al., ICCV 2017 (compositional mapping); in SFT-GAN, arXiv:1804.02815 section 4.3.
    """

    features: int = 64
    blocks: int = 16
    shared: int = 8
    joined: bool = False
    classes: int = 8
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, seg: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # no batch normalisation, no dropout
        check_prior(lq, seg, classes=self.classes)
        first = convolution(self.features, 3, name="model_0", **_options(self.dtype))(lq)
        x = residual_blocks(first, range(self.shared), dtype=self.dtype)
        weights = block_means(seg) if self.joined else seg
        places = range(self.shared, self.blocks)
        total = jnp.zeros((), self.dtype if self.joined else jnp.float32)
        for k in range(self.classes):
            branch = _Branch(self.features, places, not self.joined, self.dtype, name=f"branch_{k}")
            total += weights[..., k, None].astype(total.dtype) * branch(x, first)
        if not self.joined:
            return total
        return reconstruction(total, _FACTORS, gain=GENERATOR_GAIN, dtype=self.dtype)


class _Branch(nn.Module):
    """Residual blocks, a convolution, the long skip, and with `image` the upsampling."""

    features: int
    places: range
    image: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, skip: jax.Array) -> jax.Array:
        x = residual_blocks(x, self.places, dtype=self.dtype)
        last = f"sub_{self.places.stop}"
        x = skip + convolution(self.features, 3, name=last, **_options(self.dtype))(x)
        return (
            reconstruction(x, _FACTORS, gain=GENERATOR_GAIN, dtype=self.dtype) if self.image else x
        )


def _options(dtype: Any) -> dict[str, Any]:
    return dict(kernel_init=kaiming_normal(GENERATOR_GAIN), dtype=dtype)


def block_means(seg: jax.Array) -> jax.Array:
    """Means over blocks of 4×4: [B,4H,4W,C] -> [B,H,W,C]."""
    b, h, w, c = seg.shape
    return seg.reshape(b, h // _SCALE, _SCALE, w // _SCALE, _SCALE, c).mean((2, 4))


def from_plain_parent(
    params: Mapping[str, Any], parent_params: Mapping[str, Any]
) -> dict[str, Any]:
    """Parameters of a ConcatNet or CompositionalNet whose layers are its parent's where it has them.

    params are those of the network, parent_params those of a LegacySRResNet of scale 4 with the same
    features and blocks; neither is modified. Every branch starts with the parent's layers, so that for
    any prior of sum 1 the network starts as its parent.
    Raises UserError where the two do not fit: another width, scale or number of blocks.
    """
    ours, theirs = flatten_dict(dict(params)), flatten_dict(dict(parent_params))
    sources = {path: _source(path) for path in ours if not is_condition(path)}
    wrong = [
        "/".join(path)
        for path, source in sources.items()
        if source not in theirs or jnp.shape(theirs[source]) != jnp.shape(ours[path])
    ]
    left = ["/".join(source) for source in theirs.keys() - set(sources.values())]
    if wrong or left:
        raise UserError(
            f"The parent does not fit the network ({sorted(wrong + left)[0]} is of another size or in one "
            "of them only): use a parent of scale 4 and the same features and blocks in both."
        )
    return unflatten_dict(ours | {path: theirs[source] for path, source in sources.items()})


def _source(path: tuple[str, ...]) -> tuple[str, ...]:
    """The place in the parent of a parameter of ours."""
    inner = path[1:] if path[0].startswith("branch_") else path
    return ("model_1", *inner) if inner[0].startswith("sub_") else inner
