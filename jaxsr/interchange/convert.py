"""Weights of other code into variables of our networks and back, by the tables of all layouts."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util

from jaxsr.interchange import (
    layouts_classic,
    layouts_disc,
    layouts_lapsrn,
    layouts_plain,
    layouts_residual,
    layouts_sftgan,
    layouts_srresnet,
    layouts_torchvision,
)
from jaxsr.interchange.layout import Arrays, Layout, Section
from jaxsr.types import Tree, UserError

ALL_LAYOUTS: tuple[Layout, ...] = (
    *layouts_classic.LAYOUTS,
    *layouts_plain.LAYOUTS,
    *layouts_lapsrn.LAYOUTS,
    *layouts_residual.LAYOUTS,
    *layouts_srresnet.LAYOUTS,
    *layouts_disc.LAYOUTS,
    *layouts_sftgan.LAYOUTS,
    *layouts_torchvision.LAYOUTS,
)

_SHOWN = 5  # names of tensors in a message
_SIZES = {"blocks": range(1, 65), "depth": range(2, 33), "scale": (1, 2, 3, 4, 8)}
# what a table or a detect can raise on sections and shapes that are none of its network's
_UNFIT = (UserError, KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)


def identify(
    arrays: Arrays, *, layout: str = ""
) -> tuple[Layout, dict[str, Any], list[str], list[str]]:
    """What a weight file holds: (layout, section of the network, unused names, missing names).

    Unused are arrays that the layout knows and our network does not have (a classifier's, counters
    of batches are not among them); missing are those of the layout that the file leaves out.
    `layout` names one of ALL_LAYOUTS: it alone is tried, and arrays that it does not know are left
    out where it fits without them.
    Raises UserError where none fits, with the nearest layout and the names that differ; where two
    fit; and for an unknown `layout`.
    """
    if layout:
        chosen = find(layout)
        section = _detect(chosen, arrays)
        if section is None:
            known = _names(chosen, _nearest_section(chosen, arrays))
            section = _detect(chosen, {name: arrays[name] for name in arrays if name in known})
        if section is None:
            raise _misfit(chosen, arrays)
        return chosen, section, *_differences(chosen, section, arrays)
    found = [(each, section) for each in ALL_LAYOUTS if (section := _detect(each, arrays))]
    if len(found) > 1:
        names = ", ".join(repr(each.name) for each, _ in found)
        raise UserError(f"the weights fit several layouts, {names}: choose one with --layout.")
    if not found:
        raise _misfit(_nearest(arrays), arrays)
    chosen, section = found[0]
    return chosen, section, *_differences(chosen, section, arrays)


def find(name: str) -> Layout:
    """The layout of that name, or of the only one that contains it; UserError that names near ones."""
    exact = [each for each in ALL_LAYOUTS if each.name == name]
    part = exact or [each for each in ALL_LAYOUTS if name.lower() in each.name.lower()]
    if len(part) == 1:
        return part[0]
    names = [each.name for each in part or ALL_LAYOUTS]
    near = names if part else difflib.get_close_matches(name, names, n=3, cutoff=0.2) or names
    raise UserError(
        f"there is no layout {name!r}: name one, for example {', '.join(map(repr, near[:4]))}."
        if not part
        else f"the layout {name!r} may be each of {', '.join(map(repr, near))}: write one out."
    )


def of_network(network: str, section: Section, variables: Mapping[str, Tree]) -> Layout:
    """The first layout whose table has exactly the variables of this network.

    Raises UserError where there is none: some options of ours have no counterpart elsewhere.
    """
    held = set(traverse_util.flatten_dict(dict(variables), sep="/"))
    for each in ALL_LAYOUTS:
        if each.network != network:
            continue
        try:
            if {entry.ours for entry in each.entries(section)} == held:
                return each
        except _UNFIT:
            continue
    known = sorted({each.network for each in ALL_LAYOUTS})
    if network not in known:
        raise UserError(
            f"{network} has no layout of other code: those that have are {', '.join(known)}."
        )
    raise UserError(
        f"no layout of other code has this {network}, with its options {dict(section)}: keep our "
        "safetensors."
    )


def to_ours(layout: Layout, section: Section, arrays: Arrays) -> dict[str, Tree]:
    """Variables of our network, float32: {"params": …} and, where there is any, {"batch_stats": …}.

    Raises UserError where an array is missing or has a shape that does not move, or a constant of
    the reference, such as a mean shift, has another value than our network computes with.
    """
    for name, value in layout.constants(section).items():
        if name in arrays and value.dtype.kind == "f":
            held = np.asarray(arrays[name], value.dtype)
            # a half-precision file has rounded them
            step = max(1e-5, 2 * float(jnp.finfo(arrays[name].dtype).eps))
            if held.shape != value.shape or not np.allclose(held, value, rtol=step, atol=1e-7):
                raise UserError(
                    f"{name} has another value than {layout.name} has by itself: our network cannot "
                    "take it over."
                )
    flat = {}
    for entry in layout.entries(section):
        if entry.theirs not in arrays:
            raise UserError(f"the weights lack {entry.theirs}, which {layout.name} has.")
        try:
            moved = entry.move.ours(np.asarray(arrays[entry.theirs]))
        except ValueError as error:
            shape = arrays[entry.theirs].shape
            raise UserError(
                f"{entry.theirs} has the shape {shape}, which is not one of {layout.name}."
            ) from error
        flat[entry.ours] = np.array(moved, np.float32, order="C")
    return traverse_util.unflatten_dict(flat, sep="/")


def counters(layout: Layout, section: Section, arrays: Arrays) -> dict[str, int]:
    """The whole numbers that the reference keeps and our network has not, where they are not ours.

    They are the counts of batches of PyTorch's normalisation; `to_theirs` takes them back.
    """
    return {
        name: int(arrays[name])
        for name, value in layout.constants(section).items()
        if value.dtype.kind in "iu" and name in arrays and int(arrays[name]) != int(value)
    }


def to_theirs(
    layout: Layout,
    section: Section,
    variables: Mapping[str, Tree],
    counters: Mapping[str, int] | None = None,
) -> dict[str, np.ndarray]:
    """The arrays of the reference with its constants, in the order of the table.

    counters: whole numbers to put in the place of constants, from the function of that name
    Raises UserError where variables are missing from the table or from the network.
    """
    flat = traverse_util.flatten_dict(dict(variables), sep="/")
    table = layout.entries(section)
    wrong = sorted(flat.keys() ^ {entry.ours for entry in table})
    if wrong:
        raise UserError(
            f"the weights are not those of {layout.name}: {len(wrong)} arrays differ, first "
            f"{', '.join(wrong[:3])}; name another layout."
        )
    made = {
        entry.theirs: np.array(entry.move.theirs(np.asarray(flat[entry.ours])), order="C")
        for entry in table
    }
    for name, value in layout.constants(section).items():
        made[name] = np.asarray((counters or {}).get(name, value), value.dtype)
    return made


def check_shapes(
    network: nn.Module, inputs: Sequence[tuple[int, ...]], variables: Mapping[str, Tree]
) -> None:
    """UserError where variables are not exactly those of the network; it is only traced.

    inputs: shapes of images that the network takes
    """
    blank = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in inputs]
    made = jax.eval_shape(lambda *x: network.init(jax.random.key(0), *x, train=False), *blank)
    wanted = traverse_util.flatten_dict(made, sep="/")
    held = traverse_util.flatten_dict(dict(variables), sep="/")
    for name in sorted(wanted.keys() | held.keys()):
        there = held[name].shape if name in held else "missing"
        here = wanted[name].shape if name in wanted else "not known"
        if there != here:
            raise UserError(
                f"the weights do not fit {type(network).__name__}: {name} is {there} in the file and "
                f"{here} in the network."
            )


def _detect(layout: Layout, arrays: Arrays) -> dict[str, Any] | None:
    try:
        return layout.detect(arrays)
    except _UNFIT:  # the file is another's, whose shapes this detect did not expect
        return None


def _differences(layout: Layout, section: Section, arrays: Arrays) -> tuple[list[str], list[str]]:
    """(names of the file that are not in the table, names of the table that are not in the file)."""
    wanted = {entry.theirs: None for entry in layout.entries(section)}
    constants = layout.constants(section)
    unused = [name for name in arrays if name not in wanted and name not in constants]
    return unused, [name for name in wanted if name not in arrays]


def _names(layout: Layout, section: Section) -> set[str]:
    """All names of a layout; none where the section is not of its network."""
    try:
        return {entry.theirs for entry in layout.entries(section)} | set(layout.constants(section))
    except _UNFIT:
        return set()


def _overlap(a: set[str], b: set[str]) -> float:
    return len(a & b) / max(1, len(a | b))


def _nearest(arrays: Arrays) -> Layout | None:
    """The layout whose names, all numbers in them alike, are most like the file's."""

    def kinds(names):
        return {re.sub(r"\d+", "0", name) for name in names}

    shares = [_overlap(kinds(arrays), kinds(_names(each, {}))) for each in ALL_LAYOUTS]
    best = int(np.argmax(shares))
    return ALL_LAYOUTS[best] if shares[best] > 0 else None


def _nearest_section(layout: Layout, arrays: Arrays) -> dict[str, Any]:
    """The numbers of blocks and the scale with which the layout has most of the file's names."""
    section: dict[str, Any] = {}
    for key, sizes in _SIZES.items():
        # a key that the network does not have changes nothing
        tried = [section, *({**section, key: size} for size in sizes)]
        section = max(tried, key=lambda each: _overlap(_names(layout, each), set(arrays)))
    return section


def _misfit(layout: Layout | None, arrays: Arrays) -> UserError:
    """The error that says by how much a file misses the nearest layout."""
    if layout is None:
        return UserError(
            f"the weights are of no known layout; the file begins with {_some(list(arrays))}. "
            "Plain arrays are written with --arrays."
        )
    section = _nearest_section(layout, arrays)
    names = _names(layout, section)
    constants = set(layout.constants(section))
    missing = sorted(names - set(arrays) - constants)
    unused = sorted(set(arrays) - names)
    if not missing and not unused:
        return UserError(
            f"the weights have the names of {layout.name}, but shapes that are not those of one "
            f"network of this kind{_odd_one_out(arrays)}."
        )
    return UserError(
        f"the weights are of no known layout; the nearest is {layout.name!r}, of which "
        f"{len(missing)} names are missing ({_some(missing)}) and {len(unused)} of the file are "
        f"unknown ({_some(unused)}); --layout {layout.name!r} reads it where only unknown ones are "
        "in the way."
    )


def _odd_one_out(arrays: Arrays) -> str:
    """« (NAME is (…), its like are (…))» for an array whose shape differs from its like's."""
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for name, array in arrays.items():
        shapes.setdefault(re.sub(r"\d+", "0", name), []).append(array.shape)
    for name, array in arrays.items():
        usual = max(held := shapes[re.sub(r"\d+", "0", name)], key=held.count)
        if array.shape != usual and held.count(usual) > 2 and held.count(array.shape) == 1:
            return f" ({name} is {array.shape}, others like it are {usual})"
    return ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + ", …" * (len(names) > _SHOWN) or "none"
