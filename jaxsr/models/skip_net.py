"""Deep Image Prior's generator: an hourglass whose scales are joined by thin skips."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import instance_norm, torch_conv, upsample_nearest
from jaxsr.ops.lanczos import lanczos_down
from jaxsr.ops.upsample import double
from jaxsr.types import UserError

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "elu": nn.elu,
    "leaky_relu": lambda x: nn.leaky_relu(x, 0.2),
    "none": lambda x: x,
    "swish": lambda x: x * nn.sigmoid(x),
}
ENLARGE: dict[str, Callable[[jax.Array], jax.Array]] = {
    "bilinear": lambda x: double(x, rule="half_pixel"),
    "nearest": lambda x: upsample_nearest(x, 2),
}
REDUCE: dict[str, Callable[[jax.Array], jax.Array]] = {
    "avg": lambda x: nn.avg_pool(x, (2, 2), (2, 2)),
    "lanczos2": lambda x: lanczos_down(x, 2, lobes=2),
    "lanczos3": lambda x: lanczos_down(x, 2, lobes=3),
    "max": lambda x: nn.max_pool(x, (2, 2), (2, 2)),
    "stride": lambda x: x,  # in the convolution itself
}
PADS = {"reflection": "reflect", "zero": "constant"}


def padded_conv(
    x: jax.Array, features: int, size: int, *, pad: str, name: str, dtype: Any, stride: int = 1,
    bias: bool = True,
) -> jax.Array:  # fmt: skip
    """A convolution with PyTorch's start over (size-1)/2 more pixels on each side.

    pad: `zero`, or `reflection` (which leaves out the border pixel). Called inside a compact module.
    """
    ends = ((size - 1) // 2,) * 2
    x = jnp.pad(x, ((0, 0), ends, ends, (0, 0)), mode=PADS[pad])
    return torch_conv(
        x, features, size, padding=0, stride=stride, bias=bias, name=name, dtype=dtype
    )


class _Units(nn.Module):
    """Convolution, normalisation of each map, activation; for each of `sizes` in turn.

    The first has the stride, and `reduce` behind its convolution. Children `conv1`, `norm1`, …
    """

    features: int
    sizes: Sequence[int]
    pad: str
    activation: str
    stride: int = 1
    reduce: str = "stride"
    join: bool = False  # first normalise what is given, as child `join`
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.join:
            x = instance_norm(name="join", dtype=self.dtype)(x)
        for number, size in enumerate(self.sizes, start=1):
            first = number == 1
            x = padded_conv(
                x, self.features, size, pad=self.pad, stride=self.stride if first else 1,
                name=f"conv{number}", dtype=self.dtype,
            )  # fmt: skip
            x = REDUCE[self.reduce](x) if first else x
            x = instance_norm(name=f"norm{number}", dtype=self.dtype)(x)
            x = ACTIVATIONS[self.activation](x)
        return x


class SkipNet(nn.Module):
    """The hourglass of Deep Image Prior: [1,H,W,C] code -> [1,H,W,outputs] image.

    Scale i, from the finest: `skip{i}` (1×1 convolution, only where its width is not 0) beside `down{i}`
    (two convolutions, the first halves the size), the next scale, enlargement by two, both cropped in the
    middle to the smaller and joined, `up{i}` (normalisation, convolution, 1×1 with `mix`). Last a 1×1
    convolution `output`, and a sigmoid. Every other convolution is followed by batch normalisation of one
    image, which is instance normalisation with scale 1 and shift 0 at the start, and by the activation;
    there are no running statistics. Kernels and biases start as PyTorch's.

    outputs: channels of the image
    down, up, skip: widths of the scales, finest first
    down_sizes, up_sizes: of the kernels, one for each scale
    enlarge: `nearest` or `bilinear` (half-pixel) for each scale, from the one below up to it
    reduce:  `stride`, `avg`, `max`, or a fixed `lanczos2` or `lanczos3`; one for all scales or one for each
    pad:     `reflection` or `zero`
    mix:     a 1×1 convolution behind each `up`
    activation: `leaky_relu` (0.2), `swish`, `elu` or `none`
    sigmoid: output in (0, 1)
    remat:   the scales are computed again for the gradient, to store less on an accelerator; a CPU's
             compiler merges much of that again, which takes a third longer and saves nothing
    2,217,831 parameters with five scales of 128, skips of 4, 32 channels in and 3 out. Without skips H and
    W must be multiples of 2^scales, else they may be any. UserError for lists of unequal lengths, words that
    it does not know, and such sizes.
    Source: arXiv:1711.10925; DmitryUlyanov/deep-image-prior 042e0d4, models/skip.py.
    """

    outputs: int
    down: Sequence[int]
    up: Sequence[int]
    skip: Sequence[int]
    down_sizes: Sequence[int]
    up_sizes: Sequence[int]
    enlarge: Sequence[str]
    reduce: str | Sequence[str] = "stride"
    pad: str = "reflection"
    mix: bool = True
    activation: str = "leaky_relu"
    sigmoid: bool = True
    remat: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, code: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # one image for each network: normalisation never changes
        self._check(code.shape)
        units = nn.remat(_Units) if self.remat else _Units
        shared = dict(pad=self.pad, activation=self.activation, dtype=self.dtype)
        reduce = self._reduce()
        x, joins = code.astype(self.dtype), []
        for number, width in enumerate(self.skip, start=1):
            skip = units(width, (1,), name=f"skip{number}", **shared)(x) if width else None
            joins.append(skip)
            size, features, how = (
                self.down_sizes[number - 1],
                self.down[number - 1],
                reduce[number - 1],
            )
            x = units(
                features, (size, size), stride=2 if how == "stride" else 1, reduce=how,
                name=f"down{number}", **shared,
            )(x)  # fmt: skip
        for number in range(len(self.skip), 0, -1):
            x = ENLARGE[self.enlarge[number - 1]](x)
            if joins[number - 1] is not None:
                x = jnp.concatenate(cropped(joins[number - 1], x), -1)
            sizes = (self.up_sizes[number - 1],) + ((1,) if self.mix else ())
            x = units(self.up[number - 1], sizes, join=True, name=f"up{number}", **shared)(x)
        x = padded_conv(x, self.outputs, 1, pad=self.pad, name="output", dtype=self.dtype)
        x = x.astype(jnp.float32)
        return nn.sigmoid(x) if self.sigmoid else x

    def _reduce(self) -> Sequence[str]:
        """The rule of each scale."""
        return (self.reduce,) * len(self.down) if isinstance(self.reduce, str) else self.reduce

    def _check(self, shape: Sequence[int]) -> None:
        reduce = self._reduce()
        lists = (
            self.down,
            self.up,
            self.skip,
            self.down_sizes,
            self.up_sizes,
            self.enlarge,
            reduce,
        )
        if len({len(each) for each in lists}) != 1 or not self.down:
            raise UserError(
                "the lists of a SkipNet (down, up, skip, down_sizes, up_sizes, enlarge) have one entry for "
                f"each scale, and one at least; here {', '.join(str(len(each)) for each in lists)}."
            )
        for what, names, table in (
            ("activation", (self.activation,), ACTIVATIONS), ("enlarge", self.enlarge, ENLARGE),
            ("pad", (self.pad,), PADS), ("reduce", reduce, REDUCE),
        ):  # fmt: skip
            for name in names:
                if name not in table:
                    raise UserError(
                        f"a SkipNet has no {what} {name!r}: it is one of {', '.join(table)}."
                    )
        multiple = 2 ** len(self.skip)
        if not any(self.skip) and (shape[1] % multiple or shape[2] % multiple):
            raise UserError(
                f"a SkipNet without skips makes sizes that are multiples of {multiple}, not "
                f"{shape[2]}×{shape[1]}: set config.crop.multiple."
            )


def cropped(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both [B,H,W,·] cut to the smaller height and width, in the middle."""
    height, width = (min(a.shape[axis], b.shape[axis]) for axis in (1, 2))

    def cut(x: jax.Array) -> jax.Array:
        top, left = (x.shape[1] - height) // 2, (x.shape[2] - width) // 2
        return x[:, top : top + height, left : left + width]

    return cut(a), cut(b)
