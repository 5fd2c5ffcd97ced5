"""scripts/compare_stopping.py: its rule is that of the wrapper, and its table that of the curves."""

import csv
import importlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.algorithms import stopping
from jaxsr.data.images import read_image
from jaxsr.state import State
from jaxsr.types import Algorithm


@pytest.fixture(scope="module")
def script(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "scripts"))
        yield importlib.import_module("compare_stopping")


def ended(values, start, patience):
    """What the wrapper keeps of a curve, and after how many steps it has ended (or all)."""

    def init(key, batch):
        return State(jnp.int32(0), {}, {}, {})

    def step(key, state, batch, frozen):
        return state.replace(step=state.step + 1), {"number": jnp.asarray(values)[state.step]}

    made = stopping.patient(
        Algorithm(init, step, None), metric="number", start=start, patience=patience, kept=()
    )
    state, seen, run = made.init(None, {}), [], jax.jit(made.step)
    for _ in values:
        state, metrics = run(None, state, {}, {})
        seen.append((int(metrics["best step"]), bool(metrics["ended"])))
    return seen[-1][0], sum(not over for _, over in seen)


@pytest.mark.parametrize("start, patience", [(0, 3), (5, 2), (5, 8), (0, 100)])
def test_the_rule_is_that_of_the_wrapper(script, start, patience):
    values = np.random.default_rng(3).permutation(20).astype(np.float32)
    assert script.rule(values, start=start, patience=patience) == ended(values, start, patience)


def write(folder, lines):
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_table_tells_how_far_each_rule_is_below_the_peak(script, tmp_path, capsys):
    peak = {"held_out": 20, "variance": 30}
    write(
        tmp_path / "run",
        [
            {
                "step": n + 1, "one_0/psnr": 30 - abs(n - 20) / 10, "one_0/psnr average": 31.0,
                **{f"one_0/{watch}": 1 + abs(n - at) / 10 for watch, at in peak.items()},
            }
            for n in range(60)
        ],
    )  # fmt: skip
    out = tmp_path / "out"
    given = ["--runs", str(tmp_path / "run"), "--start", "5", "--patience", "4", "--out", str(out)]
    assert script.main(given) == 0
    rows = list(csv.DictReader((out / "stopping.csv").open()))
    found = {
        r["watch"]: (
            int(r["kept"]),
            int(r["taken"]),
            float(r["peak of output"]) - float(r["output"]),
        )
        for r in rows
    }
    assert found["held_out"] == (21, 25, 0)
    assert found["variance"] == (31, 35, pytest.approx(1.0))
    assert found["budget"] == (60, 60, pytest.approx(3.9))
    assert "| variance | 4 | 35 | 1.00 | 0.00 |" in capsys.readouterr().out
    assert read_image(out / "stopping.png").shape == (360, 900, 3)


def test_runs_that_do_not_serve_are_named(script, tmp_path, capsys):
    write(tmp_path / "bare", [{"step": 1, "one_0/psnr": 1.0}])
    metrics = ("psnr", "psnr average", "held_out", "variance")
    write(tmp_path / "some", [{"step": 5} | {f"one_0/{m}": 1.0 for m in metrics}])
    for name, words in (("bare", "has no fit"), ("some", "did not log each step")):
        assert script.main(["--runs", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
