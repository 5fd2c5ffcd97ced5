"""Speed and memory of SFT-GAN and its parent, as ratios to an independent PyTorch build on the same machine.

    python scripts/benchmark.py                                       all cases, minutes on a few cores
    python scripts/benchmark.py --cases sftgan-train --batch 4 --repeats 5 --out benchmarks/mine
    python scripts/benchmark.py --tiny                                narrow networks, seconds: does it run

The PyTorch build is tests/reference/sftgan_torch.py; without torch only the columns of jaxsr are filled. Both
builds start from the same weights, take the same batch, and are called in turns (A B A B …), so that drift of
the machine hits both. Writes results.json and results.md to the folder --out. What is compared: NOTES.
"""

import argparse
import gc
import importlib
import importlib.metadata
import json
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr import build_method
from jaxsr.models.vgg import VGG19, layer_names
from jaxsr.state import State, step_key
from jaxsr.types import Algorithm, Tree, UserError

ROOT = Path(__file__).resolve().parent.parent
CASES = ("sftgan-train", "parent-train", "sftgan-inference", "parent-inference")
COLUMNS = {
    "case": "case", "dtype": "dtype", "batch": "batch", "pixels": "HQ side",
    "jaxsr_seconds": "jaxsr s", "torch_seconds": "torch s", "ratio": "jaxsr/torch",
    "jaxsr_images_per_second": "jaxsr images/s", "compile_seconds": "compile s",
    "jaxsr_mib": "jaxsr MiB (program)", "torch_mib": "torch MiB ({})", "difference": "difference",
}  # fmt: skip
NOTES = """\
- seconds: median over the repeats of one whole call, waited for; the batch is on the device beforehand.
- train: one step with its optimiser, by the `paper` presets of `configs/sftnet.py` and `configs/sftnet_psnr.py`
  with nothing frozen. sftgan-train: G on perceptual L1 + 0.005 adversarial + 0.005 class loss, then D. The
  perceptual loss is that of VGG19 up to the layer named below, random weights, float32 in every row.
  parent-train: L1, `lq` given. inference: `predict` on one image, its prior maps given.
- compile: first call, tracing and compiling included, minus the steady one.
- jaxsr MiB: arguments + outputs + temporaries - donated, from the memory analysis of the compiled program.
- difference: relative, between the first losses (train) or the mean |image| (inference) of the two builds.
- What differs: jaxsr is one jitted program, which may share passes of D between the two updates, and it also
  gives its metrics and norms. PyTorch is eager and NCHW, Adam and all else by its defaults, no metrics; D sees
  the restored image twice, as in the published code. bfloat16: in the networks with float32 weights in jaxsr,
  autocast in PyTorch."""


class Plan(NamedTuple):
    """What is run: batch and HQ side of training, LR side of inference, VGG19's layer and maps, repeats."""

    cases: tuple[str, ...]
    batch: int
    crop: int
    view: int
    layer: str
    widths: tuple[int, ...]
    repeats: int
    tiny: bool


class Side(NamedTuple):
    """One build, ready: a call that waits, its first value, seconds of the first call, bytes or None."""

    run: Callable[[], Any]
    value: float
    first: float
    memory: int | None


def plain_config(case: str, *, dtype: str, tiny: bool) -> dict[str, Any]:
    """The published recipe of a case from random weights, nothing frozen."""
    stage = "sftnet" if case.startswith("sftgan") else "sftnet_psnr"
    module = importlib.import_module(f"configs.{stage}")
    config = module.get_config("paper").to_dict()
    if tiny:
        config["networks"] = module.get_config("tiny").to_dict()["networks"]
    config["precision"] = dtype
    config["networks"]["gen"]["parent"] = ""
    if "freeze" in config["optimisers"]["gen"]:
        config["optimisers"]["gen"]["freeze"] = 0
    return config


def make_batch(count: int, side: int) -> dict[str, np.ndarray]:
    """Noise images of `side` LR pixels, prior maps, and labels other than background (which is ignored)."""
    rng = np.random.default_rng(0)
    seg = rng.random((count, 4 * side, 4 * side, 8), np.float32)
    return {
        "lq": rng.random((count, side, side, 3), np.float32),
        "hq": rng.random((count, 4 * side, 4 * side, 3), np.float32),
        "seg": seg / seg.sum(-1, keepdims=True),
        "label": rng.integers(1, 8, count).astype(np.int32),
    }


def jaxsr_side(
    method: Algorithm, state: State, batch: Mapping[str, jax.Array], frozen: Tree, *, training: bool
) -> Side:
    """The algorithm's step (state donated, as in the training loop) or `predict`, called twice."""
    key = step_key(0, 0)
    jitted = jax.jit(method.step, donate_argnums=1) if training else jax.jit(method.predict)

    def step() -> dict[str, jax.Array]:
        nonlocal state
        state, metrics = jax.block_until_ready(jitted(key, state, batch, frozen))
        return metrics

    def predict() -> jax.Array:
        return jax.block_until_ready(jitted(key, state, batch, frozen))

    run = step if training else predict
    began = time.perf_counter()
    # compiled here for its analysis; the call finds the same program again
    memory = jitted.lower(key, state, batch, frozen).compile().memory_analysis()
    result = run()
    first = time.perf_counter() - began
    run()
    if training:
        totals = ("loss", "loss/gen", "loss/disc")
        value = sum(float(result[name]) for name in totals if name in result)
    else:
        value = float(jnp.mean(jnp.abs(result)))
    total = None
    if memory is not None:
        total = memory.argument_size_in_bytes + memory.output_size_in_bytes
        total += memory.temp_size_in_bytes - memory.alias_size_in_bytes
    return Side(run, value, first, total)


def sides(case: str, dtype: str, plan: Plan, other: ModuleType | None, device: str) -> dict[str, Side]:
    """Both builds of a case from the same weights, {"jaxsr": …, "torch": …}; without `other` only ours."""
    config = plain_config(case, dtype=dtype, tiny=plan.tiny)
    training = case.endswith("train")
    batch = make_batch(plan.batch, plan.crop // 4) if training else make_batch(1, plan.view)
    module = VGG19(layers=(plan.layer,), widths=plan.widths)
    method = build_method.algorithm(
        config, lambda held, images: module.apply(held, images), {plan.layer: 1.0}
    )
    key, first = step_key(0, 0), make_batch(1, plan.crop // 4)
    state = jax.jit(method.init)(key, first)
    start, frozen = {"gen": jax.device_get(state.params["gen"])}, {}
    if case == "sftgan-train":
        frozen = {"features": jax.jit(module.init)(key, first["hq"])}
        start |= {
            "disc": jax.device_get(state.params["disc"]),
            "stats": jax.device_get(state.extra["batch_stats"]["disc"]),
            "vgg": jax.device_get(frozen["features"]["params"]),
        }
    made = {"jaxsr": jaxsr_side(method, state, jax.device_put(batch), frozen, training=training)}
    if other:
        made["torch"] = Side(
            *other.side(
                case, config, start, batch, layer=plan.layer, widths=plan.widths, device=device
            )
        )
    return made


def measure(case: str, dtype: str, plan: Plan, other: ModuleType | None, device: str) -> dict[str, Any]:
    """One row: the builds called in turns, medians, ratio, memory."""
    built = sides(case, dtype, plan, other, device)
    times = {name: [] for name in built}
    gc.collect()
    for _ in range(plan.repeats):
        for name, side in built.items():
            began = time.perf_counter()
            side.run()
            times[name].append(time.perf_counter() - began)
    steady = {name: statistics.median(held) for name, held in times.items()}
    training = case.endswith("train")
    row = {
        "case": case, "dtype": dtype, "batch": plan.batch if training else 1,
        "pixels": plan.crop if training else 4 * plan.view,
        "compile_seconds": max(built["jaxsr"].first - steady["jaxsr"], 0.0),
        "ratio": None, "difference": None,
    }  # fmt: skip
    for name in ("jaxsr", "torch"):
        side = built.get(name)
        row[f"{name}_seconds"] = steady.get(name)
        row[f"{name}_images_per_second"] = row["batch"] / steady[name] if side else None
        row[f"{name}_mib"] = side.memory / 2**20 if side and side.memory is not None else None
        row[f"{name}_times"] = times.get(name)
    if "torch" in built:
        row["ratio"] = steady["jaxsr"] / steady["torch"]
        row["difference"] = abs(built["jaxsr"].value / built["torch"].value - 1)
    return row


def machine(other: ModuleType | None, device: str) -> dict[str, str]:
    """The machine and versions in words; nothing that names the machine."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        cpu = found[1] if found else cpu
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    accelerator = jax.devices()[0].device_kind if jax.default_backend() != "cpu" else "none"
    if other:
        torch = f"{other.torch.__version__} on {device}, {other.torch.get_num_threads()} threads"
    else:
        torch = "not compared (missing, or it does not see the accelerator)"
    return {
        "CPU": cpu,
        "cores usable": str(cores()),
        "load average before": load,
        "accelerator": f"{accelerator} (one device used)" if accelerator != "none" else accelerator,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax")},
        "torch": torch,
        "XLA threads": "as many as cores usable, its default",
        "float32": "full on a CPU; TF32 in the matrix units where an accelerator has them, in both builds",
    }


def cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def markdown(report: Mapping[str, Any]) -> str:
    """The table, the machine and what was compared."""

    def cell(value: Any) -> str:
        return "—" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

    heads = [head.format(report["settings"]["torch_memory"]) for head in COLUMNS.values()]
    lines = [heads, ["---"] * len(heads)]
    lines += [[cell(row[name]) for name in COLUMNS] for row in report["rows"]]
    table = [f"| {' | '.join(cells)} |" for cells in lines]
    facts = [f"- {name}: {value}" for name, value in (report["machine"] | report["settings"]).items()]
    return "\n".join([*table, "", "Machine and settings:", "", *facts, "", "What is compared:", "", NOTES, ""])


def save(report: Mapping[str, Any], folder: Path) -> None:
    """results.json and results.md."""
    (folder / "results.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "results.md").write_text(markdown(report))


def parse(words: Sequence[str] | None) -> tuple[Plan, Path]:
    """The plan and the folder of the results; a mistake raises UserError."""

    def fail(message: str) -> None:
        raise UserError(f"{message.rstrip('.')}.")

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.error = fail
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--batch", type=int, help="images a training step (16, the published one; tiny: 2)")
    parser.add_argument("--repeats", type=int, help="timed calls of each build (9; tiny: 2)")
    parser.add_argument("--layer", default="conv3_1", help="deepest layer of VGG19 (conv3_1; published: conv5_4)")
    parser.add_argument("--tiny", action="store_true", help="narrow networks and small images, to see it run")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), help="folder for the results")
    given = parser.parse_args(words)
    convolutions = [name for name in layer_names() if name.startswith("conv")]
    if given.layer not in convolutions:
        fail(f"--layer {given.layer} is not known: it must be one of {', '.join(convolutions)}")
    for name in ("batch", "repeats"):
        if getattr(given, name) is not None and getattr(given, name) < 1:
            fail(f"--{name} must be at least 1, not {getattr(given, name)}")
    batch, repeats, crop, view = (2, 2, 32, 16) if given.tiny else (16, 9, 96, 128)
    plan = Plan(
        cases=tuple(name for name in CASES if name in given.cases),
        batch=given.batch or batch, repeats=given.repeats or repeats, crop=crop, view=view,
        layer=given.layer, widths=(4, 8, 8, 8, 8) if given.tiny else (64, 128, 256, 512, 512), tiny=given.tiny,
    )  # fmt: skip
    try:
        given.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--out {given.out} cannot be made: {error.strerror}")
    return plan, given.out


def torch_build() -> tuple[ModuleType | None, str]:
    """The PyTorch half and its device; None, said aloud, where it cannot be compared on this machine."""
    try:
        other = importlib.import_module("benchmark_torch")
    except ImportError as error:
        print(f"PyTorch is not compared, only the columns of jaxsr are filled: {error}.", flush=True)
        return None, ""
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    if device == "cuda" and not other.torch.cuda.is_available():
        print("PyTorch does not see the accelerator, only the columns of jaxsr are filled.", flush=True)
        return None, ""
    other.prepare(threads=cores())
    return other, device


def run(plan: Plan, folder: Path) -> None:
    """All cases in all float types; the files are written after each row, the table is printed at the end."""
    other, device = torch_build()
    dtypes = ("float32",) if jax.default_backend() == "cpu" else ("float32", "bfloat16")
    settings = plan._asdict() | {"torch_memory": other.memory_kind(device) if other else "not compared"}
    report = {"machine": machine(other, device), "settings": settings, "rows": []}
    todo = [(case, dtype) for case in plan.cases for dtype in dtypes]
    for number, (case, dtype) in enumerate(todo, start=1):
        print(f"[{number}/{len(todo)}] {case} {dtype}: compiling, then {plan.repeats} repeats", flush=True)
        began = time.perf_counter()
        report["rows"].append(measure(case, dtype, plan, other, device))
        jax.clear_caches()
        gc.collect()
        save(report, folder)
        print(f"    took {time.perf_counter() - began:.1f} s", flush=True)
    print(f"\n{markdown(report)}\nWritten: {folder / 'results.json'}, {folder / 'results.md'}")


def main(words: Sequence[str] | None = None) -> None:
    # both builds share one accelerator, and a cached program would have no compile time
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax.config.update("jax_enable_compilation_cache", False)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "scripts")]
    try:
        run(*parse(words))
    except UserError as error:
        sys.exit(f"benchmark: error: {error}")


if __name__ == "__main__":
    main()
