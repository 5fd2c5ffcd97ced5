"""Several seeds of one experiment in one program, evaluated each by itself and together."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxsr import evaluate, logs
from jaxsr.algorithms import wrap
from jaxsr.devices import Placement, placement
from jaxsr.sections import pick
from jaxsr.sheets import plot
from jaxsr.state import State
from jaxsr.train import Experiment
from jaxsr.types import Batch, Tree, UserError

Row = dict[str, Any]
Predict = Callable[[Batch], Tree]


def several(experiment: Experiment, seeds: Sequence[int], placement: str) -> Experiment:
    """The experiment with every seed at once, each run by what it would see and draw alone.

    Its state, and so its checkpoints, are {seed: that of the single run}. Every visit evaluates each seed
    into its own folder `seed_<s>`, and writes the scores of all (step_<n>.csv), their mean ± deviation
    (.md) and their course over the steps (.png); the best checkpoint is that of the best mean.
    placement: «auto», «sharded», «unrolled» or «mapped», see `placing`
    """
    split = bool(experiment.place.batch.spec)
    placed, place = placing(placement, len(distinct(seeds)), alike=True, split=split)
    members = [wrap.Member(str(seed), seed, part_of(str(seed))) for seed in seeds]

    def batches(seed: int, start: int, share: tuple[int, int]) -> Iterator[dict[str, np.ndarray]]:
        del seed
        with contextlib.ExitStack() as stack:
            held = {
                m.name: stack.enter_context(
                    contextlib.closing(experiment.batches(m.seed, start, share))
                )
                for m in members
            }
            while True:
                drawn = {name: next(each) for name, each in held.items()}
                yield {f"{n}/{key}": x for n, batch in drawn.items() for key, x in batch.items()}

    def evaluated(predict: Predict, step: int, folder: Path) -> tuple[dict[str, float], np.ndarray]:
        rows: list[Row] = []
        pages = []
        for m in members:
            own = folder / f"seed_{m.name}"
            means, page = experiment.evaluate(alone(predict, m.name), step, own)
            rows.append({"seed": m.seed} | means)
            pages.append(page)
        return summary(rows, step, folder), pages[0]

    def ended(state: State) -> bool:
        return all(experiment.ended(wrap.own(state, m)) for m in members)

    later = [
        {f"{m.name}/{key}": x for m in members for key, x in batch.items()}
        for batch in experiment.later
    ]
    return experiment._replace(
        later=later,
        algorithm=wrap.several(experiment.algorithm, members=members, placed=placed),
        batches=batches,
        evaluate=evaluated,
        ended=ended,
        smaller=lambda share: f"{experiment.smaller(share)}, or take fewer seeds at once",
        place=place,
    )


def distinct(seeds: Sequence[int]) -> Sequence[int]:
    """The seeds as they are; UserError where one is there twice."""
    if len(set(seeds)) < len(seeds):
        raise UserError(f"config.seeds {tuple(seeds)} has a seed twice: name each once.")
    return seeds


def placing(name: str, count: int, *, alike: bool, split: bool) -> tuple[wrap.Placed, Placement]:
    """How `count` runs share the devices, and where arrays live then.

    sharded:  the devices in as many groups as divide both numbers, as many runs in each; the devices of a
              group split a batch
    unrolled: one after the other in one program, every run on all devices; the only one for runs whose
              shapes differ (not `alike`)
    mapped:   all at once by vmap: convolutions become grouped ones
    auto:     sharded where that makes several groups, else unrolled
    split:    whether the batch of a run is split over devices
    Measured on two CPU cores: 4 seeds of the bare denoising net on 64×64 pixels 0.040 s a step unrolled,
    0.069 mapped; 2 seeds of the bare configs/sftnet_psnr.py 1.44 s and 6.37, one alone 0.89.
    Raises UserError for another name, and for runs that cannot be placed so.
    """
    devices = jax.device_count()
    groups = math.gcd(count, devices)
    if name == "auto":
        name = "sharded" if alike and groups > 1 else "unrolled"
    place = placement(seeds=groups if name == "sharded" else 1, split=split)
    kinds = {
        "auto": None, "mapped": wrap.mapped, "sharded": wrap.sharded(place.batch.mesh),
        "unrolled": wrap.unrolled,
    }  # fmt: skip
    placed = pick(kinds, name, "placement")
    if name != "unrolled" and not alike or name == "sharded" and groups == 1 < devices:
        raise UserError(
            f"config.placement is {name!r}, but {count} runs of {'one size' if alike else 'several sizes'} "
            f"cannot be split over {devices} devices alike: take 'unrolled'."
        )
    return placed, place


def part_of(name: str) -> Callable[[Batch], Batch]:
    """What one run sees of a batch whose keys are «run/key»."""
    start = f"{name}/"
    return lambda batch: {k.removeprefix(start): v for k, v in batch.items() if k.startswith(start)}


def alone(predict: Predict, name: str) -> Predict:
    """The `predict` of one of several runs, as its single run has it."""
    return lambda batch: predict({f"{name}/{key}": x for key, x in batch.items()})[name]


def summary(rows: Sequence[Row], step: int, folder: Path) -> dict[str, float]:
    """Writes the scores of a visit, and their course over the run; gives their means over seeds.

    rows: {"seed": …, score: value}, one a seed, which are among the means as «seed/score»
    """
    scores = [name for name in rows[0] if name != "seed"]
    lines = ["| seed | " + " | ".join(scores) + " |", "|---|" + "---:|" * len(scores)]
    for row in rows:
        lines.append(f"| {row['seed']} | " + " | ".join(f"{row[s]:.4f}" for s in scores) + " |")
    means = {s: float(np.mean([row[s] for row in rows])) for s in scores}
    cells = [evaluate.over_runs([row[s] for row in rows], digits=4) for s in scores]
    lines += [f"| mean of {len(rows)} | " + " | ".join(cells) + " |", ""]
    lines += [
        "± is the standard deviation over seeds (n - 1). Tables and sheets of each: seed_<s>/.",
        "",
    ]
    found = means | {f"{row['seed']}/{s}": float(row[s]) for row in rows for s in scores}
    series = logs.read(folder.parent)
    for name, value in found.items():  # this visit is not in the log yet
        steps, values = series.setdefault(f"evaluation/{name}", ([], []))
        steps.append(step)
        values.append(value)
    page = curves(series, [str(row["seed"]) for row in rows], scores)
    evaluate.write(folder, step, rows=rows, table="\n".join(lines), page=page)
    return found


def curves(series: logs.Series, seeds: Sequence[str], scores: Sequence[str]) -> np.ndarray:
    """A panel for each loss and score over the steps: every seed, their mean, ± a deviation; [h,w,3].

    series: of `logs.read`; losses are those called `loss` or `loss/…` in the totals of a run
    """
    losses = [name for name in ("loss", "loss/gen", "loss/disc") if f"{seeds[0]}/{name}" in series]
    panels = [("", name) for name in losses] + [("evaluation/", name) for name in scores]
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)

    def draw(figure: Any) -> None:
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, (kind, name) in zip(grid, panels):
            runs = [series[f"{kind}{seed}/{name}"] for seed in seeds]
            for seed, (steps, values) in zip(seeds, runs, strict=True):
                axes.plot(steps, values, lw=0.9, alpha=0.7, marker=".", ms=3, label=f"seed {seed}")
            held = np.array([values for _, values in runs])
            mean = held.mean(0)
            axes.plot(runs[0][0], mean, color="k", lw=1.6, label="mean")
            if len(seeds) > 1:
                spread = held.std(0, ddof=1)
                axes.fill_between(runs[0][0], mean - spread, mean + spread, color="k", alpha=0.12)
            axes.set_title(name, fontsize=10)
            axes.set_xlabel("step")
            axes.grid(alpha=0.3)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        figure.axes[0].legend(fontsize=7)

    return plot(draw, (4.2 * columns, 3.4 * lines))
