"""Multi-scale SSIM of Wang et al., in float64 on the host; not the loss of Zhao et al."""

import numpy as np

from jaxsr.metrics.psnr import prepare
from jaxsr.metrics.ssim import maps

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SMALLEST = 161  # four halvings, rounded up, leave the 11 pixels of the window


def ms_ssim(a: np.ndarray, b: np.ndarray, *, border: int, peak: float = 255.0) -> float:
    """Score the likeness of two images at five resolutions.

    With l and cs the factors of `ssim.ssim` (11x11 Gaussian of sigma 1.5, valid):
    mean(l_5 cs_5)^e_5 · product over j < 5 of mean(cs_j)^e_j, e = EXPONENTS. Level j + 1 is level j
    averaged over blocks of 2x2; an odd last row or column is repeated first. A mean below 0, which
    has no such power, counts as 0.

    Args:
        a, b: [H, W] or [H, W, C] (mean over the channels) of one shape, uint8 or floating, in
            0..peak; already in the colour space and with the rounding of the protocol.
        border: pixels cut off on every side first.
        peak: largest value of a sample.
    Returns:
        in [0, 1]; 1 for equal images.
    Raises:
        ValueError: as `psnr`, and an image of fewer than 161 pixels on a side after the crop.
    Source: Wang, Simoncelli, Bovik 2003, eq. 7 and section 3.2; their msssim.m takes mean(l cs) at
        the last level as here, and halves as here.
    """
    a, b = prepare(a, b, border, peak)
    if min(a.shape[:2]) < _SMALLEST:
        raise ValueError(
            f"ms_ssim needs {_SMALLEST} pixels on a side after the crop, "
            f"not {a.shape[0]}x{a.shape[1]}: its fifth level is a sixteenth of that."
        )
    score = 1.0
    for level, exponent in enumerate(EXPONENTS, start=1):
        likeness, structure = maps(a, b, peak)
        if level == len(EXPONENTS):
            structure = structure * likeness
        score = score * np.maximum(structure.mean((0, 1)), 0) ** exponent
        a, b = _halved(a), _halved(b)
    return float(np.mean(score))


def _halved(x: np.ndarray) -> np.ndarray:
    """Means of 2x2 blocks, [ceil(H/2), ceil(W/2), ...]."""
    odd = [(0, x.shape[0] % 2), (0, x.shape[1] % 2)] + [(0, 0)] * (x.ndim - 2)
    x = np.pad(x, odd, mode="edge")
    return (x[0::2, 0::2] + x[1::2, 0::2] + x[0::2, 1::2] + x[1::2, 1::2]) / 4
