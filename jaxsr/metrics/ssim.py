"""Structural similarity in the three kinds that the literature prints, in float64 on the host."""

import math

import numpy as np

from jaxsr.metrics.psnr import prepare

_WINDOW = 11
_SIGMA = 1.5
_UNIT = 1024  # daala's kernels are whole numbers that sum to this


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
    _check_size(a)
    likeness, structure = maps(a, b, peak)
    return float((likeness * structure).mean())


def matlab_ssim(a: np.ndarray, b: np.ndarray, *, border: int, peak: float = 255.0) -> float:
    """The SSIM of MATLAB's built-in function: `ssim` over the whole image, its edge repeated.

    Window, constants and formula as `ssim`; the image is first widened by 5 pixels that repeat its
    edge, so the mean is over every pixel.

    Args, Returns, Raises: as `ssim` (images under 11 pixels are refused here too, so that one
        table holds one set of images).
    Source: MATLAB's ssim as phoenix104104/LapSRN calls it; the padding rule was not read there, it
        gives LapSRN's printed values.
    """
    a, b = prepare(a, b, border, peak)
    _check_size(a)
    half = _WINDOW // 2
    ends = [(half, half), (half, half)] + [(0, 0)] * (a.ndim - 2)
    likeness, structure = maps(np.pad(a, ends, mode="edge"), np.pad(b, ends, mode="edge"), peak)
    return float((likeness * structure).mean())


def daala_ssim(a: np.ndarray, b: np.ndarray, *, border: int) -> float:
    """The SSIM of the SRGAN paper's table: xiph/daala's tool, not Wang's.

    Separable Gaussian of sigma = 1.5·H/256, H the height after the crop, in whole 1024ths: tap k
    is floor(1024·g(k) + 1/2) for 0 < |k| <= floor(sigma·sqrt(-2 ln t)), t = sqrt(pi/2)·sigma/1024,
    the middle one 1024 minus the rest. At the image's edge the window is cut, and w is the sum of
    the taps that are left; m and v as in `ssim`, divided by w. Score = sum w·s / sum w with s the
    map of `ssim`, K1 = 0.01, K2 = 0.03, peak 255.

    Args:
        a, b: uint8 [H, W] of one shape, Y rounded.
        border: pixels cut off on every side first (SRGAN: 4).
    Returns:
        in [-1, 1]; 1 for equal images only.
    Raises:
        ValueError: as `psnr`; an image that is not uint8 [H, W].
    Source: xiph/daala tools/dump_ssim.c (other versions of it count in 256ths); found to
        reproduce the bicubic and nearest rows of arXiv:1609.04802, table 3, within 0.0005.
    """
    if any(np.asarray(x).dtype != np.uint8 or np.ndim(x) != 2 for x in (a, b)):
        raise ValueError("daala_ssim takes 8-bit luminance, uint8 [H, W].")
    a, b = prepare(a, b, border, 255.0)
    h, w = a.shape
    taps = daala_taps(1.5 * h / 256, min(h, w))

    def window(x: np.ndarray) -> np.ndarray:
        return _cut_window(_cut_window(x, taps, 0), taps, 1)

    weight = window(np.ones_like(a))
    mean_a, mean_b = window(a) / weight, window(b) / weight
    var_a = window(a * a) / weight - mean_a**2
    var_b = window(b * b) / weight - mean_b**2
    cov = window(a * b) / weight - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    score = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    score /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float((weight * score).sum() / weight.sum())


def daala_taps(sigma: float, longest: int) -> np.ndarray:
    """The whole-number kernel of `daala_ssim`.

    Args:
        sigma: standard deviation in pixels, > 0.
        longest: the half-length stays below it (the tool gives the shorter side).
    Returns:
        float64 [2·length + 1], whole numbers, symmetric, sum 1024.
    Source: xiph/daala tools/dump_ssim.c.
    """
    threshold = math.sqrt(math.pi / 2) * sigma / _UNIT
    length = 0 if threshold >= 1 else math.floor(sigma * math.sqrt(-2 * math.log(threshold)))
    length = min(length, longest - 1)
    places = np.arange(1, length + 1)
    density = np.exp(-0.5 * (places / sigma) ** 2) / (math.sqrt(2 * math.pi) * sigma)
    side = np.floor(_UNIT * density + 0.5)
    return np.concatenate([side[::-1], [_UNIT - 2 * side.sum()], side])


def maps(a: np.ndarray, b: np.ndarray, peak: float) -> tuple[np.ndarray, np.ndarray]:
    """The two factors of SSIM at every position of the window inside the image.

    l = (2 m_a m_b + C1)/(m_a² + m_b² + C1), cs = (2 v_ab + C2)/(v_a + v_b + C2), as in `ssim`.

    Args:
        a, b: float64 [H, W] or [H, W, C], at least 11 pixels on a side.
    Returns:
        l and cs, [H - 10, W - 10(, C)].
    """
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_a, mean_b = _blur(a), _blur(b)
    var_a = _blur(a * a) - mean_a**2
    var_b = _blur(b * b) - mean_b**2
    cov = _blur(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return likeness, (2 * cov + c2) / (var_a + var_b + c2)


def _check_size(image: np.ndarray) -> None:
    if min(image.shape[:2]) < _WINDOW:
        raise ValueError(
            f"ssim needs {_WINDOW} pixels on a side after the crop, "
            f"not {image.shape[0]}x{image.shape[1]}."
        )


def _blur(x: np.ndarray) -> np.ndarray:
    """Gaussian window over both axes of [H, W, ...], only where it lies inside."""
    taps = np.exp(-((np.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    taps /= taps.sum()
    h, w = (n - _WINDOW + 1 for n in x.shape[:2])
    x = sum(tap * x[k : k + h] for k, tap in enumerate(taps))
    return sum(tap * x[:, k : k + w] for k, tap in enumerate(taps))


def _cut_window(x: np.ndarray, taps: np.ndarray, axis: int) -> np.ndarray:
    """Sum of taps·x along one axis; taps that fall outside are left out."""
    half = len(taps) // 2
    ends = [(half, half) if a == axis else (0, 0) for a in range(2)]
    wide, n = np.pad(x, ends), x.shape[axis]
    # Whole numbers below 2^53: the sums are exact in any order.
    return sum(
        tap * (wide[k : k + n] if axis == 0 else wide[:, k : k + n]) for k, tap in enumerate(taps)
    )
