"""scripts/compare_conditioning.py: the configs of its runs, means over seeds, and a small comparison."""

import csv
import importlib
import json

import pytest

from jaxsr.data.images import read_image


@pytest.fixture(scope="module")
def script(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "scripts"))
        yield importlib.import_module("compare_conditioning")


def test_the_runs_differ_in_condition_and_seed_alone(script, tmp_path):
    options = script.parser().parse_args(
        ["--preset", "tiny", "--steps", "7", "--data-root", "here", "--out", str(tmp_path)]
    )
    made = {name: script.config_of(options, name, 3).to_dict() for name in script.CONDITIONS}
    assert [made[name]["networks"]["gen"]["name"] for name in made] == [
        "sftnet", "film_net", "concat_net", "compositional_net", "compositional_net"
    ]  # fmt: skip
    for config in made.values():
        assert config["seed"] == 3 and config["train"]["steps"] == 7
        assert config["data"]["root"] == "here"
        for part in ("data", "losses", "adversarial", "train", "evaluation", "ema"):
            assert config[part] == made["sft"][part]
        assert config["networks"]["disc"] == made["sft"]["networks"]["disc"]
        assert config["networks"]["gen"]["parent"] == made["sft"]["networks"]["gen"]["parent"]


def test_means_are_over_images_and_deviations_over_runs(script, tmp_path, monkeypatch):
    rows = [
        {"method": "film", "run": run, "image": image, "classes": classes, "psnr": value}
        for run, values in (("film_0", (20.0, 30.0)), ("film_1", (22.0, 32.0)))
        for image, classes, value in zip("ab", (1, 2), values, strict=True)
    ]
    assert script.over_seeds(rows, "film", "psnr", False) == "26.0000 ± 1.4142"
    assert script.over_seeds(rows, "film", "psnr", True) == "31.0000 ± 1.4142"
    one_class = [row for row in rows if row["classes"] == 1]
    assert script.over_seeds(one_class, "film", "psnr", True) == ""
    folders = {"film": [tmp_path / "film_0", tmp_path / "film_1"]}
    for folder in folders["film"]:
        folder.mkdir()
        lines = [{"step": n, "seconds_per_step": s, "loss": 1.0} for n, s in ((1, 9.0), (2, 0.5))]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(script, "parameters", lambda folder: 1234)
    text = script.table(rows, folders, script.config_of(
        script.parser().parse_args(["--preset", "tiny", "--out", "x"]), "sft", 0
    ).to_dict())  # fmt: skip
    assert "| film | 1,234 | 2 | 26.0000 ± 1.4142 | 31.0000 ± 1.4142 | 0.50 |" in text
    assert "2 images, 1 of several classes" in text
    assert script.curves(folders, ("loss",)).shape == (440, 560, 3)


def test_another_preset_is_one_sentence(script, tmp_path, capsys):
    assert script.main(["--preset", "tinny", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "no preset 'tinny'" in error and error.count("\n") == 1


@pytest.mark.slow
def test_a_small_comparison_from_start_to_end(script, tmp_path):
    given = [
        "--preset",
        "tiny",
        "--steps",
        "1",
        "--seeds",
        "0",
        "1",
        "--conditions",
        "sft",
        "concat",
    ]
    for _ in range(2):  # the second time nothing is trained
        assert script.main([*given, "--shown", "1", "--out", str(tmp_path)]) == 0
    rows = list(csv.DictReader((tmp_path / "conditioning.csv").open()))
    assert {"sft", "concat"} <= {row["method"] for row in rows}
    assert "| concat | " in (tmp_path / "conditioning.md").read_text()
    for name in ("curves", "sheet"):
        assert read_image(tmp_path / f"{name}.png").shape[1] > 600
