"""Observations: each task spoils what it says, keeps the truth, and refuses what makes no sense."""

import numpy as np
import pytest
from PIL import Image

from jaxsr.data import observations as seen
from jaxsr.types import UserError

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (40, 56, 3), np.uint8)


def fresh():
    return np.random.default_rng(5)


def test_the_middle_has_sides_that_are_multiples():
    cut = seen.centre(IMAGE, size=0, multiple=16, border=0)
    np.testing.assert_array_equal(cut, IMAGE[4:36, 4:52])
    np.testing.assert_array_equal(
        seen.centre(IMAGE, size=32, multiple=32, border=0), IMAGE[4:36, 12:44]
    )
    with pytest.raises(UserError, match="56×40 pixels is smaller than the 64"):
        seen.centre(IMAGE, size=0, multiple=64, border=0)
    wider = seen.centre(IMAGE, size=32, multiple=32, border=1)
    assert wider.shape == (34, 34, 3)
    np.testing.assert_array_equal(wider[1:-1, 1:-1], IMAGE[4:36, 12:44])
    np.testing.assert_array_equal(wider[0], wider[2])
    for wrong in ({"size": -5}, {"multiple": 0}, {"border": -1}):
        with pytest.raises(UserError, match="config.crop has size"):
            seen.centre(IMAGE, **({"size": 0, "multiple": 8, "border": 0} | wrong))


def test_noise_has_its_size_and_is_clipped():
    grey = np.full((64, 64, 3), 128, np.uint8)
    made = seen.noisy(fresh(), grey, sigma=25.0)
    assert abs((made["lq"] - made["hq"]).std() * 255 - 25) < 0.5
    assert made["lq"].dtype == np.float32
    strong = seen.noisy(fresh(), IMAGE, sigma=200.0)["lq"]
    assert strong.min() == 0 and strong.max() == 1
    np.testing.assert_array_equal(strong, seen.noisy(fresh(), IMAGE, sigma=200.0)["lq"])
    assert list(seen.noisy(fresh(), IMAGE, sigma=0)) == ["lq"]


def test_reduction_is_pillows():
    cut = seen.centre(IMAGE, size=0, multiple=8, border=0)
    made = seen.reduced(fresh(), cut, factor=4, given=False)
    wanted = np.asarray(Image.fromarray(cut).resize((14, 10), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(np.round(made["lq"] * 255), wanted)
    np.testing.assert_array_equal(np.round(made["hq"] * 255), cut)
    assert list(seen.reduced(fresh(), cut, factor=4, given=True)) == ["lq"]
    with pytest.raises(UserError, match="56×40 pixels cannot be reduced 3 times"):
        seen.reduced(fresh(), cut, factor=3, given=False)


def test_lost_pixels_have_their_share():
    made = seen.scattered(fresh(), np.full((64, 64, 3), 255, np.uint8), missing=0.8, alike=False)
    assert made["mask"].shape == (64, 64, 3) and abs(made["mask"].mean() - 0.2) < 0.02
    np.testing.assert_array_equal(made["lq"], made["mask"])
    alike = seen.scattered(fresh(), IMAGE, missing=0.5, alike=True)
    assert alike["mask"].shape == (40, 56, 1)
    with pytest.raises(UserError, match="missing is 1.0"):
        seen.scattered(fresh(), IMAGE, missing=1.0, alike=False)


def test_a_mask_says_what_is_known():
    levels = np.full((40, 56, 1), 255, np.uint8)
    levels[4:8, 4:8] = 100
    made = seen.masked(fresh(), IMAGE, read={"mask.png": levels}.get, mask="mask.png", text="")
    assert made["mask"].sum() == 40 * 56 - 16
    np.testing.assert_array_equal(made["lq"][4:8, 4:8], 0)
    np.testing.assert_array_equal(made["hq"], IMAGE / np.float32(255))
    for value, said in ((0, "hides the whole image"), (255, "hides nothing of these 56×40 pixels")):
        with pytest.raises(UserError, match=said):
            read = {"mask.png": np.full((40, 56, 1), value)}.get
            seen.masked(fresh(), IMAGE, read=read, mask="mask.png", text="")
    with pytest.raises(UserError, match="hides nothing"):
        seen.masked(fresh(), IMAGE, read=None, mask="", text="")


def test_what_is_given_is_taken_as_it_is():
    def given(**changes):
        options = {"operator": None, "read": None, "sigma": 9.0, "missing": 0.5, "mask": ""}
        return seen.composed(fresh(), IMAGE, **(options | {"given": True} | changes))

    made = given()
    assert made.keys() == {"lq"}
    np.testing.assert_array_equal(made["lq"], IMAGE / np.float32(255))
    levels = np.where(np.arange(56) < 20, 0, 255)[None, :, None].repeat(40, 0)
    masked = given(read=lambda _: levels, mask="mask.png")
    assert masked.keys() == {"lq", "mask"} and masked["mask"].mean() == 36 / 56
    np.testing.assert_array_equal(masked["lq"], made["lq"] * masked["mask"])
    with pytest.raises(UserError, match="config.task.mask is for an image that is spoilt already"):
        given(given=False, mask="mask.png")


def test_a_text_is_written_all_over():
    made = seen.written((128, 160), "deep image prior")
    assert made.shape == (128, 160, 1) and set(np.unique(made)) == {0.0, 1.0}
    assert 0.05 < 1 - made.mean() < 0.35
    for part in (made[:64], made[64:], made[:, :80], made[:, 80:]):
        assert 1 - part.mean() > 0.03
    other = seen.written((128, 160), "something else")
    assert (other != made).any()
