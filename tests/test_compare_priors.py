"""scripts/compare_priors.py: a fit repeated in PyTorch from what a run observed, and its sentences."""

import csv
import importlib
import json

import numpy as np
import pytest
from PIL import Image

from jaxsr.data.images import read_image
from jaxsr.types import UserError

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def script(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "scripts"))
        yield importlib.import_module("compare_priors")


@pytest.fixture()
def run(root, tmp_path):
    """What a run of two seeds leaves, its pictures drawn instead of fitted."""
    import runpy

    made = runpy.run_path(str(root / "configs" / "dip_denoise.py"))["get_config"]("tiny")
    with made.unlocked():
        made.seeds = (0, 1)
    folder = tmp_path / "run"
    (folder / "evaluation").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(made.to_dict()))
    for seed in made.seeds:
        for kind in ("last", "average"):
            pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(
                folder / "evaluation" / f"result_astronaut_{seed}_{kind}.png"
            )
    return folder


def test_both_builds_are_scored_on_the_same_observation(script, run, tmp_path, capsys, monkeypatch):
    out, config = tmp_path / "out", json.loads((run / "config.json").read_text())
    assert script.main(["--runs", str(run), "--out", str(out)]) == 0
    rows = list(csv.DictReader((out / "priors.csv").open()))
    assert [(r["build"], r["seed"], r["kind"]) for r in rows] == [
        (build, seed, kind)
        for build in ("jaxsr", "PyTorch") for seed in "01" for kind in ("last", "average")
    ]  # fmt: skip
    assert all(5 < float(row["psnr"]) < 30 for row in rows)
    assert len({row["psnr"] for row in rows if row["build"] == "PyTorch"}) == 4
    text = capsys.readouterr().out
    assert "| run | astronaut | average | psnr | " in text and " ± " in text
    assert read_image(out / "priors.png").shape[1] > 900

    # the same command fits nothing again, but where the config is another
    monkeypatch.setattr(script.time, "monotonic", lambda: pytest.fail("a fit was made again"))
    assert script.main(["--runs", str(run), "--out", str(out)]) == 0
    assert list(csv.DictReader((out / "priors.csv").open())) == rows
    path = out / "fits" / "run" / "astronaut_1.npz"
    assert set(script.kept(path, json.dumps(config, sort_keys=True))) == {"image", "average"}
    assert not script.kept(path, json.dumps(config | {"seed": 5}, sort_keys=True))
    for damaged in (path.read_bytes()[:-9], b"", b"none"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"astronaut_1.npz is damaged: remove it"):
            script.kept(path, "")


def test_each_run_has_the_measures_that_it_knows(script):
    rows = [
        {"run": "whole", "image": "a", "build": build, "seed": seed, "kind": "last", "psnr": value}
        for build, values in (("jaxsr", (20.0, 22.0)), ("PyTorch", (21.0, 21.0)))
        for seed, value in enumerate(values)
    ]
    masked = [row | {"run": "masked", "psnr hole": 9.0} for row in rows[::2]]
    blind = [{k: v for k, v in row.items() if k != "psnr"} | {"run": "blind"} for row in rows]
    lines = script.table(rows + masked + blind).splitlines()[2:5]
    assert lines == [
        "| whole | a | last | psnr | 21.00 ± 1.41 | 21.00 ± 0.00 |",
        "| masked | a | last | psnr | 20.00 | 21.00 |",
        "| masked | a | last | psnr hole | 9.00 | 9.00 |",
    ]


def test_runs_that_cannot_be_repeated_are_named(script, run, tmp_path, capsys):
    config = json.loads((run / "config.json").read_text())
    cases = {
        "no config.json": None,
        "a run of gan": {"algorithm": "gan"},
        "fits pixel_image": {"networks": {"gen": {"name": "pixel_image"}}},
    }
    for number, (words, change) in enumerate(cases.items()):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        if change:
            (folder / "config.json").write_text(json.dumps(config | change))
        assert script.main(["--runs", str(folder), "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    (folder / "config.json").write_text("{")
    assert script.main(["--runs", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "is not a config in JSON any more" in capsys.readouterr().err
    (run / "evaluation" / "result_astronaut_1_last.png").unlink()
    assert script.main(["--runs", str(run), "--out", str(tmp_path / "out")]) == 2
    assert "result_astronaut_1_last.png is missing" in capsys.readouterr().err
