"""The published segmenter of SFT-GAN, a dilated ResNet-101 with a deep stem, and the part ImageNet starts."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxsr.models.blocks import batch_norm, convolution
from jaxsr.types import UserError

BGR_MEAN = (103.939, 116.779, 123.68)  # of ImageNet, in levels of 0..255
RGB_MEAN, RGB_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # the same in 0..1
_BLOCKS = (3, 4, 23, 3)
# features as multiples of the stem's, dilation, stride of the first block
_STAGES = ((1, 4, 1, 1), (2, 8, 1, 2), (4, 16, 2, 1), (8, 32, 4, 1))
_TIMES = 8  # enlarged at the end
_FIRST = 10  # place of the first block in the reference's list


def bilinear_kernel(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Kernel [16,16,1,classes] that enlarges each class ×8: the outer square of (1,3,…,15,15,…,1)/16.

    Source: specification of SFT-GAN's segmenter; drawn for another size alike. `key` is not used.
    """
    del key
    size, half = shape[0], shape[0] // 2
    ramp = (2 * np.arange(half) + 1) / size
    line = np.concatenate([ramp, ramp[::-1]])
    return jnp.broadcast_to(jnp.asarray(np.outer(line, line)[..., None, None], dtype), shape)


class _Bottleneck(nn.Module):
    """ReLU(shortcut + BN conv1×1 ReLU BN conv3×3 ReLU BN conv1×1); the stride sits on the 3×3."""

    middle: int
    features: int
    dilation: int
    stride: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        def unit(y, features, place, index, *, size=1, **options):
            name = f"{place}_{index}"
            y = convolution(features, size, name=name, bias=False, dtype=self.dtype, **options)(y)
            return batch_norm(train=train, name=f"{place}_{index + 1}", dtype=self.dtype)(y)

        stride, dilation = self.stride, self.dilation
        y = nn.relu(unit(x, self.middle, "res", 0))
        y = nn.relu(unit(y, self.middle, "res", 3, size=3, stride=stride, dilation=dilation))
        y = unit(y, self.features, "res", 6)
        if x.shape[-1] != self.features:
            x = unit(x, self.features, "proj", 0, stride=stride)
        return nn.relu(x + y)


class _Enlarge(nn.Module):
    """×8 by a transposed convolution of 16×16, stride 8, cropped by 4, of each class by itself.

    y[8i + k - 4] += w[k]·x[i] along both axes, so that an output pixel sees 2×2 inputs: the eight phases of
    each axis are computed side by side. As a grouped convolution over inputs spread by zeros it takes
    seconds on a CPU, more than all the network before it.
    Parameter `kernel` [16,16,1,classes], **flipped on both axes** against w, as that convolution has it.
    """

    classes: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (2 * _TIMES, 2 * _TIMES, 1, self.classes)
        kernel = self.param("kernel", bilinear_kernel, shape, jnp.float32)
        # w[8a + r, 8b + s] as [a, r, b, s]
        w = kernel[::-1, ::-1, 0].astype(self.dtype).reshape(2, _TIMES, 2, _TIMES, self.classes)
        count, height, width = x.shape[:3]
        x = jnp.pad(x.astype(self.dtype), ((0, 0), (1, 1), (1, 1), (0, 0)))
        y = sum(
            x[:, 1 - a : height + 2 - a, None, 1 - b : width + 2 - b, None] * w[a, :, b][:, None]
            for a in (0, 1)
            for b in (0, 1)
        )
        y = y.reshape(count, _TIMES * (height + 1), _TIMES * (width + 1), self.classes)
        cut = _TIMES // 2
        return y[:, cut:-cut, cut:-cut]


def _unit(
    x: jax.Array, features: int, place: int, *, train: bool, dtype: Any, stride: int = 1
) -> jax.Array:
    """Convolution 3×3, normalisation, ReLU: places `place` to `place` + 2 of the reference.

    Called inside a compact module, whose children the two layers become.
    """
    options = dict(stride=stride, bias=False, dtype=dtype)
    x = convolution(features, 3, name=f"feature_{place}", **options)(x)
    return nn.relu(batch_norm(train=train, name=f"feature_{place + 1}", dtype=dtype)(x))


def _trunk(
    x: jax.Array, *, features: int, blocks: Sequence[int], train: bool, dtype: Any
) -> jax.Array:
    """Stem, pooling and stages: [B,H,W,3] -> [B,H/8,W/8,32·features]. Called inside a compact module."""
    for index, (factor, stride) in enumerate(((1, 2), (1, 1), (2, 1))):
        x = _unit(x, factor * features, 3 * index, stride=stride, train=train, dtype=dtype)
    # ceil mode: one row and column more at the bottom and right, where there is an odd one out
    x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((0, 1), (0, 1)))
    place = _FIRST
    for count, (middle, out, dilation, stride) in zip(blocks, _STAGES, strict=True):
        for i in range(count):
            x = _Bottleneck(
                middle * features, out * features, dilation, 1 if i else stride, dtype,
                name=f"feature_{place}",
            )(x, train=train)  # fmt: skip
            place += 1
    return x


def _levels(image: jax.Array) -> jax.Array:
    """RGB in [0,1] as BGR levels of 0..255 minus BGR_MEAN."""
    return image[..., ::-1].astype(jnp.float32) * 255 - jnp.asarray(BGR_MEAN, jnp.float32)


class OutdoorBackbone(nn.Module):
    """What OutdoorSceneSeg has before its last three layers, under the same names: weights of ImageNet fit.

    image [B,H,W,3] RGB in [0,1], H and W multiples of 8 -> float32 [B,H/8,W/8,32·features].
    input: what its weights were trained on, `bgr_levels` (0..255 minus BGR_MEAN, as in Caffe) or
           `rgb_unit` (minus RGB_MEAN, over RGB_DEVIATION, as in torchvision)
    42,623,936 parameters with the defaults; dilated by 1, 1, 2, 4 and of stride 8, where the classifier
    that it comes from has stride 32.
    Source: the ResNet-101 with three 3×3 convolutions in the place of the 7×7 one, of hszhao/PSPNet and
    CSAILVision/semantic-segmentation-pytorch.
    """

    features: int = 64
    blocks: Sequence[int] = _BLOCKS
    input: str = "bgr_levels"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool = False) -> jax.Array:
        if self.input == "rgb_unit":
            x = (image - jnp.asarray(RGB_MEAN)) / jnp.asarray(RGB_DEVIATION)
        else:
            x = _levels(image)
        given = dict(features=self.features, blocks=self.blocks, dtype=self.dtype)
        return _trunk(x, train=train, **given).astype(jnp.float32)


def from_backbone(
    drawn: Mapping[str, Any], backbone: Mapping[str, Any], section: Mapping[str, Any]
) -> dict[str, Any]:
    """Variables of an OutdoorSceneSeg that has its layers from a backbone, where that has them.

    drawn, backbone: variables («params» and «batch_stats») of the two, neither modified: the running
    statistics come along with the weights. section: `name` and `input` of the backbone. Kernels that
    were trained on RGB in units are turned to BGR levels, which leaves the means off by half a level at
    the most.

    Raises UserError where the parent is another network, or has another width or number of blocks.
    """
    if section.get("name") != "outdoor_backbone":
        raise UserError(
            f"the parent holds a {section.get('name')}, and the segmenter grows from a ResNet-101 of "
            "ImageNet alone: a segmenter is named in `weights` and not in `parent`."
        )
    made = {}
    for kind, tree in drawn.items():
        held = backbone.get(kind, {})
        left = [name for name in tree if name not in held]
        fitting = _shapes(held) == _shapes({name: tree.get(name, {}) for name in held})
        if not fitting or any("res_1" in tree[name] for name in left):
            raise UserError(
                "the parent does not fit the segmenter: it must be a ResNet-101 whose stem has three 3×3 "
                "convolutions, of the same features and blocks."
            )
        made[kind] = dict(tree) | dict(held)
    if section.get("input") == "rgb_unit":
        kernel = jnp.asarray(made["params"]["feature_0"]["kernel"])
        turned = kernel / (255 * jnp.asarray(RGB_DEVIATION)[:, None])
        made["params"]["feature_0"] = {"kernel": turned[:, :, ::-1]}
    return made


def _shapes(tree: Mapping[str, Any]) -> dict[str, Any]:
    flat = jax.tree_util.tree_leaves_with_path(dict(tree))
    return {jax.tree_util.keystr(path): jnp.shape(leaf) for path, leaf in flat}


class OutdoorSceneSeg(nn.Module):
    """Segmenter of the SFT-GAN paper: logits of 8 classes at full size.

    Three 3×3 convolutions (the first of stride 2), max-pool 3×3 stride 2 in ceil mode, four stages of
    bottlenecks (strides 1, 2, 1, 1; dilations 1, 1, 2, 4), 3×3 convolution, dropout 0.1, 1×1 to the
    classes at 1/8, transposed convolution 16×16 of stride 8 for each class by itself. Convolutions
    are without bias and with batch normalisation, but the 1×1 to the classes.

    image [B,H,W,3] RGB in [0,1], the LR image enlarged ×4 by the bicubic rule; H and W multiples of 8
    (UserError) -> [B,H,W,classes] float32 logits, whose softmax is the prior P. Turned to BGR levels
    0..255 minus BGR_MEAN here. `train`: batch statistics, and dropout from the stream «dropout».
    52,068,296 parameters with the defaults. Kernels start Kaiming normal (fan_in), the last bilinear.
    The published weights are not to be had here: against released ones this is unverified.
    Source: xinntao/SFTGAN d98889e, OutdoorSceneSeg; arXiv:1804.02815 section 3.3.
    """

    features: int = 64
    blocks: Sequence[int] = _BLOCKS
    classes: int = 8
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool = False) -> jax.Array:
        height, width = image.shape[1:3]
        if height % 8 or width % 8:
            raise UserError(
                f"the segmenter takes images in multiples of 8, not {height}×{width}: choose such a crop."
            )
        given = dict(train=train, dtype=self.dtype)
        x = _trunk(_levels(image), features=self.features, blocks=self.blocks, **given)
        place = _FIRST + sum(self.blocks)
        x = _unit(x, 8 * self.features, place, **given)
        x = nn.Dropout(0.1, deterministic=not train)(x)
        x = convolution(self.classes, 1, name=f"feature_{place + 4}", dtype=self.dtype)(x)
        return _Enlarge(self.classes, self.dtype, name="deconv")(x).astype(jnp.float32)
