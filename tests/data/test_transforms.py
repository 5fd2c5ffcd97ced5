"""jaxsr.data.transforms: what a crop computes equals the same part of the whole image."""

import numpy as np
import pytest

from jaxsr.data import transforms
from jaxsr.data.transforms import crop, segmentation_crop, sft_sample
from jaxsr.ops.resize import imresize, resize_bilinear, resize_nearest
from jaxsr.outdoor import NAMES
from jaxsr.types import UserError

# One float32 rounding of values below 2; both sides are float64 until then.
ONE_ULP = 2.0**-23


def make_sample(h, w, seed=0, **extra):
    rng = np.random.default_rng(seed)
    hq = rng.integers(0, 256, (h, w, 3), np.uint8)
    hq.setflags(write=False)
    return {"name": f"{w}x{h}", "hq": hq, "size": (h, w), **extra}


def random_prior(h, w, seed=1):
    p = np.random.default_rng(seed).dirichlet(np.full(8, 0.2), (h, w))
    return np.round(p * 255).astype(np.uint8)


def labels(h, w, seed=2):
    return np.random.default_rng(seed).choice(np.uint8([*range(8), 255]), (h, w))


def rng(seed=0):
    return np.random.default_rng(seed)


def places(whole, part):
    """Where an array lies in a larger one: every (row, column), by exact comparison."""
    h, w = part.shape[:2]
    first = np.argwhere((whole == part[0, 0]).all(-1)).tolist()
    return [(y, x) for y, x in first if np.array_equal(whole[y : y + h, x : x + w], part)]


def test_crop_is_a_part_of_the_image():
    sample = make_sample(21, 33)
    whole = sample["hq"].astype(np.float32) / np.float32(255)
    seen = set()
    for i in range(40):
        out = crop(size=8, margin=2, flips=())(sample, rng(i))
        assert set(out) == {"hq"} and out["hq"].dtype == np.float32
        assert out["hq"].shape == (12, 12, 3) and out["hq"].flags.c_contiguous
        (place,) = places(whole, out["hq"])
        seen.add(place)
    assert len(seen) > 30 and max(y for y, _ in seen) > 5 and max(x for _, x in seen) > 10


def test_crop_reaches_every_corner():
    sample = make_sample(9, 10)
    whole = sample["hq"].astype(np.float32) / np.float32(255)
    outs = [crop(size=8, flips=())(sample, rng(i))["hq"] for i in range(80)]
    found = {places(whole, out)[0] for out in outs}
    assert found == {(y, x) for y in range(2) for x in range(3)}


@pytest.mark.parametrize(
    "flips, count",
    [((), 1), (("horizontal",), 2), (("vertical", "horizontal"), 4), (transforms.FLIPS, 8)],
)
def test_crop_flips(flips, count):
    sample = make_sample(8, 8)
    whole = sample["hq"].astype(np.float32) / np.float32(255)
    every = [k(np.rot90(whole, r)) for r in range(4) for k in (lambda a: a, np.fliplr)]
    outs = [crop(size=8, flips=flips)(sample, rng(i))["hq"] for i in range(100)]
    seen = {next(j for j, a in enumerate(every) if np.array_equal(a, out)) for out in outs}
    assert len(seen) == count
    if count == 2:
        assert any(np.array_equal(out, whole[:, ::-1]) for out in outs)


def test_crop_mistakes():
    with pytest.raises(UserError, match="'diagonal' is unknown"):
        crop(size=8, flips=("diagonal",))
    with pytest.raises(UserError, match="20x9 pixels, smaller than the crop of 10"):
        crop(size=8, margin=1)(make_sample(9, 20), rng())


def sft_whole(sample, ratio, *, size, scale):
    """Steps 2 and 3 of the training sample in the reference, on whole images."""
    h, w = (max(size, int(n * ratio) // scale * scale) for n in sample["hq"].shape[:2])
    hq = resize_bilinear(sample["hq"], (h, w)) / 255
    lq = imresize(hq, 1 / scale, border="mirror", round_passes=False)
    prior = resize_nearest(sample["prior"], (h, w)).astype(np.float64)
    return {"hq": hq, "lq": lq, "seg": prior / prior.sum(-1, keepdims=True)}


# Below the crop, just above it, odd, and wide.
@pytest.mark.parametrize("h, w", [(40, 61), (96, 97), (143, 210), (101, 333)])
@pytest.mark.parametrize("ratio", [1.0, 0.7])
def test_sft_sample_equals_the_whole_image(h, w, ratio):
    sample = make_sample(h, w, prior=random_prior(h, w))
    whole = sft_whole(sample, ratio, size=96, scale=4)
    transform = sft_sample(ratios=(ratio,))
    flipped = set()
    for i in range(6):
        out = transform(sample, rng(i))
        assert {k: (v.shape, v.dtype.name) for k, v in out.items()} == {
            "hq": ((96, 96, 3), "float32"),
            "lq": ((24, 24, 3), "float32"),
            "seg": ((96, 96, 8), "float32"),
            "label": ((), "int32"),
        }
        matches = []
        for flip in (False, True):
            part = {k: out[k][:, ::-1] if flip else out[k] for k in whole}
            for y in range(0, whole["hq"].shape[0] - 95, 4):
                for x in range(0, whole["hq"].shape[1] - 95, 4):
                    expected = whole["hq"][y : y + 96, x : x + 96]
                    if np.abs(expected[0] - part["hq"][0]).max() < 1e-6:
                        matches.append((flip, y, x, part))
        ((flip, y, x, part),) = matches
        flipped.add(flip)
        for key, step in (("hq", 1), ("seg", 1), ("lq", 4)):
            rows, columns = (slice(o // step, (o + 96) // step) for o in (y, x))
            expected = whole[key][rows, columns]
            np.testing.assert_allclose(part[key], expected, rtol=0, atol=ONE_ULP, err_msg=key)
    assert flipped == {False, True}


def test_sft_sample_low_resolution_overshoots():
    # Neither rounded nor clipped: a step of black and white rings beyond both.
    hq = np.zeros((96, 96, 3), np.uint8)
    hq[:, 46:] = 255
    sample = {"name": "step", "hq": hq, "prior": "background"}
    lq = sft_sample(ratios=(1.0,))(sample, rng())["lq"]
    assert lq.min() < -0.01 and lq.max() > 1.01


def test_sft_sample_sizes_follow_the_reference_in_floats():
    # int(n · r) in double precision, as in the reference: 0.7·360 is 251.99999999999997, so the
    # width is 248 and not 252. The ramp of two levels a pixel, cut off, shows it.
    assert int(0.7 * 360) == 251
    hq = np.zeros((120, 360, 3), np.uint8)
    hq[:] = np.minimum(2 * np.arange(360), 255).astype(np.uint8)[None, :, None]
    sample = {"name": "", "hq": hq, "prior": "background"}
    steps = []
    for i in range(20):
        out = sft_sample(ratios=(0.7,))(sample, rng(i))["hq"] * 255
        assert np.ptp(out, axis=0).max() == 0  # height 120·0.7 = 84 < 96: 96 equal rows
        steps += np.abs(np.diff(out[0, :, 0])).tolist()
    # Float32 values of up to 255 carry an error of 1.5e-5.
    assert max(steps) == pytest.approx(2 * 360 / 248, abs=1e-4)


def test_sft_sample_draws_all_ratios_alike():
    ramp = np.zeros((400, 400, 3), np.uint8)
    ramp[:] = (np.arange(400) * 255 / 399).astype(np.uint8)[:, None, None]
    sample = {"name": "ramp", "hq": ramp, "prior": "background"}
    heights = [sft_sample()(sample, rng(i))["hq"] for i in range(120)]
    slope = [round(float(np.ptp(h[:, 0, 0])) * 400 / 96, 1) for h in heights]
    counts = np.unique(np.round(1 / np.array(slope), 1), return_counts=True)
    assert counts[0].tolist() == [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert counts[1].min() >= 8  # 20 expected, standard deviation 4.1


def test_sft_label_is_the_likeliest_class_in_the_order_of_the_discriminator():
    transform = sft_sample()
    order = ("background", "building", "plant", "mountain", "water", "sky", "grass", "animal")
    for index, name in enumerate(NAMES):
        prior = np.full((100, 100, 8), 20, np.uint8)
        prior[..., index] = 115
        out = transform(make_sample(100, 100, prior=prior), rng(index))
        assert out["label"] == order.index(name)
        assert out["seg"].sum(-1) == pytest.approx(1, abs=1e-6)  # eight float32 roundings
    assert transform(make_sample(100, 100, prior=prior, category=3), rng())["label"] == 3
    assert transform(make_sample(100, 100, prior=prior, category=0), rng())["label"] == 0


def test_sft_label_is_of_the_crop():
    prior = np.zeros((96, 400, 8), np.uint8)
    prior[:, :200, 1] = 255  # sky
    prior[:, 200:, 7] = 255  # animal
    sample = make_sample(96, 400, prior=prior)
    outs = [sft_sample(ratios=(1.0,))(sample, rng(i)) for i in range(30)]
    for out in outs:
        sky, animal = out["seg"].mean((0, 1))[[1, 7]]
        assert out["label"] == (5 if sky >= animal else 7)
    assert {int(out["label"]) for out in outs} == {5, 7}


def test_sft_crop_reaches_every_place():
    # Columns 0, 4 and 8 of the first row tell the three places; flips mirror them.
    sample = make_sample(96, 104, prior="background")
    row = sample["hq"][0].astype(np.float32) / 255
    transform, seen = sft_sample(ratios=(1.0,)), set()
    for i in range(60):
        out = transform(sample, rng(i))["hq"][0]
        seen |= {x for x in (0, 4, 8) for o in (out, out[::-1]) if np.allclose(o, row[x : x + 96])}
    assert seen == {0, 4, 8}


def test_sft_background_is_one_hot():
    out = sft_sample()(make_sample(120, 130, prior="background"), rng())
    expected = np.zeros((96, 96, 8), np.float32)
    expected[..., 0] = 1
    np.testing.assert_array_equal(out["seg"], expected)
    assert out["label"] == 0


def test_sft_mistakes():
    with pytest.raises(UserError, match="multiple"):
        sft_sample(size=98)
    for prior in (None, "sky", random_prior(99, 100), random_prior(100, 100)[..., :7]):
        with pytest.raises(UserError, match="100x100 has no prior"):
            sft_sample()(make_sample(100, 100, prior=prior), rng())


def segmenter_whole(sample, ratio, degrade):
    h, w = (max(4, int(n * ratio) // 4 * 4) for n in sample["hq"].shape[:2])
    image = resize_bilinear(sample["hq"], (h, w)) / 255
    if degrade:
        image = imresize(image, 1 / 4, border="mirror", round_passes=False)
        image = imresize(image, 4, border="mirror", round_passes=False)
    return image, resize_nearest(sample["label"], (h, w))


# Larger than the crop on both sides, on one, on none; smaller than half of it (reflected twice).
@pytest.mark.parametrize("h, w", [(150, 123), (150, 50), (61, 57), (23, 9)])
@pytest.mark.parametrize("degrade", [0.0, 1.0])
def test_segmentation_crop_equals_the_whole_image(h, w, degrade):
    sample = make_sample(h, w, label=labels(h, w))
    size = 64
    flips = set()
    for i in range(8):
        out = segmentation_crop(size=size, degrade_share=degrade)(sample, rng(i))
        assert out["lq"].shape == (size, size, 3) and out["lq"].dtype == np.float32
        assert out["label"].shape == (size, size) and out["label"].dtype == np.int32
        ratio = rng(i).uniform(0.75, 1.25)  # the first draw
        image, classes = segmenter_whole(sample, ratio, degrade)
        missing = [(0, max(0, size - n)) for n in classes.shape]
        image = np.pad(image, [*missing, (0, 0)], mode="reflect")
        classes = np.pad(classes, missing, constant_values=255)
        matches = []
        for flip in (False, True):
            lq, label = (v[:, ::-1] if flip else v for v in (out["lq"], out["label"]))
            for y in range(0, image.shape[0] - size + 1, 4):
                for x in range(0, image.shape[1] - size + 1, 4):
                    part = classes[y : y + size, x : x + size]
                    if np.array_equal(part, label):
                        matches.append(flip)
                        expected = image[y : y + size, x : x + size]
                        np.testing.assert_allclose(lq, expected, rtol=0, atol=ONE_ULP)
        assert len(matches) == 1
        flips.add(matches[0])
    assert flips == {False, True}


def test_segmentation_crop_shares_and_mistakes():
    sample = make_sample(80, 80, label=labels(80, 80))
    detail = []
    for i in range(60):
        lq = segmentation_crop(size=64, degrade_share=0.5)(sample, rng(i))["lq"]
        detail.append(np.abs(np.diff(lq, axis=0)).mean())
    blurred = sum(d < 0.1 for d in detail)  # noise: about 0.2 sharp, 0.04 degraded
    assert 18 <= blurred <= 42  # 30 expected, three standard deviations are 11.6
    with pytest.raises(UserError, match="no label map"):
        segmentation_crop(size=64, degrade_share=0.5)(make_sample(80, 80), rng())
    with pytest.raises(UserError, match="multiple"):
        segmentation_crop(size=62, degrade_share=0.5)


def test_transforms_are_functions_of_the_generator():
    sample = make_sample(120, 140, prior=random_prior(120, 140), label=labels(120, 140))
    for transform in (crop(size=48), sft_sample(), segmentation_crop(size=64, degrade_share=0.5)):
        first, again, other = (transform(sample, rng(i)) for i in (5, 5, 6))
        assert all(np.array_equal(first[key], again[key]) for key in first)
        assert any(not np.array_equal(first[key], other[key]) for key in first)
