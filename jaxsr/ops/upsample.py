"""Enlargement by two with bilinear weights, by the three rules that frameworks have used."""

import jax
import jax.numpy as jnp

from jaxsr.types import UserError

RULES = ("half_pixel", "legacy", "align_corners")


def double(images: jax.Array, *, rule: str) -> jax.Array:
    """[B,H,W,C] -> [B,2H,2W,C], linear between neighbours on each axis.

    rule: where output pixel i lies in the input, whose border pixels repeat outwards.
          `half_pixel`: (i + 1/2)/2 - 1/2, PyTorch without align_corners, as everywhere today;
          `legacy`: i/2, TensorFlow 1's default; `align_corners`: i·(n - 1)/(2n - 1)
    Raises UserError for another rule.
    """
    if rule not in RULES:
        raise UserError(f"there is no rule {rule!r} to enlarge by: name one of {', '.join(RULES)}.")
    for axis in (1, 2):
        images = _double(images, axis, rule)
    return images


def _double(x: jax.Array, axis: int, rule: str) -> jax.Array:
    size = x.shape[axis]
    if rule == "align_corners":
        place = jnp.arange(2 * size) * (size - 1) / (2 * size - 1)
        low = jnp.clip(jnp.floor(place).astype(jnp.int32), 0, max(size - 2, 0))
        share = (place - low).astype(x.dtype).reshape([-1 if a == axis else 1 for a in range(4)])
        high = jnp.minimum(low + 1, size - 1)
        return jnp.take(x, low, axis) * (1 - share) + jnp.take(x, high, axis) * share

    def neighbour(step: int) -> jax.Array:
        """Each pixel's neighbour before (-1) or after (1) it; at the border, itself."""
        ends = [(1, 1) if a == axis else (0, 0) for a in range(4)]
        return jax.lax.slice_in_dim(
            jnp.pad(x, ends, mode="edge"), 1 + step, 1 + step + size, axis=axis
        )

    if rule == "half_pixel":
        even, odd = 0.75 * x + 0.25 * neighbour(-1), 0.75 * x + 0.25 * neighbour(1)
    else:
        even, odd = x, 0.5 * (x + neighbour(1))
    shape = [*x.shape]
    shape[axis] *= 2
    return jnp.stack([even, odd], axis + 1).reshape(shape)
