"""SSIM: the published golden, an independent implementation, properties, errors."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from jaxsr.metrics.ssim import ssim

I, J = np.indices((24, 24))
X = (5 * I + 11 * J + I * J) % 256
Y = np.clip(X + (3 * I * J + 7 * J) % 17 - 8, 0, 255)


def test_published_golden():
    # Evaluation sheet, section 6, printed with six decimals.
    a, b = X.astype(np.uint8), Y.astype(np.uint8)
    assert ssim(a, b, border=0) == pytest.approx(0.995566, abs=5e-7)
    assert ssim(a / 255, b / 255, border=0, peak=1) == pytest.approx(0.995566, abs=5e-7)


def test_scikit_image_agrees_with_the_options_that_make_it_wang_s():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (31, 26, 3), dtype=np.uint8)
    b = np.clip(a + rng.normal(0, 30, a.shape), 0, 255).astype(np.uint8)
    expected = structural_similarity(
        a[4:-4, 4:-4],
        b[4:-4, 4:-4],
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=-1,
    )
    # Both float64; their window is applied by another filter routine.
    assert ssim(a, b, border=4) == pytest.approx(expected, abs=1e-10)


def test_colour_is_the_mean_of_the_channels():
    a = np.stack([X, Y, X], -1).astype(np.uint8)
    b = np.stack([Y, Y, 255 - X], -1).astype(np.uint8)
    single = [ssim(a[..., c], b[..., c], border=1) for c in range(3)]
    # Means of equal numbers of float64 values.
    assert ssim(a, b, border=1) == pytest.approx(np.mean(single), abs=1e-12)


def test_one_only_for_equal_images_and_never_outside_the_range():
    a = X.astype(float)
    assert ssim(a, a, border=0) == 1
    assert -1 <= ssim(a, 255 - a, border=0) < 0
    nearly = a.copy()
    nearly[12, 12] += 1
    assert ssim(a, nearly, border=0) < 1


def test_symmetric_and_blind_to_joint_flips():
    a, b = X.astype(float), Y.astype(float)
    value = ssim(a, b, border=2)
    # float64 sums in another order.
    assert ssim(b, a, border=2) == pytest.approx(value, abs=1e-12)
    for turn in (lambda v: v[::-1], lambda v: v[:, ::-1], lambda v: v.T):
        assert ssim(turn(a), turn(b), border=2) == pytest.approx(value, abs=1e-12)


def test_the_border_is_cut_before_the_window():
    a, b = X.astype(float), Y.astype(float)
    assert ssim(a, b, border=3) == ssim(a[3:-3, 3:-3], b[3:-3, 3:-3], border=0)


def test_too_small_an_image_is_refused():
    small = np.zeros((18, 30))
    with pytest.raises(ValueError, match="needs 11 pixels .* not 10x22"):
        ssim(small, small, border=4)
    with pytest.raises(ValueError, match="unequal shape"):
        ssim(small, small[:, :-1], border=0)
