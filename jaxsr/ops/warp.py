"""An image moved along a flow of pixels."""

import jax
import jax.numpy as jnp


def warp(images: jax.Array, flow: jax.Array) -> jax.Array:
    """out(p) = images(p + flow(p)), bilinear: [B,H,W,C] -> the same.

    flow: [B,H,W,2], pixels to the right and pixels down, from the image that is looked for to `images`.
    What lies outside is taken from the border. Raises ValueError where the sizes differ.
    """
    if flow.shape != (*images.shape[:3], 2):
        raise ValueError(f"images {images.shape} cannot be moved by a flow of {flow.shape}.")
    height, width = images.shape[1:3]
    x, right = _between(jnp.arange(width) + flow[..., 0], width)
    y, down = _between(jnp.arange(height)[:, None] + flow[..., 1], height)
    look = jax.vmap(lambda image, rows, columns: image[rows, columns])
    below, beside = jnp.minimum(y + 1, height - 1), jnp.minimum(x + 1, width - 1)
    upper = look(images, y, x) * (1 - right) + look(images, y, beside) * right
    lower = look(images, below, x) * (1 - right) + look(images, below, beside) * right
    return upper * (1 - down) + lower * down


def _between(place: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """The pixel at or before a place inside the image, and the share [...,1] of the one after it."""
    place = jnp.clip(place, 0, size - 1)
    low = jnp.floor(place)
    return low.astype(jnp.int32), (place - low)[..., None]
