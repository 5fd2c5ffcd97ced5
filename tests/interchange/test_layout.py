"""Moves between layouts: each against what the layout means, and there and back."""

import numpy as np
import pytest

from jaxsr.interchange import layout
from jaxsr.ops.pixel_shuffle import pixel_shuffle

RNG = np.random.default_rng(0)
MOVES = [
    (layout.same(), (5,)),
    (layout.linear(), (4, 6)),
    (layout.conv(), (4, 3, 5, 2)),
    (layout.linear_after_flatten(channels=4, height=3, width=2), (5, 24)),
    (layout.transposed_conv(), (4, 3, 5, 2)),
    (layout.matconvnet_transposed_conv(), (5, 2, 3, 4)),
    (layout.shuffled(layout.conv(), 3, order="tensorflow"), (18, 4, 3, 3)),
    (layout.shuffled(layout.same(), 2, order="matconvnet"), (3, 3, 5, 8)),
]


@pytest.mark.parametrize("move, shape", MOVES)
def test_there_and_back_is_exact_and_nothing_is_lost(move, shape):
    theirs = RNG.standard_normal(shape).astype(np.float32)
    ours = move.ours(theirs)
    np.testing.assert_array_equal(move.theirs(ours), theirs)
    np.testing.assert_array_equal(np.sort(ours, None), np.sort(theirs, None))


def test_a_single_element_lands_where_the_layout_says():
    kernel = np.zeros((4, 3, 5, 2))  # O, I, kh, kw
    kernel[1, 2, 3, 0] = 1
    assert layout.conv().ours(kernel)[3, 0, 2, 1] == 1
    # I, O, kh, kw of a transposed convolution, flipped: row 3 of 5 from the other end is 1
    assert layout.transposed_conv().ours(kernel)[1, 1, 1, 2] == 1
    kernel = np.zeros((5, 2, 3, 4))  # kh, kw, O, I
    kernel[0, 1, 2, 3] = 1
    assert layout.matconvnet_transposed_conv().ours(kernel)[4, 0, 3, 2] == 1
    dense = np.zeros((5, 24))  # the input is channel 2, row 1, column 0 of (4, 3, 2)
    dense[3, 2 * 6 + 1 * 2 + 0] = 1
    moved = layout.linear_after_flatten(channels=4, height=3, width=2).ours(dense)
    assert moved[(1 * 2 + 0) * 4 + 2, 3] == 1


@pytest.mark.parametrize("order", ["tensorflow", "matconvnet"])
def test_shuffled_outputs_make_the_same_picture(order):
    """A map in their order, shuffled by their rule, is the moved one shuffled by PyTorch's."""
    factor, maps = 3, RNG.standard_normal((1, 2, 4, 18)).astype(np.float32)
    moved = layout.shuffled(layout.same(), factor, order=order).ours(maps)
    if order == "tensorflow":
        expected = pixel_shuffle(maps, factor, order="tensorflow")
    else:  # column-major: channel c·r² + dx·r + dy
        shaped = maps.reshape(1, 2, 4, 2, factor, factor)  # c, dx, dy
        expected = shaped.transpose(0, 1, 5, 2, 4, 3).reshape(1, 6, 12, 2)
    np.testing.assert_array_equal(pixel_shuffle(moved, factor, order="torch"), expected)


def test_counted_stops_at_the_first_gap():
    names = dict.fromkeys(["body.0.weight", "body.1.weight", "body.3.weight"])
    assert layout.counted("body.{}.weight", names) == 2
    assert layout.counted("tail.{}.weight", names) == 0
