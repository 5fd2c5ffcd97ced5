"""One image and what goes with it: labels, prior map, low resolution; how they are read and fitted."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsr.data.images import read_image, read_labels
from jaxsr.data.maps import MULTIPLE, cut_to_prior, read_prior
from jaxsr.outdoor import NAMES, VOID
from jaxsr.types import UserError

IDENTITY = {index: index for index in (*range(len(NAMES)), VOID)}


class Item(NamedTuple):
    """One image on the disk and what goes with it, None where it has not.

    name:     path below its folder without the ending
    image:    file of the image; labels: of its label map; prior: of its map of class probabilities
              or annotation (`maps.read_prior`); lq: of its low resolution
    scale:    by which the low resolution is smaller
    category: class of the whole image for the discriminator of SFT-GAN
    """

    name: str
    image: Path
    labels: Path | None = None
    prior: Path | None = None
    lq: Path | None = None
    scale: int | None = None
    category: int | None = None


class Reading(NamedTuple):
    """How one sample is read, from whatever holds it.

    place:  what messages call it
    decode: () -> {`hq`: uint8 [H, W, 3], ...}; UserError for what is damaged, and may be skipped
    fit:    that -> pixels that fit one another, `hq` cut to them; UserError for what never may be
    """

    name: str
    place: str
    decode: Callable[[], dict[str, Any]]
    fit: Callable[[dict[str, Any]], dict[str, Any]]


def reading(item: Item, table: Mapping[int, int]) -> Reading:
    """How an item is read; table: label value -> outdoor class, see `read_class_table`."""
    return Reading(
        item.name,
        str(item.image),
        functools.partial(_decode, item),
        functools.partial(_fit, item, table),
    )


def _decode(item: Item) -> dict[str, Any]:
    pixels = {"hq": read_image(item.image)}
    if item.labels is not None:
        pixels["label"] = read_labels(item.labels)
    if item.lq is not None:
        pixels["lq"] = read_image(item.lq)
    return pixels


def _fit(item: Item, table: Mapping[int, int], pixels: dict[str, Any]) -> dict[str, Any]:
    """The pixels of an item as they fit one another, labels as outdoor classes."""
    pixels = dict(pixels)
    if item.labels is not None:
        pixels["label"] = _map_labels(item, pixels, table)
    if item.prior is not None:
        if min(pixels["hq"].shape[:2]) < MULTIPLE:
            raise UserError(f"{item.image} is smaller than {MULTIPLE} pixels: exclude it.")
        found = read_prior(item.prior, shape=pixels["hq"].shape[:2])
        pixels["prior"] = cut_to_prior(found)
        pixels |= {key: cut_to_prior(pixels[key]) for key in ("hq", "label") if key in pixels}
    if item.lq is not None:
        pixels["hq"] = cut_to_low(item, pixels["hq"], pixels["lq"].shape)
    if item.category is not None:
        pixels["category"] = item.category
    return pixels


def _map_labels(
    item: Item, pixels: Mapping[str, np.ndarray], table: Mapping[int, int]
) -> np.ndarray:
    """The label map as outdoor classes."""
    h, w = pixels["label"].shape
    if (h, w) != pixels["hq"].shape[:2]:
        raise UserError(
            f"the label map {item.labels} is {w}x{h} and its image "
            f"{pixels['hq'].shape[1]}x{pixels['hq'].shape[0]}: they must have one size."
        )
    unknown = sorted(set(np.flatnonzero(np.bincount(pixels["label"].ravel()))) - table.keys())
    if unknown:
        raise UserError(
            f"the label map {item.labels} has the value {unknown[0]}, "
            + (
                f"where the outdoor classes are 0 to {len(NAMES) - 1} and {VOID} is none: mend it, or "
                "name a class table."
                if table == IDENTITY
                else "which the class table lacks: add it, or name the right table."
            )
        )
    lut = np.array([table.get(value, VOID) for value in range(256)], np.uint8)
    return lut[pixels["label"]]


def cut_to_low(item: Item, hq: np.ndarray, low: Sequence[int]) -> np.ndarray:
    """The image cut at the top left to scale times its low resolution."""
    (h, w), scale = hq.shape[:2], item.scale
    if (h // scale, w // scale) != tuple(low[:2]):
        raise UserError(
            f"{item.lq} is {low[1]}x{low[0]} pixels, which times {scale} is not the {w}x{h} of "
            f"{item.image}: pair the right files, or name their scale."
        )
    return hq[: low[0] * scale, : low[1] * scale]
