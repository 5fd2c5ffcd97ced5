"""jaxsr.data.pairs: low resolutions of their own, from the folders to batches and evaluation pairs."""

import numpy as np
import pytest

from jaxsr.data.images import write_png
from jaxsr.data.pairs import pairs
from jaxsr.data.pipeline import batches
from jaxsr.data.sources import fetch, load
from jaxsr.data.transforms import eval_pair, paired_crop
from jaxsr.types import UserError

NAMES = ("0001", "0002x4", "sub/0003")


def low(seed, h=9, w=12):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


@pytest.fixture
def folders(tmp_path):
    """Each pixel of `lq` is a square of `hq`, so that a crop that is not aligned would show."""
    for seed, (name, ending) in enumerate(zip(NAMES, ("x4", "", "_x4"), strict=True)):
        write_png(tmp_path / "lq" / f"{name}{ending}.png", low(seed))
        hq = low(seed).repeat(4, 0).repeat(4, 1)
        # what is left over below and at the right is cut
        write_png(tmp_path / "hq" / f"{name}.png", np.pad(hq, ((0, 3), (0, 1), (0, 0))))
    return tmp_path


def read(folders, **options):
    cache = {"cache_mib": options.pop("cache_mib", 100)}
    return load(pairs(folders / "hq", folders / "lq", **{"scale": 4} | options), **cache)


@pytest.mark.parametrize("cache", [0, 100])
def test_pairs_by_name_with_and_without_the_scale_in_it(folders, cache):
    samples = read(folders, cache_mib=cache)
    assert [sample["name"] for sample in samples] == list(NAMES)
    for seed, sample in enumerate(map(fetch, samples)):
        np.testing.assert_array_equal(sample["lq"], low(seed))
        np.testing.assert_array_equal(sample["hq"], low(seed).repeat(4, 0).repeat(4, 1))
        assert sample["size"] == (36, 48)


@pytest.mark.parametrize("cache", [0, 100])
def test_a_batch_is_aligned_and_depends_on_seed_and_step_only(folders, cache):
    def make(cache):
        groups = [(read(folders, cache_mib=cache), 1)]
        return batches(groups, seed=2, batch_size=3, transform=paired_crop(size=16, scale=4))

    dataset, again = make(cache), make(0)
    for step in (7, 0, 30):
        batch = dataset[step]
        assert batch["hq"].shape == (3, 16, 16, 3) and batch["lq"].shape == (3, 4, 4, 3)
        assert batch["hq"].dtype == batch["lq"].dtype == np.float32
        np.testing.assert_array_equal(batch["hq"], batch["lq"].repeat(4, 1).repeat(4, 2))
        assert all(np.array_equal(batch[key], again[step][key]) for key in batch)
    crops = np.concatenate([dataset[step]["lq"] for step in range(20)])
    assert len({crop.tobytes() for crop in crops}) > 50  # places and flips


@pytest.mark.parametrize("crop", [0, 24, 28, 400])
def test_evaluation_uses_the_low_resolution_that_came_with_the_image(folders, crop):
    (sample, *_) = read(folders)
    made = eval_pair(sample, scale=4, multiple=4, crop=crop, quantise=False)
    side = {0: (36, 48), 400: (36, 48), 24: (24, 24), 28: (28, 28)}[crop]
    assert made["hq"].shape[:2] == side
    np.testing.assert_array_equal(made["hq"], made["lq"].repeat(4, 0).repeat(4, 1))
    assert set(np.unique(np.round(made["lq"] * 255))) <= set(np.unique(sample["lq"]))


def test_partners_that_are_missing_or_too_many_are_named(folders):
    write_png(folders / "lq" / "0009x4.png", low(0))
    with pytest.raises(UserError, match=r"0009x4.png lacks a partner in .*hq"):
        read(folders)
    (folders / "lq" / "0009x4.png").unlink()
    write_png(folders / "lq" / "0001.png", low(0))
    with pytest.raises(UserError, match=r"are both the low resolution of 0001"):
        read(folders)
    for name in ("0001", "0001x4"):
        (folders / "lq" / f"{name}.png").unlink()
    with pytest.raises(
        UserError, match=r"hq/0001.png lacks a low resolution in .*lq, as do 0 more of"
    ):
        read(folders)
    (folders / "list.txt").write_text("0001\n")
    assert len(read(folders, exclude=folders / "list.txt")) == 2
    (folders / "list.txt").write_text("0003\n")
    assert [s["name"] for s in read(folders, include=folders / "list.txt")] == ["sub/0003"]


def test_sizes_are_checked_against_the_scale(folders):
    with pytest.raises(UserError, match=r"0001.* 12x9 pixels, which times 2 is not the 49x39 of"):
        # the endings name the scale too
        for path in (folders / "lq").rglob("*_x4.png"):
            path.rename(path.with_name(path.name.replace("_x4", "_x2")))
        (folders / "lq" / "0001x4.png").rename(folders / "lq" / "0001x2.png")
        read(folders, scale=2)
    with pytest.raises(UserError, match="the scale of a pair is 1 or more, not 0"):
        read(folders, scale=0)


def test_transforms_refuse_what_is_no_pair(folders):
    (sample, *_) = read_pairs = load(pairs(folders / "hq", folders / "lq", scale=4)[:1])
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="12x9, smaller|12x9 pixels, smaller than the crop of 10"):
        paired_crop(size=40, scale=4)(sample, rng)
    with pytest.raises(UserError, match="48x36 pixels and its low resolution 12x9: .* scale 2"):
        paired_crop(size=8, scale=2)(sample, rng)
    lone = {key: value for key, value in read_pairs[0].items() if key != "lq"}
    with pytest.raises(UserError, match="has no low resolution of its own"):
        paired_crop(size=8, scale=4)(lone, rng)
    with pytest.raises(UserError, match="flip 'diagonal' is unknown"):
        paired_crop(size=8, scale=4, flips=("diagonal",))
    with pytest.raises(
        UserError, match="crop 30 of an evaluation of pairs must be a multiple of 4"
    ):
        eval_pair(sample, scale=4, multiple=4, crop=30, quantise=False)
