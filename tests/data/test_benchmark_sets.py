"""Benchmark sets in every layout that people have them in, and the traps among them."""

import numpy as np
import pytest
from PIL import Image

from jaxsr.data.benchmarks import canonical, expected, find, read_truth, size
from jaxsr.types import UserError


def put(*paths, mode="RGB", size=(8, 8)):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, size, 7).save(path)


def found(root, name, scale, **options):
    """(the pairs as (name, truth, LR) relative to the root, the sentences that were said)."""
    said = []
    pairs = find(root, name, scale, report=said.append, **options)

    def below(path):
        return None if path is None else path.relative_to(root).as_posix()

    return [(pair.name, below(pair.hq), below(pair.lq)) for pair in pairs], said


LAYOUTS = {
    "edsr": (
        "Set5",
        "benchmark/Set5/HR/baby.png",
        "benchmark/Set5/LR_bicubic/X2/babyx2.png",
        "baby",
    ),
    "without benchmark": ("Set5", "Set5/HR/baby.png", "Set5/LR_bicubic/X2/babyx2.png", "baby"),
    "basicsr": ("Set14", "Set14/GTmod12/zebra.png", "Set14/LRbicx2/zebra.png", "zebra"),
    "selfexsr": (
        "BSD100",
        "BSD100/image_SRF_2/img_001_SRF_2_HR.png",
        "BSD100/image_SRF_2/img_001_SRF_2_LR.png",
        "img_001",
    ),
    "rcan test code": (
        "Set5",
        "HR/Set5/x2/baby_HR_x2.png",
        "LR/LRBI/Set5/x2/baby_LRBI_x2.png",
        "baby",
    ),
    "div2k": ("DIV2K", "DIV2K_valid_HR/0801.png", "DIV2K_valid_LR_bicubic/X2/0801x2.png", "0801"),
    "div2k in its folder": (
        "DIV2K",
        "DIV2K/DIV2K_valid_HR/0801.png",
        "DIV2K/DIV2K_valid_LR_bicubic/X2/0801x2.png",
        "0801",
    ),
    "webp": ("Urban100", "Urban100/HR/a.webp", "Urban100/LR_bicubic/X2/ax2.webp", "a"),
    "another name and case": ("bsd100", "B100/hr/a.png", "B100/lr_bicubic/x2/ax2.png", "a"),
    "own set": ("mine", "mine/HR/a.png", "mine/LR_bicubic/X2/ax2.png", "a"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_with_stored_low_resolutions(tmp_path, layout):
    name, hq, lq, stem = LAYOUTS[layout]
    put(tmp_path / hq, tmp_path / lq)
    assert found(tmp_path, name, 2)[0] == [(stem, hq, lq)]
    assert found(tmp_path, name, 2, lr="files")[0] == [(stem, hq, lq)]
    assert found(tmp_path, name, 2, lr="make")[0] == [(stem, hq, None)]
    with pytest.raises(UserError, match="LR|not in"):  # x3 is not there
        found(tmp_path, name, 3, lr="files")


@pytest.mark.parametrize("hq", ["Set5/a.png", "Set5/original/a.png", "Set5/HR/a.jpg"])
def test_truths_alone_are_enough(tmp_path, hq):
    put(tmp_path / hq)
    assert found(tmp_path, "Set5", 4)[0] == [("a", hq, None)]


def test_the_root_may_be_the_set_itself(tmp_path):
    put(tmp_path / "Set5" / "HR" / "a.png")
    assert [pair.name for pair in find(tmp_path / "Set5", "Set5", 4, report=print)] == ["a"]


def test_full_images_go_before_cut_ones_unless_only_those_have_files(tmp_path):
    put(tmp_path / "Set5/original/a.png", tmp_path / "Set5/GTmod12/a.png")
    assert found(tmp_path, "Set5", 4)[0][0][1] == "Set5/original/a.png"
    put(tmp_path / "Set5/LRbicx4/a.png")
    pairs, said = found(tmp_path, "Set5", 4)
    assert pairs == [("a", "Set5/GTmod12/a.png", "Set5/LRbicx4/a.png")]
    assert any("multiples of 12" in sentence for sentence in said)


def test_a_named_lr_folder(tmp_path):
    names = ["Set5/HR/a.png", "Set5/LR_bicubic/X2/ax2.png", "Set5/LR_other/X2/ax2.png"]
    put(*(tmp_path / name for name in names))
    assert found(tmp_path, "Set5", 2, folder="LR_other")[0] == [("a", names[0], names[2])]
    put(tmp_path / "Set5/plain/a.png")
    assert found(tmp_path, "Set5", 2, folder="plain")[0] == [("a", names[0], "Set5/plain/a.png")]
    with pytest.raises(UserError, match="no folder absent with x2"):
        found(tmp_path, "Set5", 2, folder="absent")


def test_missing_low_resolutions_are_an_error_or_all_made(tmp_path):
    put(tmp_path / "Set5/HR/a.png", tmp_path / "Set5/HR/b.png")
    put(tmp_path / "Set5/LR_bicubic/X2/ax2.png")
    with pytest.raises(UserError, match="lacks the x2 low resolution of 1 images, first 'b'"):
        found(tmp_path, "Set5", 2, lr="files")
    pairs, said = found(tmp_path, "Set5", 2)
    assert [lq for _, _, lq in pairs] == [None, None]
    assert any("1 LR files are missing, so all are made" in sentence for sentence in said)


def test_urban100_of_selfexsr_is_taken_at_full_size(tmp_path):
    put(*(tmp_path / f"Urban100/image_SRF_2/img_001_SRF_2_{part}.png" for part in ("HR", "LR")))
    with pytest.raises(UserError, match="half the usual size: add image_SRF_4"):
        found(tmp_path, "Urban100", 2)
    put(*(tmp_path / f"Urban100/image_SRF_4/img_001_SRF_4_{part}.png" for part in ("HR", "LR")))
    full = "Urban100/image_SRF_4/img_001_SRF_4_HR.png"
    for scale in (2, 3):
        pairs, said = found(tmp_path, "Urban100", scale)
        assert pairs == [("img_001", full, None)]
        assert any("image_SRF_4" in sentence for sentence in said)
        with pytest.raises(UserError, match="no LR files in SelfExSR"):
            found(tmp_path, "Urban100", scale, lr="files")
    assert found(tmp_path, "Urban100", 4)[0][0][2] == full.replace("HR", "LR")


def test_x8_takes_the_x4_truths_of_selfexsr(tmp_path):
    put(*(tmp_path / f"Set5/image_SRF_4/a_SRF_4_{part}.png" for part in ("HR", "LR")))
    assert found(tmp_path, "Set5", 8)[0] == [("a", "Set5/image_SRF_4/a_SRF_4_HR.png", None)]
    with pytest.raises(UserError, match="not in"):  # cut to multiples of 4, not of 2's truths
        found(tmp_path, "Set5", 2)


def test_validation_images_among_those_of_training(tmp_path):
    names = ("0001", "0800", "0801", "0899", "0900")
    put(*(tmp_path / f"DIV2K/DIV2K_train_HR/{name}.png" for name in names))
    assert [name for name, *_ in found(tmp_path, "DIV2K", 2)[0]] == ["0801", "0899", "0900"]


def test_what_makes_figures_differ_is_said(tmp_path):
    put(tmp_path / "BSD100/101085.jpg")
    said = found(tmp_path, "BSD100", 2)[1]
    assert any("1 of 100 images" in sentence for sentence in said)
    assert any("JPEG" in sentence for sentence in said)


def test_an_absent_set_is_named_with_the_layouts(tmp_path):
    with pytest.raises(UserError, match=r"set Set5 is not in .*Set5/HR, .*Set5/GTmod12, .*Set5\."):
        found(tmp_path, "Set5", 2)
    with pytest.raises(UserError, match="there is no folder"):
        found(tmp_path / "absent", "Set5", 2)
    with pytest.raises(UserError, match="lr = 'some' is not known"):
        found(tmp_path, "Set5", 2, lr="some")


def test_two_files_of_one_name(tmp_path):
    put(tmp_path / "mine/a.png", tmp_path / "mine/a.bmp")
    with pytest.raises(UserError, match="have one name"):
        found(tmp_path, "mine", 2)


def test_grey_images_keep_one_channel(tmp_path):
    put(tmp_path / "grey.png", mode="L", size=(5, 4))
    put(tmp_path / "colour.png", size=(5, 4))
    assert read_truth(tmp_path / "grey.png").shape == (4, 5)
    assert read_truth(tmp_path / "colour.png").shape == (4, 5, 3)
    assert read_truth(tmp_path / "grey.png").dtype == np.uint8
    assert size(tmp_path / "grey.png") == (4, 5)
    (tmp_path / "text.png").write_text("no image")
    assert size(tmp_path / "text.png") == (0, 0)
    with pytest.raises(UserError):
        read_truth(tmp_path / "text.png")


def test_names_and_counts_of_the_sets():
    assert [canonical(name) for name in ("b100", "BSDS100/", "set5", "Mine/")] == [
        "BSD100", "BSD100", "Set5", "Mine",
    ]  # fmt: skip
    # the sizes that the papers state for their test sets
    counts = {"Set5": 5, "Set14": 14, "BSD100": 100, "Urban100": 100, "Manga109": 109, "DIV2K": 100}
    assert {name: expected(name) for name in counts} == counts and expected("Mine") is None


def test_the_sets_at_hand(shared):
    root, said = shared / "sr_benchmarks", []
    for scale in (2, 3, 4):
        assert len(find(root, "Set5", scale, lr="files", report=said.append)) == 5
        assert len(find(root, "Set14", scale, lr="files", report=said.append)) == 14
        own = find(root, "Set5", scale, folder="LR_SelfExSR", report=said.append)
        assert own[0].lq == root / "Set5" / "LR_SelfExSR" / f"X{scale}" / f"babyx{scale}.png"
    assert not said
    assert len(find(root, "Urban100", 4, report=said.append)) == 12
    assert said == ["Urban100: 12 of 100 images are here, so its means differ."]
    bridge = next(p for p in find(root, "Set14", 2, report=said.append) if p.name == "bridge")
    assert read_truth(bridge.hq).ndim == 2
