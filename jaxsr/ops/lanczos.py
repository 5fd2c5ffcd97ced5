"""Deep Image Prior's down-sampling operator: Lanczos, depthwise, with repeated borders."""

import jax
import jax.numpy as jnp
import numpy as np


def lanczos_kernel(factor: int, *, lobes: int, phase: float = 0.5) -> np.ndarray:
    """The kernel of one axis, float64 of sum 1: 2·lobes·factor taps, one more with phase 0.

    w(δ) = a·sin(πδ)·sin(πδ/a)/(πδ)² for the a = lobes, δ the distance of a tap from the middle in pixels
    of the result. With phase 0.5 the middle lies between two taps, with 0 on one.
    Source: DmitryUlyanov/deep-image-prior 042e0d4, models/downsampler.py.
    """
    if phase not in (0.0, 0.5):
        raise ValueError(f"the phase is 0 or 0.5, not {phase}.")
    count = 2 * lobes * factor + (phase == 0.0)
    distance = (np.arange(count) - (count - 1) / 2) / factor
    # numpy's sinc has the π inside
    weights = np.sinc(distance) * np.sinc(distance / lobes)
    return weights / weights.sum()


def lanczos_down(
    images: jax.Array, factor: int, *, lobes: int = 2, phase: float = 0.5
) -> jax.Array:
    """[B,H,W,C] -> [B,H//factor,W//factor,C]: `lanczos_kernel` on both axes, borders repeated.

    Sizes should be multiples of the factor.
    """
    kernel = lanczos_kernel(factor, lobes=lobes, phase=phase)
    for axis, letters in ((1, "oh,bhwc->bowc"), (2, "ow,bhwc->bhoc")):
        matrix = jnp.asarray(_matrix(images.shape[axis], factor, kernel), images.dtype)
        images = jnp.einsum(letters, matrix, images)
    return images


def _matrix(size: int, factor: int, kernel: np.ndarray) -> np.ndarray:
    """[size // factor, size]: what each pixel of the result takes from which."""
    even = len(kernel) % 2 == 0
    before = (len(kernel) - factor) // 2 if even else (len(kernel) - 1) // 2
    matrix = np.zeros((size // factor, size))
    for row in range(size // factor):
        taps = np.clip(row * factor - before + np.arange(len(kernel)), 0, size - 1)
        np.add.at(matrix[row], taps, kernel)
    return matrix
