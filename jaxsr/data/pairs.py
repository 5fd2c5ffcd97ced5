"""Paired folders: high resolutions and low resolutions of their own, one for each, by name."""

import os

from jaxsr.data.sources import Item, folder
from jaxsr.types import UserError


def pairs(
    hq: str | os.PathLike,
    lq: str | os.PathLike,
    *,
    scale: int,
    include: str | os.PathLike = "",
    exclude: str | os.PathLike = "",
) -> tuple[Item, ...]:
    """Images and their low resolutions, paired by their paths below the two folders.

    The low resolution of «a/0001» is named so too, or «a/0001x4», «a/0001_x4» (for scale 4), as in
    DIV2K. The sizes are checked when the images are read: height and width of the low resolution are
    those of the image divided by scale, rounded down, and the image is cut to scale times them.

    Args:
        hq, lq: two folders.
        scale: by which the low resolutions are smaller, 1 or more.
        include, exclude: lists of stems of the images, as in `folder`.
    Returns:
        items sorted by name, each with `lq` and `scale`.
    Raises:
        UserError: as `folder`; a scale below 1; an image without its low resolution or the other way
            round; two low resolutions of one image.
    """
    if scale < 1:
        raise UserError(f"the scale of a pair is 1 or more, not {scale}.")
    known = {item.name for item in folder(hq)}
    low = {}
    for item in folder(lq):
        name = _partner(item.name, known, scale)
        if name is None:
            raise UserError(
                f"{item.image} lacks a partner in {hq}: it should be that of {item.name}, or without "
                f"an ending x{scale}; add it, or remove the low resolution."
            )
        if name in low:
            raise UserError(
                f"{low[name]} and {item.image} are both the low resolution of {name}: remove one."
            )
        low[name] = item.image
    items = folder(hq, include=include, exclude=exclude)
    missing = [item for item in items if item.name not in low]
    if missing:
        raise UserError(
            f"{missing[0].image} lacks a low resolution in {lq}, as do {len(missing) - 1} more of "
            f"{len(items)} images: add them, or exclude the images."
        )
    return tuple(item._replace(lq=low[item.name], scale=scale) for item in items)


def _partner(name: str, known: set[str], scale: int) -> str | None:
    """The name of the image that a low resolution of this name belongs to."""
    for ending in ("", f"_x{scale}", f"x{scale}"):
        if name.endswith(ending) and name.removesuffix(ending) in known:
            return name.removesuffix(ending)
    return None
