"""Compares the ways to condition SFT-GAN's generator on the prior, trained alike over several seeds.

    python scripts/compare_conditioning.py --out conditioning
    python scripts/compare_conditioning.py --preset shipped,msrc --data-root DATA --out conditioning

trains every condition with every seed by configs/sftnet.py, from one parent, with the same data, losses,
discriminator and budget, each in an ordinary work folder under OUT/runs: the same command goes on after a
kill, and adds conditions and seeds to those that are there. Then it writes conditioning.csv (every image of
every run), conditioning.md (mean ± deviation over seeds, and the budget), curves.png and sheet.png.
"""

import argparse
import csv
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxsr import build, build_images, build_restorer, checkpoint, logs, plane, train
from jaxsr.data.images import write_png
from jaxsr.disk import in_one_move
from jaxsr.evaluate import over_runs, spread, to_uint8
from jaxsr.inference import tiles
from jaxsr.outdoor import paint
from jaxsr.sheets import Cell, plot, sheet
from jaxsr.terminal import ended, whole
from jaxsr.types import UserError

CONDITIONS = ("sft", "film", "concat", "compositional", "compositional_joined")
METHODS = {name: "sftnet" if name == "sft" else f"sftnet_{name}" for name in CONDITIONS}
SEVERAL = 0.15  # share of the prior from which a class counts; two such make an image of several
CONFIG = Path(__file__).parent.parent / "configs" / "sftnet.py"
Row = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--preset", default="", help="of configs/sftnet.py, for example shipped,msrc")
    made.add_argument("--data-root", default="", help="folder of the preset's data sets")
    made.add_argument("--seeds", nargs="+", type=whole(0), default=[0, 1, 2])
    made.add_argument("--conditions", nargs="+", default=list(CONDITIONS[:4]), choices=CONDITIONS)
    made.add_argument(
        "--steps",
        type=whole(1),
        default=0,
        help="of each run, instead of the preset's; scored at least four times",
    )
    made.add_argument("--shown", type=whole(1), default=5, help="images on the sheet: %(default)s")
    made.add_argument("--out", required=True, type=Path, help="folder to write into")
    return made


def config_of(options: argparse.Namespace, condition: str, seed: int) -> Any:
    """The config of one run; UserError for a preset that there is not."""
    words = options.preset if condition == "sft" else f"{options.preset},{condition}"
    try:
        config = runpy.run_path(str(CONFIG))["get_config"](words)
    except ValueError as error:
        raise UserError(str(error)) from error
    with config.unlocked():
        config.seed = seed
        if options.data_root:
            config.data.root = options.data_root
        if options.steps:
            config.train.steps = options.steps
            config.train.eval_every = min(config.train.eval_every, max(1, options.steps // 4))
    return config


def run_all(options: argparse.Namespace) -> dict[str, list[Path]]:
    """Trains what is not trained yet; {condition: work folders in the order of the seeds}."""
    folders = {
        name: [options.out / "runs" / f"{name}_{seed}" for seed in options.seeds]
        for name in options.conditions
    }
    for place, seed in enumerate(options.seeds):
        for name in options.conditions:
            folder, config = folders[name][place], config_of(options, name, seed)
            if (folder / "evaluation" / f"step_{config.train.steps:08d}.md").exists():
                checkpoint.check_config(folder, config.to_dict())  # refuses another budget
                continue
            logs.say(f"{name}, seed {seed}: {folder}")
            state = train.train(build.experiment(config), folder)
            if int(state.step) < config.train.steps:
                raise UserError(f"stopped in {folder}: run the same command to go on.")
    return folders


def classes_of(pair: Mapping[str, Any]) -> int:
    """How many classes have a share of the prior map that counts."""
    return int((pair["seg"].mean((0, 1)) >= SEVERAL).sum())


def collected(
    folders: Mapping[str, Sequence[Path]], pairs: Sequence[Mapping[str, Any]]
) -> list[Row]:
    """A row for every image of every run, and once for the baselines, with the image's classes."""
    classes = {pair["name"]: classes_of(pair) for pair in pairs}
    found: list[Row] = []
    for name, each in folders.items():
        for folder in each:
            for row in plane.read_rows(folder):
                own = row["method"] == METHODS[name]
                if own or (name, folder) == (next(iter(folders)), each[0]):
                    scores = {
                        key: float(value)
                        for key, value in row.items()
                        if key not in ("image", "method", "protocol", "set", "scale")
                    }
                    head = {
                        "method": name if own else row["method"],
                        "run": folder.name if own else "",
                    }
                    found.append(
                        head | {"image": row["image"], "classes": classes[row["image"]]} | scores
                    )
    return found


def over_seeds(rows: Sequence[Row], method: str, score: str, several: bool) -> str:
    """Mean ± deviation over the runs of a method of its mean over images; nothing without an image."""
    own = [r for r in rows if r["method"] == method and (r["classes"] > 1 or not several)]
    runs = dict.fromkeys(r["run"] for r in own)
    return over_runs(
        [np.mean([r[score] for r in own if r["run"] == run]) for run in runs], digits=4
    )


def table(
    rows: Sequence[Row], folders: Mapping[str, Sequence[Path]], config: Mapping[str, Any]
) -> str:
    """Markdown: a line for each method, with parameters and cost, and the budget under it."""
    scores = [key for key in rows[0] if key not in ("method", "run", "image", "classes")]
    columns = [(s, False) for s in scores] + [(s, True) for s in scores[-1:]]
    heads = [f"{s}, several classes" if several else s for s, several in columns]
    lines = ["| condition | parameters | runs | " + " | ".join(heads) + " | s a step |"]
    lines.append("|---|---:|---:|" + "---:|" * (len(heads) + 1))
    for method in dict.fromkeys(row["method"] for row in rows):
        runs = folders.get(method, ())
        cells = [over_seeds(rows, method, score, several) for score, several in columns]
        size = f"{parameters(runs[0]):,}" if runs else ""
        paces = [logs.read(folder)["seconds_per_step"][1] for folder in runs]
        seconds = [np.median(each[1:] or each) for each in paces]  # the first holds the compilation
        pace = f"{np.mean(seconds):.2f}" if runs else ""
        lines.append(
            f"| {method} | {size} | {len(runs) or ''} | " + " | ".join(cells) + f" | {pace} |"
        )
    images = {row["image"]: row["classes"] for row in rows}
    source = config["networks"]["gen"]["parent"] or "random weights"
    note = (
        f"Budget of each run: {config['train']['steps']} steps of batch {config['data']['batch']}, crops of "
        f"{config['data']['transform']['size']}, from {source}"
        f". {len(images)} images, {sum(n > 1 for n in images.values())} of several classes (two of at least "
        f"{SEVERAL:.0%} of the prior). Protocol: {config['evaluation']['protocol']}. ± over seeds (n - 1)."
    )
    return "\n".join([*lines, "", note, ""])


def parameters(folder: Path) -> int:
    """Number of parameters of a run's generator."""
    return sum(leaf.size for leaf in jax.tree.leaves(checkpoint.load_run(folder)[0]["params"]))


def curves(folders: Mapping[str, Sequence[Path]], names: Sequence[str]) -> np.ndarray:
    """A panel for each metric over the steps, a colour for each condition, a thin line for each run."""

    def draw(figure: Any) -> None:
        for axes, metric in zip(
            figure.subplots(1, len(names), squeeze=False)[0], names, strict=True
        ):
            for place, (name, runs) in enumerate(folders.items()):
                for number, folder in enumerate(runs):
                    label = f"{name} ({len(runs)} runs)" if number == 0 else None
                    style = dict(color=f"C{place}", lw=1.2, alpha=0.8, marker=".", label=label)
                    axes.plot(*logs.read(folder)[metric], **style)
            axes.set_xlabel("steps of training")
            axes.set_title(metric, fontsize=10)
            axes.grid(alpha=0.3)
        figure.axes[0].legend(fontsize=8)

    return plot(draw, (5.6 * len(names), 4.4))


def page(
    folders: Mapping[str, Sequence[Path]], pairs: Sequence[Mapping[str, Any]], rows: Sequence[Row],
    parent: str, shown: int,
) -> np.ndarray:  # fmt: skip
    """A row for each shown image: LR, parent, the first run of every condition, truth, prior map."""
    sources = {"parent": parent} if parent else {}
    sources |= {name: str(runs[0]) for name, runs in folders.items()}
    score = {(r["method"], r["image"]): r["psnr"] for r in rows[::-1]}  # the first run stays
    several = [pair for pair in pairs if classes_of(pair) > 1] or list(pairs)
    chosen = [several[index] for index in spread(len(several), shown)]
    lines = [[Cell(to_uint8(pair["lq"]), f"{pair['name']}: LR")] for pair in chosen]
    for name, source in sources.items():
        made = build_restorer.restorer(source)
        run = tiles.whole(made)
        for line, pair in zip(lines, chosen, strict=True):
            image = to_uint8(run(pair["lq"], *([] if made.prior is None else [pair["seg"]])))
            known = score.get((name, pair["name"]))
            line.append(Cell(image, name if known is None else f"{name} {known:.2f} dB"))
    for line, pair in zip(lines, chosen, strict=True):
        line += [Cell(pair["hq"], "ground truth"), Cell(paint(pair["seg"]), "prior map")]
    return sheet(lines, height=chosen[0]["hq"].shape[0])


def compare(options: argparse.Namespace) -> None:
    config = config_of(options, "sft", options.seeds[0]).to_dict()
    folders = run_all(options)
    maps = build.segmenter(config["prior"])
    pairs = [
        build_images.pair(sample, config["evaluation"]["pair"], scale=config["scale"])
        for name in config["data"]["test"]
        for sample in build.samples(config["data"], "test", name, maps)
    ]
    rows = collected(folders, pairs)
    with in_one_move(options.out / "conditioning.csv") as part, part.open("w", newline="") as out:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    text = table(rows, folders, config)
    checkpoint.write_text(options.out / "conditioning.md", text)
    print(text)
    distance = config["evaluation"]["distance"]
    drawn = curves(folders, ("loss/perceptual", f"evaluation/{distance}", "evaluation/psnr_y"))
    write_png(options.out / "curves.png", drawn)
    parent = config["networks"]["gen"]["parent"]
    write_png(options.out / "sheet.png", page(folders, pairs, rows, parent, options.shown))
    for name in ("conditioning.md", "curves.png", "sheet.png"):
        print(options.out / name)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return ended("compare_conditioning", lambda: compare(options))
    except UserError as error:
        print(f"compare_conditioning: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
