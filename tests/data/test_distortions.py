"""jaxsr.data.distortions: each step by hand, and patches that are those of the whole image."""

import numpy as np
import pytest

from jaxsr.data import distortions
from jaxsr.data.distortions import (
    degrade,
    distorted_patch,
    gaussian_blur,
    gaussian_noise,
    jpeg,
    nearly_same,
    tool_patch,
)
from jaxsr.data.levels import BANDS, Levels
from jaxsr.data.pipeline import batches
from jaxsr.data.sources import variants
from jaxsr.ops.resize import imresize
from jaxsr.types import UserError


def rng(seed=0):
    return np.random.default_rng(seed)


def picture(h, w, seed=0):
    """White noise in colour: the hardest for everything that must not leak."""
    return rng(seed).integers(0, 256, (h, w, 3), np.uint8)


def make_sample(h, w, seed=0, **extra):
    hq = picture(h, w, seed)
    hq.setflags(write=False)
    return {"name": f"{w}x{h}", "hq": hq, "size": (h, w), **extra}


@pytest.fixture
def pixelwise(monkeypatch):
    """Something that looks like noise and depends on the pixel alone: on one noise field for all."""
    monkeypatch.setattr(
        distortions,
        "gaussian_noise",
        lambda x, sigma, rng: np.clip(x + sigma / 255 * np.sin(997 * x), 0, 1),
    )


@pytest.mark.parametrize("sigma", [0.3, 1.7, 5.0])
def test_blur_is_the_dense_kernel(sigma):
    image = picture(9, 25)[..., :2] / 255  # lower than the kernel
    y, x = np.mgrid[-10:11, -10:11]
    kernel = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(image, ((10, 10), (10, 10), (0, 0)), mode="edge")
    dense = [
        [(kernel[..., None] * padded[i : i + 21, j : j + 21]).sum((0, 1)) for j in range(25)]
        for i in range(9)
    ]
    np.testing.assert_allclose(gaussian_blur(image, sigma), dense, atol=1e-14)


def test_no_blur_below_a_thousandth():
    image = picture(30, 30) / 255
    for sigma in (0.0, 9e-4):
        np.testing.assert_array_equal(gaussian_blur(image, sigma), image)


def test_noise_by_hand():
    image = picture(40, 50) / 255
    field = rng(3).standard_normal(image.shape)
    expected = np.clip(image + 30 / 255 * field, 0, 1)
    np.testing.assert_array_equal(gaussian_noise(image, 30, rng(3)), expected)
    assert (expected == 0).any() and (expected == 1).any()
    generator = rng(4)
    np.testing.assert_array_equal(gaussian_noise(image, 0, generator), image)
    assert generator.random() == rng(4).random()


def test_jpeg_rounds_half_up_and_clears_nothing_at_100():
    for value, level in ((100.49, 100), (100.5, 101), (0.5, 1), (255.0, 255)):
        out = jpeg(np.full((16, 16, 3), value / 255), 100) * 255
        np.testing.assert_allclose(out, level, atol=1e-12)


def test_jpeg_halves_the_colour_and_not_the_brightness():
    columns = np.arange(32) % 2
    # two colours of brightness 0.299 R + 0.587 G + 0.114 B = 104 to 0.1, and two greys
    colours = np.array([[150, 94, 35], [60, 104, 219]], np.float64) / 255
    greys = np.array([[60, 60, 60], [150, 150, 150]], np.float64) / 255
    for pair, lost in ((colours, True), (greys, False)):
        image = np.broadcast_to(pair[columns], (32, 32, 3))
        contrast = np.abs(np.diff(jpeg(image, 100), axis=1)).max((0, 1)) * 255
        assert (contrast < 5).all() if lost else (contrast > 80).all()


def test_jpeg_quality_is_rounded_and_lowers_fidelity():
    image = gaussian_blur(picture(48, 48) / 255, 1.0)
    np.testing.assert_array_equal(jpeg(image, 49.5), jpeg(image, 50))
    np.testing.assert_array_equal(jpeg(image, 50.49), jpeg(image, 50))
    errors = [np.square(jpeg(image, q) - image).mean() for q in (95, 80, 50, 20, 10)]
    assert errors == sorted(errors) and errors[0] < errors[-1] / 3


def test_degrade_is_blur_noise_jpeg_in_this_order():
    image = picture(40, 56)
    out = degrade(image, [Levels(1.2, 20.0, 35.0), Levels(0.0, 4.0, None)], rng(7))
    same = rng(7)
    expected = jpeg(gaussian_noise(gaussian_blur(image / 255, 1.2), 20, same), 35)
    expected = gaussian_noise(expected, 4, same)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, expected.astype(np.float32))
    np.testing.assert_array_equal(degrade(image, [], rng()), (image / 255).astype(np.float32))


CHAINS = {
    "mixture": [Levels(3.3, 20.0, 28.0)],
    "blur": [Levels(5.0, 0.0, None)],
    "blur of a tool": [Levels(4.0, 0.0, None), Levels(0.0, 3.0, 88.0)],
    "jpeg of a tool": [Levels(0.0, 0.0, 12.0), Levels(0.0, 3.0, 88.0)],
    "everything twice": [Levels(2.0, 20.0, 28.0), Levels(3.0, 9.0, 10.0)],
}
# neither a multiple of the grid nor of its half; the last patch ends 0 to 5 pixels before the border
SIZE = (148, 143)


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_a_part_has_the_values_of_the_whole(chain, pixelwise):
    image = picture(*SIZE)
    whole = degrade(image, chain, rng())
    for top in range(0, SIZE[0] - 62, 16):
        for left in range(0, SIZE[1] - 62, 16):
            box = (top, left, top + 63, left + 63)
            part = degrade(image, chain, rng(), box=box)
            np.testing.assert_array_equal(part, whole[top : top + 63, left : left + 63])
    for box in ((3, 5, 8, 90), (0, 142, 148, 143), (31, 33, 47, 79)):  # off the grid
        top, left, bottom, right = box
        part = degrade(image, chain, rng(), box=box)
        np.testing.assert_array_equal(part, whole[top:bottom, left:right])


@pytest.mark.parametrize(("name", "value"), [("_UPSAMPLED", 0), ("GRID", 8), ("RADIUS", 9)])
def test_a_narrower_part_would_be_noticed(name, value, pixelwise, monkeypatch):
    image, chain = picture(*SIZE), CHAINS["mixture"]
    whole = degrade(image, chain, rng())
    if name == "RADIUS":  # the kernel keeps its size, the margin shrinks
        grown = distortions._grown
        narrower = lambda box, n, *a, **k: grown(box, n - (n == 10), *a, **k)  # noqa: E731
        monkeypatch.setattr(distortions, "_grown", narrower)
    else:
        monkeypatch.setattr(distortions, name, value)
    part = degrade(image, chain, rng(), box=(48, 48, 111, 111))
    assert not np.array_equal(part, whole[48:111, 48:111])


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_reducing_is_of_the_whole_image_too(factor, pixelwise):
    image = picture(80 * factor - 1, 95 * factor)
    reduced = imresize(image, 1 / factor, border="mirror", round_passes=False)
    reduced = np.clip(np.floor(reduced + 0.5), 0, 255).astype(np.uint8)
    assert reduced.shape == (80, 95, 3)
    chain = CHAINS["mixture"]
    whole = degrade(reduced, chain, rng())
    np.testing.assert_array_equal(degrade(image, chain, rng(), factor=factor), whole)
    for top, left in ((0, 0), (16, 32), (0, 16)):
        box = (top, left, top + 63, left + 63)
        part = degrade(image, chain, rng(), box=box, factor=factor)
        np.testing.assert_array_equal(part, whole[top : top + 63, left : left + 63])


def place(whole, part):
    """Where an array lies in a larger one, by exact comparison."""
    h, w = part.shape[:2]
    ys, xs = np.nonzero((whole == part[0, 0]).all(-1))
    found = [
        (int(y), int(x))
        for y, x in zip(ys, xs, strict=True)
        if np.array_equal(whole[y : y + h, x : x + w], part)
    ]
    (one,) = found
    return one


def test_the_patch_of_training_is_of_the_whole_image_degraded(pixelwise, monkeypatch):
    levels = Levels(2.5, 25.0, 55.0)
    monkeypatch.setattr(distortions, "draw", lambda severity, rng: levels)
    sample = make_sample(130, 101)
    clean, whole = (degrade(sample["hq"], chain, rng()) for chain in ([], [levels]))
    transform, seen = distorted_patch(severities=("moderate",)), set()
    for i in range(80):
        out = transform(sample, rng(i))
        assert {k: (v.shape, v.dtype.name) for k, v in out.items()} == {
            "hq": ((63, 63, 3), "float32"),
            "lq": ((63, 63, 3), "float32"),
            "levels": ((3,), "float32"),
        }
        assert all(v.flags.c_contiguous for v in out.values())
        top, left = place(clean, out["hq"])
        seen.add((top, left))
        np.testing.assert_array_equal(out["lq"], whole[top : top + 63, left : left + 63])
        assert out["levels"].tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert seen == {(y, x) for y in range(0, 68, 16) for x in range(0, 39, 16)}


def test_levels_are_those_of_the_severity():
    sample = make_sample(70, 70)
    for severity, low, high in (("mild", 9, 11), ("moderate", 12, 17), ("severe", 18, 20)):
        transform = distorted_patch(severities=(severity,))
        for i in range(30):
            blur, noise, jpeg_ = transform(sample, rng(i))["levels"]
            quality = 100 - 90 * jpeg_
            ends = np.array([80, 60, 50, 40, 35, 30, 25, 20, 15])
            total = int(blur * 10) + int(noise * 10) + int((quality < ends).sum()) + 1
            assert low <= total <= high


def test_pairs_that_are_nearly_the_same_are_drawn_anew(monkeypatch):
    calls = []

    def few(severity, rng):
        calls.append(severity)
        return Levels(0.0, 20.0, None) if len(calls) == 4 else Levels(0.0, 0.0, None)

    monkeypatch.setattr(distortions, "draw", few)
    out = distorted_patch(severities=("mild",))(make_sample(70, 70), rng())
    assert len(calls) == 4 and not nearly_same(out["hq"], out["lq"])
    calls[:] = range(10)  # past the one that differs: the tenth is taken as it is
    out = distorted_patch(severities=("mild",))(make_sample(70, 70), rng())
    assert len(calls) == 20
    np.testing.assert_array_equal(out["hq"], out["lq"])


def test_nearly_the_same_is_fifty_decibels():
    a = np.zeros((8, 8, 3))
    assert nearly_same(a, a + 10 ** (-50.1 / 20))
    assert not nearly_same(a, a + 10 ** (-49.9 / 20))


def test_share_of_single_distortions():
    sample = make_sample(70, 70)
    outs = [
        distorted_patch(severities=("severe",), single_share=0.5)(sample, rng(i))
        for i in range(200)
    ]
    # a mixture has at least 18 + 2 levels in sum, so two above 1; one alone has two slight ones
    single = sum(np.sort(out["levels"])[1] <= 20 / 90 for out in outs)
    assert 70 <= single <= 130  # 100 expected, four deviations are 28
    alone = distorted_patch(severities=("severe",), single_share=1.0)
    kinds = [alone(sample, rng(i))["levels"] for i in range(100)]
    assert all(np.sort(levels)[1] <= 20 / 90 for levels in kinds)
    assert {int(np.argmax(levels)) for levels in kinds} == {0, 1, 2}


def test_factors_are_drawn_among_those_that_fit():
    # every factor leaves a ramp of another slope
    ramp = np.zeros((200, 200, 3), np.uint8)
    ramp[:] = np.arange(200, dtype=np.uint8)[:, None, None]
    sample = {"name": "ramp", "hq": ramp}
    transform = distorted_patch(severities=("moderate",), factors=(1, 2, 3, 4))
    slopes = []
    for i in range(90):
        hq = transform(sample, rng(i))["hq"][:, 30, 0] * 255
        slopes.append(round(float(hq[40] - hq[20]) / 20))
    counts = np.bincount(slopes, minlength=5)
    assert counts[[0, 4]].tolist() == [0, 0]  # reduced 4 times it has 50 pixels
    assert counts[1:4].min() >= 15  # 30 expected, standard deviation 4.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"severities": ()}, "must be a list of names"),
        ({"severities": "mild"}, "must be a list of names"),
        ({"severities": ("hard",)}, "use mild, moderate or severe"),
        ({"severities": ("mild",), "single_share": 1.5}, "single_share 1.5"),
        ({"severities": ("mild",), "size": 0}, "size 0"),
        ({"severities": ("mild",), "factors": ()}, "factors"),
        ({"severities": ("mild",), "factors": (1.5,)}, "whole numbers"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(UserError, match=words):
        distorted_patch(**options)


def test_an_image_below_the_patch_is_named():
    with pytest.raises(UserError, match="100x60 pixels, smaller than the patch of 63"):
        distorted_patch(severities=("mild",))(make_sample(60, 100), rng())
    with pytest.raises(UserError, match="reduced 2 times"):
        tool_patch(factors=(2,))(make_sample(100, 200, band=BANDS[0]), rng())


def test_a_tool_sees_the_distortion_of_its_band(pixelwise):
    alone = tool_patch(slight=False)
    sample = make_sample(120, 120)
    out = alone(sample | {"band": ("blur", 2.0, 2.0)}, rng())
    whole = degrade(sample["hq"], [Levels(2.0, 0.0, None)], rng())
    top, left = place(degrade(sample["hq"], [], rng()), out["hq"])
    assert set(out) == {"hq", "lq"}
    np.testing.assert_array_equal(out["lq"], whole[top : top + 63, left : left + 63])
    for i in range(12):
        out = alone(sample | {"band": ("jpeg", 10.0, 20.0)}, rng(i))
        errors = [jpeg(out["hq"].astype(np.float64), q) - out["hq"] for q in (25, 8)]
        low, high = (np.square(error).mean() for error in errors)
        assert low < np.square(out["lq"] - out["hq"]).mean() < high


def test_slight_distortions_come_on_top(pixelwise, monkeypatch):
    slight = Levels(0.0, 4.0, 83.0)
    monkeypatch.setattr(distortions, "draw_slight", lambda rng: slight)
    sample = make_sample(90, 90)
    clean = degrade(sample["hq"], [], rng())
    for band, first in (
        (("noise", 30.0, 30.0), Levels(0.0, 30.0, None)),
        (("jpeg", 15.0, 15.0), Levels(0.0, 0.0, 15.0)),
    ):
        out = tool_patch()(sample | {"band": band}, rng())
        top, left = place(clean, out["hq"])
        whole = degrade(sample["hq"], [first, slight], rng())
        np.testing.assert_array_equal(out["lq"], whole[top : top + 63, left : left + 63])


def test_a_sample_without_a_band_is_named():
    for extra in ({}, {"band": ("blur", 1.0)}):
        with pytest.raises(UserError, match="100x100 has no band"):
            tool_patch()(make_sample(100, 100, **extra), rng())
    with pytest.raises(UserError, match="within 0..5"):
        tool_patch()(make_sample(100, 100, band=("blur", 0.0, 9.0)), rng())


def test_twelve_equal_groups_give_row_r_the_group_r_mod_12():
    samples = [make_sample(8, 8, seed) for seed in range(5)]
    groups = variants(samples, [{"band": band} for band in BANDS])
    assert len(groups) == 12 and groups[3][2]["hq"] is samples[2]["hq"]

    def index(sample, rng):
        return {"band": np.int32(BANDS.index(sample["band"])), "hq": sample["hq"]}

    for rows in (12, 36):
        dataset = batches([(g, 0.1) for g in groups], seed=0, batch_size=rows, transform=index)
        for step in (0, 1, 7, 1001):
            assert dataset[step]["band"].tolist() == [r % 12 for r in range(rows)]
    # within a step every tool is shown other images
    images = np.stack([dataset[step]["hq"] for step in range(5)])
    assert len(np.unique(images[0].reshape(36, -1), axis=0)) > 1
    # a batch that 12 does not divide drifts
    dataset = batches([(g, 1) for g in groups], seed=0, batch_size=8, transform=index)
    assert dataset[1]["band"].tolist() == [8, 9, 10, 11, 0, 1, 2, 3]


def test_a_variant_keeps_the_keys_of_its_samples():
    with pytest.raises(UserError, match="own 'size'"):
        variants([make_sample(8, 8)], [{"size": 3}])


def test_transforms_are_functions_of_the_generator():
    sample = make_sample(90, 120, band=BANDS[5])
    for transform in (distorted_patch(severities=("mild",), single_share=0.5), tool_patch()):
        first, again, other = (transform(sample, rng(i)) for i in (5, 5, 6))
        assert all(np.array_equal(first[key], again[key]) for key in first)
        assert any(not np.array_equal(first[key], other[key]) for key in first)
