"""The reported figures: those of the specification, found by method, set and protocol."""

import csv
from collections import Counter

import pytest

from jaxsr import reported
from jaxsr.data.benchmarks import SETS
from jaxsr.protocols import PROTOCOLS

FIGURES = reported.read()
_METRICS = ("PSNR", "SSIM", "PSNR (RGB)", "SSIM (RGB)")
_DATASETS = (*SETS, "DIV2K val100")


def values(method, dataset, scale, metric, protocol):
    found = reported.find(
        FIGURES, method=method, dataset=dataset, scale=scale, metric=metric, protocol=protocol
    )
    return [figure.value for figure in found]


def test_every_row_is_that_of_the_specification(shared, root):
    """Figures of PSNR and SSIM on the benchmark sets at a scale: all of them, and none changed."""
    table = shared.parent / "specs" / "reported_results.csv"
    if not table.is_file():
        pytest.skip("no specification beside the reference data")
    with table.open(newline="") as file:
        wanted = [
            tuple(row.values())
            for row in csv.DictReader(file)
            if row["dataset"] in _DATASETS and row["metric"] in _METRICS and row["scale"]
        ]
    with (root / "jaxsr" / "data" / "reported.csv").open(newline="") as file:
        held = [tuple(row.values())[:-1] for row in csv.DictReader(file)]
    assert held == wanted
    assert len(held) == 1032


def test_counts_by_source():
    counts = Counter(figure.source for figure in FIGURES)
    # counted by hand in the sheet: the survey's Table 2 has 248 values, the SRGAN table 2·9·3
    assert counts["seed 004"] == 248 + 54
    assert counts["XPixelGroup/BasicSR"] == 96 and counts["sanghyun-son/EDSR-PyTorch"] == 12


def test_protocols_are_known_ones():
    named = {figure.protocol.removesuffix("?") for figure in FIGURES} - {""}
    assert named <= set(PROTOCOLS)


def test_the_figure_of_the_same_protocol_comes_first():
    # bicubic, Set5 x2: SelfExSR's own table (A), the survey (C2), a table of papers (C, likely)
    assert values("bicubic", "Set5", 2, "psnr", "classic") == [33.6404, 33.68, 33.66]
    assert values("bicubic", "Set5", 2, "psnr", "C2")[0] == 33.68
    assert values("bicubic", "Set5", 2, "psnr", "C")[0] == 33.66
    assert values("bicubic", "Set5", 4, "ssim", "srgan")[0] == 0.8211


@pytest.mark.parametrize("name", ["VDSR", "vdsr", "V-D SR"])
def test_spelling_does_not_count(name):
    # the authors' printed figures: 37.53, 33.66 (33.67 in later tables), 31.35
    assert values(name, "Set5", 2, "psnr", "C")[0] == 37.53
    assert values(name, "Set5", 4, "psnr", "C")[0] == 31.35


def test_self_ensemble_and_scales_in_names():
    assert values("RDN+", "Set5", 3, "psnr", "B") == [34.779172]
    assert values("EDSR baseline", "DIV2K", 4, "psnr", "edsr") == [28.95]
    assert values("EDSR baseline", "DIV2K", 3, "psnr", "edsr") != [28.95]


def test_figures_on_rgb_and_on_y_are_not_mixed():
    # the survey prints EDSR's RGB figure of DIV2K among those on Y
    assert values("EDSR", "DIV2K", 2, "psnr", "edsr") == [35.03, 35.03]
    assert values("EDSR", "DIV2K", 2, "psnr", "B") == []
    assert values("EDSR", "Set5", 2, "psnr", "basicsr") == []
    assert values("EDSR", "Set5", 2, "psnr", "B")[0] == 38.11


def test_nothing_is_reported_for_an_unknown_name():
    assert values("sftnet_psnr", "Set5", 4, "psnr", "classic") == []
    assert values("VDSR", "mine", 4, "psnr", "C") == []


def test_likely_protocols_count_as_the_same():
    figure = FIGURES[0]._replace(protocol="C?")
    assert reported.same_protocol(figure, "C") and not reported.same_protocol(figure, "C2")
