"""Total variation."""

import jax
import jax.numpy as jnp


def total_variation(images: jax.Array) -> jax.Array:
    """Anisotropic total variation of each image: [B,H,W,C] -> [B].

    mean |x[i+1,j] - x[i,j]| + mean |x[i,j+1] - x[i,j]|, each mean over its own grid of H-1 rows
    or W-1 columns and over the channels. ValueError for another rank or a side under 2.
    Source: BasicSR, WeightedTVLoss.
    """
    if images.ndim != 4 or min(images.shape[1:3]) < 2:
        raise ValueError(f"Total variation takes [B,H,W,C] of at least 2x2, not {images.shape}.")
    vertical = jnp.abs(images[:, 1:] - images[:, :-1])
    horizontal = jnp.abs(images[:, :, 1:] - images[:, :, :-1])
    return jnp.mean(vertical, axis=(1, 2, 3)) + jnp.mean(horizontal, axis=(1, 2, 3))


def power_variation(images: jax.Array, *, power: float) -> jax.Array:
    """Σ ((Δ_x)² + (Δ_y)²)^power of each image, [B,H,W,C] -> [B]: over channels and the common grid.

    Δ: forward differences, on (H-1)×(W-1) pixels; a sum and not a mean. power: 1/2 is isotropic total
    variation. 1e-12 is added under the power, whose slope is infinite at 0 below 1.
    Source: DmitryUlyanov/deep-image-prior 042e0d4, utils/sr_utils.py (without the 1e-12).
    """
    down = images[:, 1:, :-1] - images[:, :-1, :-1]
    right = images[:, :-1, 1:] - images[:, :-1, :-1]
    return jnp.sum((jnp.square(down) + jnp.square(right) + 1e-12) ** power, axis=(1, 2, 3))
