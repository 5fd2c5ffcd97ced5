"""Speed and memory of training and of inference, as ratios to PyTorch on the same machine.

    python scripts/benchmark.py            all cases, minutes on a few cores
    python scripts/benchmark.py --cases sftgan-train --batch 4 --repeats 5 --out benchmarks/mine
    python scripts/benchmark.py --tiny     narrow networks, seconds: does it run

The PyTorch builds are the independent ones of tests/reference; without torch only the columns of
jaxsr are filled. Both builds start from the same weights, take the same batch, and are
called in turns (A B A B …), so that drift of the machine hits both. Writes results.json and
results.md to the folder --out; what is compared, and what differs, is in NOTES of
benchmark_report.py and below every table.

Run it on an idle machine: threads that wait for one another lose far more to other programs in
PyTorch than in XLA. `taskset -c 0` before the command gives both builds one thread.
"""

import argparse
import gc
import importlib
import os
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
from benchmark_inference import VIEWS, our_view
from benchmark_report import cores, load, machine, markdown, save

from jaxsr import build_method
from jaxsr.models.vgg import VGG19, layer_names
from jaxsr.state import State, step_key
from jaxsr.types import Algorithm, UserError

ROOT = Path(__file__).resolve().parent.parent
CASES = ("sftgan-train", "parent-train", *(f"{name}-inference" for name in VIEWS))


class Plan(NamedTuple):
    """What is run: batch and HQ side of training, LR side of inference, VGG19's layer and maps."""

    cases: tuple[str, ...]
    batch: int
    crop: int
    view: int
    layer: str
    widths: tuple[int, ...]
    repeats: int
    tiny: bool


class Side(NamedTuple):
    """One build: a call that waits, its first value, seconds of the first call, bytes or None."""

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
    """Noise images of `side` LR pixels, prior maps, and labels (0, background, is ignored)."""
    rng = np.random.default_rng(0)
    seg = rng.random((count, 4 * side, 4 * side, 8), np.float32)
    return {
        "lq": rng.random((count, side, side, 3), np.float32),
        "hq": rng.random((count, 4 * side, 4 * side, 3), np.float32),
        "seg": seg / seg.sum(-1, keepdims=True),
        "label": rng.integers(1, 8, count).astype(np.int32),
    }


def jaxsr_side(jitted: Any, arguments: tuple[Any, ...], *, training: bool) -> Side:
    """A jitted step `(key, state, batch, frozen)` or network `(variables, images…)`, called twice.

    The step's state is donated, as in the training loop.
    """
    arguments = list(arguments)

    def step() -> dict[str, jax.Array]:
        arguments[1], metrics = jax.block_until_ready(jitted(*arguments))
        return metrics

    def view() -> jax.Array:
        return jax.block_until_ready(jitted(*arguments))

    run = step if training else view
    began = time.perf_counter()
    # compiled here for its analysis; the call finds the same program again
    memory = jitted.lower(*arguments).compile().memory_analysis()
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


def beginning(method: Algorithm, batch: Mapping[str, np.ndarray]) -> State:
    """A state of the algorithm's shapes, random weights; its `init` would take long to compile."""
    abstract = jax.eval_shape(method.init, step_key(0, 0), batch)
    random_like = importlib.import_module("reference.random_trees").random_like
    gains = {"gen": 0.7, "disc": 1.2}  # which keep activations near 1, as trained weights do
    return State(
        step=jnp.zeros([], jnp.int32),
        params={
            name: random_like(tree, seed=1, gain=gains[name])
            for name, tree in abstract.params.items()
        },
        opt=jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), abstract.opt),
        extra=random_like(abstract.extra, seed=2),
    )


def training_sides(
    case: str, dtype: str, plan: Plan, other: ModuleType | None, device: str
) -> dict[str, Side]:
    """{"jaxsr": …, "torch": …} of a training case, from the same weights; without `other` the first."""
    config = plain_config(case, dtype=dtype, tiny=plan.tiny)
    batch = make_batch(plan.batch, plan.crop // 4)
    module = VGG19(layers=(plan.layer,), widths=plan.widths)
    method = build_method.algorithm(
        config, lambda held, images: module.apply(held, images), {plan.layer: 1.0}
    )
    state, frozen = beginning(method, make_batch(1, plan.crop // 4)), {}
    start = {"gen": jax.device_get(state.params["gen"])}
    if case == "sftgan-train":
        trees = importlib.import_module("reference.random_trees")
        vgg = trees.random_like(trees.shapes_of(module, batch["hq"]), seed=3, gain=1.4)
        frozen = {"features": vgg}
        start |= {
            "disc": jax.device_get(state.params["disc"]),
            "stats": jax.device_get(state.extra["batch_stats"]["disc"]),
            "vgg": jax.device_get(vgg["params"]),
        }
    arguments = (step_key(0, 0), state, jax.device_put(batch), frozen)
    made = {"jaxsr": jaxsr_side(jax.jit(method.step, donate_argnums=1), arguments, training=True)}
    if other:
        widths, layer = plan.widths, plan.layer
        made["torch"] = Side(
            *other.side(case, config, start, batch, layer=layer, widths=widths, device=device)
        )
    return made


def inference_sides(
    case: str, dtype: str, plan: Plan, other: ModuleType | None, device: str
) -> dict[str, Side]:
    """{"jaxsr": …, "torch": …} of a network that restores one image."""
    name = case.removesuffix("-inference")
    apply, variables, section, images = our_view(name, dtype=dtype, side=plan.view, tiny=plan.tiny)
    made = {"jaxsr": jaxsr_side(jax.jit(apply), (variables, *images), training=False)}
    if other:
        made["torch"] = Side(*other.view(name, section, variables, images, dtype, device=device))
    return made


def measure(
    case: str, dtype: str, plan: Plan, other: ModuleType | None, device: str
) -> dict[str, Any]:
    """One row: the builds called in turns, medians, ratio, memory."""
    training = case.endswith("train")
    sides = training_sides if training else inference_sides
    built = sides(case, dtype, plan, other, device)
    times = {name: [] for name in built}
    gc.collect()
    for _ in range(plan.repeats):
        for name, side in built.items():
            began = time.perf_counter()
            side.run()
            times[name].append(time.perf_counter() - began)
    steady = {name: statistics.median(held) for name, held in times.items()}
    row = {
        "case": case, "dtype": dtype, "batch": plan.batch if training else 1,
        "pixels": plan.crop if training else 4 * plan.view,
        "compile_seconds": max(built["jaxsr"].first - steady["jaxsr"], 0.0),
        "ratio": None, "difference": None,
    }  # fmt: skip
    for name in ("jaxsr", "torch"):
        side = built.get(name)
        row[f"{name}_seconds"] = steady.get(name)
        rate = row["batch"] / steady[name] if side else None
        row[f"{name}_images_per_second"] = rate
        row[f"{name}_megapixels_per_second"] = rate and rate * row["pixels"] ** 2 / 1e6
        row[f"{name}_mib"] = side.memory / 2**20 if side and side.memory is not None else None
        row[f"{name}_times"] = times.get(name)
    if "torch" in built:
        row["ratio"] = steady["jaxsr"] / steady["torch"]
        row["difference"] = abs(built["jaxsr"].value / built["torch"].value - 1)
    return row


def parse(words: Sequence[str]) -> tuple[Plan, Path]:
    """The plan and the folder of the results; a mistake raises UserError."""

    def fail(message: str) -> None:
        raise UserError(f"{message.rstrip('.')}.")

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.error = fail
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--batch", type=int, help="images a step (16, as published; tiny: 2)")
    parser.add_argument("--repeats", type=int, help="timed calls of each build (9; tiny: 2)")
    parser.add_argument("--layer", default="conv3_1", help="of VGG19 (conv3_1; published: conv5_4)")
    parser.add_argument("--tiny", action="store_true", help="narrow networks, to see it run")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), help="folder to write to")
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
        layer=given.layer, widths=(4, 8, 8, 8, 8) if given.tiny else (64, 128, 256, 512, 512),
        tiny=given.tiny,
    )  # fmt: skip
    try:
        given.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--out {given.out} cannot be made: {error.strerror}")
    return plan, given.out


def torch_build() -> tuple[ModuleType | None, str]:
    """The PyTorch half and its device; None, said aloud, where it cannot be compared here."""
    said = "PyTorch is not compared, only the columns of jaxsr are filled"
    try:
        other = importlib.import_module("benchmark_torch")
    except ImportError as error:
        print(f"{said}: {error}.", flush=True)
        return None, ""
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    if device == "cuda" and not other.torch.cuda.is_available():
        print(f"{said}: it does not see the accelerator.", flush=True)
        return None, ""
    other.prepare(threads=cores())
    return other, device


def run(plan: Plan, folder: Path) -> None:
    """All cases in all float types; the files are written after each row, the table shown last."""
    other, device = torch_build()
    dtypes = ("float32",) if jax.default_backend() == "cpu" else ("float32", "bfloat16")
    kind = other.memory_kind(device) if other else "not compared"
    report = {"machine": machine(other, device), "settings": plan._asdict(), "rows": []}
    if load() > 0.5 * cores():
        print("Other programs are running: the ratios will flatter jaxsr, see --help.", flush=True)
    todo = [(case, dtype) for case in plan.cases for dtype in dtypes]
    for number, (case, dtype) in enumerate(todo, start=1):
        print(f"[{number}/{len(todo)}] {case} {dtype}, {plan.repeats} repeats …", flush=True)
        began = time.perf_counter()
        report["rows"].append(measure(case, dtype, plan, other, device) | {"torch_memory": kind})
        jax.clear_caches()
        gc.collect()
        save(report, folder)
        print(f"    took {time.perf_counter() - began:.1f} s", flush=True)
    print(f"\n{markdown(report)}\nWritten: {folder / 'results.json'}, {folder / 'results.md'}")


def main() -> None:
    # both builds share one accelerator
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    # OpenMP threads that spin at their barriers cost a busy machine 250 times the work itself
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    jax.config.update("jax_enable_compilation_cache", False)  # it would hide the compile time
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    try:
        run(*parse(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"benchmark: error: {error}")


if __name__ == "__main__":
    main()
