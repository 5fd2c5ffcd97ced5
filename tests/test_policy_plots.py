"""Policies beside each other: means, deviations and pictures that show what they are given."""

import numpy as np

from jaxsr import policy_plots


def tables():
    rng = np.random.default_rng(0)
    made = {}
    for name, count in (("mild", 4), ("severe", 12)):
        scores = rng.uniform(20, 25, size=(3, 3, count))
        scores[2] = 20.0
        scores[:2, 2] = scores[:2, 2:3, :].mean(1)
        made[name] = scores
    return made


def agents():
    gains = {"mild": np.full(4, 1.0), "severe": np.full(12, 3.0)}
    return {"A2C": [gains, {name: gain + 2 for name, gain in gains.items()}]}


def test_rows_hold_every_run_and_all_patches_alike():
    found = policy_plots.rows(tables(), agents())
    mine = [r for r in found if r["policy"] == "A2C" and r["severity"] == "all"]
    # 4 patches of 1 dB and 12 of 3 dB
    assert [row["gain"] for row in mine] == [2.5, 4.5]
    fixed = {r["policy"]: r for r in found if r["severity"] == "all" and r["policy"] != "A2C"}
    assert fixed["random"]["gain"] < fixed["best constant"]["gain"] <= fixed["best chain"]["gain"]
    assert fixed["greedy oracle"]["share"] == 1 and fixed["best constant"]["chain"]
    assert mine[0]["share"] == 2.5 / fixed["greedy oracle"]["gain"]


def test_table_gives_mean_and_deviation_over_runs():
    text = policy_plots.table(policy_plots.rows(tables(), agents()), ["mild", "severe"])
    # a deviation of two runs 2 apart is the root of 2
    assert "| A2C | 2 | +2.00 ± 1.41 | +4.00 ± 1.41 | +3.50 ± 1.41 |" in text
    assert text.count("\n| ") == 5 and "± " not in text.split("\n")[2]


def test_pictures_change_with_what_they_show():
    runs = {"A2C": [{"steps": [1, 2], "gain": [0.0, 1.0]}], "file": [{"steps": [], "gain": []}]}
    first = policy_plots.curves(runs, {"random": 0.5})
    second = policy_plots.curves(runs, {"random": 0.5, "oracle": 2.0})
    assert first.dtype == np.uint8 and first.shape[2] == 3 and (first != second).any()
    uses = {"A2C": {"mild": np.array([[0, 1], [2, 2]]), "severe": np.array([[0, 0], [1, 2]])}}
    page = policy_plots.histograms(uses, ["one", "two"])
    other = policy_plots.histograms(
        {"A2C": {n: 2 - a for n, a in uses["A2C"].items()}}, ["one", "two"]
    )
    assert page.shape[2] == 3 and (page != other).any()
