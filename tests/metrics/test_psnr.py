"""PSNR: a worked value, the published golden, properties, errors."""

import numpy as np
import pytest

from jaxsr.metrics.psnr import psnr

I, J = np.indices((24, 24))
X = (5 * I + 11 * J + I * J) % 256
Y = np.clip(X + (3 * I * J + 7 * J) % 17 - 8, 0, 255)


def test_published_golden():
    # Evaluation sheet, section 6, printed with six decimals.
    a, b = X.astype(np.uint8), Y.astype(np.uint8)
    assert psnr(a, b, border=0) == pytest.approx(33.938362, abs=5e-7)
    assert psnr(a / 255, b / 255, border=0, peak=1) == pytest.approx(33.938362, abs=5e-7)


def test_by_hand():
    a = np.zeros((4, 4), np.uint8)
    b = np.full((4, 4), 51, np.uint8)
    # 20·log10(255/51). In uint8 the square would be 51² mod 256 = 41.
    assert psnr(a, b, border=0) == pytest.approx(20 * np.log10(5), abs=1e-12)
    assert psnr(a, b, border=0) == psnr(b, a, border=0)
    b[1:3, 1:3] = 102
    assert psnr(a, b, border=1) == pytest.approx(20 * np.log10(2.5), abs=1e-12)


def test_colour_is_one_mean_over_all_samples():
    a, b = np.zeros((6, 6, 3)), np.zeros((6, 6, 3))
    b[..., 1] = 3
    assert psnr(a, b, border=0) == pytest.approx(10 * np.log10(255**2 / 3), abs=1e-12)


def test_equal_images_are_infinite():
    assert psnr(X.astype(float), X.astype(float), border=2) == np.inf


def test_flips_and_transposition_change_nothing():
    a, b = X.astype(float), Y.astype(float)
    for turn in (lambda v: v[::-1], lambda v: v[:, ::-1], lambda v: v.T):
        # The same squares summed in another order, in float64.
        assert psnr(turn(a), turn(b), border=3) == pytest.approx(psnr(a, b, border=3), abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        (np.zeros((4, 4)), np.zeros((4, 1)), {"border": 0}, "unequal shape"),
        (np.zeros(4), np.zeros(4), {"border": 0}, r"\[H, W\]"),
        (np.zeros((4, 4), int), np.zeros((4, 4), int), {"border": 0}, "uint8 or floating"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"border": 2}, "leaves nothing"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"border": -1}, "leaves nothing"),
        (np.zeros((4, 4)), np.zeros((4, 4)), {"border": 0, "peak": 0}, "above 0"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4)), {"border": 0, "peak": 1}, "is 255"),
    ],
)
def test_wrong_arguments_are_named(a, b, options, message):
    with pytest.raises(ValueError, match=message):
        psnr(a, b, **options)
