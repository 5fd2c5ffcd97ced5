"""Writes a folder of images, with what goes with them, into few ArrayRecord files.

    python scripts/write_records.py OST/img --maps OST/bicseg --categories ost --out ost --shards 16
    python scripts/write_records.py DIV2K_train_HR --lq DIV2K_train_LR_bicubic/X4 --scale 4 --out div2k
    python scripts/write_records.py msrc_v2/images --labels msrc_v2/labels --class-table msrc_v2 --out msrc

A config reads them by a source {"kind": "records", "path": "ost"} under data.train or data.test, with the
same samples in the same order as from the folder: images as PNG whatever they were, label maps as outdoor
classes, prior maps as uint8. One file takes the place of thousands, which is what network disks and object
stores want; the first step does not wait until all images were decoded once.

A file is there whole or not at all. One that is there for the same images (names, sizes, times) is kept, so
an interrupted command goes on where it was; with few --shards there is more to do again.

Exit status: 0 all is there, 1 some images could not be read (each is named, the rest is there), 2 for a
mistake or what does not fit (what was written stays), 130 Ctrl-C.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxsr.data.items import IDENTITY, Item
from jaxsr.data.pairs import pairs
from jaxsr.data.record_files import parts, write_part
from jaxsr.data.scenes import scenes
from jaxsr.data.sources import labelled
from jaxsr.data.tables import read_class_table
from jaxsr.inference.jobs import check_folder
from jaxsr.terminal import duration, ended, pace, status_line, whole
from jaxsr.types import UserError


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    # fmt: off
    made.add_argument("images", metavar="FOLDER", help="of the images, searched at any depth")
    made.add_argument("--out", required=True, type=Path, help="folder to write the records into")
    made.add_argument("--shards", type=whole(1), default=1, metavar="N", help="files: %(default)s")
    made.add_argument("--maps", default="", help="folder of prior maps or annotations, see make_maps.py")
    made.add_argument("--categories", default="", metavar="TABLE",
                      help="words in the paths that name a category: «ost» or a CSV file")
    made.add_argument("--labels", default="", help="folder of label maps")
    made.add_argument("--class-table", default="", metavar="TABLE", help="of the label maps")
    made.add_argument("--lq", default="", help="folder of low resolutions")
    made.add_argument("--scale", type=whole(1), help="of the low resolutions")
    made.add_argument("--include", default="", metavar="LIST", help="file of the only stems to take")
    made.add_argument("--exclude", default="", metavar="LIST", help="file of stems to leave out")
    made.add_argument("--level", type=whole(0, 9), default=0,
                      help="of the PNGs' compression; 1 is smaller and read slower: %(default)s")
    made.add_argument("--overwrite", action="store_true", help="write files anew that are there")
    # fmt: on
    return made


def items(options: argparse.Namespace) -> tuple[Item, ...]:
    """What the flags name; UserError where they do not go together."""
    lists = {"include": options.include, "exclude": options.exclude}
    kinds = {
        "--maps or --categories": options.maps or options.categories,
        "--labels": options.labels,
        "--lq": options.lq,
    }
    given = [name for name, value in kinds.items() if value]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} are different sources: name one of them.")
    if bool(options.lq) != (options.scale is not None):
        raise UserError("--lq and --scale go together: name both or none.")
    if options.class_table and not options.labels:
        raise UserError("--class-table is for --labels: name them too.")
    if options.lq:
        return pairs(options.images, options.lq, scale=options.scale, **lists)
    if options.labels:
        return labelled(options.images, options.labels, **lists)
    return scenes(options.images, maps=options.maps, categories=options.categories, **lists)


def progress(total: int) -> Callable[[int], None]:
    """A function to call with the pixels of each image that is written: rate and time left."""
    say, began, done, pixels = status_line(), time.monotonic(), 0, 0

    def tick(more: int) -> None:
        nonlocal done, pixels
        done, pixels = done + 1, pixels + more
        text = pace(pixels, time.monotonic() - began, done / total)
        say(f"{done} of {total} images, {text}", last=done == total)

    return tick


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    began, counts, failed = time.monotonic(), {"written": 0, "kept": 0}, 0
    try:
        found = items(options)
        table = read_class_table(options.class_table) if options.class_table else IDENTITY
        files = parts(found, options.out, shards=options.shards)
        check_folder(options.out)
        others = sorted({
            path.name for path in options.out.glob("records-*-of-*.array_record")
        } - {part.path.name for part in files})  # fmt: skip
        if others:
            raise UserError(f"{options.out} holds other records, {others[0]}: remove them first.")
        tick = progress(len(found))
        for part in files:
            made = write_part(
                part, table, level=options.level, overwrite=options.overwrite, tick=tick
            )
            counts["kept" if made.kept else "written"] += made.count
            failed += len(made.broken)
            for text in made.broken:
                print(f"write_records: error: {text}", file=sys.stderr, flush=True)
            size = part.path.stat().st_size / 2**20
            print(
                f"{part.path}: {made.count} images, {size:.1f} MiB{', kept' * made.kept}",
                flush=True,
            )
    except UserError as error:
        print(f"write_records: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on after the last whole file.", file=sys.stderr)
        return 130
    text = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    text += f", {failed} left out" if failed else ""
    print(f"{text}; {duration(time.monotonic() - began)}, in {options.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(ended("write_records", main))
