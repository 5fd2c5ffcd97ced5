"""Makes the maps of class probabilities, SFT-GAN's prior, for a folder of images.

    python scripts/make_maps.py OST/train/img --out OST/train/bicseg
    python scripts/make_maps.py photos --weights segmentation_OST_bic.pth --out maps --pictures seen

One .npy [height, width, 8] for each image, in the same sub-folders, in the order background, sky, water,
grass, mountain, building, plant, animal: uint8 (255 times the probability) or float16. The segmenter sees
the image cut at the top left to multiples of 8, reduced and enlarged again by 4 (bicubic), as in SFT-GAN,
in windows where it is large; so images of any size from 8 pixels up are taken. They are what a config with
`kind` «scenes» reads under `maps`, and the same as `prior` «prior_net» makes before a run.

A map is there whole or not at all; one that is there is skipped, so an interrupted command goes on where
it was. maps.json in --out says by which weights the maps were made, and others are not mixed with them.

Exit status: 0 all maps are there, 1 some images failed (each is named), 2 nothing was begun, 130 Ctrl-C.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsr.build_restorer import SEGMENTER, segmenter
from jaxsr.data.images import read_image, write_png
from jaxsr.data.maps import MULTIPLE, cut_to_prior
from jaxsr.data.sources import Item, folder
from jaxsr.disk import in_one_move
from jaxsr.inference.jobs import check_folder
from jaxsr.inference.prior import prior_maps
from jaxsr.outdoor import paint
from jaxsr.terminal import duration, ended, pace, status_line
from jaxsr.types import Tree, UserError

NOTE = "maps.json"
STOPPED = "interrupted: the maps so far are there, and the same command goes on."


class Work(NamedTuple):
    """One image: its map, and the picture of it or None."""

    item: Item
    target: Path
    picture: Path | None


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    # fmt: off
    made.add_argument("images", metavar="FOLDER", help="of the images, searched at any depth")
    made.add_argument("--weights", default=SEGMENTER,
                      help="pretrained:NAME, a run's folder, or a weight file: %(default)s")
    made.add_argument("--out", required=True, type=Path, help="folder to write the maps into")
    made.add_argument("--type", choices=("uint8", "float16"), default="uint8",
                      help="of the numbers: %(default)s")
    made.add_argument("--pictures", type=Path, help="folder for a picture of each new map")
    made.add_argument("--include", default="", metavar="LIST", help="file of the only stems to take")
    made.add_argument("--exclude", default="", metavar="LIST", help="file of stems to leave out")
    made.add_argument("--overwrite", action="store_true", help="make maps anew that are there")
    # fmt: on
    return made


def digest(variables: Tree) -> str:
    """One text for weights, whatever file they came from."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(variables):
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()[:16]


def check_note(out: Path, note: dict[str, str], *, overwrite: bool) -> None:
    """Writes maps.json; UserError where the maps that are there are of other weights or another type."""
    path = out / NOTE
    if path.is_file() and not overwrite:
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path} cannot be read ({error}): remove it, or --overwrite."
            ) from error
        differing = [key for key in ("digest", "type") if held.get(key) != note[key]]
        if differing:
            raise UserError(
                f"{out} holds maps of {held.get('weights')} as {held.get('type')}, not of "
                f"{note['weights']} as {note['type']}: name another --out, or --overwrite."
            )
    with in_one_move(path) as part:
        part.write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")


def plan(options: argparse.Namespace) -> list[Work]:
    if options.pictures and options.pictures.resolve().is_relative_to(
        Path(options.images).resolve()
    ):
        raise UserError(
            f"--pictures {options.pictures} is in the folder of the images, and would be segmented the "
            "next time: name another."
        )
    items = folder(options.images, include=options.include, exclude=options.exclude)
    return [
        Work(
            item,
            options.out / f"{item.name}.npy",
            options.pictures / f"{item.name}.png" if options.pictures else None,
        )
        for item in items
    ]


def make(work: Work, maps: Callable[[np.ndarray], np.ndarray], *, kind: str) -> int:
    """Writes one map and gives the pixels of its image; UserError where it cannot."""
    image = read_image(work.item.image)
    if min(image.shape[:2]) < MULTIPLE:
        raise UserError(f"{work.item.image} is smaller than {MULTIPLE} pixels: leave it out.")
    image = cut_to_prior(image)
    found = maps(image)
    try:
        with in_one_move(work.target) as part, part.open("wb") as file:
            np.save(file, found if kind == "uint8" else (found / 255).astype(np.float16))
    except OSError as error:
        raise UserError(f"{work.target} cannot be written ({error.strerror or error}).") from error
    if work.picture:
        write_png(work.picture, paint(found / np.maximum(found.sum(-1, keepdims=True), 1)))
    return image.shape[0] * image.shape[1]


def outcomes(
    works: Sequence[Work], maps: Callable[[np.ndarray], np.ndarray], options: argparse.Namespace
) -> Iterator[tuple[str, Any]]:
    """(«made», pixels), («skipped», 0) or («failed», sentence) for each image."""
    for work in works:
        try:
            if work.target.exists() and not options.overwrite:
                yield "skipped", 0
            else:
                yield "made", make(work, maps, kind=options.type)
        except UserError as error:
            yield "failed", str(error)
        except MemoryError:
            yield "failed", f"no memory is left for {work.item.image}: cut it into parts."


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    counts, pixels = dict.fromkeys(("made", "skipped", "failed"), 0), 0
    began = time.monotonic()
    try:
        works = plan(options)
        apply, variables = segmenter(options.weights)
        check_folder(options.out)
        note = {"weights": options.weights, "digest": digest(variables), "type": options.type}
        check_note(options.out, note, overwrite=options.overwrite)
        say = status_line()
        for done, (what, more) in enumerate(
            outcomes(works, prior_maps(apply, variables), options), start=1
        ):
            counts[what] += 1
            pixels += more if what == "made" else 0
            if what == "failed":
                print(f"make_maps: error: {more}", file=sys.stderr, flush=True)
            text, left = f"{done} of {len(works)} images", len(works) - done
            if made := counts["made"]:
                text += ", " + pace(pixels, time.monotonic() - began, made / (made + left))
            say(text, last=not left)
    except UserError as error:
        print(f"make_maps: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{STOPPED}", file=sys.stderr)
        return 130
    text = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    print(f"{text}; {duration(time.monotonic() - began)}, in {options.out}")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(ended("make_maps", main))
