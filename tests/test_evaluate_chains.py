"""Evaluation of agents and toolboxes: gains worked out by hand, chains as the paper writes them."""

import csv

import numpy as np
import pytest

from jaxsr.data.distorted_sets import Pairs, fingerprint
from jaxsr.evaluate_chains import chain_text, filmstrip, psnr, toolbox, toolchain, unit

TOOLS = ("half", "whole")


def patches(count, seed, offset=40):
    """Truths of middle levels, and the same `offset` levels brighter."""
    rng = np.random.default_rng(seed)
    hq = rng.integers(50, 150, (count, 8, 8, 3)).astype(np.uint8)
    levels = np.zeros((count, 3), np.float32)
    return Pairs((hq + offset).astype(np.uint8), hq, levels, ("x",) * count)


def test_psnr_of_a_constant_difference_and_of_none():
    a = np.zeros((2, 8, 8, 3), np.float32)
    np.testing.assert_allclose(psnr(a, a + 0.1), 20.0, atol=1e-5)
    np.testing.assert_allclose(psnr(a, a), 100.0)
    assert psnr(a[None], a[None] + 0.01).shape == (1, 2)


def test_chains_are_written_as_in_the_paper():
    assert chain_text([6, 1, 11], 12) == "7-2-12"
    assert chain_text([4, 12, 12], 12) == "5"
    assert chain_text([12, 12, 12], 12) == "stop"


def agent(batch):
    """Tool 1 halves the offset of 40 levels, stop for every second patch; then stop for all."""
    lq = batch["lq"]
    first = np.where(np.arange(len(lq)) % 2, 2, 0)
    once = np.where((first == 0)[:, None, None, None], lq - 20 / 255, lq)
    return {
        "images": np.stack([once, once]),
        "actions": np.stack([first, np.full(len(lq), 2)]),
        "probabilities": np.full((2, len(lq), 3), 1 / 3),
    }


def test_agent_is_scored_per_set(tmp_path):
    sets = {"mild": patches(4, 0), "severe": patches(2, 1)}
    means, page = toolchain(sets=sets, tools=TOOLS, shown=2, height=40)(agent, 7, tmp_path)
    half = 20 * np.log10(2)  # half the error
    assert means["gain"] == pytest.approx(half / 2, abs=1e-4)
    assert means["gain/mild"] == pytest.approx(half / 2, abs=1e-4)
    assert means["stop rate"] == 1.0 and means["length"] == 0.5
    with (tmp_path / "step_00000007.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["chain"] for row in rows] == ["1", "stop"] * 3
    assert float(rows[0]["psnr_input"]) == pytest.approx(20 * np.log10(255 / 40), abs=1e-4)
    assert float(rows[0]["gain"]) == pytest.approx(half, abs=1e-4)
    assert float(rows[1]["gain"]) == 0.0
    assert rows[0]["image"] == "mild/00" and fingerprint(sets["mild"])[:12] in rows[0]["protocol"]
    table = (tmp_path / "step_00000007.md").read_text()
    assert "3.010" in table and f"mild {fingerprint(sets['mild'])[:12]}" in table
    assert page.dtype == np.uint8 and page.shape[0] > 4 * 40  # two patches of each set


def test_a_filmstrip_ends_at_the_first_stop_and_names_its_tools():
    held = patches(1, 2)
    found = agent({"lq": unit(held.lq)})
    strip = filmstrip(
        held.lq[0], found["images"][:, 0], found["actions"][:, 0], found["probabilities"][:, 0],
        tools=TOOLS, truth=held.hq[0], name="x", height=30,
    )  # fmt: skip
    texts = [cell.text for cell in strip]
    assert texts[0] == "x 16.09 dB" and texts[2] == "1 half 22.11 dB"
    assert texts[4] == "stop 22.11 dB" and texts[5] == "truth"
    short = filmstrip(
        held.lq[0], found["images"][:, 0], [2, 2], found["probabilities"][:, 0],
        tools=TOOLS, truth=None, name="x", height=30,
    )  # fmt: skip
    assert [cell.text for cell in short] == ["x", "1 … 2, stop", "stop"]


def test_every_tool_is_tried_on_every_band(tmp_path):
    bands = {"dark": patches(3, 0), "bright": patches(3, 1)}

    def predict(batch):
        """Row r to tool r mod 2: the first halves the offset, the second removes it."""
        lq = batch["lq"]
        off = np.where(np.arange(len(lq)) % 2, 40, 20)[:, None, None, None]
        return lq - off / 255

    means, page = toolbox(bands=bands, tools=(0, 1), height=50)(predict, 1, tmp_path)
    half, gone = 20 * np.log10(2), 100 - 20 * np.log10(255 / 40)
    assert means["own/dark"] == pytest.approx(half, abs=1e-3)
    assert means["own/bright"] == pytest.approx(gone, abs=0.1)  # float32 leaves 1e-14 of error
    assert means["own"] == pytest.approx((means["own/dark"] + means["own/bright"]) / 2)
    assert means["best"] == 0.5  # the second tool is the better one on both bands
    table = (tmp_path / "step_00000001.md").read_text()
    assert "| dark | +6.02 | +6.02 |" in table
    alone, _ = toolbox(bands=bands, tools=(1,), height=50)(
        lambda b: b["lq"] - 20 / 255, 2, tmp_path
    )
    assert alone == {"own": pytest.approx(half, abs=1e-3), "own/bright": alone["own"]}
    assert page.ndim == 3
