"""scripts/cut_images.py: squares that cover the images, resumed, and what is left out."""

import importlib.util

import numpy as np
import pytest

from jaxsr.data.images import read_image, write_png


@pytest.fixture(scope="module")
def module(root):
    spec = importlib.util.spec_from_file_location("cut_images", root / "scripts" / "cut_images.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_corners_are_those_of_the_reference(module):
    # 0801.png of DIV2K is 2040 pixels wide: 1560 left for corners, 6·240 = 1440, the rest 120 > 48
    assert module.starts(2040, 480, 240, 48) == [0, 240, 480, 720, 960, 1200, 1440, 1560]
    assert module.starts(480, 480, 240, 48) == [0]
    assert module.starts(528, 480, 240, 48) == [0] and module.starts(529, 480, 240, 48) == [0, 49]


def test_squares_row_by_row_then_skipped(module, tmp_path, capsys):
    image = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    write_png(tmp_path / "in" / "a" / "one.png", image)
    write_png(tmp_path / "in" / "small.png", image[:9])
    words = [str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    words += ["--size", "10", "--stride", "8", "--least", "1"]
    assert module.main(words) == 1
    said = capsys.readouterr()
    assert "small.png is 31x9 pixels, smaller than 10" in said.err
    # rows at 0, 8, 10; columns at 0, 8, 16, 21
    assert "12 squares of 1 images, 1 left out" in said.out
    corners = [(y, x) for y in (0, 8, 10) for x in (0, 8, 16, 21)]
    for k, (y, x) in enumerate(corners, start=1):
        found = read_image(tmp_path / "out" / "a" / f"one_s{k:03d}.png")
        np.testing.assert_array_equal(found, image[y : y + 10, x : x + 10])
    (tmp_path / "out" / "a" / "one_s012.png").unlink()  # as if it had been stopped there
    (tmp_path / "in" / "small.png").unlink()
    assert module.main(words) == 0 and "12 squares" in capsys.readouterr().out
    assert module.main(words) == 0 and "1 images skipped" in capsys.readouterr().out


def test_mistakes_are_one_sentence(module, tmp_path, capsys):
    write_png(tmp_path / "a.png", np.zeros((9, 9, 3), np.uint8))
    assert module.main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "out is in the folder of the images" in capsys.readouterr().err
    assert module.main([str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("cut_images: error: there is no folder")
