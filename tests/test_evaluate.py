"""Evaluation: rounding, the scores of the literature, tables and sheets worked out by hand."""

import csv
import math

import numpy as np
import pytest
from PIL import Image

from jaxsr import evaluate, outdoor
from jaxsr.types import UserError

PROTOCOL = "A: toy, border 4"


def test_to_uint8_rounds_half_up_and_clips():
    # 0.1, 0.3 and 0.7 times 255 are 25.5, 76.5 and 178.5; the last two are even when rounded down
    values = np.array([0.1, 0.3, 0.7, -0.2, 1.7, 0.0, 1.0, 0.49 / 255, 0.51 / 255])
    np.testing.assert_array_equal(evaluate.to_uint8(values), [26, 77, 179, 0, 255, 0, 255, 0, 1])
    assert evaluate.to_uint8(values).dtype == np.uint8
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(evaluate.to_uint8(levels.astype(np.float32) / 255), levels)


def test_runs_have_a_mean_and_the_deviation_of_a_sample():
    assert evaluate.over_runs([20.0, 22.0, 24.0]) == "22.00 ± 2.00"
    assert (
        evaluate.over_runs(np.array([0.25]), digits=3) == "0.250" and evaluate.over_runs([]) == ""
    )
    assert evaluate.deviation([1.0]) == 0 and evaluate.deviation([1.0, 3.0]) == pytest.approx(
        2**0.5
    )


def grey(level, height=24, width=32):
    return np.full((height, width, 3), level, np.uint8)


def decibels(difference):
    return 10 * math.log10(255**2 / difference**2)


def likeness(a, b):
    """SSIM of two constant images: only the term of the means is not 1."""
    c = (0.01 * 255) ** 2
    return (2 * a * b + c) / (a * a + b * b + c)


def toy(shown=2, distance=None):
    """Two grey images, and a method and a baseline that miss them by some levels.

    The baseline's first image has a black frame of 4 pixels, which the border leaves out.
    Y of a grey level v is 16 + 219 v/255, rounded: 100 -> 102, 98 -> 100, 105 -> 106, 120 -> 119.
    """
    rng = np.random.default_rng(0)
    samples = [
        {"name": name, "lq": np.full((6, 8, 3), level, np.float32), "hq": grey(100)}
        for name, level in (("near", 0.2), ("equal", 0.8))
    ]
    samples[1]["seg"] = rng.dirichlet(np.ones(8), (24, 32)).astype(np.float32)
    framed = np.zeros((24, 32, 3), np.uint8)
    framed[4:-4, 4:-4] = 98
    made = evaluate.restoration(
        samples=samples, method="ours", baselines={"flat": [framed, grey(120)]},
        distance=distance, distance_name="toy_distance", scale=4, protocol=PROTOCOL, shown=shown,
        height=48,
    )  # fmt: skip
    return made, samples


def ours(batch):
    """Level 105 for the first image, the truth for the second, known by their low resolution."""
    level = 105 if batch["lq"].mean() < 0.5 else 100
    return np.full((1, 24, 32, 3), level / 255, np.float32)


def test_restoration_writes_rows_means_and_sheet(tmp_path):
    seen = []

    def predict(batch):
        seen.append({name: value.shape for name, value in batch.items()})
        return ours(batch)

    def distance(restored, truth):
        assert restored.dtype == truth.dtype == np.uint8
        return float(np.abs(restored.astype(int) - truth).mean())

    evaluation, _ = toy(distance=distance)
    means, page = evaluation(predict, 30, tmp_path / "evaluation")
    # nothing of the truth reaches the network
    assert seen == [{"lq": (1, 6, 8, 3)}, {"lq": (1, 6, 8, 3), "seg": (1, 24, 32, 8)}]
    assert means == {
        "psnr_y": pytest.approx(decibels(4)),  # the infinite one is left out
        "ssim_y": pytest.approx((likeness(102, 106) + 1) / 2),
        "toy_distance": pytest.approx(2.5),
    }
    with (tmp_path / "evaluation" / "step_00000030.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = ["image", "method", "protocol", "psnr_y", "ssim_y", "toy_distance"]
    assert list(rows[0]) == columns and {row["protocol"] for row in rows} == {PROTOCOL}
    found = [(row["image"], row["method"]) for row in rows]
    assert found == [("near", "flat"), ("equal", "flat"), ("near", "ours"), ("equal", "ours")]
    expected = [decibels(2), decibels(17), decibels(4), math.inf]
    assert [float(row["psnr_y"]) for row in rows] == pytest.approx(expected)
    # the distance sees the frame: half of the pixels miss by 100, half by 2
    assert [float(row["toy_distance"]) for row in rows] == [51, 20, 5, 0]
    table = (tmp_path / "evaluation" / "step_00000030.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[:4]]
    assert cells[0] == ["method", "psnr_y", "ssim_y", "toy_distance"]
    assert cells[2][:2] == ["flat", f"{(decibels(2) + decibels(17)) / 2:.4f}"]
    assert cells[3][:2] == ["ours", f"{decibels(4):.4f}"] and cells[3][3] == "2.5000"
    assert f"Protocol: {PROTOCOL}" in table
    with Image.open(tmp_path / "evaluation" / "step_00000030.png") as image:
        np.testing.assert_array_equal(np.asarray(image), page)
    assert {path.suffix for path in (tmp_path / "evaluation").iterdir()} == {".csv", ".md", ".png"}


def test_restoration_without_distance_and_with_fewer_pictures(tmp_path):
    heights = []
    for shown in (0, 1, 2):
        means, page = toy(shown=shown)[0](ours, 1, tmp_path)
        heights.append(page.shape[0])
    assert heights[0] < heights[1] < heights[2]
    assert list(means) == ["psnr_y", "ssim_y"]
    assert "distance" not in (tmp_path / "step_00000001.csv").read_text()


def test_baselines_fit_the_samples():
    with pytest.raises(ValueError, match="zip"):
        evaluate.restoration(
            samples=toy()[1], method="ours", baselines={"flat": [grey(98)]}, distance=None,
            distance_name="", scale=4, protocol="", shown=1, height=48,
        )  # fmt: skip


def test_means_leave_out_infinity_but_not_what_is_no_number():
    def row(method, psnr, far):
        return {"image": "", "method": method, "protocol": "", "psnr_y": psnr, "far": far}

    inf, nan = math.inf, math.nan
    found = evaluate.means([row("b", 30.0, 1.0), row("a", inf, 0.0), row("b", inf, nan)])
    assert list(found) == ["b", "a"]
    assert found["b"]["psnr_y"] == 30.0 and math.isnan(found["b"]["far"])
    assert found["a"] == {"psnr_y": inf, "far": 0.0}


def test_segmentation_against_a_confusion_worked_out_by_hand(tmp_path):
    label = np.array([[0, 1, 1], [2, 255, 1]], np.uint8)
    answer = np.array([[0, 1, 2], [2, 3, 1]])
    void = np.full((2, 3), 255, np.uint8)
    samples = [
        {"name": name, "lq": np.full((2, 3, 3), 0.5, np.float32), "label": held}
        for name, held in (("some", label), ("void", void))
    ]
    evaluation = evaluate.segmentation(samples=samples, shown=1, height=20)
    # 0.3 for the answer, 0.1 for the others
    probabilities = (0.1 + 0.2 * np.eye(8))[answer][None]
    means, page = evaluation(lambda batch: probabilities, 7, tmp_path)
    # counted: background 1 of 1; sky 2 of 3, one as water; water 1 of 1. The void says nothing.
    assert means == {
        "pixel_accuracy": pytest.approx(4 / 5),
        "mean_iou": pytest.approx((1 / 1 + 2 / 3 + 1 / 2) / 3),
        "majority": pytest.approx(3 / 5),
    }
    with (tmp_path / "step_00000007.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["some", "void"]
    assert float(rows[0]["pixel_accuracy"]) == pytest.approx(0.8)
    assert math.isnan(float(rows[1]["pixel_accuracy"]))
    table = (tmp_path / "step_00000007.md").read_text(encoding="utf-8")
    assert "| sky | 0.0 | 66.7 | 33.3 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 | 3 |" in table
    assert "| animal | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 | 0 |" in table
    assert "pixel_accuracy 0.8000, mean_iou 0.7222, majority 0.6000" in table
    with Image.open(tmp_path / "step_00000007.png") as image:
        shown = np.asarray(image)
    np.testing.assert_array_equal(shown, page)
    colours = {tuple(colour) for colour in shown.reshape(-1, 3)}
    assert {outdoor.COLOURS[index] for index in (0, 1, 2, 3)} <= colours


def test_report_shows_the_latest_table_and_where_the_sheet_lies(tmp_path):
    evaluation, _ = toy()
    for step in (20, 100, 9):
        evaluation(ours, step, tmp_path / "evaluation")
        table = tmp_path / "evaluation" / f"step_{step:08d}.md"
        table.write_text(f"| true ↓ {step} |\n", encoding="utf-8")
    text = evaluate.report(tmp_path)
    assert "| true ↓ 100 |" in text
    assert text.endswith(f"sheet: {tmp_path / 'evaluation' / 'step_00000100.png'}")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/evaluation cannot be written") as caught:
        toy()[0](ours, 1, tmp_path / "file" / "evaluation")
    assert "checkpoints saved before are untouched" in str(caught.value)


def test_sheet_shows_images_from_the_whole_set():
    assert evaluate.spread(3, 5) == [0, 1, 2]
    assert evaluate.spread(120, 4) == [0, 40, 79, 119]
    assert evaluate.spread(4, 0) == []
