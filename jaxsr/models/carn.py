"""CARN and CARN-M: residual blocks whose outputs all cascade into 1x1 convolutions."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsr.models.blocks import shuffle_factors, torch_conv
from jaxsr.models.edsr import MEAN
from jaxsr.ops.pixel_shuffle import pixel_shuffle

_KNOWN = (2, 3, 4)


class CARN(nn.Module):
    """Cascading residual network; with groups 4 and `shared` CARN-M.

    x = conv(lq - mean); three cascading blocks in a cascade; per stage PS(ReLU(conv)); conv, + mean.
    Cascade of f_1, f_2, f_3: o_0 = c_0 = x; c_j = [c_{j-1}, f_j(o_{j-1})]; o_j = ReLU(conv1x1(c_j)).
    Inside a block f_j are units ReLU(x + conv(ReLU(conv(x)))). `shared` makes the unit of CARN-M,
    ReLU(x + conv1x1(ReLU(conv(ReLU(conv(x)))))), one for the three places of a block. `groups` holds
    for the 3x3 convolutions of the units and of the stages.

    lq [B,H,W,3] RGB in [0,1], any float dtype -> [B,sH,sW,3] float32, not clipped.
    `scale` is 2, 3 or 4. `scales`: empty for one upsampler, for `scale`; or all those that a
    multi-scale network has: they stay among the parameters, and `scale` picks one. ValueError for
    another scale, or one that is not in `scales`.
    Parameters ×2, ×3, ×4: CARN 964,163, 1,148,803, 1,111,875; CARN-M 257,027, 303,427, 294,147; with
    scales (2, 3, 4) 1,591,939 and 414,787. The published counts have 24 more, of the mean shifts.
    Start: PyTorch's default, uniform ±1/sqrt(fan_in).
    Source: arXiv:1803.08664 section 3; nmhkahn/CARN-pytorch carn/model.
    """

    features: int = 64
    groups: int = 1
    shared: bool = False
    scale: int = 4
    scales: Sequence[int] = ()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, lq: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # no batch normalisation, no dropout
        heads = tuple(self.scales) or (self.scale,)
        if self.scale not in heads:
            raise ValueError(f"scale {self.scale} is not one of the network's scales, {heads}.")
        mean = jnp.asarray(MEAN, jnp.float32)
        x = lq.astype(jnp.float32) - mean
        x = torch_conv(x, self.features, 3, name="entry", dtype=self.dtype)
        made = [
            _Block(self.features, self.groups, self.shared, self.dtype, name=f"b{j}")
            for j in (1, 2, 3)
        ]
        x = _cascade(x, made, dtype=self.dtype)
        if self.is_initializing():  # a module that is never called gets no parameters
            for other in heads:
                if other != self.scale:
                    self._enlarge(x, other)
        x = self._enlarge(x, self.scale)
        x = torch_conv(x, 3, 3, name="exit", dtype=self.dtype)
        return x.astype(jnp.float32) + mean

    def _enlarge(self, x: jax.Array, scale: int) -> jax.Array:
        for i, factor in enumerate(shuffle_factors(scale, known=_KNOWN)):
            maps = self.features * factor**2
            options = dict(dtype=self.dtype, groups=self.groups)
            x = nn.relu(torch_conv(x, maps, 3, name=f"up{scale}_{i}", **options))
            x = pixel_shuffle(x, factor, order="torch")
        return x


def _cascade(
    x: jax.Array, parts: Sequence[Callable[[jax.Array], jax.Array]], *, dtype: Any
) -> jax.Array:
    """o_j = ReLU(conv1x1([x, parts_1, …, parts_j])); the convolutions are the caller's c1, c2, …."""
    out, seen = x, x
    for j, part in enumerate(parts, start=1):
        seen = jnp.concatenate([seen, part(out)], axis=-1)
        out = nn.relu(torch_conv(seen, x.shape[-1], 1, name=f"c{j}", dtype=dtype))
    return out


class _Block(nn.Module):
    """Three units in a cascade; the same one thrice where they are shared."""

    features: int
    groups: int
    shared: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        names = ["b1"] if self.shared else ["b1", "b2", "b3"]
        options = (self.features, self.groups, self.shared, self.dtype)
        units = [_Unit(*options, name=name) for name in names]
        return _cascade(x, units * 3 if self.shared else units, dtype=self.dtype)


class _Unit(nn.Module):
    """ReLU(x + two 3x3 convolutions of x), or with a 1x1 one behind them."""

    features: int
    groups: int
    pointwise: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        options = dict(dtype=self.dtype, groups=self.groups)
        y = nn.relu(torch_conv(x, self.features, 3, name="body_0", **options))
        y = torch_conv(y, self.features, 3, name="body_2", **options)
        if self.pointwise:
            y = torch_conv(nn.relu(y), self.features, 1, name="body_4", dtype=self.dtype)
        return nn.relu(x + y)
