"""The multi-scale SSIM loss of Zhao et al. and its mix with L1; not Wang's MS-SSIM metric."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr.losses.checks import check_same_shape

SIGMAS = (0.5, 1.0, 2.0, 4.0, 8.0)
_C1, _C2 = 0.01**2, 0.03**2


def ms_ssim(prediction: jax.Array, target: jax.Array, *, size: int = 33) -> jax.Array:
    """1 - l_8 · product over five Gaussians of cs_sigma, all at full resolution.

    For each window G of SIGMAS (normalised): m = G∗x, v = G∗x² - m², c = G∗xy - m_x m_y,
    l = (2 m_x m_y + C1)/(m_x² + m_y² + C1), cs = (2c + C2)/(v_x + v_y + C2), C1 = 0.01²,
    C2 = 0.03²; l is that of sigma 8. Averaged over the places where the window lies inside; with
    `size` the width of an odd square patch that is its centre alone, as in NVlabs/PL4NN.

    Args:
        prediction, target: [B, H, W, C] in [0, 1], at least `size` pixels on a side.
        size: width of the windows, odd.
    Returns:
        [B, C] in [0, 2); 0 for equal images, to float32 rounding. No gradient flows to the target.
    Raises:
        ValueError: unequal shapes, even size, images smaller than it.
    Source: Zhao et al. 2017, arXiv:1511.08861, eq. 8; NVlabs/PL4NN src/loss.py.
    """
    windows = _windows(prediction, target, size)
    target = jax.lax.stop_gradient(target)
    return (1 - _similarity(prediction, target, windows)).mean((1, 2))


def ms_ssim_l1(
    prediction: jax.Array, target: jax.Array, *, alpha: float = 0.84, size: int = 33
) -> jax.Array:
    """alpha·(1 - MS-SSIM) + (1 - alpha)·G_8 ∗ |x - y|: the same wide window weighs the L1 term.

    Args:
        prediction, target: as `ms_ssim`.
        alpha: 0.84 in codes built on the paper; the layer of NVlabs/PL4NN defaults to 0.025.
        size: as `ms_ssim`.
    Returns:
        [B, C], >= 0; 0 for equal images. No gradient flows to the target.
    Raises:
        ValueError: as `ms_ssim`.
    Source: Zhao et al. 2017, arXiv:1511.08861, eq. 14; NVlabs/PL4NN src/loss.py.
    """
    windows = _windows(prediction, target, size)
    target = jax.lax.stop_gradient(target)
    structure = 1 - _similarity(prediction, target, windows)
    distance = _blur(jnp.abs(prediction - target), [window[-1:] for window in windows])[0]
    return (alpha * structure + (1 - alpha) * distance).mean((1, 2))


def _similarity(x: jax.Array, y: jax.Array, windows: list[np.ndarray]) -> jax.Array:
    """l_8 · product of cs: [B, H, W, C] -> [B, h, w, C]."""
    mean_x, mean_y = _blur(x, windows), _blur(y, windows)
    var = _blur(x * x, windows) - mean_x**2 + _blur(y * y, windows) - mean_y**2
    cov = _blur(x * y, windows) - mean_x * mean_y
    structure = (2 * cov + _C2) / (var + _C2)
    wide_x, wide_y = mean_x[-1], mean_y[-1]
    likeness = (2 * wide_x * wide_y + _C1) / (wide_x**2 + wide_y**2 + _C1)
    return likeness * structure.prod(0)


def _blur(x: jax.Array, windows: list[np.ndarray]) -> jax.Array:
    """[B, H, W, C] -> [sigma, B, h, w, C]."""
    rows, columns = (jnp.asarray(window, x.dtype) for window in windows)
    exact = jax.lax.Precision.HIGHEST  # variances are differences: TF32 would leave nothing of them
    x = jnp.einsum("koh,bhwc->kbowc", rows, x, precision=exact)
    return jnp.einsum("kpw,kbowc->kbopc", columns, x, precision=exact)


def _windows(x: jax.Array, y: jax.Array, size: int) -> list[np.ndarray]:
    """For each axis float64 [sigma, places, pixels]: the windows as banded matrices."""
    check_same_shape(x, y)
    if size < 1 or size % 2 == 0:
        raise ValueError(f"the windows have an odd width, not {size}.")
    if x.ndim != 4 or min(x.shape[1:3]) < size:
        raise ValueError(
            f"ms_ssim needs images [B, H, W, C] of at least {size} pixels on a side, not {x.shape}."
        )
    offsets = np.arange(size) - size // 2
    taps = np.exp(-0.5 * (offsets / np.array(SIGMAS)[:, None]) ** 2)
    taps /= taps.sum(1, keepdims=True)
    made = []
    for pixels in x.shape[1:3]:
        places = pixels - size + 1
        band = np.zeros((len(SIGMAS), places, pixels))
        for place in range(places):
            band[:, place, place : place + size] = taps
        made.append(band)
    return made
