"""Fits Deep Image Prior in PyTorch to what finished runs observed, and puts both results side by side.

    python -m jaxsr.main --config=configs/dip_denoise.py --config.seeds=0,1,2 --workdir=runs/denoise
    python scripts/compare_priors.py --runs runs/denoise --out priors

Needs torch. The PyTorch build is the independent one of tests/reference, with PyTorch's own start and draws,
so that results agree as two seeds do, not to the bit. It repeats runs of the hourglass, and of the ResNet and
the U-Net of figure 8, whose code is noise, a grid or a guide and whose only loss is the data term. Writes
priors.csv (each image, seed and build), priors.md (mean ± deviation over seeds), priors.png, and the fits of
PyTorch: the same command makes those that are missing.
"""

import argparse
import csv
import importlib
import json
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from jaxsr import build_observed, evaluate_priors, logs
from jaxsr.checkpoint import write_text
from jaxsr.data.images import read_image, write_png
from jaxsr.data.observations import Observation
from jaxsr.disk import in_one_move
from jaxsr.evaluate import over_runs
from jaxsr.sheets import Cell, sheet
from jaxsr.terminal import ended
from jaxsr.types import UserError

ROOT = Path(__file__).resolve().parent.parent
REPEATED = ("skip_net", "prior_resnet", "prior_unet")
BUILDS = ("jaxsr", "PyTorch")
KINDS = {"last": "image", "average": "average"}
Row = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--runs", required=True, nargs="+", type=Path, help="work folders")
    made.add_argument("--height", type=int, default=256, help="of the pictures: %(default)s")
    made.add_argument("--out", required=True, type=Path, help="folder to write into")
    return made


def config_of(run: Path) -> dict[str, Any]:
    """The config of a work folder; UserError where PyTorch cannot repeat it."""
    path = run / "config.json"
    if not path.is_file():
        raise UserError(f"{run} is no work folder: it has no config.json.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not a config in JSON any more: restore it.") from error
    if config.get("algorithm") != "deep_prior":
        raise UserError(f"{run} is a run of {config.get('algorithm')}: name runs of deep_prior.")
    gen = config["networks"]["gen"]["name"]
    losses = [each["name"] for each in config["losses"].values()]
    if gen not in REPEATED or losses != ["observed"] or config["task"]["name"] == "composed":
        raise UserError(
            f"{run} fits {gen} with the losses {', '.join(losses)}: PyTorch repeats {', '.join(REPEATED)} "
            "with the data term alone, of tasks that are not composed."
        )
    return config


def theirs(
    other: ModuleType,
    config: Mapping[str, Any],
    observations: Mapping[str, Observation],
    factor: int,
    folder: Path,
) -> dict[tuple[str, int, str], np.ndarray]:
    """{(image, seed, kind): [H,W,c]} of PyTorch; from `folder` what it made of the same config before."""
    found, written = {}, json.dumps(config, sort_keys=True)
    for name, seen in observations.items():
        for seed in config["seeds"] or [config["seed"]]:
            path = folder / f"{name}_{seed}.npz"
            made = kept(path, written)
            if not made:
                began = time.monotonic()
                made = other.fit(config, seen, seed=seed, factor=factor)
                took = logs.duration(time.monotonic() - began)
                logs.say(f"{name}, seed {seed}: PyTorch took {took}")
                with in_one_move(path) as part, part.open("wb") as file:
                    np.savez(file, config=np.array(written), **made)
            found |= {(name, seed, kind): made[key] for kind, key in KINDS.items()}
    return found


def kept(path: Path, config: str) -> dict[str, np.ndarray]:
    """The fit in a file, if there is one and it is of this config; UserError for a damaged file."""
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as held:
            found = {name: held[name] for name in held.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is damaged: remove it, and the same command makes that fit again."
        ) from error
    return found if str(found.pop("config", "")) == config else {}


def ours(
    run: Path, names: Sequence[str], seeds: Sequence[int]
) -> dict[tuple[str, int, str], np.ndarray]:
    """The same of a run, from its pictures of 8 bits; UserError where it has not ended."""
    found = {}
    for name in names:
        for seed in seeds:
            for kind in KINDS:
                path = run / "evaluation" / f"result_{name}_{seed}_{kind}.png"
                if not path.is_file():
                    raise UserError(f"{path} is missing: run the same command of {run} to its end.")
                found[name, seed, kind] = read_image(path).astype(np.float32) / 255
    return found


def rows(
    run: str, builds: Mapping[str, Mapping[tuple[str, int, str], np.ndarray]],
    observations: Mapping[str, Observation],
) -> list[Row]:  # fmt: skip
    """One row for each image, build, seed and kind, with its scores."""
    made = []
    for build, images in builds.items():
        for (name, seed, kind), image in images.items():
            truth = observations[name]
            scores = evaluate_priors.scores(image[..., : truth["lq"].shape[-1]], truth)
            made.append(
                {"run": run, "image": name, "build": build, "seed": seed, "kind": kind} | scores
            )
    return made


def table(found: Sequence[Row]) -> str:
    """Markdown: a line for each run, image and kind, mean ± deviation over seeds in dB."""
    lines = ["| run | image | result | measure | jaxsr | PyTorch |", "|---|---|---|---|---:|---:|"]
    for run, name, kind in dict.fromkeys((r["run"], r["image"], r["kind"]) for r in found):
        own = [r for r in found if (r["run"], r["image"], r["kind"]) == (run, name, kind)]
        for key in (key for key in own[0] if key.startswith("psnr")):
            cells = [over_runs([r[key] for r in own if r["build"] == build]) for build in BUILDS]
            lines.append(f"| {run} | {name} | {kind} | {key} | " + " | ".join(cells) + " |")
    return "\n".join(
        [*lines, "", evaluate_priors.PROTOCOL + "; jaxsr from pictures of 8 bits.", ""]
    )


def compare(options: argparse.Namespace) -> None:
    """Fits, writes the files, prints the table."""
    sys.path[:0] = [str(ROOT / "tests")]
    try:
        other = importlib.import_module("reference.prior_torch")
    except ImportError as error:
        raise UserError(f"PyTorch is not here ({error}): pip install torch.") from error
    found, lines = [], []
    for run in options.runs:
        config = config_of(run)
        operator, factor = build_observed.operator_of(config["task"])
        observations = build_observed.observed(config, operator)
        seeds = config["seeds"] or [config["seed"]]
        builds = {"jaxsr": ours(run, list(observations), seeds)}
        fits = options.out / "fits" / run.name
        builds["PyTorch"] = theirs(other, config, observations, factor, fits)
        found += rows(run.name, builds, observations)
        for name, seen in observations.items():
            cells = [Cell(evaluate_priors.picture(seen["lq"]), f"{name}: observed")]
            for build, images in builds.items():
                image = images[name, seeds[0], "average"][..., : seen["lq"].shape[-1]]
                text = evaluate_priors.caption(f"{build}, average", image, seen)
                cells.append(Cell(evaluate_priors.picture(image), text))
            if "hq" in seen:
                cells.append(Cell(evaluate_priors.picture(seen["hq"]), "truth"))
            lines.append(cells)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "priors.csv").open("w", newline="", encoding="utf-8") as file:
        names = list(dict.fromkeys(key for row in found for key in row))
        writer = csv.DictWriter(file, fieldnames=names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    write_text(options.out / "priors.md", table(found))
    write_png(options.out / "priors.png", sheet(lines, height=options.height))
    logs.say(table(found))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return ended("compare_priors", lambda: compare(options))
    except UserError as error:
        print(f"compare_priors: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
