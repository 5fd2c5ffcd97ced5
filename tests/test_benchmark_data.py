"""scripts/benchmark_data.py: it runs, its sources agree, and it writes both files."""

import importlib
import json


def test_a_small_run_writes_a_row_for_each_source(root, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(root / "scripts")
    module = importlib.import_module("benchmark_data")
    monkeypatch.setattr(module, "SIDE", 128)
    monkeypatch.setattr(module, "PHOTOGRAPHS", ("chelsea", "coffee"))
    monkeypatch.setattr(module, "BATCH", 2)
    words = ["--images", "4", "--batches", "1", "--rounds", "1", "--disk", str(tmp_path)]
    module.main([*words, "--out", str(tmp_path / "out")])
    report = json.loads((tmp_path / "out" / "data.json").read_text())
    assert {row["source"] for row in report["rows"]} == {"folder", "records", "records, level 0"}
    assert all(row["rate"] > 0 and row["ready"] > 0 for row in report["rows"])
    assert (tmp_path / "out" / "data.md").read_text().startswith("| case |")
    # what it made is gone
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
