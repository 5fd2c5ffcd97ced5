"""jaxsr.data.maps: stored maps of every kind, annotations, and what is not fit."""

import pickle

import numpy as np
import pytest

from jaxsr.data.images import write_png
from jaxsr.data.maps import cut_to_prior, one_hot, quantise, read_prior
from jaxsr.types import UserError


def test_quantise_rounds_half_up_and_clips():
    values = np.array([0.1, 0.3, 0.7, -0.1, 1.2])  # times 255: 25.5, 76.5, 178.5
    np.testing.assert_array_equal(quantise(values), [26, 77, 179, 0, 255])


def test_cut_to_prior_keeps_multiples_of_8_from_the_top_left():
    image = np.random.default_rng(0).integers(0, 256, (31, 47, 3), np.uint8)
    np.testing.assert_array_equal(cut_to_prior(image), image[:24, :40])


def stored(folder, array, name="a.npy"):
    np.save(folder / name, array)
    return folder / name


def probabilities(height=5, width=6, classes=8):
    return np.random.default_rng(0).dirichlet(np.ones(classes), (height, width))


def test_a_stored_map_of_every_type_is_read(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (5, 6, 8), np.uint8)
    np.testing.assert_array_equal(read_prior(stored(tmp_path, levels), shape=(5, 6)), levels)
    held = probabilities()
    for dtype in (np.float64, np.float32, np.float16):
        found = read_prior(stored(tmp_path, held.astype(dtype)), shape=(5, 6))
        assert found.dtype == np.uint8
        # half a level, and the mantissa of float16 (2^-11 of a probability, at most 0.13 levels)
        np.testing.assert_allclose(found, held * 255, atol=0.64)
    exact = (levels / 255).astype(np.float16)
    found = read_prior(stored(tmp_path, exact), shape=(5, 6))
    np.testing.assert_array_equal(found, levels)  # 2^-11 is less than half a level


def refused(path, words):
    with pytest.raises(UserError, match=words) as caught:
        read_prior(path, shape=(5, 6))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_map_is_named(tmp_path):
    refused(tmp_path / "none.npy", "there is no prior map .* make one per image")
    refused(tmp_path, "there is no prior map")


def test_maps_that_do_not_fit_their_image(tmp_path):
    refused(stored(tmp_path, probabilities(6, 5)), r"is 6×5, its image 5×6: .* the same size")
    refused(stored(tmp_path, probabilities(classes=7)), r"has the shape \(5, 6, 7\).*, 8\).*\(8, ")
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


def test_classes_first_or_last_and_the_size_of_the_cut_image(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (16, 24, 8), np.uint8)
    last, first = stored(tmp_path, levels), stored(tmp_path, np.moveaxis(levels, -1, 0), "b.npy")
    for path in (last, first):
        for shape in ((16, 24), (23, 25)):
            np.testing.assert_array_equal(read_prior(path, shape=shape), levels)
        with pytest.raises(UserError, match="is 16×24, its image 24×24: .* multiples of 8"):
            read_prior(path, shape=(24, 24))
    # an image of 8 rows: classes last is what we write, and what is tried first
    low = stored(tmp_path, levels[:8])
    np.testing.assert_array_equal(read_prior(low, shape=(8, 24)), levels[:8])
    turned = stored(tmp_path, np.moveaxis(levels[:8], -1, 0))
    np.testing.assert_array_equal(read_prior(turned, shape=(8, 24)), levels[:8])


def test_an_annotation_becomes_one_hot_and_void_background(tmp_path):
    labels = np.random.default_rng(0).choice(np.uint8([*range(8), 255]), (9, 10))
    write_png(tmp_path / "a.png", labels)
    found = read_prior(tmp_path / "a.png", shape=(9, 10))
    np.testing.assert_array_equal(found, one_hot(labels))
    assert set(np.unique(found)) == {0, 255} and (found.sum(-1, dtype=int) == 255).all()
    np.testing.assert_array_equal(found.argmax(-1), np.where(labels == 255, 0, labels))
    write_png(tmp_path / "a.png", np.full((9, 10), 9, np.uint8))
    with pytest.raises(UserError, match="a.png has the value 9: it must hold the classes 0 to 7"):
        read_prior(tmp_path / "a.png", shape=(9, 10))
