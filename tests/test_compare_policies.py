"""scripts/compare_policies.py on a box of one tool: its files, its figures, its sentences."""

import csv
import importlib

import numpy as np
import pytest
from reference import chain_weights

from jaxsr.data.images import read_image


@pytest.fixture(scope="module")
def script(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "scripts"))
        yield importlib.import_module("compare_policies")


@pytest.fixture(scope="module")
def made(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    tool = chain_weights.tool(folder / "tool.safetensors")
    takes = chain_weights.agent(folder / "takes.safetensors")
    stops = chain_weights.agent(folder / "stops.safetensors", stops=True)
    status = script.main(
        ["--tools", tool, "--agents", f"both={takes},{stops}", f"stop={stops}", "--count", "2",
         "--severities", "mild", "severe", "--out", str(folder / "out")]
    )  # fmt: skip
    assert status == 0
    return folder / "out"


def test_rows_are_those_of_the_chains(made):
    with (made / "policies.csv").open() as file:
        rows = list(csv.DictReader(file))
    gain = {(r["policy"], r["run"], r["severity"]): float(r["gain"]) for r in rows}
    assert gain["stop", "0", "mild"] == gain["both", "1", "all"] == 0
    kept = [np.load(path)["psnr"].shape for path in made.glob("chains_*.npz")]
    assert kept == [(2, 2, 2, 2)] * 2
    # a random tool harms: the best constant chain is to stop at once, and the agent that takes it loses
    assert (
        gain["both", "0", "all"] < gain["random", "", "all"] < 0 == gain["best constant", "", "all"]
    )
    text = (made / "policies.md").read_text()
    assert "| best constant (stop) |  | +0.00 |" in text and "| both | 2 | " in text and "±" in text


def test_chains_scored_are_chains_played(made):
    """The table of all chains and the agent's rollout agree about three uses of the tool."""
    with (made / "policies.csv").open() as file:
        gain = {
            row["severity"]: float(row["gain"])
            for row in csv.DictReader(file)
            if row["policy"] == "both" and row["run"] == "0"
        }
    always = [np.load(path)["psnr"] for path in made.glob("chains_*.npz")]
    found = sorted(float((t[0, 0, 0] - t[1, 1, 1]).mean()) for t in always)
    np.testing.assert_allclose(sorted([gain["mild"], gain["severe"]]), found, atol=1e-4)


def test_pictures_are_there(made):
    for name in ("chains", "curves", "regions", "tools"):
        assert read_image(made / f"{name}.png").std() > 0


def test_mistakes(script, tmp_path, capsys):
    tool = chain_weights.tool(tmp_path / "tool.safetensors")
    out = ["--out", str(tmp_path / "out")]
    assert script.main(["--tools", tool, "--agents", "a2c", *out]) == 2
    assert "--agents 'a2c' must be a name and its runs" in capsys.readouterr().err
    assert script.main(["--tools", str(tmp_path / "none"), *out]) == 2
    assert "there is no weight file" in capsys.readouterr().err
    assert script.main(["--tools", tool, "--agents", f"a={tool}", *out]) == 2
    assert "holds a tool_small, not an agent" in capsys.readouterr().err
