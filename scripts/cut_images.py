"""Cuts the images of a folder into squares, so that a crop does not decode a whole photograph.

    python scripts/cut_images.py DIV2K_train_HR --out DIV2K_train_HR_sub

0001.png becomes 0001_s001.png, 0001_s002.png, … row by row: squares of --size pixels whose corners are
--stride apart; what is left over at the right and below gets squares of its own, flush with the border,
where it is more than --least pixels (the defaults are those of XPixelGroup/BasicSR 0f96b2e,
codes/scripts/extract_subimgs_single.py). An image smaller than the square is named and left out.

A square is there whole or not at all; an image whose last one is there is skipped, so an interrupted command
goes on where it was. Exit status: 0, 1 some images were left out, 2 nothing was begun, 130 Ctrl-C.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jaxsr.data.images import read_image, write_png
from jaxsr.data.sources import Item, folder
from jaxsr.inference.jobs import check_folder
from jaxsr.terminal import duration, ended, status_line, whole
from jaxsr.types import UserError


def starts(length: int, size: int, stride: int, least: int) -> list[int]:
    """Where the squares begin along a side of `length` pixels, at least `size`."""
    found = list(range(0, length - size + 1, stride))
    if length - (found[-1] + size) > least:
        found.append(length - size)
    return found


def cut(item: Item, options: argparse.Namespace) -> int:
    """Writes the squares of an image and gives their number, 0 where they are there; UserError as named."""
    image = read_image(item.image)
    if min(image.shape[:2]) < options.size:
        raise UserError(
            f"{item.image} is {image.shape[1]}x{image.shape[0]} pixels, smaller than {options.size}."
        )
    corners = list(
        itertools.product(
            *(starts(n, options.size, options.stride, options.least) for n in image.shape[:2])
        )
    )
    paths = [options.out / f"{item.name}_s{k:03d}.png" for k in range(1, len(corners) + 1)]
    if paths[-1].exists() and not options.overwrite:
        return 0
    for path, (y, x) in zip(paths, corners, strict=True):
        write_png(path, np.ascontiguousarray(image[y : y + options.size, x : x + options.size]))
    return len(corners)


def outcomes(items: Sequence[Item], options: argparse.Namespace) -> Iterator[int | UserError]:
    """`cut` of all images in their order, in threads."""

    def attempt(item: Item) -> int | UserError:
        try:
            return cut(item, options)
        except UserError as error:
            return error

    with ThreadPoolExecutor() as pool:
        for at in range(0, len(items), 16):  # so that Ctrl-C waits for few
            yield from pool.map(attempt, items[at : at + 16])


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    # fmt: off
    made.add_argument("images", metavar="FOLDER", help="of the images, searched at any depth")
    made.add_argument("--out", required=True, type=Path, help="folder to write the squares into")
    made.add_argument("--size", type=whole(1), default=480, help="pixels a side: %(default)s")
    made.add_argument("--stride", type=whole(1), default=240, help="pixels: %(default)s")
    made.add_argument("--least", type=whole(0), default=48, help="pixels: %(default)s")
    made.add_argument("--overwrite", action="store_true", help="write squares anew that are there")
    # fmt: on
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    made = failed = skipped = 0
    began, say = time.monotonic(), status_line()
    try:
        if options.out.resolve().is_relative_to(Path(options.images).resolve()):
            raise UserError(f"--out {options.out} is in the folder of the images: name another.")
        items = folder(options.images)
        check_folder(options.out)
        for done, result in enumerate(outcomes(items, options), start=1):
            if isinstance(result, UserError):
                failed += 1
                print(f"cut_images: error: {result}", file=sys.stderr, flush=True)
            else:
                made, skipped = made + result, skipped + (result == 0)
            left = duration((time.monotonic() - began) / done * (len(items) - done))
            say(f"{done} of {len(items)} images, {left} left", last=done == len(items))
    except UserError as error:
        print(f"cut_images: error: {error}", file=sys.stderr)
        return 2
    text = f"{made} squares of {len(items) - failed - skipped} images"
    text += f", {skipped} images skipped" if skipped else ""
    text += f", {failed} left out" if failed else ""
    print(f"{text}; {duration(time.monotonic() - began)}, in {options.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(ended("cut_images", main))
