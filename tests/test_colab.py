"""The notebook runs from top to bottom, in a process of its own and without Jupyter, with small settings."""

import ast
import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from jaxsr.data.images import read_image

pytestmark = pytest.mark.usefixtures("unoptimised")

SMALL = {
    "STEPS": 2,
    "BATCH": 2,
    "PRESET": "tiny",
    "IMAGES": ["chelsea"],
    "CROP": 64,
    "WORK": "work",
}
# what a notebook does with its cells; small settings take the place of those of the cell «parameters»
RUN = """
import json, sys
cells, small = json.load(open(sys.argv[1]))
held = {"__name__": "__main__"}
for name, source in cells:
    print("cell", name, flush=True)
    exec(compile(source, name, "exec"), held)
    if name == "parameters":
        assert set(small) <= set(held), "a setting that the notebook has not"
        held.update(small)
"""


@pytest.fixture(scope="module")
def book(root):
    return json.loads((root / "colab" / "sftnet.ipynb").read_text(encoding="utf-8"))


def cells(book):
    """[(name, tags, source)] of the cells with code."""
    return [
        (cell["id"], cell["metadata"].get("tags", []), "".join(cell["source"]))
        for cell in book["cells"]
        if cell["cell_type"] == "code"
    ]


def test_it_is_kept_without_outputs_and_only_the_install_cell_needs_jupyter(book):
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    for cell in book["cells"]:
        assert cell["cell_type"] == "markdown" or (
            not cell["outputs"] and cell["execution_count"] is None
        )
    ids = [cell["id"] for cell in book["cells"]]
    assert len(ids) == len(set(ids))
    for _, tags, source in cells(book):
        lines = source.splitlines()
        magic = [line for line in lines if line.strip().startswith(("%", "!"))]
        assert bool(magic) == (tags == ["install"])
        plain = [line.replace(line.strip(), "pass") if line in magic else line for line in lines]
        ast.parse("\n".join(plain))


def test_it_is_valid_by_the_schema_of_notebooks(root):
    if importlib.util.find_spec("nbformat") is None:
        pytest.skip("nbformat is not installed")
    import nbformat

    nbformat.validate(
        nbformat.read(root / "colab" / "sftnet.ipynb", as_version=nbformat.NO_CONVERT)
    )


def test_its_cells_run_in_order_and_leave_the_pictures_they_show(book, root, tmp_path):
    plain = [(name, source) for name, tags, source in cells(book) if tags != ["install"]]
    assert len(plain) == len(cells(book)) - 1 and plain[0][0] == "parameters"
    (tmp_path / "cells.json").write_text(json.dumps([plain, SMALL]))
    done = subprocess.run(
        [sys.executable, "-c", RUN, "cells.json"], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(root), "MPLBACKEND": "agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    assert done.stdout.count("\ncell ") == len(plain) - 1
    work = tmp_path / "work"
    shown = ["curves", "restored", "evaluation/step_00000002"]
    shown += [f"swap/{name}" for name in ("swap", "differences", "modulation")]
    for name in shown:
        assert read_image(work / f"{name}.png").std() > 10, f"{name} is empty"
    own, shipped = (read_image(work / each / "chelsea.png") for each in ("own", "shipped"))
    assert own.shape == shipped.shape == (64, 64, 3) and not np.array_equal(own, shipped)
    rows = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
    assert {"loss/gen", "loss/disc", "D(real)"} <= set().union(*rows) and rows[-1]["step"] == 2
