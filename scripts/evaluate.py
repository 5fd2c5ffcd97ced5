"""Evaluates networks on benchmark sets, beside bicubic, nearest and the reported figures.

    python scripts/evaluate.py --weights pretrained:sftnet_psnr --sets Set5 Set14 --root DIR --scales 4

Writes into --out: results.csv (a row for each image and method, as they come), results.md (the table that
is also printed), results.json, and for each set and scale a PNG sheet with the worst and the best image.
Without --weights only bicubic and nearest are evaluated. MP/s counts the pixels of all results, those of
bicubic and nearest too.

Exit status: 0, 1 when something could not be read or restored (the rest is there), 2 for a mistake in the
command, 130 when interrupted (what was done is there).
"""

import argparse
import functools
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from jaxsr import benchmark_tables as tables
from jaxsr import benchmarks, protocols, reported
from jaxsr.build_metrics import Metric, lpips, niqe
from jaxsr.build_restorer import restorer
from jaxsr.data import benchmarks as sets
from jaxsr.inference import receptive
from jaxsr.inference.ensemble import self_ensemble
from jaxsr.inference.restorer import Restorer
from jaxsr.inference.tiles import runner
from jaxsr.protocols import Protocol
from jaxsr.terminal import ended, pace, positive, status_line, whole
from jaxsr.types import UserError


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    kinds = "\n".join(f"  {protocols.describe(each)}" for each in protocols.PROTOCOLS.values())
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"protocols:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add, one = parser.add_argument, whole(1)
    # fmt: off
    add("--weights", nargs="+", default=[], metavar="W",
        help="run folders, pretrained:NAME, files of ours, or released ones as they are")
    add("--method", nargs="+", default=[], metavar="NAME",
        help="names for the tables, one for each of the weights; reported figures are found by it")
    add("--sets", nargs="+", default=["Set5"], metavar="SET",
        help=f"{', '.join(sets.SETS)}, or folders of your own below --root (Set5)")
    add("--root", type=Path, default=Path("."), help="the folder that holds the sets: %(default)s")
    add("--scales", nargs="+", type=one, default=[], metavar="S",
        help="the networks' own by default, 4 without any")
    add("--protocol", default="classic", metavar="NAME",
        help="how LR is made and scored, as listed below: %(default)s")
    add("--border", default="", choices=["clamp", "mirror"],
        help="rule of the bicubic resize; the protocol's by default")
    add("--lr", default="auto", choices=sets.LR_MODES,
        help="low resolutions from files, made, or (auto) files where they are complete")
    add("--lr-folder", default="", help="name of the LR folder of a set, e.g. LR_SelfExSR")
    add("--self-ensemble", action="store_true", help="mean of the eight flips and turns («+»)")
    add("--memory-mib", type=positive, default=2048.0,
        help="that a network may use for a window: %(default)s")
    add("--lpips", nargs="+", default=[], metavar="FILE",
        help="weights for LPIPS: one file with all, or those of the trunk and of the heads")
    add("--lpips-net", default="alex", choices=["alex", "squeeze", "vgg"], help="%(default)s")
    add("--lpips-version", default="v0.1", choices=["v0.1", "v0.0"], help="%(default)s")
    add("--niqe", default="", metavar="FILE",
        help="pristine model for NIQE: niqe_pris_params.npz or modelparameters.mat")
    add("--out", type=Path, default=Path("evaluation"), help="folder of the results: %(default)s")
    add("--overwrite", action="store_true", help="replace results that are there")
    add("--shown", type=one, default=5, help="images on a sheet: %(default)s")
    add("--height", type=one, default=240,
        help="of the pictures on a sheet, in pixels: %(default)s")
    # fmt: on
    return parser.parse_args(arguments)


def load(
    sources: Sequence[str], given: Sequence[str], scales: Sequence[int]
) -> list[tuple[str, str, Restorer]]:
    """(name in the table, name for reported figures, restorer) of all weights at the scales they have.

    Without scales each network has its own. Raises UserError where one fits none of the scales.
    """
    if given and len(given) != len(sources):
        raise UserError(
            f"{len(given)} names for {len(sources)} weights: give one --method for each."
        )
    found, used = [], set(benchmarks.BASELINES)
    for index, source in enumerate(sources):
        held, refused = [], []
        for scale in scales or [None]:
            try:
                held.append(restorer(source, scale=scale))
            except UserError as error:
                refused.append(error)
        if not held:
            raise refused[0]
        for error in refused:
            say(f"passed over: {error}")
        name = given[index] if given else Path(source.removeprefix("pretrained:")).stem
        name = name if name not in used else f"{name}-{index + 1}"
        used.add(name)
        found += [(name, given[index] if given else each.name, each) for each in held]
    return found


def longest(pairs: Iterable[sets.Pair]) -> int:
    """The longest side of all truths, 0 without one."""
    return max((side for pair in pairs for side in sets.size(pair.hq)), default=0)


def prepare(
    flags: argparse.Namespace, protocol: Protocol
) -> tuple[list[benchmarks.Task], dict[str, str]]:
    """The tasks, and {name in the table: name for reported figures}."""
    networks = load(flags.weights, flags.method, flags.scales)
    chosen, figures = list(dict.fromkeys(map(sets.canonical, flags.sets))), reported.read()
    scales = flags.scales or list(dict.fromkeys(each.scale for _, _, each in networks)) or [4]
    mode = flags.lr
    if not benchmarks.takes_files(protocol):
        if mode == "files":
            raise UserError(
                f"protocol {protocol.name} makes its LR without rounding, so files cannot hold it: leave "
                "--lr away, or choose classic or B."
            )
        mode = "make"
    once = functools.cache(say)
    wanted = [(dataset, scale) for scale in dict.fromkeys(scales) for dataset in chosen]
    pairs = {
        (dataset, scale): sets.find(
            flags.root, dataset, scale, lr=mode, folder=flags.lr_folder, report=once
        )
        for dataset, scale in wanted
    }
    names, methods, plus = {}, {}, "+" if flags.self_ensemble else ""
    for name, known, network in networks:
        own = [pair for (_, s), found in pairs.items() if s == network.scale for pair in found]
        largest = math.ceil(longest(own) / network.scale)
        run = runner(network, memory_mib=flags.memory_mib, largest=largest)
        if flags.self_ensemble:
            run = self_ensemble(run, prior=network.prior, step=receptive.structure(network).step)
        method = benchmarks.method(name + plus, network, run, protocol)
        methods.setdefault(network.scale, []).append(method)
        asked = {"scale": network.scale, "metric": "psnr", "protocol": protocol.name}
        asked |= {"method": known + plus}
        printed = any(reported.find(figures, dataset=dataset, **asked) for dataset in chosen)
        if not flags.method and printed and name + plus not in names:
            say(f"{name}: reported figures are those of {known + plus!r}; --method names another.")
        names[name + plus] = known + plus
    tasks = [
        benchmarks.Task(dataset, scale, pairs[dataset, scale],
                        [*benchmarks.baselines(protocol, scale), *methods.get(scale, [])])
        for dataset, scale in wanted
    ]  # fmt: skip
    return tasks, names


def further(flags: argparse.Namespace, protocol: Protocol) -> list[Metric]:
    """The perceptual metrics that the flags name weights for."""
    found = []
    if flags.lpips:
        if protocol.luma_only:
            raise UserError(
                f"LPIPS needs colour, and {protocol.name} restores the luminance alone."
            )
        if len(flags.lpips) > 2:
            raise UserError("--lpips takes a file, or those of the trunk and of the heads.")
        trunk, heads = [*flags.lpips, ""][:2]
        found.append(lpips(trunk, heads=heads, net=flags.lpips_net, version=flags.lpips_version))
    if flags.niqe:
        found.append(niqe(flags.niqe))
    return found


def progress(tasks: Iterable[benchmarks.Task]) -> Callable[[benchmarks.Task, int], None]:
    """A function to call with a task and the index of its image that is done: rate and time left."""
    work = {
        (task.dataset, task.scale): [
            math.prod(sets.size(pair.hq)) * len(task.methods) for pair in task.pairs
        ]
        for task in tasks
    }
    total, say, began, pixels = sum(map(sum, work.values())), status_line(), time.monotonic(), 0

    def done(task: benchmarks.Task, index: int) -> None:
        nonlocal pixels
        own = work[task.dataset, task.scale]
        pixels += own[index]
        text = pace(pixels, time.monotonic() - began, pixels / total)
        head = f"{task.dataset} x{task.scale}: {index + 1} of {len(own)} images"
        say(f"{head}, {text}", last=index + 1 == len(own))

    return done


def sheet_paths(folder: Path, pages: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Path]:
    """The file for the sheet of each (set, scale); sets whose folders have one name are numbered."""
    found: dict[tuple[str, int], Path] = {}
    for dataset, scale in pages:
        stem, count = Path(dataset).name.strip(".") or "set", 1
        path = folder / f"{stem}_x{scale}.png"
        while path in found.values():
            count += 1
            path = folder / f"{stem}-{count}_x{scale}.png"
        found[dataset, scale] = path
    return found


def evaluate(
    flags: argparse.Namespace,
    protocol: Protocol,
    tasks: Sequence[benchmarks.Task],
    names: Mapping[str, str],
    metrics: Sequence[Metric],
) -> int:
    """Runs the tasks, writes everything, prints the table; the exit status."""
    rows, failures, pictures, complete = [], [], {}, True
    tick = progress(tasks)
    with tables.row_writer(flags.out / "results.csv", benchmarks.columns(metrics)) as write:
        try:
            for task in tasks:
                outcomes = benchmarks.evaluate(task, protocol=protocol, metrics=metrics)
                for index, outcome in enumerate(outcomes):
                    for row in outcome.rows:
                        write(row)
                    rows += outcome.rows
                    for failure in outcome.failures:
                        failures.append(f"{task.dataset} x{task.scale} {failure}")
                        say(f"evaluate: error: {failures[-1]}")
                    if outcome.picture:
                        pictures.setdefault((task.dataset, task.scale), []).append(outcome.picture)
                    tick(task, index)
        except KeyboardInterrupt:
            complete = False
            say("\ninterrupted: what was done is written.")
    summaries = tables.summarise(rows, names=names, figures=reported.read())
    tables.write_results(
        flags.out, rows=rows, summaries=summaries, protocol=protocol, metrics=metrics,
        failures=failures, complete=complete,
    )  # fmt: skip
    print(tables.markdown(summaries, protocol, metrics))
    for page, path in sheet_paths(flags.out, pictures).items():
        shown = tables.write_sheet(path, pictures[page], shown=flags.shown, height=flags.height)
        print(f"{path}: {', '.join(shown)}")
    print(f"{flags.out / 'results.csv'}: {len(rows)} rows")
    if failures:
        say(
            f"evaluate: error: {len(failures)} failed, named above and in {flags.out / 'results.json'}."
        )
    return 130 if not complete else 1 if failures else 0


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parse(arguments)
    try:
        protocol = protocols.find(flags.protocol, border=flags.border)
        held = flags.out / "results.csv"
        # the header alone is what an interrupted start leaves
        if held.is_file() and held.read_bytes().count(b"\n") > 1 and not flags.overwrite:
            raise UserError(
                f"{flags.out} holds results: name another folder with --out, or --overwrite."
            )
        metrics = further(flags, protocol)
        tasks, names = prepare(flags, protocol)
        return evaluate(flags, protocol, tasks, names, metrics)
    except UserError as error:
        say(f"evaluate: error: {error}")
        return 2
    except KeyboardInterrupt:
        say("\ninterrupted before anything was restored.")
        return 130
    except BrokenPipeError:
        raise
    except OSError as error:
        say(f"evaluate: error: {flags.out} cannot be written ({error.strerror or error}).")
        return 2


if __name__ == "__main__":
    sys.exit(ended("evaluate", main))
