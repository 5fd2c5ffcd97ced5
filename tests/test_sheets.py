"""Picture sheets: sizes, pictures that keep their pixels, captions."""

import numpy as np

from jaxsr.sheets import CAPTION, GAP, Cell, bars, boxed, busiest, heat, sheet


def drawn(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_size_is_that_of_the_widest_cell_of_every_column():
    rows = [
        [Cell(drawn(20, 30), ""), Cell(drawn(20, 10), "")],
        [Cell(drawn(20, 16), ""), Cell(drawn(20, 44), ""), Cell(drawn(20, 5), "")],
    ]
    page = sheet(rows, height=20)
    assert page.dtype == np.uint8
    assert page.shape == (2 * (20 + CAPTION + GAP) + GAP, 30 + 44 + 5 + 4 * GAP, 3)


def test_a_picture_of_the_height_keeps_its_pixels_and_the_rest_is_white():
    first, second = drawn(20, 30, 1), drawn(20, 10, 2)
    page = sheet([[Cell(first, ""), Cell(second, "")]], height=20).copy()
    left = GAP + 30 + GAP
    np.testing.assert_array_equal(page[GAP : GAP + 20, GAP : GAP + 30], first)
    np.testing.assert_array_equal(page[GAP : GAP + 20, left : left + 10], second)
    page[GAP : GAP + 20, GAP : GAP + 30] = 255
    page[GAP : GAP + 20, left : left + 10] = 255
    assert (page == 255).all()


def test_columns_are_aligned_below_each_other():
    wide, narrow, below = drawn(20, 30, 1), drawn(20, 8, 2), drawn(20, 12, 3)
    page = sheet([[Cell(wide, "")], [Cell(narrow, ""), Cell(below, "")]], height=20)
    top, left = GAP + 20 + CAPTION + GAP, GAP + 30 + GAP
    np.testing.assert_array_equal(page[top : top + 20, GAP : GAP + 8], narrow)
    np.testing.assert_array_equal(page[top : top + 20, left : left + 12], below)


def test_a_small_picture_becomes_exact_blocks():
    small = drawn(5, 7)
    page = sheet([[Cell(small, "")]], height=20)
    blocks = small.repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_array_equal(page[GAP : GAP + 20, GAP : GAP + 28], blocks)


def test_other_heights_are_fitted_and_keep_their_shape():
    level = np.full((1, 1, 3), (10, 200, 90), np.uint8)
    for height, width in ((60, 90), (13, 26), (3, 4), (500, 20)):
        flat = np.broadcast_to(level, (height, width, 3)).copy()
        page = sheet([[Cell(flat, "")]], height=40)
        fitted = round(width * 40 / height)
        # small pictures are enlarged by a whole number first, which moves the width by a rounding
        assert abs(page.shape[1] - 2 * GAP - fitted) <= 1
        inside = page[GAP : GAP + 40, GAP : page.shape[1] - GAP]
        assert (inside == level).all(), "a flat picture stays flat"


def test_captions_are_drawn_below_their_picture_and_differ():
    picture = drawn(20, 60)
    plain, one, other = (
        sheet([[Cell(picture, text)]], height=20).astype(int) for text in ("", "lr 1", "lr 2")
    )
    for captioned in (one, other):
        changed = np.argwhere((captioned != plain).any(-1))
        assert len(changed) > 20
        assert changed[:, 0].min() >= GAP + 20 and changed[:, 0].max() < GAP + 20 + CAPTION
    assert (one != other).any()


def test_no_rows_make_an_empty_page():
    page = sheet([], height=20)
    assert page.shape == (GAP, GAP, 3) and (page == 255).all()


def test_a_column_is_as_wide_as_its_text():
    text = "a caption that is wider than its picture"
    narrow = sheet([[Cell(drawn(20, 10), text), Cell(drawn(20, 10), "")]], height=20)
    wide = sheet([[Cell(drawn(20, 400), text), Cell(drawn(20, 10), "")]], height=20)
    ink = np.argwhere((wide[GAP + 20 :] != 255).any((0, 2)))  # columns that the text reaches
    second = narrow.shape[1] - 2 * GAP - 10
    assert ink.max() < second + GAP and narrow.shape[1] < wide.shape[1]


def test_the_busiest_square_is_found():
    difference = np.zeros((30, 40))
    difference[12:17, 21:26] = -3.0
    difference[2, 2] = 5.0  # less energy than twenty-five threes
    assert busiest(difference, 5) == (12, 21)
    assert busiest(np.zeros((30, 40)), 5) == (0, 0)
    assert busiest(difference, 30)[0] == 0


def test_a_frame_is_drawn_and_the_picture_kept():
    picture = drawn(40, 50)
    before = picture.copy()
    framed = boxed(picture, 10, 20, 15)
    np.testing.assert_array_equal(picture, before)
    changed = np.argwhere((framed != picture).any(-1))
    assert changed.min(0).tolist() == [10, 20] and changed.max(0).tolist() == [24, 34]
    assert (framed[10, 20:35] == (255, 0, 0)).all()
    np.testing.assert_array_equal(framed[11:24, 21:34], picture[11:24, 21:34])


def test_bars_are_as_high_as_their_shares_and_the_chosen_one_is_red():
    page = bars(np.array([1.0, 0.5, 0.0]), height=101, chosen=1)
    assert page.shape == (101, 30, 3)
    coloured = (page != 255).any(-1)
    assert [int(coloured[:, 10 * k + 4].sum()) for k in range(3)] == [101, 51, 1]
    assert tuple(page[-1, 14]) == (214, 39, 40) and tuple(page[-1, 4]) == (31, 119, 180)


def test_heat_marks_the_sign_of_each_number():
    def reddest(values):
        page = heat(np.array([values]), rows=["a"], columns=["x", "y"], height=100).astype(int)
        assert page.min() >= 0 and page.max() <= 255
        return (page[..., 0] - page[..., 2]).max()

    assert reddest([2.0, -2.0]) > 60 > 10 > reddest([2.0, 2.0])
