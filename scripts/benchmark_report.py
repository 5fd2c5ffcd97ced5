"""The report of benchmark.py: the table, the machine, and what is compared."""

import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

COLUMNS = {
    "case": "case", "dtype": "dtype", "batch": "batch", "pixels": "HQ side",
    "jaxsr_seconds": "jaxsr s", "torch_seconds": "torch s", "ratio": "jaxsr/torch",
    "jaxsr_images_per_second": "jaxsr images/s", "torch_images_per_second": "torch images/s",
    "jaxsr_megapixels_per_second": "jaxsr MP/s", "torch_megapixels_per_second": "torch MP/s",
    "compile_seconds": "jaxsr compile s", "jaxsr_mib": "jaxsr MiB (compiled program)",
    "torch_mib": "torch MiB ({})", "difference": "difference",
}  # fmt: skip
SETTINGS = {"repeats": "repeats", "layer": "VGG19 layer", "tiny": "tiny"}
NOTES = """\
- seconds: median of the repeats of one whole call, waited for; the batch is on the device before.
- train: one step with its optimisers, as the `paper` presets of `configs/sftnet.py` and
  `configs/sftnet_psnr.py` wire it, nothing frozen. sftgan-train: G on perceptual L1
  + 0.005 adversarial + 0.005 class loss, then D; the perceptual loss is that of VGG19 up to the
  layer named above, random weights, float32 in every row. parent-train: L1, `lq` is given.
- inference: one image through the network, random weights; LR is a fourth of the HQ side, except for
  SRCNN (9-1-5) and VDSR, which work on one channel of the enlarged image. SRResNet is the paper's (16
  blocks, with leftthomas' tanh), RRDBNet has 23, sftgan's prior maps are given. MP: of HQ.
- compile: first call, tracing included, minus a steady one.
- jaxsr MiB: arguments + outputs + temporaries - donated, from the compiled program's own analysis.
  It is a size; the torch column is a measured peak, so the two are compared with care.
- difference: relative, between the first losses (train) or mean |image| (inference) of the builds.
- What differs: jaxsr is one jitted program, which may share passes of D between the two updates,
  and it gives its metrics and norms besides. PyTorch is eager, NCHW, float32 weights, Adam and all
  else by its defaults, no metrics; D sees the restored image twice, as in the published code.
  bfloat16 is the compute type of the networks in jaxsr and autocast in PyTorch."""


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float:
    """Load average of the last minute; 0 where the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def machine(other: ModuleType | None, device: str) -> dict[str, str]:
    """The machine and versions in words; `other` is the PyTorch half on `device`, or None."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        cpu = found[1] if found else cpu
    accelerator = "none"
    if jax.default_backend() != "cpu":
        accelerator = f"{jax.devices()[0].device_kind}, one used of {jax.device_count()}"
    torch = "not compared: missing, or it does not see the accelerator"
    if other:
        policy = os.environ["OMP_WAIT_POLICY"]
        torch = f"{other.torch.__version__} on {device}, {other.torch.get_num_threads()} threads"
        torch += f", OMP_WAIT_POLICY {policy}"
    return {
        "CPU": cpu,
        "usable cores": str(cores()),
        "load average before": f"{load():.1f}",
        "accelerator": accelerator,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax")},
        "XLA": f"{os.environ.get('XLA_FLAGS', '') or 'no flags'}, a thread for each usable core",
        "torch": torch,
        "float32": "full on a CPU, TF32 where a GPU has it, in both builds",
    }


def markdown(report: Mapping[str, Any]) -> str:
    """The table, the machine and what is compared."""

    def cell(value: Any) -> str:
        return "—" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    heads = [head.format(report["rows"][0]["torch_memory"]) for head in COLUMNS.values()]
    lines = [heads, ["---"] * len(heads)]
    lines += [[cell(row[name]) for name in COLUMNS] for row in report["rows"]]
    settings = {head: report["settings"][name] for name, head in SETTINGS.items()}
    return "\n".join([
        *(f"| {' | '.join(cells)} |" for cells in lines), "",
        *(f"- {name}: {value}" for name, value in (report["machine"] | settings).items()), "",
        "What is compared:", "", NOTES, "",
    ])  # fmt: skip


def save(report: Mapping[str, Any], folder: Path) -> None:
    """results.json and results.md."""
    (folder / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "results.md").write_text(markdown(report))
