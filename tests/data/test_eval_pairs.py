"""jaxsr.data.transforms: the pairs of evaluation."""

import numpy as np
import pytest

from jaxsr.data.images import write_png
from jaxsr.data.sources import folder, load
from jaxsr.data.transforms import eval_pair, segmentation_pair
from jaxsr.ops.resize import imresize, modcrop
from jaxsr.types import UserError

# One float32 rounding of values below 2; both sides are float64 until then.
ONE_ULP = 2.0**-23


def make_sample(h, w, **extra):
    hq = np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)
    return {"name": f"{w}x{h}", "hq": hq, "size": (h, w), **extra}


def random_prior(h, w):
    p = np.random.default_rng(1).dirichlet(np.full(8, 0.2), (h, w))
    return np.round(p * 255).astype(np.uint8)


def labels(h, w):
    return np.random.default_rng(2).choice(np.uint8([*range(8), 255]), (h, w))


@pytest.mark.parametrize("quantise", [True, False])
@pytest.mark.parametrize("border", ["mirror", "clamp"])
def test_eval_pair_of_a_whole_image(quantise, border):
    sample = make_sample(53, 71, prior=random_prior(53, 71), label=labels(53, 71))
    out = eval_pair(sample, scale=4, multiple=8, border=border, quantise=quantise)
    hq = sample["hq"][:48, :64]
    np.testing.assert_array_equal(out["hq"], hq.astype(np.float32) / np.float32(255))
    expected = imresize(hq, 1 / 4, border=border, round_passes=quantise) / 255
    np.testing.assert_allclose(out["lq"], expected, rtol=0, atol=ONE_ULP)
    levels = out["lq"] * 255
    assert (np.abs(levels - np.round(levels)).max() < 1e-4) == quantise
    prior = sample["prior"][:48, :64].astype(np.float64)
    prior /= prior.sum(-1, keepdims=True)
    np.testing.assert_allclose(out["seg"], prior, rtol=0, atol=ONE_ULP)
    np.testing.assert_array_equal(out["label"], sample["label"][:48, :64])
    assert [out[k].dtype for k in ("hq", "lq", "seg")] == [np.float32] * 3
    assert out["label"].dtype == np.int32


def test_eval_pair_centre_crop():
    sample = make_sample(60, 33, prior="background")
    out = eval_pair(sample, scale=4, multiple=4, crop=24, quantise=False)
    middle = sample["hq"][18:42, 4:28]
    np.testing.assert_array_equal(out["hq"], middle.astype(np.float32) / np.float32(255))
    expected = imresize(middle, 1 / 4, border="mirror", round_passes=False) / 255
    np.testing.assert_allclose(out["lq"], expected, rtol=0, atol=ONE_ULP)
    assert out["seg"].shape == (24, 24, 8) and (out["seg"][..., 0] == 1).all()
    assert "label" not in out
    # An image smaller than the crop keeps what it has.
    assert eval_pair(sample, scale=4, multiple=8, crop=50, quantise=True)["hq"].shape == (48, 32, 3)


def test_eval_pair_reads_what_is_not_in_memory(tmp_path):
    write_png(tmp_path / "a.png", make_sample(16, 16)["hq"])
    for mib in (0, 1):
        (sample,) = load(folder(tmp_path), cache_mib=mib)
        assert eval_pair(sample, scale=2, multiple=4, quantise=True)["lq"].shape == (8, 8, 3)


def test_eval_pair_mistakes():
    with pytest.raises(UserError, match="20x7 is smaller than 8"):
        eval_pair(make_sample(7, 20), scale=4, multiple=8, quantise=True)
    with pytest.raises(UserError, match="multiple"):
        eval_pair(make_sample(20, 20), scale=4, multiple=6, quantise=True)
    with pytest.raises(UserError, match="no prior"):
        eval_pair(make_sample(20, 20, prior=random_prior(9, 9)), scale=4, multiple=8, quantise=True)


def test_segmentation_pair_sees_what_the_segmenter_sees():
    sample = make_sample(45, 70, label=labels(45, 70))
    out = segmentation_pair(sample, scale=4, multiple=8)
    small = imresize(sample["hq"][:40, :64], 1 / 4, border="mirror", round_passes=False) / 255
    large = imresize(small, 4, border="mirror", round_passes=False)
    # The low resolution is rounded to float32 in between, which the enlargement grows by at most
    # the sum of its absolute weights in two axes: 1.24² = 1.5 (weights of ×4 in MATLAB's rule).
    np.testing.assert_allclose(out["lq"], large, rtol=0, atol=3 * ONE_ULP)
    np.testing.assert_array_equal(out["label"], modcrop(sample["label"], 8))
    with pytest.raises(UserError, match="no label map"):
        segmentation_pair(make_sample(45, 70), scale=4, multiple=8)


def test_segmentation_pairs_of_a_bucket_have_few_shapes_and_no_class_in_what_is_added():
    for h, w in ((45, 75), (50, 80), (64, 96)):
        sample = make_sample(h, w, label=labels(h, w))
        bare = segmentation_pair(sample, scale=4, multiple=8)
        out = segmentation_pair(sample, scale=4, multiple=8, bucket=32)
        rows, columns = bare["label"].shape
        assert out["lq"].shape == (64, 96, 3) and out["label"].shape == (64, 96)
        for name in ("lq", "label"):
            np.testing.assert_array_equal(out[name][:rows, :columns], bare[name])
        assert (out["label"][rows:] == 255).all() and (out["label"][:, columns:] == 255).all()
        for row in range(rows, 64):
            np.testing.assert_array_equal(out["lq"][row, :columns], bare["lq"][2 * rows - 1 - row])
