"""Peak signal-to-noise ratio, in float64 on the host."""

import numpy as np


def psnr(a: np.ndarray, b: np.ndarray, *, border: int, peak: float = 255.0) -> float:
    """Score the likeness of two images by their mean squared difference.

    10·log10(peak² / mean((a - b)²)) over all samples left by the crop. The peak of 8-bit images is
    255 for luma too, though it spans 16..235 only.

    Args:
        a, b: [H, W] or [H, W, C] of one shape, uint8 or floating, in 0..peak; already in the
            colour space and with the rounding that the protocol asks for.
        border: pixels cut off on every side first (super-resolution: the scale).
        peak: largest value of a sample.
    Returns:
        decibels; inf for equal images (leave those out of a mean).
    Raises:
        ValueError: unequal shapes, another shape or dtype, a border that leaves nothing,
            a peak not above 0, or not 255 for uint8.
    Source: the evaluation scripts of jbhuang0604/SelfExSR.
    """
    a, b = prepare(a, b, border, peak)
    error = np.mean((a - b) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))


def prepare(
    a: np.ndarray, b: np.ndarray, border: int, peak: float
) -> tuple[np.ndarray, np.ndarray]:
    """Check a pair of images, cut `border` pixels off every side, return both as float64.

    Raises:
        ValueError: unequal shapes, another shape or dtype, border below 0 or leaving nothing,
            peak not above 0, or not 255 for uint8.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"images of unequal shape cannot be compared: {a.shape} and {b.shape}.")
    if a.ndim not in (2, 3):
        raise ValueError(f"an image is [H, W] or [H, W, C], not the shape {a.shape}.")
    for x in (a, b):
        if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
            raise ValueError(f"an image is uint8 or floating, not {x.dtype}.")
        # A score of levels against another peak is finite and means nothing.
        if x.dtype == np.uint8 and peak != 255:
            raise ValueError(f"the peak of a uint8 image is 255, not {peak}.")
    if not peak > 0:
        raise ValueError(f"peak must be above 0, not {peak}.")
    h, w = a.shape[:2]
    if border < 0 or min(h, w) <= 2 * border:
        raise ValueError(f"a border of {border} leaves nothing of an image of {h}x{w}.")
    inside = np.s_[border : h - border, border : w - border]
    return a[inside].astype(np.float64), b[inside].astype(np.float64)
