"""Compares rules by which a deep prior stops by itself with the peak of its PSNR and with its fixed budget.

    python -m jaxsr.main --config=configs/dip_denoise.py:watched --config.image=a.png,b.png \\
        --config.seeds=0,1,2 --workdir=runs/watched
    python scripts/compare_stopping.py --runs runs/watched --out stopping

Runs are of a preset `watched`: they follow what could stop them at every step, and go on. The rule of
config.stopping is applied to what they wrote: the step of the minimum is kept once it has stood for as many
steps as the patience. Writes stopping.csv (each fit, watch and patience), stopping.md (means) and
stopping.png (PSNR below the peak over the patience).
"""

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxsr import logs
from jaxsr.data.images import write_png
from jaxsr.evaluate import over_runs
from jaxsr.sheets import plot as plotted
from jaxsr.terminal import ended, whole
from jaxsr.types import UserError

WATCHES = ("held_out", "variance")
KINDS = {"output": "psnr", "average": "psnr average"}
Row = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--runs", required=True, nargs="+", type=Path, help="work folders")
    made.add_argument(
        "--start", type=whole(0), default=100, help="first step looked at: %(default)s"
    )
    made.add_argument(
        "--patience", nargs="+", type=whole(1), default=[50, 100, 200, 300, 500], help="%(default)s"
    )
    made.add_argument("--out", required=True, type=Path, help="folder to write into")
    return made


def rule(values: Sequence[float], *, start: int, patience: int) -> tuple[int, int]:
    """The step that `stopping.patient` keeps of a curve, and how many steps are taken until it ends."""
    best, least = start, np.inf
    for step in range(start, len(values)):
        if step - best > patience:
            return best, step
        if values[step] < least:
            best, least = step, values[step]
    return min(best, len(values) - 1), len(values)


def fits(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """{member: {metric: values of all steps}} of a run; UserError where it followed nothing."""
    found = logs.read(path)
    names = [key.removesuffix("/psnr") for key in found if key.endswith("/psnr")]
    made = {}
    for name in names:
        own = {m: found.get(f"{name}/{m}") for m in (*KINDS.values(), *WATCHES)}
        if any(each is None for each in own.values()):
            continue
        steps, _ = own["psnr"]
        if steps != list(range(1, len(steps) + 1)):
            raise UserError(f"{path} did not log each step: run a preset `watched` (log_every 1).")
        made[name] = {metric: np.asarray(values) for metric, (_, values) in own.items()}
    if not made:
        raise UserError(
            f"{path} has no fit with a truth that followed {' and '.join(WATCHES)}: run a preset `watched`."
        )
    return made


def rows(fit: Mapping[str, np.ndarray], *, start: int, patiences: Sequence[int]) -> list[Row]:
    """What each rule keeps of one fit, the fixed budget as «budget»."""
    count = len(fit["psnr"])
    choices = [("budget", "", (count - 1, count))]
    choices += [
        (watch, patience, rule(fit[watch], start=start, patience=patience))
        for watch in WATCHES for patience in patiences
    ]  # fmt: skip
    found = []
    for watch, patience, (kept, taken) in choices:
        row = {"watch": watch, "patience": patience, "kept": kept + 1, "taken": taken}
        for kind, metric in KINDS.items():
            row |= {kind: fit[metric][kept], f"peak of {kind}": fit[metric].max()}
        found.append(row)
    return found


def table(found: Sequence[Row]) -> str:
    """Markdown: a line for each rule, mean ± deviation over fits."""
    lines = [
        "| watch | patience | steps taken | output below its peak, dB | average below its peak, dB |",
        "|---|---:|---:|---:|---:|",
    ]
    for watch, patience in dict.fromkeys((row["watch"], row["patience"]) for row in found):
        own = [r for r in found if (r["watch"], r["patience"]) == (watch, patience)]
        cells = [f"{np.mean([r['taken'] for r in own]):.0f}"]
        for kind in KINDS:
            cells.append(over_runs(below(own, kind)))
        lines.append(f"| {watch} | {patience} | " + " | ".join(cells) + " |")
    count = sum(row["watch"] == "budget" for row in found)
    return "\n".join(
        [*lines, "", f"{count} fits; PSNR of all channels in [0, 1], not rounded.", ""]
    )


def below(found: Sequence[Row], kind: str) -> np.ndarray:
    """How far each row is below the peak of its fit, dB."""
    return np.array([row[f"peak of {kind}"] - row[kind] for row in found])


def plot(found: Sequence[Row]) -> np.ndarray:
    """PSNR below the peak over the patience, a line a watch, the budget dashed; uint8 [h,w,3]."""

    def draw(figure: Any) -> None:
        for axes, kind in zip(figure.subplots(1, len(KINDS), sharey=True), KINDS):
            for place, watch in enumerate(WATCHES):
                own = [row for row in found if row["watch"] == watch]
                at = list(dict.fromkeys(row["patience"] for row in own))
                lost = [below([r for r in own if r["patience"] == p], kind) for p in at]
                axes.errorbar(
                    at, [x.mean() for x in lost], [x.std() for x in lost], color=f"C{place}",
                    marker="o", capsize=3, label=watch,
                )  # fmt: skip
            budget = below([row for row in found if row["watch"] == "budget"], kind).mean()
            axes.axhline(budget, color="0.4", ls="--", label="fixed budget")
            axes.set_title(f"{kind}: dB below its peak", fontsize=10)
            axes.set_xlabel("patience, steps")
            axes.legend(fontsize=8)

    return plotted(draw, (9, 3.6))


def compare(options: argparse.Namespace) -> None:
    """Reads the runs, writes the files, prints the table."""
    found = []
    for path in options.runs:
        for name, fit in fits(path).items():
            made = rows(fit, start=options.start, patiences=options.patience)
            found += [{"run": path.name, "fit": name} | row for row in made]
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "stopping.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    (options.out / "stopping.md").write_text(table(found), encoding="utf-8")
    write_png(options.out / "stopping.png", plot(found))
    logs.say(table(found))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return ended("compare_stopping", lambda: compare(options))
    except UserError as error:
        print(f"compare_stopping: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
