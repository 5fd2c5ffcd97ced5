"""The benchmark of chains: a small row of each kind, its figures consistent; no timing is asserted."""

import importlib

import pytest

pytestmark = pytest.mark.usefixtures("unoptimised")


def test_rows_and_their_table(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "scripts"))
    script = importlib.import_module("benchmark_chains")
    monkeypatch.setitem(script.BLOCKS, "cpu", (1,))
    found = script.rows(("small",), 2, 1, None)
    assert [(row["what"], row["bank"]) for row in found] == [
        ("chains", "blocks of 1"), ("update", "blocks of 1"), ("chains", "all tools"), ("update", "all tools")
    ]  # fmt: skip
    for row in found:
        count = 2 if row["what"] == "chains" else 1
        assert row["jaxsr_per_second"] == count / row["jaxsr_seconds"]
        assert row["ratio"] is None and row["torch_seconds"] is None and row["jaxsr_mib"] > 0
    table = script.markdown({"machine": {"CPU": "this one"}, "rows": found})
    assert "CPU: this one" in table and table.count("\n| ") == 5 and "2 patches" in table
    found[0] |= {"ratio": 2.0, "torch_seconds": 0.5}
    assert "| 0.500 | 2.00 |" in script.markdown({"machine": {}, "rows": found})
