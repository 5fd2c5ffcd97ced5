"""SSIM, three kinds: published values, independent implementations, properties, errors."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import correlate
from skimage.metrics import structural_similarity

from jaxsr.metrics.ssim import daala_ssim, daala_taps, matlab_ssim, ssim
from jaxsr.ops.colour import luma_uint8
from jaxsr.ops.resize import imresize, modcrop

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
    with pytest.raises(ValueError, match="needs 11 pixels"):
        matlab_ssim(small, small, border=4)


# Evaluation sheet, section 6, "Which SSIM a library gives": Set5, bicubic, 8-bit RGB pipeline.
SET5 = {2: (0.9292, 0.9293, 0.9086), 4: (0.8101, 0.8097, 0.7731)}


@pytest.mark.parametrize("scale", SET5)
def test_the_kinds_on_set5(shared, scale):
    found = []
    for path in sorted((shared / "sr_benchmarks" / "Set5" / "HR").glob("*.png")):
        with Image.open(path) as image:
            truth = modcrop(np.asarray(image), scale)
        small = imresize(truth, 1 / scale, border="clamp", round_passes=True)
        rgb = imresize(small, scale, border="clamp", round_passes=True), truth
        y = [luma_uint8(image) for image in rgb]
        kinds = [ssim(*y, border=scale), matlab_ssim(*y, border=scale), ssim(*rgb, border=scale)]
        found.append(kinds)
    # Printed with four decimals.
    np.testing.assert_allclose(np.mean(found, 0), SET5[scale], rtol=0, atol=6e-5)


def test_matlab_s_by_scipy():
    a, b = X[:19].astype(float), Y[:19].astype(float)
    taps = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window = np.outer(taps, taps) / taps.sum() ** 2
    blur = lambda v: correlate(v, window, mode="nearest")  # noqa: E731
    ma, mb = blur(a), blur(b)
    va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    score = (2 * ma * mb + 6.5025) * (2 * cov + 58.5225)
    score /= (ma**2 + mb**2 + 6.5025) * (va + vb + 58.5225)
    # float64 in another order.
    assert matlab_ssim(a, b, border=0) == pytest.approx(score.mean(), abs=1e-12)
    assert matlab_ssim(a, a, border=3) == 1
    assert matlab_ssim(a, b, border=2) == matlab_ssim(a[2:-2, 2:-2], b[2:-2, 2:-2], border=0)


def test_daala_s_kernel():
    # At a height of 256 sigma is 1.5: floor(1024·exp(-k²/4.5)/(1.5·sqrt(2π)) + 1/2), by hand, and
    # t = sqrt(π/2)·1.5/1024 = 0.001836, 1.5·sqrt(-2·ln t) = 5.33.
    np.testing.assert_array_equal(
        daala_taps(1.5, 256), [1, 8, 37, 112, 218, 272, 218, 112, 37, 8, 1]
    )
    for sigma in (0.3, 0.7, 2.9):
        taps = daala_taps(sigma, 99)
        assert taps.sum() == 1024 and np.array_equal(taps, taps[::-1])
    assert len(daala_taps(1.5, 3)) == 5
    np.testing.assert_array_equal(daala_taps(0.05, 99), [1024])


def test_daala_s_by_a_plain_loop():
    """Height 200 after the crop, so sigma 1.171875; whole-number sums pixel by pixel."""
    rng = np.random.default_rng(3)
    a = rng.integers(0, 256, (204, 20), dtype=np.uint8)
    b = np.clip(a + rng.normal(0, 25, a.shape), 0, 255).astype(np.uint8)
    inner = [v[2:-2, 2:-2].astype(int) for v in (a, b)]
    taps = daala_taps(1.171875, 16).astype(int)
    half, total, weights = len(taps) // 2, 0.0, 0
    for i in range(200):
        for j in range(16):
            rows = [k for k in range(-half, half + 1) if 0 <= i + k < 200]
            columns = [k for k in range(-half, half + 1) if 0 <= j + k < 16]
            g = np.outer([taps[half + k] for k in rows], [taps[half + k] for k in columns])
            p, q = (v[i + rows[0] : i + rows[-1] + 1, j + columns[0] : j + columns[-1] + 1]
                    for v in inner)  # fmt: skip
            w = int(g.sum())
            sums = [int((g * v).sum()) for v in (p, q, p * p, q * q, p * q)]
            mx, my, xx, yy, xy = sums
            c1, c2 = 6.5025 * w * w, 58.5225 * w * w
            total += (
                w * (2 * mx * my + c1) * (2 * (xy * w - mx * my) + c2)
                / ((mx * mx + my * my + c1) * (xx * w - mx * mx + yy * w - my * my + c2))
            )  # fmt: skip
            weights += w
    # The same whole numbers, divided before or after the subtraction.
    assert daala_ssim(a, b, border=2) == pytest.approx(total / weights, abs=1e-12)
    assert daala_ssim(a, a, border=2) == pytest.approx(1, abs=1e-12)
    assert daala_ssim(b, a, border=2) == pytest.approx(daala_ssim(a, b, border=2), abs=1e-12)


def test_daala_takes_luminance_of_8_bits_only():
    for wrong in (X.astype(float), np.stack([X] * 3, -1).astype(np.uint8)):
        with pytest.raises(ValueError, match="8-bit luminance"):
            daala_ssim(wrong, wrong, border=0)
