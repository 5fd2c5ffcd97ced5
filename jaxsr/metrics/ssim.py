"""Structural similarity as the super-resolution literature computes it, in float64 on the host."""

import numpy as np

from jaxsr.metrics.psnr import prepare

_WINDOW = 11
_SIGMA = 1.5


def ssim(a: np.ndarray, b: np.ndarray, *, border: int, peak: float = 255.0) -> float:
    """Score the likeness of two images by local means, variances and covariance.

    With G an 11x11 Gaussian of sigma 1.5 and sum 1, m = G∗x, v = G∗x² - m² (biased):
    ssim = mean of (2 m_a m_b + C1)(2 v_ab + C2) / ((m_a² + m_b² + C1)(v_a + v_b + C2)) over the
    positions where the window lies inside the image; C1 = (0.01 peak)², C2 = (0.03 peak)².

    Args:
        a, b: [H, W] or [H, W, C] (mean over the channels) of one shape, uint8 or floating, in
            0..peak; already in the colour space and with the rounding of the protocol.
        border: pixels cut off on every side first (super-resolution: the scale).
        peak: largest value of a sample.
    Returns:
        in [-1, 1]; 1 for equal images only.
    Raises:
        ValueError: as `psnr`, and an image of fewer than 11 pixels on a side after the crop.
    Source: Wang et al. 2004 (ssim_index.m); equal to cszn/KAIR and XPixelGroup/BasicSR. Other
        libraries differ in window, padding or covariance; the SRGAN paper's tool does too.
    """
    a, b = prepare(a, b, border, peak)
    if min(a.shape[:2]) < _WINDOW:
        raise ValueError(
            f"ssim needs {_WINDOW} pixels on a side after the crop, not {a.shape[0]}x{a.shape[1]}."
        )
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    var_a = _blur(a * a) - mean_a**2
    var_b = _blur(b * b) - mean_b**2
    cov = _blur(a * b) - mean_a * mean_b
    score = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    score /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float(score.mean())


def _blur(x: np.ndarray) -> np.ndarray:
    """Gaussian window over both axes of [H, W, ...], only where it lies inside."""
    taps = np.exp(-((np.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    taps /= taps.sum()
    h, w = (n - _WINDOW + 1 for n in x.shape[:2])
    x = sum(tap * x[k : k + h] for k, tap in enumerate(taps))
    return sum(tap * x[:, k : k + w] for k, tap in enumerate(taps))
