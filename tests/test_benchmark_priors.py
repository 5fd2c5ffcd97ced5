"""The benchmark of deep priors: its rows and their tables on narrow networks; no timing is asserted."""

import importlib

import pytest

pytestmark = pytest.mark.usefixtures("unoptimised")


@pytest.fixture()
def script(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "scripts"))
    return importlib.import_module("benchmark_priors")


def test_rows_and_their_tables(script, monkeypatch):
    monkeypatch.setattr(script, "SIZES", {"bare": 128})
    monkeypatch.setattr(script, "DISPATCHED", 2)
    monkeypatch.setattr(script, "TURN", {"bare": 4})
    monkeypatch.setattr(script, "COUNTS", (2,))
    kept = script.forms

    def pixels(*given):
        """The first and the third form, of a network that is quick to compile."""
        found = dict(list(kept(*given).items())[::2])
        for config, _ in found.values():
            config["networks"]["gen"] = {"name": "pixel_image", "outputs": 3, "start": 0.1}
        return found

    monkeypatch.setattr(script, "forms", pixels)
    single = script.single_rows(None, None, tiny=True, repeats=1, device="cpu")
    assert [row["form"] for row in single] == ["stored", "2 steps a call"]
    many = script.many_rows(tiny=True, repeats=1)
    assert [(row["fits"], row["placement"]) for row in many] == [(2, "unrolled"), (2, "mapped")]
    for row in many:
        assert row["seconds_each"] == row["seconds"] / row["fits"]
        assert row["mib"] > 0
    report = {"machine": {"CPU": "this"}, "memory": "none", "single": single, "many": many}
    text = script.markdown(report)
    assert "CPU: this" in text and "| 2 | mapped | " in text and "| bare, 16² | stored | " in text
    single[0] |= {"torch_seconds": 0.5, "ratio": 2.0, "torch_mib": 3.0}
    assert "| 0.500 | 2.00 | " in script.markdown(report)
