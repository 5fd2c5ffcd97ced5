"""How fast batches come from a folder and from record files, as a ratio in the same run.

    python scripts/benchmark_data.py                           300 sub-images of 480 pixels, minutes
    python scripts/benchmark_data.py --images 12 --batches 2   seconds: does it run

The images are parts of the photographs inside the scikit-image wheel, written as PNGs, each with a prior map
of 8 classes; then the same as records, in four files, with PNGs of level 1 and of level 0 (not compressed).
Nothing is kept in memory, as with a data set that is
larger than it. All sources give the same batches (checked), in turns (A B C A B C …), so that drift of the
machine hits all. Writes data.json and data.md to the folder --out.
"""

import argparse
import contextlib
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_report import machine

from jaxsr.data.images import write_png
from jaxsr.data.items import IDENTITY
from jaxsr.data.pipeline import batches, iterate
from jaxsr.data.record_files import parts, write_part
from jaxsr.data.records import records
from jaxsr.data.scenes import scenes
from jaxsr.data.sources import load, photographs
from jaxsr.data.transforms import Transform, crop, sft_sample
from jaxsr.terminal import whole
from jaxsr.types import UserError

SIDE, SHARDS, BATCH = 480, 4, 16
PHOTOGRAPHS = (
    "retina",
    "ihc",
    "hubble_deep_field",
    "astronaut",
    "motorcycle_left",
    "motorcycle_right",
)
# name -> (with maps, the transform)
CASES: dict[str, tuple[bool, Callable[[], Transform]]] = {
    "image alone, crop 96": (False, lambda: crop(size=96)),
    "image and map, SFT-GAN's sample": (True, lambda: sft_sample(size=96)),
}
SOURCES = ("folder", "records", "records, level 0")
COLUMNS = {
    "case": "case", "disk": "files", "source": "source", "ready": "s to the first batch", "rate": "images/s",
    "ratio": "of the folder's", "spread": "in the rounds", "cpu": "CPU ms an image",
    "cpu_ratio": "of the folder's",
}  # fmt: skip
NOTES = """\
- warm: the files are in the memory of the system; cold: they were dropped from it before each round
  (posix_fadvise), as far as the system obeys.
- s to the first batch: listing, decoding all images once for their hashes (the folder) or reading the
  list of records, then one batch.
- The PNGs of the folder are of level 6, as large as those of level 1: what the files of records change is in
  the row «records»; what level 0 gains beyond it is the PNGs' own, and a folder of such PNGs has it too.
- images/s: batches after the first, two threads. The ratio is the median of the ratios of the rounds.
- CPU: of the process, which other programs on the machine change less. It decodes the PNG of 480×480 for
  the most part, whatever holds it; reading ahead makes some of it fall outside the timed batches."""


def make(place: Path, count: int) -> None:
    """`img` and `maps` of `count` images, and records of the same without and with maps."""
    rng = np.random.default_rng(0)
    pictures = [sample["hq"] for sample in load(photographs(names=PHOTOGRAPHS))]
    for index in range(count):
        image = pictures[index % len(pictures)]
        y, x = (rng.integers(0, n - SIDE + 1) for n in image.shape[:2])
        name = f"{index:04d}"
        write_png(place / "img" / f"{name}.png", image[y : y + SIDE, x : x + SIDE])
        # smooth in places and sure in others, as those of a segmenter
        logits = 4 * rng.standard_normal((SIDE // 16, SIDE // 16, 8)).repeat(16, 0).repeat(16, 1)
        power = np.exp(logits)
        (place / "maps").mkdir(exist_ok=True)
        held = np.round(255 * power / power.sum(-1, keepdims=True)).astype(np.uint8)
        np.save(place / "maps" / f"{name}.npy", held)
    for maps in (False, True):
        items = scenes(place / "img", maps=place / "maps" if maps else "", categories="")
        for source, level in zip(SOURCES[1:], (1, 0), strict=True):
            for part in parts(items, set_of(place, source, maps), shards=min(SHARDS, count)):
                write_part(part, IDENTITY, level=level, overwrite=False, tick=lambda pixels: None)


def set_of(place: Path, source: str, maps: bool) -> Path:
    """The folder of a set of records."""
    return place / (source + (" with maps" if maps else ""))


def forget(place: Path) -> None:
    """Asks the system to drop the files below a folder from its memory."""
    for path in (path for path in place.rglob("*") if path.is_file()):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def timed(source: Callable[[], Any], transform: Transform, count: int) -> dict[str, Any]:
    """Seconds to the first batch, images a second and CPU time of one after it, and the first batch."""
    began = time.perf_counter()
    dataset = batches([(source(), 1)], seed=0, batch_size=BATCH, transform=transform)
    with contextlib.closing(iterate(dataset)) as stream:
        first = next(stream)
        ready, used = time.perf_counter(), time.process_time()
        for _ in range(count):
            next(stream)
        done, used = time.perf_counter(), time.process_time() - used
    images = count * BATCH
    return {
        "ready": ready - began, "rate": images / (done - ready), "cpu": 1e3 * used / images,
        "first": first,
    }  # fmt: skip


def rows(place: Path, case: str, *, cold: bool, count: int, rounds: int) -> list[dict[str, Any]]:
    """All sources in turns; UserError where their batches differ."""
    maps, transform = CASES[case]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SOURCES}
    for _ in range(rounds):
        for name in SOURCES:
            if cold:
                forget(place)
            read = functools.partial(samples, place, name, maps)
            found[name].append(timed(read, transform(), count))
    first = found["folder"][0]["first"]
    for name in SOURCES[1:]:
        if any(not np.array_equal(found[name][0]["first"][key], first[key]) for key in first):
            raise UserError(f"{case}: the folder and {name} gave different batches.")
    made = []
    for name in SOURCES:
        ratios, cpu = (
            [a[what] / b[what] for a, b in zip(found[name], found["folder"], strict=True)]
            for what in ("rate", "cpu")
        )
        median = {
            what: statistics.median(each[what] for each in found[name])
            for what in ("ready", "rate", "cpu")
        }
        made.append({
            "case": case, "disk": "cold" if cold else "warm", "source": name, **median,
            "ratio": statistics.median(ratios), "spread": f"{min(ratios):.2f} to {max(ratios):.2f}",
            "cpu_ratio": statistics.median(cpu),
        })  # fmt: skip
    return made


def samples(place: Path, source: str, maps: bool) -> Any:
    """The samples of a source, none of them in memory."""
    if source != "folder":
        return records(set_of(place, source, maps), cache_mib=0)
    items = scenes(place / "img", maps=place / "maps" if maps else "", categories="")
    return load(items, cache_mib=0)


def markdown(report: dict[str, Any]) -> str:
    def cell(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = [list(COLUMNS.values()), ["---"] * len(COLUMNS)]
    lines += [[cell(each[name]) for name in COLUMNS] for each in report["rows"]]
    facts = report["machine"] | report["settings"]
    return "\n".join([
        *(f"| {' | '.join(cells)} |" for cells in lines), "",
        *(f"- {name}: {value}" for name, value in facts.items()), "", NOTES, "",
    ])  # fmt: skip


def sizes(place: Path) -> Iterator[tuple[str, str]]:
    """What the folders hold, in words."""
    for folder in sorted(place.iterdir()):
        files = [path for path in folder.iterdir() if path.is_file()]
        yield (
            folder.name,
            f"{len(files)} files, {sum(p.stat().st_size for p in files) / 2**20:.0f} MiB",
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=whole(1), default=300)
    parser.add_argument("--batches", type=whole(1), default=20, help="timed in each round")
    parser.add_argument("--rounds", type=whole(1), default=3)
    parser.add_argument(
        "--disk", default=None, help="folder to put the files in; else the system's"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), help="folder to write to")
    options = parser.parse_args(arguments)
    disks = (False, True) if hasattr(os, "posix_fadvise") else (False,)
    before = machine(None, "")
    try:
        with tempfile.TemporaryDirectory(dir=options.disk) as name:
            place = Path(name)
            make(place, options.images)
            made = [
                row
                for case in CASES
                for cold in disks
                for row in rows(
                    place, case, cold=cold, count=options.batches, rounds=options.rounds
                )
            ]
            settings = dict(sizes(place))
    except UserError as error:
        sys.exit(f"benchmark_data: error: {error}")
    settings |= {"batch": BATCH, "batches": options.batches, "rounds": options.rounds}
    facts = {key: before[key] for key in ("CPU", "usable cores", "load average before", "python")}
    report = {"rows": made, "settings": settings, "machine": facts}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "data.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.out / "data.md").write_text(markdown(report))
    print(markdown(report))


if __name__ == "__main__":
    main()
