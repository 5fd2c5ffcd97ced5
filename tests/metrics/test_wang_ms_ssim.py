"""MS-SSIM of Wang et al.: an independent computation, properties, the smallest image."""

import numpy as np
import pytest
from scipy.ndimage import correlate
from skimage.metrics import structural_similarity

from jaxsr.metrics.ms_ssim import EXPONENTS, ms_ssim

RNG = np.random.default_rng(0)
A = RNG.integers(0, 256, (171, 190)).astype(np.float64)
A = correlate(A, np.ones((5, 5)) / 25, mode="mirror")
B = np.clip(A + RNG.normal(0, 12, A.shape), 0, 255)


def independently(a, b):
    """Wang's msssim.m by scikit-image's SSIM maps and SciPy's filter."""
    options = dict(
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )
    score = 1.0
    for level, exponent in enumerate(EXPONENTS):
        _, whole = structural_similarity(a, b, **options)
        if level < 4:
            # cs is SSIM with the means taken as equal: whole / l, l from the blurred images
            taps = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
            g = np.outer(taps, taps) / taps.sum() ** 2
            ma, mb = correlate(a, g), correlate(b, g)
            whole = whole / ((2 * ma * mb + 6.5025) / (ma**2 + mb**2 + 6.5025))
        score *= whole[5:-5, 5:-5].mean() ** exponent
        # imfilter(…, ones(2)/4, 'symmetric') and every second sample, as msssim.m
        a, b = (
            correlate(v, np.full((2, 2), 0.25), mode="reflect", origin=-1)[::2, ::2] for v in (a, b)
        )
    return score


def test_against_an_independent_computation():
    # Both float64; 171 and 190 become odd on the way down.
    assert ms_ssim(A, B, border=0) == pytest.approx(independently(A, B), abs=1e-10)


def test_colour_border_peak_and_properties():
    value = ms_ssim(A, B, border=2)
    assert 0 < value < 1
    assert ms_ssim(A[2:-2, 2:-2], B[2:-2, 2:-2], border=0) == value
    assert ms_ssim(B, A, border=2) == pytest.approx(value, abs=1e-12)
    assert ms_ssim(A / 255, B / 255, border=2, peak=1) == pytest.approx(value, abs=1e-9)
    assert ms_ssim(A, A, border=2) == 1
    stacked = [np.stack(pair, -1) for pair in ((A, B, A), (B, B, 255 - A))]
    single = [ms_ssim(stacked[0][..., c], stacked[1][..., c], border=2) for c in range(3)]
    assert ms_ssim(*stacked, border=2) == pytest.approx(np.mean(single), abs=1e-12)
    # The inverse image: negative covariances count as nothing at all.
    assert single[2] == 0


def test_small_images_are_refused():
    small = np.zeros((170, 160))
    with pytest.raises(ValueError, match="needs 161 pixels .* not 170x160"):
        ms_ssim(small, small, border=0)
    enough = np.zeros((161, 161))
    assert ms_ssim(enough, enough, border=0) == 1
