"""The benchmark of large images: a small row, its figures consistent; no timing is asserted."""

import importlib
import math


def test_a_row_and_its_table(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "scripts"))
    script = importlib.import_module("benchmark_restore")
    row = script.row("fsrcnn", 2, 0.0009, 100.0)
    assert set(row) == set(script.COLUMNS)
    assert row["megapixels"] == 30**2 / 1e6 and row["output_megapixels"] == 60**2 / 1e6
    assert row["image_mib"] == (30**2 + 60**2) * 3 / 2**20
    assert row["seconds"] > 0 and math.isfinite(row["peak_mib"])
    assert row["beyond_mib"] == row["peak_mib"] - row["image_mib"]
    table = script.markdown({"rows": [row], "machine": {"CPU": "this one"}})
    assert "| fsrcnn | 2 | 0.0009 | 0.0036 | windows of 32² pixels" in table
