"""Colour through networks of either kind, types of images, prior maps of LR images."""

import jax.numpy as jnp
import numpy as np
import pytest
from reference.restorers import image, small
from skimage.color import ycbcr2rgb

from jaxsr.inference import prior, tiles
from jaxsr.inference.prior import prior_maps
from jaxsr.inference.restorer import Restorer, as_float, colour, ycbcr_to_rgb
from jaxsr.ops.colour import rgb_to_ycbcr
from jaxsr.ops.resize import imresize


def test_integers_become_floats_by_the_range_of_their_type():
    assert as_float(np.array([0, 255], np.uint8)).tolist() == [0, 1]
    assert as_float(np.array([0, 65535], np.uint16)).tolist() == [0, 1]
    assert as_float(np.array([-0.5, 2.0])).tolist() == [-0.5, 2]
    assert as_float(np.zeros(1)).dtype == np.float32


def test_ycbcr_to_rgb_against_scikit_image():
    ycbcr = np.random.default_rng(0).uniform(0.1, 0.9, (4, 5, 3))
    # scikit-image's matrices of BT.601 in studio range, in levels of 255
    np.testing.assert_allclose(ycbcr_to_rgb(ycbcr), ycbcr2rgb(ycbcr * 255), rtol=0, atol=1e-9)
    rgb = np.random.default_rng(1).random((4, 5, 3))
    np.testing.assert_allclose(ycbcr_to_rgb(rgb_to_ycbcr(rgb)), rgb, rtol=0, atol=1e-12)


def test_luminance_network_gets_y_and_the_chroma_is_enlarged():
    seen = []

    def run(y, *conditions):
        seen.append(y)
        return np.repeat(np.repeat(y, 2, 0), 2, 1) + np.float32(0.1)

    made = Restorer("toy", 2, 1, None, {}, None, {})
    rgb = image(6, 5, 3)
    out = colour(made, run, rgb)
    ycbcr = rgb_to_ycbcr(rgb)
    np.testing.assert_array_equal(seen[0], ycbcr[..., :1])
    found = rgb_to_ycbcr(out.astype(np.float64))
    y = np.repeat(np.repeat(ycbcr[..., :1], 2, 0), 2, 1) + 0.1
    np.testing.assert_allclose(found[..., :1], y, rtol=0, atol=1e-6)
    chroma = imresize(ycbcr[..., 1:], 2, border="clamp", round_passes=False)
    np.testing.assert_allclose(found[..., 1:], chroma, rtol=0, atol=1e-6)


def test_rgb_network_gets_the_image_and_levels_are_divided():
    made = small("edsr")
    run = tiles.whole(made)
    levels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    expected = np.asarray(made.apply(made.variables, jnp.asarray(levels[None] / 255, jnp.float32)))
    np.testing.assert_allclose(colour(made, run, levels), expected[0], rtol=0, atol=1e-6)


def test_given_maps_take_the_place_of_the_prior():
    made = small("sftnet")
    lq = image(7, 6, 3)
    own = tiles.whole(made)(lq)
    np.testing.assert_array_equal(tiles.whole(made)(lq, made.prior(lq)), own)
    other = tiles.whole(made)(lq, np.zeros((28, 24, 8), np.uint8))
    assert np.abs(other - own).max() > 1e-2
    np.testing.assert_allclose(
        tiles.tiled(made, tile=24, overlap=8)(lq, np.zeros((28, 24, 8), np.uint8)), other,
        rtol=0, atol=1e-5,
    )  # fmt: skip


def logits(variables, x):
    """Of single pixels: eight lines through the colours."""
    return 8 * x @ variables


def test_low_prior_is_the_prior_of_the_enlarged_image():
    """What `prior_maps` gives for an HQ image whose reduction is the LQ one, up to one level."""
    variables = jnp.asarray(np.random.default_rng(0).standard_normal((3, 8)), jnp.float32)
    truth = np.random.default_rng(1).integers(0, 256, (40, 28, 3), np.uint8)
    lq = imresize(truth / 255, 1 / 4, border="mirror", round_passes=False)
    expected = prior_maps(logits, variables)(truth)
    found = prior.low_prior(logits, variables)(lq.astype(np.float32))
    assert found.dtype == np.uint8 and found.shape == (40, 28, 8)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert found.std() > 10


def test_low_prior_of_a_large_image_is_made_in_windows(monkeypatch):
    variables = jnp.asarray(np.random.default_rng(0).standard_normal((3, 8)), jnp.float32)
    lq = image(30, 45, 3)
    expected = prior.low_prior(logits, variables)(lq)
    monkeypatch.setattr(prior, "WINDOW", 20)
    monkeypatch.setattr(prior, "MARGIN", 4)
    found = prior.low_prior(logits, variables)(lq)
    # a value at the border of two levels may round either way
    assert np.abs(found.astype(int) - expected).max() <= 1
    monkeypatch.setattr(prior, "MARGIN", 0)
    cut = prior.low_prior(logits, variables)(lq)
    assert np.abs(cut.astype(int) - expected).max() > 1


@pytest.mark.parametrize("label", ["vdsr", "edsr"])
def test_a_single_pixel(label):
    made = small(label)
    out = colour(made, tiles.whole(made), image(1, 1, 3))
    assert out.shape == (3, 3, 3) and np.isfinite(out).all()
