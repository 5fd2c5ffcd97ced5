"""The benchmark of several seeds: its rows and their table; no timing is asserted."""

import importlib
import json

import pytest

pytestmark = pytest.mark.usefixtures("unoptimised")


@pytest.fixture()
def script(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "scripts"))
    return importlib.import_module("benchmark_seeds")


def test_rows_and_their_table(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "PLACEMENTS", ("unrolled",))
    given = ["--configs", "sftnet_psnr", "--preset", "tiny", "--seeds", "2", "--repeats", "1"]
    assert script.main([*given, "--out", str(tmp_path)]) == 0
    (row,) = json.loads((tmp_path / "seeds.json").read_text())["rows"]
    assert row["ratio"] == row["seconds"] / (2 * row["single_seconds"]) > 0
    assert "| sftnet_psnr | 2 | unrolled | " in (tmp_path / "seeds.md").read_text()


def test_an_unknown_config_is_one_sentence(script, tmp_path, capsys):
    assert script.main(["--configs", "nope", "--out", str(tmp_path)]) == 2
    assert "there is no config" in capsys.readouterr().err
