"""The benchmark runs, its builds agree, and its mistakes are one sentence; no timing is asserted."""

import json
import math
import os
import subprocess
import sys

import pytest

NETWORKS = ("sftgan", "parent", "srcnn", "vdsr", "srresnet", "rrdbnet")
CASES = ["sftgan-train", "parent-train", *(f"{name}-inference" for name in NETWORKS)]
HIDE_TORCH = (
    "import runpy, sys; sys.modules['torch'] = None; sys.argv = sys.argv[1:]; "
    "sys.path.insert(0, sys.argv[0].rpartition('/')[0]); "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def call(root, *words, hide_torch=False):
    start = ["-c", HIDE_TORCH] if hide_torch else []
    command = [sys.executable, *start, str(root / "scripts" / "benchmark.py"), *words]
    # compiling is most of the time, and no timing is asserted
    env = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=env
    )


def read(folder):
    return json.loads((folder / "results.json").read_text())


def positive(row, *names):
    for name in names:
        assert isinstance(row[name], float) and math.isfinite(row[name]) and row[name] > 0, name


def test_tiny_run_writes_every_row(root, tmp_path):
    pytest.importorskip("torch")
    done = call(root, "--tiny", "--layer", "conv1_2", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    report = read(tmp_path)
    rows = [row for row in report["rows"] if row["dtype"] == "float32"]
    assert [row["case"] for row in rows] == CASES
    for row in rows:
        positive(
            row,
            "jaxsr_seconds",
            "torch_seconds",
            "ratio",
            "jaxsr_mib",
            "jaxsr_images_per_second",
            "torch_images_per_second",
            "torch_megapixels_per_second",
            "compile_seconds",
        )
        assert row["ratio"] == pytest.approx(row["jaxsr_seconds"] / row["torch_seconds"])
        assert row["batch"] == (2 if row["case"].endswith("train") else 1)
        assert len(row["jaxsr_times"]) == len(row["torch_times"]) == 2
        # the same weights and losses; float32 sums in another order (measured: 3e-7)
        assert row["difference"] < 1e-4
        assert row["torch_mib"] is None or row["torch_mib"] >= 0  # None off Linux
        assert row["torch_memory"]
        assert f"| {row['case']} | float32 |" in done.stdout
    assert {"CPU", "usable cores", "accelerator", "jax", "flax", "torch"} <= report[
        "machine"
    ].keys()
    assert (tmp_path / "results.md").read_text() in done.stdout


def test_without_torch_only_our_columns_are_filled(root, tmp_path):
    words = ("--tiny", "--cases", "parent-inference", "--repeats", "1", "--out", str(tmp_path))
    done = call(root, *words, hide_torch=True)
    assert done.returncode == 0, done.stderr
    assert "PyTorch is not compared" in done.stdout
    row = read(tmp_path)["rows"][0]
    positive(row, "jaxsr_seconds", "jaxsr_images_per_second", "jaxsr_mib")
    assert row["torch_seconds"] is None and row["ratio"] is None and row["torch_mib"] is None


def test_bad_arguments_are_one_sentence(root, tmp_path, monkeypatch):
    """In this process: each start of another one costs seconds."""
    monkeypatch.syspath_prepend(str(root / "scripts"))
    import benchmark

    from jaxsr.types import UserError

    occupied = tmp_path / "file"
    occupied.touch()
    wrong = {
        "--batch": ("0", "at least 1"),
        "--repeats": ("-3", "at least 1"),
        "--cases": ("training", "invalid choice"),
        "--layer": ("conv9_9", "conv5_4"),
        "--out": (str(occupied), "cannot be made"),
        "--batches": ("4", "unrecognized"),
    }
    for flag, (value, reason) in wrong.items():
        with pytest.raises(UserError, match=reason) as caught:
            benchmark.parse([flag, value, *(["--out", str(tmp_path)] if flag != "--out" else [])])
        assert flag in str(caught.value) and "\n" not in str(caught.value)


def test_a_mistake_ends_the_command(root):
    done = call(root, "--batch", "none")
    assert done.returncode != 0 and done.stdout == ""
    assert done.stderr.startswith("benchmark: error: argument --batch")
    assert done.stderr.count("\n") == 1
