"""Where the windows of an image lie, and which part of each is kept."""

from typing import NamedTuple

import numpy as np

from jaxsr.types import UserError


class Span(NamedTuple):
    """A window along one axis: it sees [start, stop) and yields [first, last) of the image."""

    start: int
    stop: int
    first: int
    last: int


def spans(length: int, *, tile: int, overlap: int) -> list[Span]:
    """The windows along an axis of `length` pixels, none of which leaves the image.

    What they yield covers the axis once; it is `overlap` away from every end of a window that is
    not an end of the image. UserError where 2·overlap does not leave room in a tile.
    """
    if length <= tile:
        return [Span(0, length, 0, length)]
    step = tile - 2 * overlap
    if step <= 0:
        raise UserError(
            f"windows of {tile} pixels are too small for a network that reaches {overlap} to each "
            f"side: take at least {2 * overlap + 16}, or more memory."
        )
    starts = [*range(0, length - tile, step), length - tile]
    firsts = [0, *(start + overlap for start in starts[1:-1])]
    if len(starts) > 1:
        firsts.append(starts[-2] + tile - overlap)
    lasts = [*firsts[1:], length]
    return [Span(a, a + tile, b, c) for a, b, c in zip(starts, firsts, lasts, strict=True)]


def place(out: np.ndarray, made: np.ndarray, rows: Span, columns: Span, *, scale: int) -> None:
    """Copies what a window yields, from its result `made` [s·h,s·w,k], to its place in `out`.

    Both may end before the window does: what is beyond them is left out.
    """
    inner = made[
        scale * (rows.first - rows.start) : scale * (rows.last - rows.start),
        scale * (columns.first - columns.start) : scale * (columns.last - columns.start),
    ]
    out[scale * rows.first : scale * rows.last, scale * columns.first : scale * columns.last] = (
        inner
    )
