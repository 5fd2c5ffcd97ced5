"""The benchmark of deep priors: its rows and their tables on narrow networks; no timing is asserted."""

import importlib

import pytest


@pytest.fixture()
def script(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "scripts"))
    return importlib.import_module("benchmark_priors")


def test_rows_and_their_tables(script, monkeypatch):
    monkeypatch.setattr(script, "SIZES", {"bare": 128})
    kept = script.forms

    def fewer(*arguments):
        return {k: v for k, v in kept(*arguments).items() if k != "scales computed again"}

    monkeypatch.setattr(script, "forms", fewer)
    single = script.single_rows(None, None, tiny=True, repeats=1, device="cpu")
    assert [row["form"] for row in single] == ["stored", "4 steps a call"]
    many = script.many_rows(tiny=True, repeats=1)
    assert [(row["fits"], row["placement"]) for row in many] == [
        (1, "unrolled"), (2, "unrolled"), (1, "mapped"), (2, "mapped")
    ]  # fmt: skip
    for row in many:
        assert row["seconds_each"] == row["seconds"] / row["fits"]
    assert many[1]["mib"] > many[0]["mib"] > 0
    report = {"machine": {"CPU": "this"}, "memory": "none", "single": single, "many": many}
    text = script.markdown(report)
    assert "CPU: this" in text and "| 2 | mapped | " in text and "| bare, 16² | stored | " in text
    single[0] |= {"torch_seconds": 0.5, "ratio": 2.0, "torch_mib": 3.0}
    assert "| 0.500 | 2.00 | " in script.markdown(report)
