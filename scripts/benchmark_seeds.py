"""Seconds of a step of several seeds in one program, against as many steps of one seed.

    python scripts/benchmark_seeds.py                          minutes on a few cores
    python scripts/benchmark_seeds.py --configs sftnet_psnr --seeds 2 --preset tiny

Every placement that the devices here allow (config.placement), of every config, called in turns with the
single run (A B A B …). On a CPU, `XLA_FLAGS=--xla_force_host_platform_device_count=4` makes devices to try it
on, which share the cores. Writes seeds.json and seeds.md to --out.
"""

import argparse
import contextlib
import json
import runpy
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from benchmark_report import machine

from jaxsr import build, devices, train
from jaxsr.checkpoint import write_text
from jaxsr.state import step_key
from jaxsr.terminal import whole
from jaxsr.train import Experiment
from jaxsr.types import UserError

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ("sftnet_psnr", "sftnet", "rl_restore_a2c")
PLACEMENTS = ("unrolled", "mapped", "sharded")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--configs", nargs="+", default=list(CONFIGS), help="of configs/")
    made.add_argument("--preset", default="", help="of these configs")
    made.add_argument("--seeds", nargs="+", type=whole(1), default=[2, 4], help="how many at once")
    made.add_argument("--repeats", type=whole(1), default=5)
    made.add_argument("--out", type=Path, default=Path("benchmarks"), help="folder to write to")
    return made


def experiment(name: str, preset: str, count: int, placement: str) -> Experiment:
    """The experiment of a config with `count` seeds; with 0 the single run."""
    path = ROOT / "configs" / f"{name}.py"
    if not path.is_file():
        raise UserError(f"there is no config {path}: --configs takes names of configs/.")
    try:
        config = runpy.run_path(str(path))["get_config"](preset)
    except ValueError as error:
        raise UserError(str(error)) from error
    with config.unlocked():
        config.seeds, config.placement = tuple(range(count)), placement
    return build.experiment(config)


def stepping(made: Experiment) -> Callable[[], None]:
    """A function that takes one step of an experiment and waits for it; compiled already."""
    with contextlib.closing(train.batches(made, 0)) as batches:
        batch = devices.put(next(batches), made.place)
    held = [train.shapes(made)[1]()]
    frozen = jax.device_put(made.frozen, made.place.everywhere)
    step = jax.jit(
        made.algorithm.step, donate_argnums=1, out_shardings=made.place.everywhere
    )  # as in train.take_steps

    def call() -> None:
        held[0], metrics = step(step_key(made.seed, 0), held[0], batch, frozen)
        jax.block_until_ready((held[0], metrics))

    call()
    return call


def in_turns(calls: Sequence[Callable[[], None]], repeats: int) -> list[float]:
    """The median seconds of each of the calls, which take turns."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, own in zip(calls, seconds, strict=True):
            began = time.perf_counter()
            call()
            own.append(time.perf_counter() - began)
    return [statistics.median(own) for own in seconds]


def rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for every config, number of seeds and placement."""
    found = []
    for name in options.configs:
        single = stepping(experiment(name, options.preset, 0, "auto"))
        for count in options.seeds:
            for placement in PLACEMENTS:
                print(f"{name}, {count} seeds, {placement} …", flush=True)
                try:
                    several = stepping(experiment(name, options.preset, count, placement))
                except UserError as error:  # devices that the seeds cannot be split over
                    print(error, flush=True)
                    continue
                alone, together = in_turns((single, several), options.repeats)
                found.append({
                    "config": name, "seeds": count, "placement": placement, "seconds": together,
                    "single_seconds": alone, "ratio": together / (count * alone),
                })  # fmt: skip
    return found


def markdown(report: dict[str, Any]) -> str:
    """The table, with the machine above."""
    lines = [f"{name}: {value}  " for name, value in report["machine"].items()]
    lines += [
        "",
        "| config | seeds | placement | s a step of all | s a step of one | all / (seeds × one) |",
    ]
    lines.append("|---|---:|---|---:|---:|---:|")
    lines += [
        f"| {row['config']} | {row['seeds']} | {row['placement']} | {row['seconds']:.3f} | "
        f"{row['single_seconds']:.3f} | {row['ratio']:.2f} |"
        for row in report["rows"]
    ]
    kind = f"preset «{report['preset']}» of each config"
    note = f"{report['devices']} device(s), {kind}; medians of calls in turns."
    return "\n".join([*lines, "", note, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        report = {
            "machine": machine(None, jax.default_backend()), "devices": jax.device_count(),
            "preset": options.preset, "rows": rows(options),
        }  # fmt: skip
        options.out.mkdir(parents=True, exist_ok=True)
        write_text(options.out / "seeds.json", json.dumps(report, indent=1) + "\n")
        write_text(options.out / "seeds.md", markdown(report))
    except (UserError, OSError) as error:
        print(f"benchmark_seeds: error: {error}", file=sys.stderr)
        return 2
    print(markdown(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
