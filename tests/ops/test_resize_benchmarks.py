"""The low resolutions of the published benchmarks, bit for bit, from their high resolutions."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from jaxsr.ops.resize import imresize, modcrop

SCALES = (2, 3, 4)
SETS = {"Set5": 5, "Set14": 14}


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def digest(image: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def check_hashes(hashes, name, scale, index, hr):
    """Compare one image with SelfExSR's file, after its high resolution, else it means nothing."""
    entry = hashes[name][f"x{scale}"][str(index)]
    hr = modcrop(hr, scale)
    assert list(hr.shape) == entry["HR"]["shape"][: hr.ndim]
    assert digest(hr) == entry["HR"]["sha256_pixels"], f"{name} {index}: another photograph"
    lr = imresize(hr, 1 / scale, border="clamp", round_passes=True)
    assert digest(lr) == entry["LR"]["sha256_pixels"], f"{name} {index} x{scale}"


@pytest.fixture
def benchmarks(shared):
    return shared / "sr_benchmarks"


@pytest.fixture
def hashes(benchmarks):
    return json.loads((benchmarks / "selfexsr_hashes.json").read_text())


@pytest.fixture
def bsd100(shared):
    """Index of SelfExSR -> path of the photograph."""
    lines = (shared / "bsds500" / "bsd100_index.tsv").read_text().splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    return {int(i): shared / "bsds500" / "images" / s / f"{name}.jpg" for i, name, s in rows}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    ("name", "folder", "border"),
    [
        ("Set5", "LR_SelfExSR", "clamp"),
        ("Set5", "LR_bicubic", "mirror"),
        ("Set14", "LR_bicubic", "mirror"),
    ],
)
def test_stored_files_are_reproduced(benchmarks, name, folder, border, scale):
    paths = sorted((benchmarks / name / "HR").glob("*.png"))
    assert len(paths) == SETS[name]
    for path in paths:
        stored = pixels(benchmarks / name / folder / f"X{scale}" / f"{path.stem}x{scale}.png")
        hr = modcrop(pixels(path), scale)
        out = imresize(hr, 1 / scale, border=border, round_passes=True)
        np.testing.assert_array_equal(out, stored, err_msg=path.stem)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", SETS)
def test_set5_and_set14_of_selfexsr_by_hash(benchmarks, hashes, name, scale):
    paths = sorted((benchmarks / name / "HR").glob("*.png"))
    assert len(paths) == SETS[name] == len(hashes[name][f"x{scale}"])
    for index, path in enumerate(paths, 1):
        check_hashes(hashes, name, scale, index, pixels(path))


@pytest.mark.parametrize("scale", SCALES)
def test_bsd100_of_selfexsr_by_hash(bsd100, hashes, scale):
    assert len(bsd100) == len(hashes["BSD100"][f"x{scale}"]) == 100
    for index, path in bsd100.items():
        check_hashes(hashes, "BSD100", scale, index, pixels(path))


def test_urban100_of_selfexsr_by_hash(benchmarks, hashes):
    paths = sorted((benchmarks / "Urban100" / "HR").glob("img_*.webp"))
    assert len(paths) == 12
    for index, path in enumerate(paths, 1):
        hr = pixels(path)
        check_hashes(hashes, "Urban100", 4, index, hr)
        # Their x2 folder holds the x4 images reduced by 2: half of the usual size.
        half = imresize(hr, 1 / 2, border="clamp", round_passes=True)
        assert digest(half) == hashes["Urban100"]["x2"][str(index)]["HR"]["sha256_pixels"]
