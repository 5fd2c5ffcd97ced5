"""Seconds and memory of a step of Deep Image Prior, beside PyTorch, and of several fits at once.

    python scripts/benchmark_priors.py             minutes on a few cores
    python scripts/benchmark_priors.py --tiny      narrow networks: does it run

Rows: the bare network on 128×128 pixels and the published one on 512×512, with everything stored, with the
scales computed again for the gradient, the bare one with four steps in one call, and on an accelerator in
bfloat16; then 1, 2, 4 and 8 fits at once on 64×64 pixels, unrolled and mapped. The PyTorch step is that of
tests/reference, from the same weights, in turns with ours (A B A B …), eight steps of the bare network and
one of the published in each. Writes priors.json and priors.md to --out.
"""

import argparse
import functools
import gc
import importlib
import json
import os
import runpy
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from benchmark_report import cores, machine

from jaxsr import build_prior, memory
from jaxsr.algorithms import wrap
from jaxsr.checkpoint import write_text
from jaxsr.state import step_key
from jaxsr.train import steps_in_turn
from jaxsr.types import Algorithm, Batch, UserError

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"bare": 128, "paper": 512}
TURN = {"bare": 8, "paper": 1}  # steps of one side before those of the other
COUNTS = (1, 2, 4, 8)
DISPATCHED = 4


def config_of(preset: str, **changes: Any) -> dict[str, Any]:
    """configs/dip_denoise.py as plain values; changes: of networks.gen, and `precision`."""
    found = runpy.run_path(str(ROOT / "configs" / "dip_denoise.py"))
    config = found["get_config"](preset).to_dict()
    config["precision"] = changes.pop("precision", "float32")
    config["networks"]["gen"] |= changes
    return config


def observation(side: int) -> Batch:
    """A grey ramp with noise, float32 [1,side,side,3] in [0, 1]."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0.2, 0.8, side, dtype=np.float32)[:, None, None]
    noise = 0.1 * rng.standard_normal((side, side, 3), np.float32)
    return {"lq": jnp.asarray((ramp + noise).clip(0, 1)[None])}


def stepping(
    algorithm: Algorithm, batch: Batch, *, turn: int = 1, times: int = 1
) -> tuple[Callable[[], Any], Any, int]:
    """(a call that takes the steps of a turn and waits, the state before, bytes of the program).

    times: steps in one program, as `train.take_steps` compiles them
    """
    state = jax.jit(algorithm.init)(step_key(0, 0), batch)
    start = jax.device_get(state)
    jitted = jax.jit(functools.partial(steps_in_turn, algorithm.step), donate_argnums=1)
    keys, batches = [step_key(0, number) for number in range(times)], [batch] * times
    program = jitted.lower(keys, state, batches, {}).compile()
    held = [state]

    def call() -> None:
        for _ in range(turn // times):
            held[0], *_ = program(keys, held[0], batches, {})
        jax.block_until_ready(held[0])

    return call, start, memory.needed(program)


def in_turns(sides: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each side, called one after the other; the first round warms up."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    gc.collect()
    for number in range(repeats + 1):
        for side, call in sides.items():
            began = time.perf_counter()
            call()
            if number:
                times[side].append(time.perf_counter() - began)
    return {side: statistics.median(each) for side, each in times.items()}


def torch_side(
    other: ModuleType, tools: ModuleType, config: Mapping[str, Any], start: Any, batch: Batch, device: str,
    *, turn: int,
) -> tuple[Callable[[], Any], int | None]:  # fmt: skip
    """(a turn of PyTorch steps from the same weights, its bytes: see `benchmark_torch.memory_kind`)."""
    before = tools.resident_bytes()
    net = other.load(
        other.Skip(config["networks"]["gen"], config["code"]["channels"]), start.params["gen"]
    ).to(device)
    z, target = (other.nchw(np.array(x[0])).to(device) for x in (start.extra["code"], batch["lq"]))
    mover = other.torch.optim.Adam(net.parameters(), lr=0.01)
    mask, sigma = other.torch.ones(1, device=device), config["noise"]["peak"]
    step = other.step_of(net, z, target, mask, mover, lambda image: image, sigma)
    call, _, _, bytes_ = tools.timed(step, before, device)
    return lambda: [call() for _ in range(turn)], bytes_


def forms(preset: str, side: int, tiny: bool) -> dict[str, tuple[dict[str, Any], int]]:
    """{name: (config, steps in a call)} of the rows of one size."""
    narrow = {"down": (4, 4), "up": (4, 4), "skip": (2, 2)} if tiny else {}
    narrow |= (
        {"down_sizes": (3,) * 2, "up_sizes": (3,) * 2, "enlarge": ("bilinear",) * 2} if tiny else {}
    )
    found = {
        "stored": (config_of(preset, **narrow), 1),
        "scales computed again": (config_of(preset, **narrow, remat=True), 1),
    }
    if not preset:
        found[f"{DISPATCHED} steps a call"] = (config_of(preset, **narrow), DISPATCHED)
    if jax.default_backend() != "cpu":
        found["bfloat16"] = (config_of(preset, **narrow, precision="bfloat16"), 1)
    return found


def single_rows(
    other: ModuleType | None, tools: ModuleType | None, *, tiny: bool, repeats: int, device: str
) -> list[dict[str, Any]]:
    """One fit: seconds a step, beside PyTorch, and memory."""
    found = []
    for preset, full in SIZES.items():
        side = 16 if tiny else full
        for label, (config, times) in forms("" if preset == "bare" else preset, side, tiny).items():
            print(f"{preset}, {label} …", flush=True)
            algorithm, _ = build_prior.method(config, lambda image: image, 1)
            batch = observation(side)
            turn = TURN[preset]
            call, start, need = stepping(algorithm, batch, turn=turn, times=times)
            sides, theirs = {"jaxsr": call}, None
            if other is not None:
                sides["torch"], theirs = torch_side(
                    other, tools, config, start, batch, device, turn=turn
                )
            seconds = {side: each / turn for side, each in in_turns(sides, repeats).items()}
            mine = seconds["jaxsr"]
            found.append({
                "network": preset, "side": side, "form": label, "jaxsr_seconds": mine,
                "torch_seconds": seconds.get("torch"),
                "ratio": mine / seconds["torch"] if "torch" in seconds else None,
                "jaxsr_mib": need / 2**20, "torch_mib": theirs and theirs / 2**20,
            })  # fmt: skip
            del call, sides
    return found


def many_rows(*, tiny: bool, repeats: int) -> list[dict[str, Any]]:
    """Several fits of the bare network: seconds of a step of all of them."""
    side = 16 if tiny else 64
    config, _ = forms("", side, tiny)["stored"]
    single, _ = build_prior.method(config, lambda image: image, 1)
    batch, found = observation(side), []
    for label, placed in (("unrolled", wrap.unrolled), ("mapped", wrap.mapped)):
        for count in COUNTS[:2] if tiny else COUNTS:
            print(f"{count} fits, {label} …", flush=True)
            members = [wrap.Member(f"{seed}", seed, lambda batch: batch) for seed in range(count)]
            made = wrap.several(single, members=members, placed=placed)
            call, _, need = stepping(made, batch)
            seconds = in_turns({"jaxsr": call}, repeats)["jaxsr"]
            found.append({
                "fits": count, "side": side, "placement": label, "seconds": seconds,
                "seconds_each": seconds / count, "mib": need / 2**20,
            })  # fmt: skip
    return found


def markdown(report: dict[str, Any]) -> str:
    """Both tables, with the machine above."""

    def shown(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    lines = [f"{name}: {value}  " for name, value in report["machine"].items()]
    lines += [
        "",
        "| network | form | jaxsr s/step | PyTorch s/step | jaxsr/PyTorch | jaxsr MiB | PyTorch MiB |",
    ]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for row in report["single"]:
        lines.append(
            f"| {row['network']}, {row['side']}² | {row['form']} | {row['jaxsr_seconds']:.3f} | "
            f"{shown(row['torch_seconds'], 3)} | {shown(row['ratio'], 2)} | {row['jaxsr_mib']:.0f} | "
            f"{shown(row['torch_mib'], 0)} |"
        )
    lines += ["", "| fits at once | placement | s for a step of all | s for each | MiB |"]
    lines.append("|---:|---|---:|---:|---:|")
    for row in report["many"]:
        lines.append(
            f"| {row['fits']} | {row['placement']} | {row['seconds']:.3f} | {row['seconds_each']:.3f} | "
            f"{row['mib']:.0f} |"
        )
    note = (
        "One step: forward, gradient and Adam of the denoising fit. jaxsr MiB: arguments, results and "
        f"temporary arrays of the compiled program; PyTorch MiB: {report['memory']}. Several fits: the bare "
        f"network on {report['many'][0]['side']}² pixels."
    )
    return "\n".join([*lines, "", note, ""])


def main() -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    jax.config.update("jax_enable_compilation_cache", False)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="narrow networks on 16×16 pixels")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), help="folder to write to")
    given = parser.parse_args()
    other = tools = None
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    try:
        other = importlib.import_module("reference.prior_torch")
        tools = importlib.import_module("benchmark_torch")
        if device == "cuda" and not other.torch.cuda.is_available():
            raise ImportError("PyTorch does not see the accelerator")
        tools.prepare(threads=cores())
    except ImportError as error:
        print(f"PyTorch is not compared: {error}.", flush=True)
        other = None
    repeats = 1 if given.tiny else 3
    try:
        report = {
            "machine": machine(other, device),
            "memory": tools.memory_kind(device) if other else "not measured",
            "single": single_rows(other, tools, tiny=given.tiny, repeats=repeats, device=device),
            "many": many_rows(tiny=given.tiny, repeats=repeats),
        }
        given.out.mkdir(parents=True, exist_ok=True)
        write_text(given.out / "priors.json", json.dumps(report, indent=1) + "\n")
        write_text(given.out / "priors.md", markdown(report))
    except (UserError, OSError) as error:
        sys.exit(f"benchmark_priors: error: {error}")
    print(markdown(report))


if __name__ == "__main__":
    main()
