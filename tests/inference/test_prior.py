"""Prior maps: what the segmenter sees, what comes out, and stored maps that are not fit."""

import pickle

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.inference import prior
from jaxsr.ops.resize import imresize
from jaxsr.types import UserError


def photograph(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_maps_are_probabilities_times_255_of_the_size_of_the_image():
    weights = jnp.asarray(np.random.default_rng(1).standard_normal((3, 8)) * 4, jnp.float32)
    maps = prior.prior_maps(lambda weights, image: image @ weights, weights)
    for size in ((20, 36), (64, 64), (68, 12)):
        found = maps(photograph(*size))
        assert found.shape == (*size, 8) and found.dtype == np.uint8
        # eight roundings of at most half a level
        assert np.abs(found.astype(int).sum(-1) - 255).max() <= 4
        assert found.max() > 200 and found.std() > 10


def test_a_sure_background_is_255_in_its_channel():
    logits = jnp.asarray([50.0] + [0.0] * 7)
    maps = prior.prior_maps(
        lambda logits, image: jnp.broadcast_to(logits, (*image.shape[:3], 8)), logits
    )
    found = maps(photograph(16, 24))
    assert (found[..., 0] == 255).all() and (found[..., 1:] == 0).all()


def test_the_segmenter_sees_the_degraded_image_padded_to_few_sizes():
    seen = []

    def segment(image):
        seen.append(image.shape)
        return jnp.concatenate([image, jnp.zeros((*image.shape[:3], 5))], -1) * 8

    maps = prior.prior_maps(lambda _, image: segment(image), {})
    # hard edges overshoot [0, 1] when they are reduced, and that is not to be clipped
    image = 255 * (photograph(10, 18) > 127).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    found = maps(image)
    maps(photograph(44, 100))
    assert seen == [(1, 64, 128, 3)], "one compilation serves both sizes"
    small = imresize(image / 255.0, 1 / 4, border="mirror", round_passes=False)
    large = imresize(small, 4, border="mirror", round_passes=False)
    logits = np.concatenate([large, np.zeros((40, 72, 5))], -1) * 8
    power = np.exp(logits)
    expected = 255 * power / power.sum(-1, keepdims=True)
    # half a level of rounding, and float32 against float64
    np.testing.assert_allclose(found, expected, atol=0.501)


def test_quantise_rounds_half_up_and_clips():
    values = np.array([0.1, 0.3, 0.7, -0.1, 1.2])  # times 255: 25.5, 76.5, 178.5
    np.testing.assert_array_equal(prior.quantise(values), [26, 77, 179, 0, 255])


def test_cut_to_prior_keeps_multiples_of_8_from_the_top_left():
    image = photograph(31, 47)
    np.testing.assert_array_equal(prior.cut_to_prior(image), image[:24, :40])


def stored(folder, array, name="a.npy"):
    np.save(folder / name, array)
    return folder / name


def probabilities(height=5, width=6, classes=8):
    return np.random.default_rng(0).dirichlet(np.ones(classes), (height, width))


def test_a_stored_map_of_every_type_is_read(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (5, 6, 8), np.uint8)
    np.testing.assert_array_equal(prior.read_prior(stored(tmp_path, levels), shape=(5, 6)), levels)
    held = probabilities()
    for dtype in (np.float64, np.float32, np.float16):
        found = prior.read_prior(stored(tmp_path, held.astype(dtype)), shape=(5, 6))
        assert found.dtype == np.uint8
        # half a level, and the mantissa of float16 (2^-11 of a probability, at most 0.13 levels)
        np.testing.assert_allclose(found, held * 255, atol=0.64)
    exact = (levels / 255).astype(np.float16)
    found = prior.read_prior(stored(tmp_path, exact), shape=(5, 6))
    np.testing.assert_array_equal(found, levels)  # 2^-11 is less than half a level


def refused(path, words):
    with pytest.raises(UserError, match=words) as caught:
        prior.read_prior(path, shape=(5, 6))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_map_is_named(tmp_path):
    refused(tmp_path / "none.npy", "there is no prior map .* make one per image")
    refused(tmp_path, "there is no prior map")


def test_maps_that_do_not_fit_their_image(tmp_path):
    refused(stored(tmp_path, probabilities(6, 5)), r"is 6×5, its image 5×6: .* the same size")
    refused(stored(tmp_path, probabilities(classes=7)), r"has the shape \(5, 6, 7\).*, 8\)")
    refused(stored(tmp_path, probabilities()[0]), r"has the shape \(6, 8\)")


def test_maps_that_are_no_probabilities(tmp_path):
    held = probabilities()
    broken = np.where(held == held.max(), np.nan, held)
    for wrong in (held * 255, held - 0.5, held.astype(np.int64), broken):
        refused(stored(tmp_path, wrong), r"must be uint8, or floating point in \[0, 1\]")


class Trap:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.mark),)


def test_foreign_and_damaged_files_are_refused_and_not_run(tmp_path):
    words = r"is not a whole \.npy array of numbers: write it again"
    mark, path = tmp_path / "run", tmp_path / "a.npy"
    trap = np.empty((5, 6, 8), object)
    trap[...] = Trap(mark)
    np.save(path, trap, allow_pickle=True)
    refused(path, words)
    path.write_bytes(pickle.dumps(Trap(mark)))
    refused(path, words)
    assert not mark.exists()
    np.savez(tmp_path / "archive.npz", probabilities())
    archive = (tmp_path / "archive.npz").read_bytes()
    whole = stored(tmp_path, probabilities().astype(np.float32), "whole.npy").read_bytes()
    # a header that asks for more memory than there is
    greedy = whole[:128].replace(b"(5, 6, 8)", b"(500000000, 600000, 8)")[:128]
    unclosed = whole.replace(b"(5, 6, 8)", b"(5, 6, 8 ")
    for data in (
        b"", b"\x93NUMPY", whole[:60], whole[:128], whole[:-1], archive, archive[:40], greedy,
        unclosed, b"GIF89a" + whole,
    ):  # fmt: skip
        path.write_bytes(data)
        refused(path, words)
