"""Tables of a benchmark: means, reported figures beside them, files."""

import csv
import json
import math

import numpy as np
import pytest
from PIL import Image

from jaxsr import benchmark_tables as tables
from jaxsr import protocols, reported
from jaxsr.benchmarks import Picture
from jaxsr.build_metrics import Metric
from jaxsr.sheets import Cell
from jaxsr.types import UserError

CLASSIC = protocols.find("classic")
FIGURES = reported.read()


def row(image, method, psnr, ssim=0.9, dataset="Set5", **further):
    fixed = {"image": image, "set": dataset, "scale": 2, "method": method, "protocol": "classic"}
    return fixed | {"lr": "made clamp", "psnr": psnr, "ssim": ssim} | further | {"seconds": 0.5}


def rows(method, psnrs, **options):
    return [row(name, method, psnr, **options) for name, psnr in zip("abcde", psnrs, strict=False)]


def summarise(own, names=None):
    return tables.summarise(own, names=names or {}, figures=FIGURES)


def cells(text, method):
    line = next(line for line in text.splitlines() if f"| {method} " in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_means_by_set_scale_and_method():
    own = [*rows("bicubic", [30, 31, 32, 33, 34]), *rows("net", [35, 36, 37, 38, 40], ssim=0.95)]
    bicubic, net = summarise(own)
    assert (bicubic["psnr"], net["psnr"], net["ssim"]) == (32, pytest.approx(37.2), 0.95)
    assert (net["images"], net["expected"], net["lr"]) == (5, 5, "made clamp")


def test_equal_images_and_refused_ones_are_left_out_of_a_mean():
    own = rows("net", [30, math.inf, 32, 31, math.inf])
    for value, each in zip([1.0, None, 3.0, None, 5.0], own, strict=True):
        each["far"] = value
    (net,) = summarise(own)
    assert net["psnr"] == 31 and net["far"] == 3
    (equal,) = summarise(rows("net", [math.inf] * 5))
    assert equal["psnr"] == math.inf


def test_reported_figures_stand_beside_with_their_difference():
    # SelfExSR's table has 33.6404 / 0.9292 for bicubic, the survey 37.53 / 0.9587 for VDSR (by C)
    own = [*rows("bicubic", [33.65] * 5, ssim=0.9292), *rows("mine", [37.48] * 5, ssim=0.958)]
    text = tables.markdown(summarise(own, {"mine": "VDSR"}), CLASSIC)
    assert cells(text, "bicubic")[3:10] == [
        "5", "33.65", "33.64", "+0.01", "0.9292", "0.9292", "+0.0000",
    ]  # fmt: skip
    # another protocol: the difference is in brackets, and the note says why
    assert cells(text, "mine")[4:7] == ["37.48", "37.53", "(-0.05)"]
    assert "[1] Bicubic in jbhuang0604/SelfExSR" in text
    assert "protocol C, not classic: the difference is no error" in text
    assert protocols.describe(CLASSIC) in text and "LR: Set5 x2 made clamp" in text


def test_a_partial_set_is_said_and_its_differences_bracketed():
    text = tables.markdown(summarise(rows("bicubic", [33.0, 33.5])), CLASSIC)
    assert cells(text, "bicubic")[3:7] == ["2/5", "33.25", "33.64", "(-0.39)"]
    assert "part of a set" in text
    assert "part of a set" not in tables.markdown(summarise(rows("bicubic", [33.0] * 5)), CLASSIC)


def test_without_a_reported_figure_the_cells_are_empty():
    text = tables.markdown(summarise(rows("net", [30.0], dataset="mine")), CLASSIC)
    assert cells(text, "net")[3:10] == ["1", "30.00", "", "", "0.9000", "", ""]
    assert "Nothing was restored" in tables.markdown([], CLASSIC)


def test_two_kinds_of_ssim_are_not_compared():
    # nearest is reported for x4 only, by the SRGAN paper with daala's SSIM: 26.26 / 0.7552
    own = [each | {"scale": 4} for each in rows("nearest", [26.25] * 5, ssim=0.7372)]
    text = tables.markdown(summarise(own), CLASSIC)
    assert cells(text, "nearest")[4:10] == [
        "26.25", "26.26", "(-0.01)", "0.7372", "0.7552", "other SSIM",
    ]  # fmt: skip
    text = tables.markdown(summarise(own), protocols.find("srgan"))
    assert cells(text, "nearest")[9] == "-0.0180"


def test_psnr_and_ssim_come_from_one_table():
    (summary,) = summarise(rows("bicubic", [33.0]))
    psnr, ssim = summary["reported"]["psnr"], summary["reported"]["ssim"]
    assert (psnr.source, psnr.table) == (ssim.source, ssim.table)
    assert [figure.value for figure in summary["reported"]["others"]] == [33.68, 33.66]


def test_a_markdown_table_is_aligned_and_has_the_further_columns():
    metric = Metric("far", "how far it is", None)
    own = [*rows("bicubic", [33.0], far=1.5), *rows("a long name", [34.0], far=0.25)]
    text = tables.markdown(summarise(own), CLASSIC, [metric])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1 and len(lines) == 4
    assert cells(text, "a long name")[10] == "0.2500" and "far: how far it is" in text


def test_rows_are_on_the_disk_as_they_come(tmp_path):
    path, own = tmp_path / "new" / "results.csv", rows("net", [30.0, math.inf], far=None)
    columns = list(own[0])
    with tables.row_writer(path, columns) as write:
        for count, each in enumerate(own, 1):
            write(each)
            held = list(csv.DictReader(path.read_text().splitlines()))
            assert len(held) == count and list(held[0]) == columns
    assert float(held[1]["psnr"]) == math.inf and held[0]["far"] == ""


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"results.csv cannot be written .*--out"):
        with tables.row_writer(tmp_path / "file" / "results.csv", ["image"]):
            pass


def test_results_as_json_hold_no_infinity(tmp_path):
    own = rows("bicubic", [math.inf] * 5)
    tables.write_results(
        tmp_path, rows=own, summaries=summarise(own), protocol=CLASSIC, metrics=[],
        failures=["Set5 x2 f: damaged."], complete=False,
    )  # fmt: skip
    held = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    assert held["rows"][0]["psnr"] is None and held["means"][0]["psnr"] is None
    assert held["means"][0]["reported"]["psnr"]["value"] == 33.6404
    assert held["failures"] == ["Set5 x2 f: damaged."] and held["complete"] is False
    assert held["protocol_text"] == protocols.describe(CLASSIC)
    assert (tmp_path / "results.md").read_text().startswith("| set ")


def test_the_sheet_shows_the_worst_and_the_best(tmp_path):
    def picture(name, gain):
        return Picture(name, gain, [Cell(np.full((10, 12, 3), int(50 * gain), np.uint8), name)])

    pictures = [picture(*each) for each in (("a", 3), ("b", 1), ("c", 5), ("d", 2), ("e", 4))]
    shown = tables.write_sheet(tmp_path / "sheet.png", pictures, shown=3, height=20)
    assert shown == ["b", "a", "c"]
    page = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert [page[10 + 46 * k, 10, 0] for k in range(3)] == [50, 150, 250]
    assert tables.write_sheet(tmp_path / "one.png", pictures[:1], shown=3, height=20) == ["a"]


def test_means_without_the_infinite_say_so():
    own = rows("net", [30, math.inf, 32, 31, math.inf]) + rows("bicubic", [30.0] * 5)
    text = tables.markdown(summarise(own), CLASSIC)
    said = "Images equal to the truth, whose infinite PSNR no mean holds: net 2 on Set5 x2."
    assert said in text.splitlines()
    for psnrs in ([30.0] * 5, [math.inf] * 5):  # where all are infinite, so is the mean
        assert "equal to" not in tables.markdown(summarise(rows("net", psnrs)), CLASSIC)


def test_a_single_picture_is_neither_worst_nor_best(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        tables, "sheet", lambda lines, height: seen.append(lines) or np.zeros((9, 9, 3), np.uint8)
    )
    pictures = [
        Picture(name, gain, [Cell(np.zeros((4, 4, 3), np.uint8), name)])
        for name, gain in (("a", 2.0), ("b", 1.0), ("c", 3.0))
    ]
    for held in (pictures, pictures[:1]):
        tables.write_sheet(tmp_path / "a.png", held, shown=3, height=9)
    texts = [[line[0].text for line in lines] for lines in seen]
    assert texts == [["b (worst)", "a", "c (best)"], ["a"]]
