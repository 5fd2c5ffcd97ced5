"""Restores pictures with the weights of a super-resolution network.

    python scripts/restore.py photo.png --weights pretrained:sftnet --out restored
    python scripts/restore.py photos 'scans/**/*.tif' --weights edsr_x2.safetensors --out restored \\
        --format png --memory-mib 4000 --self-ensemble
    python scripts/restore.py a.jpg --weights psnr.pth --interpolate gan.pth --share 0.8 --out restored
    python scripts/restore.py a.jpg --weights agent.npz --tools tools.npz --out restored

INPUT is a file, a folder (searched with the folders in it) or a pattern. PNG, JPEG, WebP, TIFF and
BMP; 16 bits, grey, alpha, the colour profile and the EXIF block are kept where the format can hold
them, and what is lost is said. Each result is there whole or not at all; one that exists is skipped.
A picture that cannot be restored is named in one sentence, and the rest goes on. MP/s counts the
pixels of the inputs. An agent of RL-Restore chooses a chain of --tools for the whole picture by the
votes of its patches, or with --chain regions one for each region.

Exit status: 0 all is there, 1 some pictures failed, 2 nothing was begun (options, weights), 130 Ctrl-C.
"""

import argparse
import functools
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jaxsr import build_chain, build_restorer
from jaxsr.inference import ensemble, jobs, receptive, tiles
from jaxsr.inference.picture_files import NAMES, check_writable, write_picture
from jaxsr.inference.pictures import MAX_MEGAPIXELS, header_size, read_picture
from jaxsr.inference.restorer import Restorer, Run
from jaxsr.inference.restoring import ALPHA, restore_picture
from jaxsr.models.toolchain_agent import SIDE
from jaxsr.terminal import duration, ended, pace, positive, share, speed, status_line, whole
from jaxsr.types import UserError

DONE, SKIPPED, FAILED = "restored", "skipped", "failed"


class Tools(NamedTuple):
    """What restores a picture: the network, how it runs, and what goes around it in each window.

    said: sentences about the picture at hand (the chain of an agent)
    """

    restorer: Restorer
    run: Run
    around: Callable[[Run], Run]
    said: list[str]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("inputs", nargs="+", metavar="INPUT", help="file, folder or pattern")
    made.add_argument(
        "--weights", required=True, help="pretrained:NAME, a run's folder, or a weight file"
    )
    made.add_argument("--out", required=True, type=Path, help="folder to write into")
    made.add_argument(
        "--scale", type=whole(1), help="must be the network's; needed where it takes any"
    )
    made.add_argument(
        "--prior", default=build_restorer.SEGMENTER, help="weights of SFT-Net's segmenter"
    )
    made.add_argument(
        "--name", default=jobs.NAME, help="of a result, without its ending: %(default)s"
    )
    made.add_argument(
        "--format", choices=NAMES, default="", help="of the results; else the input's"
    )
    made.add_argument(
        "--quality", type=whole(1, 100), default=95, help="of JPEG and WebP: %(default)s"
    )
    made.add_argument("--lossless", action="store_true", help="WebP keeps the pixels exactly")
    made.add_argument("--overwrite", action="store_true", help="replace results that exist")
    made.add_argument(
        "--memory-mib", type=whole(1), default=2000, help="for the network: %(default)s"
    )
    made.add_argument(
        "--tile", type=whole(16), default=0, help="longest side of a window, in pixels"
    )
    made.add_argument("--self-ensemble", action="store_true", help="mean over 8 turned pictures")
    made.add_argument(
        "--back-projection", type=whole(0), default=0, metavar="N",
        help="steps that make the reduced result agree with the input",
    )  # fmt: skip
    made.add_argument(
        "--interpolate", default="", metavar="WEIGHTS", help="a second set of weights"
    )
    made.add_argument(
        "--tools",
        nargs="+",
        default=[],
        metavar="WEIGHTS",
        help="of the agent that --weights names",
    )
    made.add_argument(
        "--chain", choices=("majority", "regions"), default="majority",
        help="one for the whole picture, or one for each region: %(default)s",
    )  # fmt: skip
    made.add_argument("--steps", type=whole(1), default=3, help="tools of a chain: %(default)s")
    made.add_argument(
        "--stride", type=whole(1, SIDE), default=32,
        help="pixels from one region to the next: %(default)s",
    )  # fmt: skip
    made.add_argument("--share", type=share, default=0.5, help="of the second set: %(default)s")
    made.add_argument(
        "--alpha", choices=ALPHA, default="bicubic", help="how transparency is enlarged"
    )
    made.add_argument(
        "--premultiplied", action="store_true",
        help="colour is multiplied by transparency before and divided by it after",
    )  # fmt: skip
    made.add_argument(
        "--max-megapixels", type=positive, default=MAX_MEGAPIXELS, help="of an input: %(default)s"
    )
    made.add_argument("--report", type=Path, help="file of JSON lines, one for each picture")
    return made


def load(options: argparse.Namespace) -> Restorer:
    """The network of --weights, or the one between it and --interpolate."""
    if options.tools:
        if options.self_ensemble or options.back_projection or options.interpolate:
            raise UserError(
                "--self-ensemble, --back-projection and --interpolate are not for an agent with its "
                "--tools: leave them out."
            )
        if options.scale not in (None, 1):
            raise UserError(
                f"an agent with its --tools has scale 1: leave out --scale {options.scale}."
            )
        return Restorer("toolchain_agent", 1, 3, None, None, None, {})
    made = functools.partial(build_restorer.restorer, scale=options.scale, prior=options.prior)
    first = made(options.weights)
    if not options.interpolate:
        return first
    return build_restorer.interpolate(first, made(options.interpolate), alpha=options.share)


def tools(options: argparse.Namespace, restorer: Restorer, longest: int) -> Tools:
    """longest: side among the pictures, in pixels; windows need not be larger, nor than --tile."""
    sides = [side for side in (longest, options.tile) if side]
    largest, said = min(sides) if sides else 0, []
    if options.tools:
        chooser = build_chain.chooser(
            options.weights, options.tools, memory_mib=options.memory_mib, largest=largest
        )
        run = build_chain.chain_run(
            chooser,
            mode=options.chain,
            steps=options.steps,
            stride=options.stride,
            told=said.append,
        )
        return Tools(restorer, run, lambda run: run, said)
    steps = options.back_projection
    grid = receptive.structure(restorer).step if options.self_ensemble else 1

    def around(run: Run) -> Run:
        run = ensemble.self_ensemble(run, step=grid) if options.self_ensemble else run
        return ensemble.back_projection(run, restorer, steps=steps) if steps else run

    run = tiles.runner(
        restorer, memory_mib=options.memory_mib, report=lambda text: print(f"  {text}"),
        extra=steps * ensemble.REACH, largest=largest,
    )  # fmt: skip
    return Tools(restorer, run, around, said)


def restore(job: jobs.Job, options: argparse.Namespace, made: Tools) -> dict[str, Any]:
    """Restores one picture; gives its line of the report. UserError where it cannot."""
    began, scale = time.perf_counter(), made.restorer.scale
    made.said.clear()
    picture = read_picture(job.source, max_megapixels=options.max_megapixels)
    height, width = picture.colour.shape[:2]
    # hours of work should not end in a format that cannot hold them
    check_writable(job.target, (scale * height, scale * width), alpha=picture.alpha is not None)
    result = restore_picture(
        picture, made.restorer, made.run, alpha=options.alpha,
        premultiplied=options.premultiplied, around=made.around,
        progress=windows(height * width / 1e6),
    )  # fmt: skip
    lost = write_picture(job.target, result, quality=options.quality, lossless=options.lossless)
    return {
        "width": width, "height": height, "bits": 8 * picture.colour.dtype.itemsize,
        "channels": picture.colour.shape[2], "alpha": picture.alpha is not None,
        "seconds": round(time.perf_counter() - began, 3), "notes": [*picture.notes, *made.said, *lost],
    }  # fmt: skip


def windows(size: float) -> Callable[[int, int], None]:
    """A function for the progress in a picture of `size` megapixels: rate and time left.

    Off a terminal there is a line every 30 seconds, and none of a picture that has ended: its own follows.
    """
    say, shown, began = status_line(every=30), sys.stderr.isatty(), time.monotonic()

    def progress(done: int, total: int) -> None:
        if done < total or shown and total > 1:
            text = pace(size * 1e6 * done / total, time.monotonic() - began, done / total)
            say(f"  window {done}/{total}, {text}", last=done == total)

    return progress


def attempt(job: jobs.Job, options: argparse.Namespace, made: Tools) -> dict[str, Any]:
    """A line of the report, whatever happens to the picture."""
    line: dict[str, Any] = {"input": str(job.source), "output": str(job.target)}
    try:
        if job.target.exists() and not options.overwrite:
            return line | {"status": SKIPPED}
        return line | {"status": DONE} | restore(job, options, made)
    except UserError as error:
        text = str(error)
    except MemoryError:
        text = "no memory is left for it: cut it into parts."
    return line | {
        "status": FAILED,
        "error": text if str(job.source) in text else f"{job.source}: {text}",
    }


def all_lines(
    plan: jobs.Plan, options: argparse.Namespace, made: Tools, sizes: Sequence[float]
) -> Iterator[dict[str, Any]]:
    """The lines of the report, one after the other; says on the terminal how far it is.

    sizes: millions of pixels of each job, 0 where its header says nothing.
    """
    for path, text in plan.problems:
        print(f"restore: error: {text}", file=sys.stderr, flush=True)
        yield {"input": str(path), "output": "", "status": FAILED, "error": text}
    spent = pixels = 0.0
    for index, (job, size) in enumerate(zip(plan.jobs, sizes, strict=True), start=1):
        line, place = attempt(job, options, made), f"[{index}/{len(plan.jobs)}]"
        if line["status"] == FAILED:
            print(f"restore: error: {line['error']}", file=sys.stderr, flush=True)
        elif line["status"] == SKIPPED:
            print(f"{place} {job.target} is there: skipped", flush=True)
        else:
            spent, pixels = spent + line["seconds"], pixels + size
            text = f"{place} {job.source} -> {job.target}: {line['width']}×{line['height']}, "
            text += f"{line['seconds']:.1f} s, {speed(1e6 * size, line['seconds'])}"
            if index < len(plan.jobs) and pixels:
                text += f", {duration(spent / pixels * sum(sizes[index:]))} left"
            print(text, flush=True)
            for note in line["notes"]:
                print(f"  {note}", flush=True)
        yield line


@contextmanager
def report(path: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that writes a line of the report at once, so that Ctrl-C loses none."""
    if path is None:
        yield lambda line: None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--report {path} cannot be written ({error.strerror}).") from error
    with file:
        yield lambda line: print(json.dumps(line, ensure_ascii=False), file=file, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # a damaged file has its one sentence
    counts = dict.fromkeys((DONE, SKIPPED, FAILED), 0)
    began = time.perf_counter()
    try:
        restorer = load(options)
        plan = jobs.plan(
            options.inputs,
            options.out,
            scale=restorer.scale,
            name=options.name,
            kind=options.format,
        )
        sides = [header_size(job.source) for job in plan.jobs]
        sides = [s if s[0] * s[1] <= 1e6 * options.max_megapixels else (0, 0) for s in sides]
        sizes = [
            0.0 if job.target.exists() and not options.overwrite else height * width / 1e6
            for job, (height, width) in zip(plan.jobs, sides, strict=True)
        ]
        made = tools(options, restorer, max((max(each) for each in sides), default=0))
        print(f"{restorer.name} ×{restorer.scale}: pictures {len(plan.jobs)}, {sum(sizes):.3g} MP")
        if plan.others:
            print(f"other files in the folders, left alone: {plan.others}")
        with report(options.report) as write:
            if not all(job.target.exists() for job in plan.jobs):
                jobs.check_folder(options.out)  # not after hours of work
            for line in all_lines(plan, options, made, sizes):
                counts[line["status"]] += 1
                write(line)
    except UserError as error:
        print(f"restore: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nstopped: {counts[DONE]} restored, in {options.out}", file=sys.stderr)
        return 130
    text = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    print(f"{text or 'nothing to restore'}; {duration(time.perf_counter() - began)}")
    return 1 if counts[FAILED] else 0


if __name__ == "__main__":
    sys.exit(ended("restore", main))
