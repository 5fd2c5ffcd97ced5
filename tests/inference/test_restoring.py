"""jaxsr.inference.restoring: the way of colour, grey, alpha and depth through a network.

The networks are toys whose result is known: each pixel repeated, and something simple done to it.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.inference.pictures import Picture
from jaxsr.inference.restorer import Restorer
from jaxsr.inference.restoring import enlarge, restore_picture
from jaxsr.inference.tiles import tiled
from jaxsr.ops.resize import imresize
from jaxsr.types import UserError

BOTH = pytest.mark.parametrize("dtype", [np.uint8, np.uint16])


def toy(channels, change=lambda x: x):
    """A network ×2 that repeats pixels, then applies `change` to the result."""

    def apply(variables, lq):
        return change(jnp.repeat(jnp.repeat(lq, 2, axis=1), 2, axis=2))

    return Restorer("toy", 2, channels, apply, {}, None, {})


def runs(restorer):
    return tiled(restorer, tile=16, overlap=4)


def twice(array):
    return array.repeat(2, axis=0).repeat(2, axis=1)


def levels(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


@BOTH
@pytest.mark.parametrize("shape", [(1, 1), (9, 5), (20, 37)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_depth_comes_back_exactly(dtype, shape, channels):
    net = toy(3)
    picture = Picture(levels(*shape, channels, dtype=dtype), icc=b"icc", exif=b"exif", gamma=45455)
    made = restore_picture(picture, net, runs(net))
    assert made.colour.dtype == dtype and made.alpha is None
    np.testing.assert_array_equal(made.colour, twice(picture.colour))
    assert made[2:5] == picture[2:5]


@BOTH
def test_grey_is_the_luminance_of_a_network_for_luminance(dtype):
    net = toy(1, lambda x: 1 - x)
    grey = levels(8, 9, 1, dtype=dtype)
    made = restore_picture(Picture(grey), net, runs(net))
    np.testing.assert_array_equal(made.colour, np.iinfo(dtype).max - twice(grey))


def test_grey_through_rgb_is_the_mean_of_the_channels():
    net = toy(3, lambda x: x + jnp.array([0.0, 0.1, 0.2]))
    grey = levels(8, 9, 1) // 2
    made = restore_picture(Picture(grey), net, runs(net))
    expected = np.floor(twice(grey) + 0.1 * 255 + 0.5)  # 25.5 and a half: never near a whole number
    np.testing.assert_allclose(made.colour, expected, atol=1)  # 25.5 falls between two levels


def test_colour_through_luminance_keeps_the_colours():
    net = toy(1)
    flat = np.broadcast_to(np.array([200, 90, 30], np.uint8), (20, 17, 3))
    made = restore_picture(Picture(flat), net, runs(net))
    np.testing.assert_array_equal(made.colour, twice(flat))


def test_values_are_clipped_and_rounded_half_up():
    net = toy(3, lambda x: 1.5 * x - 0.1)
    made = restore_picture(Picture(np.full((4, 4, 3), 255, np.uint8)), net, runs(net))
    assert (made.colour == 255).all()
    made = restore_picture(Picture(np.zeros((4, 4, 3), np.uint8)), net, runs(net))
    assert (made.colour == 0).all()
    made = restore_picture(Picture(np.full((4, 4, 3), 100, np.uint8)), net, runs(net))
    assert (made.colour == np.floor(150 - 25.5 + 0.5)).all()  # 125 of 124.5


@BOTH
def test_alpha_takes_its_own_path(dtype):
    net = toy(3, lambda x: 1 - x)
    picture = Picture(levels(9, 8, 3, dtype=dtype), levels(9, 8, dtype=dtype, seed=1))
    top = np.iinfo(dtype).max
    made = restore_picture(picture, net, runs(net))
    np.testing.assert_array_equal(made.colour, top - twice(picture.colour))
    whole = imresize(picture.alpha / top, 2, border="clamp", round_passes=False)
    np.testing.assert_array_equal(made.alpha, np.floor(np.clip(whole, 0, 1) * top + 0.5))
    made = restore_picture(picture, net, runs(net), alpha="network")
    np.testing.assert_array_equal(made.alpha, top - twice(picture.alpha))
    opaque = picture._replace(alpha=np.full_like(picture.alpha, top))
    assert (restore_picture(opaque, net, runs(net)).alpha == top).all()
    with pytest.raises(ValueError, match="alpha"):
        restore_picture(picture, net, runs(net), alpha="nearest")


def blur(x):
    """Mean of a pixel and the one at its right: colour bleeds over a sharp edge."""
    return (x + jnp.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0)), mode="edge")[:, :, 1:]) / 2


def test_premultiplied_colour_does_not_bleed():
    # red, opaque at the left; green, transparent at the right
    colour = np.zeros((6, 8, 3), np.uint8)
    colour[:, :4, 0], colour[:, 4:, 1] = 255, 255
    alpha = np.where(np.arange(8) < 4, 255, 0).astype(np.uint8)
    picture = Picture(colour, np.broadcast_to(alpha, (6, 8)))
    net = toy(3, blur)
    plain = restore_picture(picture, net, runs(net), alpha="network")
    assert plain.colour[:, 7, 1].max() == 128  # green from under the transparent pixels
    made = restore_picture(picture, net, runs(net), alpha="network", premultiplied=True)
    assert made.colour[..., 1].max() == 0
    # 254 where alpha 127.5 was rounded to 128: on black both give 127.5
    np.testing.assert_array_equal(made.colour[0, :8, 0], [255] * 7 + [254])
    assert made.alpha[0, 7] == 128 and (made.colour[:, 8:] == 0).all()
    np.testing.assert_array_equal(made.alpha, plain.alpha)


@BOTH
def test_premultiplying_an_opaque_picture_changes_nothing(dtype):
    net = toy(3)
    top = np.iinfo(dtype).max
    picture = Picture(levels(9, 8, 3, dtype=dtype), np.full((9, 8), top, dtype))
    made = restore_picture(picture, net, runs(net), premultiplied=True)
    np.testing.assert_array_equal(made.colour, twice(picture.colour))


@pytest.mark.parametrize("share", [1, 13, 64, 200])
def test_premultiplied_colour_is_divided_by_its_alpha(share):
    net = toy(3)
    picture = Picture(levels(9, 8, 3), np.full((9, 8), share, np.uint8))
    made = restore_picture(picture, net, runs(net), premultiplied=True)
    np.testing.assert_array_equal(made.colour, twice(picture.colour))


def test_alpha_is_the_same_in_bands(monkeypatch):
    plane = levels(50, 7, dtype=np.uint16)
    whole = enlarge(plane, 3)
    assert whole.shape == (150, 21) and whole.dtype == np.uint16
    for rows in (1, 2, 16):
        monkeypatch.setattr("jaxsr.inference.restoring._BAND", rows)
        np.testing.assert_array_equal(enlarge(plane, 3), whole)


def test_around_goes_around_the_network_and_progress_is_told():
    net, told = toy(3), []
    picture = Picture(levels(20, 40, 3))
    made = restore_picture(
        picture, net, runs(net), around=lambda run: lambda lq: 1 - run(lq),
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    np.testing.assert_array_equal(made.colour, 255 - twice(picture.colour))
    assert told == [(k, len(told)) for k in range(1, len(told) + 1)] and len(told) > 4


def test_numbers_that_are_not_finite_are_refused():
    net = toy(3, lambda x: x / 0)
    with pytest.raises(UserError, match="toy gave numbers that are not finite"):
        restore_picture(Picture(levels(4, 4, 3)), net, runs(net))
