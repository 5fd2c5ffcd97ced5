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
    cut = seen.centre(IMAGE, size=0, multiple=16)
    np.testing.assert_array_equal(cut, IMAGE[4:36, 4:52])
    np.testing.assert_array_equal(seen.centre(IMAGE, size=32, multiple=32), IMAGE[4:36, 12:44])
    with pytest.raises(UserError, match="56×40 pixels is smaller than the 64"):
        seen.centre(IMAGE, size=0, multiple=64)


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
    cut = seen.centre(IMAGE, size=0, multiple=8)
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


def test_a_mask_goes_through_the_same_crop(tmp_path):
    mask = np.full((40, 56), 255, np.uint8)
    mask[4:8, 4:8] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")

    def cut(image):
        return seen.centre(image, size=0, multiple=16)

    made = seen.masked(fresh(), cut(IMAGE), cut=cut, mask=str(tmp_path / "mask.png"), text="")
    assert made["mask"].shape == (32, 48, 1)
    np.testing.assert_array_equal(made["mask"][:4, :4], 0)
    assert made["mask"].sum() == 32 * 48 - 16
    np.testing.assert_array_equal(made["lq"][:4, :4], 0)
    Image.fromarray(mask[:20]).save(tmp_path / "small.png")
    with pytest.raises(UserError, match="small.png is 48×16 pixels after the crop.*48×32"):
        seen.masked(fresh(), cut(IMAGE), cut=cut, mask=str(tmp_path / "small.png"), text="")
    Image.fromarray(np.zeros((40, 56), np.uint8)).save(tmp_path / "none.png")
    with pytest.raises(UserError, match="hides the whole image"):
        seen.masked(fresh(), cut(IMAGE), cut=cut, mask=str(tmp_path / "none.png"), text="")


def test_a_text_is_written_all_over():
    made = seen.written((128, 160), "deep image prior")
    assert made.shape == (128, 160, 1) and set(np.unique(made)) == {0.0, 1.0}
    assert 0.05 < 1 - made.mean() < 0.35
    for part in (made[:64], made[64:], made[:, :80], made[:, 80:]):
        assert 1 - part.mean() > 0.03
    other = seen.written((128, 160), "something else")
    assert (other != made).any()
