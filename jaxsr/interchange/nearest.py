"""What is said of weights that are of no known layout: the nearest one, and by how much it is missed."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxsr.interchange.detect import UNFIT
from jaxsr.interchange.layout import Arrays, Layout, Section
from jaxsr.types import UserError

_SHOWN = 5  # names of tensors in a message
_LETTERS = 80  # of each
_SIZES = {"blocks": range(1, 65), "depth": range(2, 33), "scale": (1, 2, 3, 4, 8)}


def known_part(layout: Layout, arrays: Arrays) -> dict[str, np.ndarray]:
    """Those of the arrays whose names the layout knows, with as many blocks as fit them best."""
    known = _names(layout, _nearest_section(layout, arrays))
    return {name: array for name, array in arrays.items() if name in known}


def misfit(
    layouts: Sequence[Layout], arrays: Arrays, *, odd: tuple[Layout, str] | None = None
) -> UserError:
    """The error that says by how much a file misses the nearest of the layouts.

    odd: the layout whose names the file has, and what is wrong with a shape, of `detect.examine`
    """
    if odd:
        return UserError(
            f"the weights have the names of {odd[0].name}, but shapes that are not those of one network "
            f"of this kind: {odd[1]}."
        )
    layout = _nearest(layouts, arrays)
    if layout is None:
        return UserError(
            f"the weights are of no known layout; the file begins with {_some(list(arrays))}. "
            "scripts/import_weights.py writes plain arrays with --arrays."
        )
    section = _nearest_section(layout, arrays)
    names = _names(layout, section)
    missing = sorted(names - set(arrays) - set(layout.constants(section)))
    unused = sorted(set(arrays) - names)
    if not missing and not unused:
        return UserError(
            f"the weights are of no known layout, though they have the names of {layout.name}."
        )
    return UserError(
        f"the weights are of no known layout; the nearest is {layout.name!r}, of which "
        f"{len(missing)} names are missing ({_some(missing)}) and {len(unused)} of the file are "
        f"unknown ({_some(unused)}); where only unknown ones are in the way, "
        f"scripts/import_weights.py --layout {layout.name!r} leaves them out."
    )


def _names(layout: Layout, section: Section) -> set[str]:
    """All names of a layout; none where the section is not of its network."""
    try:
        return {entry.theirs for entry in layout.entries(section)} | set(layout.constants(section))
    except UNFIT:
        return set()


def _overlap(a: set[str], b: set[str]) -> float:
    return len(a & b) / max(1, len(a | b))


def _nearest(layouts: Sequence[Layout], arrays: Arrays) -> Layout | None:
    """The layout whose names, all numbers in them alike, are most like the file's."""

    def kinds(names: Iterable[str]) -> set[str]:
        return {re.sub(r"\d+", "0", name) for name in names}

    held = kinds(arrays)
    shares = [_overlap(held, kinds(_names(each, {}))) for each in layouts]
    best = int(np.argmax(shares))
    return layouts[best] if shares[best] > 0 else None


def _nearest_section(layout: Layout, arrays: Arrays) -> dict[str, Any]:
    """The numbers of blocks and the scale with which the layout has most of the file's names."""
    section, held = {}, set(arrays)
    for key, sizes in _SIZES.items():
        # a key that the network does not have changes nothing
        tried = [section, *({**section, key: size} for size in sizes)]
        section = max(tried, key=lambda each: _overlap(_names(layout, each), held))
    return section


def _some(names: Sequence[str]) -> str:
    shown = [name if len(name) <= _LETTERS else f"{name[:_LETTERS]}…" for name in names[:_SHOWN]]
    return ", ".join(shown) + ", …" * (len(names) > _SHOWN) or "none"
