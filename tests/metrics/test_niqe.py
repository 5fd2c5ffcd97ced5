"""NIQE: the published figure, a float64 reference in NumPy and SciPy, directions, refusals."""

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter
from scipy.special import gamma
from skimage import data

from jaxsr.metrics import niqe as module
from jaxsr.metrics.niqe import Model, block_statistics, niqe
from jaxsr.ops.colour import luma_uint8
from jaxsr.ops.resize import imresize
from jaxsr.types import UserError

RUN = jax.jit(block_statistics)
TAPS = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
WINDOW = np.outer(TAPS, TAPS) / TAPS.sum() ** 2


def fit(x):
    """The asymmetric generalised Gaussian of all samples: alpha, left and right scale."""
    grid = np.arange(0.2, 10.001, 0.001)
    ratios = gamma(2 / grid) ** 2 / (gamma(1 / grid) * gamma(3 / grid))
    left, right = np.sqrt(np.mean(x[x < 0] ** 2)), np.sqrt(np.mean(x[x > 0] ** 2))
    g = left / right
    wanted = np.mean(np.abs(x)) ** 2 / np.mean(x**2) * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
    alpha = grid[np.argmin((ratios - wanted) ** 2)]
    spread = np.sqrt(gamma(1 / alpha) / gamma(3 / alpha))
    return alpha, left * spread, right * spread


def reference_features(y):
    """[blocks, 36] in float64, block by block."""
    image = y.astype(np.float64)
    h, w = (n // 96 for n in y.shape)
    image, both = image[: 96 * h, : 96 * w], []
    for n in (96, 48):
        mean = convolve(image, WINDOW, mode="nearest")
        sigma = np.sqrt(np.abs(convolve(image**2, WINDOW, mode="nearest") - mean**2))
        normal, rows = (image - mean) / (sigma + 1), []
        for i, j in np.ndindex(h, w):
            block = normal[i * n : (i + 1) * n, j * n : (j + 1) * n]
            alpha, left, right = fit(block)
            row = [alpha, (left + right) / 2]
            for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
                alpha, left, right = fit(block * np.roll(block, shift, (0, 1)))
                row += [alpha, (right - left) * gamma(2 / alpha) / gamma(1 / alpha), left, right]
            rows.append(row)
        both.append(rows)
        image = imresize(image / 255, 0.5, border="mirror", round_passes=False) * 255
    return np.concatenate(both, axis=1)


def reference(y, model):
    found = reference_features(y)
    inverse = np.linalg.pinv((np.cov(found, rowvar=False) + model.covariance) / 2)
    away = found.mean(0) - model.mean
    return np.sqrt(away @ inverse @ away)


@pytest.fixture(scope="module")
def model():
    """Of photographs that come with scikit-image: enough blocks for a covariance."""
    found = np.concatenate([reference_features(y) for y in (data.camera(), data.brick())])
    return Model(found.mean(0), np.cov(found, rowvar=False))


@pytest.fixture(scope="module")
def cat():
    return luma_uint8(data.chelsea())


def test_features_against_float64(cat, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "_features", lambda s: seen.append(_FEATURES(s)) or seen[-1])
    niqe(cat, Model(np.zeros(36), np.eye(36)), border=0, measure=RUN)
    found, expected = np.concatenate(seen, axis=1), reference_features(cat)
    assert found.shape == expected.shape == (12, 36)
    alphas = [0, 2, 6, 10, 14]
    alphas += [18 + k for k in alphas]
    others = [k for k in range(36) if k not in alphas]
    # float32 statistics: an alpha may fall on the next of the grid's values, 0.001 apart.
    np.testing.assert_allclose(found[:, alphas], expected[:, alphas], rtol=0, atol=0.0011)
    np.testing.assert_allclose(found[:, others], expected[:, others], rtol=2e-3, atol=1e-4)


_FEATURES = module._features


def test_score_against_float64(model, cat):
    # The float32 statistics of test_features_against_float64, through the distance.
    assert niqe(cat, model, border=0, measure=RUN) == pytest.approx(reference(cat, model), abs=1e-3)
    assert niqe(cat, model, border=4, measure=RUN) == niqe(
        cat[4:-4, 4:-4], model, border=0, measure=RUN
    )


def test_unlike_photographs_score_higher(model, cat):
    plain = niqe(cat, model, border=0, measure=RUN)
    blurred = np.rint(gaussian_filter(cat.astype(float), 2)).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 25, cat.shape)
    noisy = np.clip(np.rint(cat + noise), 0, 255).astype(np.uint8)
    assert niqe(blurred, model, border=0, measure=RUN) > plain + 0.5
    assert niqe(noisy, model, border=0, measure=RUN) > plain + 0.5


def test_one_compilation_for_all_sizes(model, cat):
    traced = []

    def statistics(blocks):
        traced.append(blocks.shape)
        return block_statistics(blocks)

    run = jax.jit(statistics)
    whole = [niqe(image, model, border=0, measure=run) for image in (cat, cat[:200], cat[:, :193])]
    assert traced == [(16, 102, 102), (16, 54, 54)] and len(set(whole)) == 3


def test_what_cannot_be_scored_is_told(model, cat):
    with pytest.raises(UserError, match="needs 96 pixels on a side after the crop, not 300x95"):
        niqe(cat[:, :95], model, border=0, measure=RUN)
    with pytest.raises(UserError, match="not 90x192"):
        niqe(cat[:96, :198], model, border=3, measure=RUN)
    for image in (cat[:96, :191], np.full((200, 200), 7, np.uint8)):
        with pytest.raises(UserError, match="needs two blocks"):
            niqe(image, model, border=0, measure=RUN)
    with pytest.raises(ValueError, match="8-bit luminance"):
        niqe(cat / 255, model, border=0)


def test_a_block_of_one_level_is_left_out(model, cat):
    """Its features are NaN; the others' still count."""
    painted = cat.copy()
    painted[:99, :99] = 40
    assert np.isfinite(niqe(painted, model, border=0, measure=RUN))


def test_published_figure(shared):
    """5.7296 for Set14's baboon, of MATLAB and of Python alike, says XPixelGroup/BasicSR."""
    with np.load(shared / "weights" / "niqe" / "niqe_pris_params.npz") as file:
        model = Model(file["mu_pris_param"].reshape(-1), file["cov_pris_param"])
        np.testing.assert_allclose(file["gaussian_window"], WINDOW, rtol=0, atol=1e-15)
    with Image.open(shared / "sr_benchmarks" / "Set14" / "HR" / "baboon.png") as image:
        y = luma_uint8(np.asarray(image))
    # Printed with four decimals; float32 statistics, see above.
    assert niqe(y, model, border=0, measure=RUN) == pytest.approx(5.7296, abs=1e-3)
    assert reference(y, model) == pytest.approx(5.7296, abs=6e-5)
