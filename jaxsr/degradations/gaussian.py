"""Gaussian blur and noise on the device, each image of a batch with its own strength."""

import jax
import jax.numpy as jnp

RADIUS = 10  # 21x21 pixels
_NONE = 1e-3  # the kernel of this σ is exactly 1 in the middle: exp(-1/2σ²) is 0 in float32


def gaussian_blur(images: jax.Array, sigma: jax.Array) -> jax.Array:
    """Cross-correlation with a normalised 21x21 Gaussian; the border pixels are repeated outwards.

    w(x, y) ∝ exp(-(x² + y²)/2σ²) for |x|, |y| <= 10, Σ w = 1. The square kernel is a product, so it
    is 21 shifted sums along one axis, then along the other.

    Args:
        images: float [b, h, w, c], any range; a pixel depends on the 10 around it.
        sigma: [b], pixels; at most 1e-3 leaves the image as it is.
    Returns:
        [b, h, w, c], dtype of images.
    Raises:
        ValueError: other shapes.
    Source: yuke93/RL-Restore dd1463d (MATLAB imfilter, `replicate`).
    """
    _check(images, sigma)
    offsets = jnp.arange(-RADIUS, RADIUS + 1, dtype=images.dtype)
    wide = jnp.maximum(sigma.astype(images.dtype), _NONE)[:, None]
    weights = jnp.exp(-(offsets**2) / (2 * wide**2))
    weights = (weights / weights.sum(1, keepdims=True))[:, None, None, None]  # [b, 1, 1, 1, 21]
    for axis in (1, 2):
        pad = [(RADIUS, RADIUS) if a == axis else (0, 0) for a in range(4)]
        padded, size = jnp.pad(images, pad, mode="edge"), images.shape[axis]
        images = sum(
            weights[..., k] * jax.lax.slice_in_dim(padded, k, k + size, axis=axis)
            for k in range(2 * RADIUS + 1)
        )
    return images


def gaussian_noise(key: jax.Array, images: jax.Array, sigma: jax.Array) -> jax.Array:
    """Adds N(0, (σ/255)²) to every value, then clips to [0, 1].

    Args:
        key: of the noise.
        images: float [b, h, w, c] in [0, 1].
        sigma: [b], on the scale 0..255.
    Returns:
        [b, h, w, c], dtype of images.
    Raises:
        ValueError: other shapes.
    Source: yuke93/RL-Restore dd1463d (MATLAB imnoise).
    """
    _check(images, sigma)
    noise = jax.random.normal(key, images.shape, images.dtype)
    return jnp.clip(images + sigma.astype(images.dtype)[:, None, None, None] / 255 * noise, 0, 1)


def _check(images: jax.Array, sigma: jax.Array) -> None:
    if images.ndim != 4 or sigma.shape != images.shape[:1]:
        raise ValueError(
            f"images are [b, h, w, c] and sigma is [b], not {images.shape} and {sigma.shape}."
        )
