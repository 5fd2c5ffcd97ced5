"""jaxsr.data.distorted_sets: patches of whole images, the same for the same numbers, and their hash."""

import csv

import numpy as np
import pytest

from jaxsr.data import distorted_sets
from jaxsr.data.distorted_sets import (
    HELD_OUT,
    Pairs,
    evaluation_set,
    fingerprint,
    held_out_set,
    versions,
)
from jaxsr.data.distortions import degrade
from jaxsr.data.images import write_png
from jaxsr.data.levels import SEVERITIES, Levels
from jaxsr.data.sources import folder, load
from jaxsr.types import UserError


def samples(*sizes):
    made = []
    for i, (h, w) in enumerate(sizes):
        hq = np.random.default_rng(i).integers(0, 256, (h, w, 3), np.uint8)
        made.append({"name": f"image{i}", "hq": hq, "size": (h, w)})
    return made


def same(a, b):
    return a.names == b.names and all(np.array_equal(x, y) for x, y in zip(a[:3], b[:3]))


def test_patches_are_cut_from_the_whole_image_degraded(monkeypatch):
    calls = []

    def spy(image, chain, rng):
        calls.append((image, degrade(image, chain, rng), chain[0]))
        return calls[-1][1]

    monkeypatch.setattr(distorted_sets, "degrade", spy)
    held = samples((100, 120), (64, 90))
    pairs = evaluation_set("moderate", held, count=5, seed=3)
    assert pairs.names == ("image0", "image1", "image0", "image1", "image0")
    assert pairs.lq.shape == pairs.hq.shape == (5, 63, 63, 3)
    assert pairs.lq.dtype == pairs.hq.dtype == np.uint8
    assert len(calls) == 5
    for i, (image, whole, levels) in enumerate(calls):
        assert image is held[i % 2]["hq"]
        strength = [levels.blur / 5, levels.noise / 50, (100 - levels.quality) / 90]
        np.testing.assert_allclose(pairs.levels[i], strength, rtol=1e-6)
        found = [
            (y, x)
            for y in range(0, image.shape[0] - 62, 16)
            for x in range(0, image.shape[1] - 62, 16)
            if np.array_equal(image[y : y + 63, x : x + 63], pairs.hq[i])
        ]
        ((y, x),) = found
        expected = np.round(whole[y : y + 63, x : x + 63] * 255)
        np.testing.assert_array_equal(pairs.lq[i], expected)


def test_a_patch_depends_on_its_numbers_alone():
    held = samples((80, 80), (70, 100))
    long = evaluation_set("mild", held, count=6)
    assert same(long, evaluation_set("mild", held, count=6))
    short = evaluation_set("mild", held, count=2)
    assert same(short, Pairs(*(part[:2] for part in long)))
    for other in (
        evaluation_set("mild", held, count=6, seed=1),
        evaluation_set("severe", held, count=6),
    ):
        assert not np.isclose(other.levels, long.levels).any()
    assert len(np.unique(long.levels, axis=0)) == 6


def test_flat_patches_are_skipped(monkeypatch):
    drawn = []

    def few(severity, rng):
        drawn.append(severity)
        return Levels(0.0, 0.0 if len(drawn) < 4 else 30.0, None)

    monkeypatch.setattr(distorted_sets, "draw", few)
    grey = {"name": "grey", "hq": np.full((64, 64, 3), 128, np.uint8), "size": (64, 64)}
    pairs = evaluation_set("mild", [grey], count=1)
    assert len(drawn) == 4 and pairs.lq.std() == pytest.approx(30, rel=0.05)


def test_a_folder_of_images_will_do(tmp_path):
    for i, sample in enumerate(samples((70, 80), (90, 64))):
        write_png(tmp_path / f"{i}.png", sample["hq"])
    kept = evaluation_set("severe", load(folder(tmp_path)), count=3)
    unkept = evaluation_set("severe", load(folder(tmp_path), cache_mib=0), count=3)
    assert kept.names == ("0", "1", "0") and same(kept, unkept)


@pytest.mark.parametrize(
    ("severity", "held", "options", "words"),
    [
        ("hard", samples((64, 64)), {}, "use mild, moderate or severe"),
        ("mild", [], {}, "needs images"),
        ("mild", samples((64, 64)), {"count": 0}, "count above 0"),
        ("mild", samples((64, 64)), {"seed": -1}, "seed of 0"),
        ("mild", samples((64, 64), (62, 99)), {}, "image1 is 99x62 pixels"),
    ],
)
def test_mistakes_are_named(severity, held, options, words):
    with pytest.raises(UserError, match=words):
        evaluation_set(severity, held, **options)


def test_the_fingerprint_is_of_both_sides():
    pairs = evaluation_set("mild", samples((64, 64)), count=1)
    changed = pairs.lq.copy()
    changed[0, 5, 5, 0] ^= 1
    prints = {
        fingerprint(each)
        for each in (
            pairs,
            pairs._replace(lq=changed),
            pairs._replace(hq=changed),
            pairs._replace(lq=pairs.hq, hq=pairs.lq),
        )
    }
    assert len(prints) == 4
    assert fingerprint(pairs._replace(levels=pairs.levels * 0)) in prints


def stored(root):
    with (root / "jaxsr/data/distorted_sets.csv").open(newline="") as file:
        return {row["severity"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    "severity",
    ["mild", *(pytest.param(s, marks=pytest.mark.slow) for s in ("moderate", "severe"))],
)
def test_the_named_sets_are_those_of_the_stored_hash(severity, root):
    said = []
    pairs = held_out_set(severity, report=said.append)
    assert len(pairs.lq) == 64
    assert [pairs.names.count(name) for name in HELD_OUT] == [22, 21, 21]
    row = stored(root)[severity]
    # other libraries may make other pixels, and then it is said; the libraries of the file may not
    if all(row[name] == version for name, version in versions().items()):
        assert said == [] and fingerprint(pairs) == row["sha256"]
    else:
        assert bool(said) == (fingerprint(pairs) != row["sha256"])


def test_the_table_names_every_set_as_it_is_made(root):
    rows = stored(root)
    assert list(rows) == list(SEVERITIES)
    for row in rows.values():
        assert (row["images"], row["count"], row["seed"]) == (" ".join(HELD_OUT), "64", "0")
        assert len(row["sha256"]) == 64
    assert set(versions()) <= set(row)


def test_other_pixels_are_reported(monkeypatch):
    few = evaluation_set("mild", samples((64, 64)), count=1)
    monkeypatch.setattr(distorted_sets, "evaluation_set", lambda severity, held: few)
    said = []
    assert held_out_set("mild", report=said.append) is few
    (sentence,) = said
    assert "the mild evaluation set differs" in sentence
    assert "not comparable with those of another machine" in sentence
    assert f"numpy 2.4.6 (here {versions()['numpy']})" in sentence


def test_a_band_set_has_the_distortion_of_its_tool_and_the_slight_ones():
    held = samples((100, 120))
    blur, jpeg = (distorted_sets.band_set(band, held, count=6, seed=1) for band in (3, 11))
    # σ in [3.75, 5] of 5; slight noise up to 5 of 50; quality at least 80: (100 - 80)/90
    assert (blur.levels[:, 0] >= 0.75).all() and (blur.levels[:, 0] <= 1).all()
    assert (blur.levels[:, 1] <= 0.1).all() and (blur.levels[:, 1] > 0).all()
    assert (blur.levels[:, 2] <= 20 / 90 + 1e-6).all()
    # quality in [10, 20], which is stronger than the slight one
    assert (jpeg.levels[:, 0] == 0).all()
    assert (jpeg.levels[:, 2] >= 80 / 90 - 1e-6).all()
    again = distorted_sets.band_set(3, held, count=3, seed=1)
    np.testing.assert_array_equal(again.lq, blur.lq[:3])
    assert fingerprint(again) != fingerprint(distorted_sets.band_set(2, held, count=3, seed=1))
