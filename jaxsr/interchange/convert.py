"""Weights of other code into variables of our networks and back, by the tables of all layouts."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from jaxsr.interchange import (
    layouts_classic,
    layouts_disc,
    layouts_flow,
    layouts_lapsrn,
    layouts_lpips,
    layouts_plain,
    layouts_residual,
    layouts_resnet,
    layouts_rl_restore,
    layouts_sftgan,
    layouts_srresnet,
    layouts_torchvision,
)
from jaxsr.interchange.detect import UNFIT, detect, examine, shapes
from jaxsr.interchange.files import read_arrays
from jaxsr.interchange.layout import Arrays, Layout, Section
from jaxsr.interchange.nearest import known_part, misfit
from jaxsr.types import Tree, UserError

ALL_LAYOUTS: tuple[Layout, ...] = (
    *layouts_classic.LAYOUTS,
    *layouts_plain.LAYOUTS,
    *layouts_lapsrn.LAYOUTS,
    *layouts_residual.LAYOUTS,
    *layouts_srresnet.LAYOUTS,
    *layouts_disc.LAYOUTS,
    *layouts_resnet.LAYOUTS,
    *layouts_sftgan.LAYOUTS,
    *layouts_torchvision.LAYOUTS,
    *layouts_lpips.LAYOUTS,
    *layouts_rl_restore.LAYOUTS,
    *layouts_flow.LAYOUTS,
)


def identify(arrays: Arrays, *, layout: str = "") -> tuple[Layout, dict[str, Any], list[str]]:
    """What a weight file holds: (layout, section of the network, unused names).

    Unused are arrays that our network does not have, such as a classifier's (the layout's constants
    are not among them). `layout` names one of ALL_LAYOUTS: it alone is tried, and arrays that it
    does not know are left out where it fits without them.
    Raises UserError where none fits, with the nearest layout and the names that are missing or
    unknown, or the first shape that is wrong; where two fit; and for an unknown `layout`.
    """
    if layout:
        chosen = find(layout)
        section, odd = examine(chosen, arrays)
        if section is None:
            section = detect(chosen, known_part(chosen, arrays))
        if section is None:
            raise misfit((chosen,), arrays, odd=(chosen, odd) if odd else None)
        return chosen, section, _unused(chosen, section, arrays)
    found, odd_ones = [], []
    for each in ALL_LAYOUTS:
        section, odd = examine(each, arrays)
        if section is not None:
            found.append((each, section))
        elif odd:
            odd_ones.append((each, odd))
    if len(found) > 1:
        names = ", ".join(repr(each.name) for each, _ in found)
        raise UserError(
            f"the weights fit several layouts, {names}: choose one with --layout of "
            "scripts/import_weights.py."
        )
    if not found:
        raise misfit(ALL_LAYOUTS, arrays, odd=odd_ones[0] if odd_ones else None)
    chosen, section = found[0]
    return chosen, section, _unused(chosen, section, arrays)


def load(path: Path) -> tuple[dict[str, Tree], dict[str, Any]]:
    """Variables and card of a weight file of other code, whose layout is found by its names.

    Raises UserError where the file is missing, damaged, of no known layout or not whole.
    """
    arrays, notes = read_arrays(path)
    try:
        layout, section, unused = identify(arrays)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    card = {
        "network": {"name": layout.network, **section}, "layout": layout.name,
        "source": {"file": path.name},
        "notes": notes, "unused": sorted(unused),
    }  # fmt: skip
    return to_ours(layout, section, arrays), card


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
    held = set(flax.traverse_util.flatten_dict(dict(variables), sep="/"))
    for each in ALL_LAYOUTS:
        if each.network != network:
            continue
        try:
            if {entry.ours for entry in each.entries(section)} == held:
                return each
        except UNFIT:
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
    return flax.traverse_util.unflatten_dict(flat, sep="/")


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
    flat = flax.traverse_util.flatten_dict(dict(variables), sep="/")
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


def check_shapes(network: nn.Module, inputs: Sequence[Any], variables: Mapping[str, Tree]) -> None:
    """UserError where variables are not exactly those of the network; it is only traced.

    inputs: shapes of what the network takes, of `detect.inputs`
    """
    wanted = shapes(network, list(inputs))
    held = flax.traverse_util.flatten_dict(dict(variables), sep="/")
    for name in sorted(wanted.keys() | held.keys()):
        there = held[name].shape if name in held else "missing"
        here = wanted[name] if name in wanted else "not known"
        if there != here:
            raise UserError(
                f"the weights do not fit {type(network).__name__}: {name} is {there} in the file and "
                f"{here} in the network."
            )


def _unused(layout: Layout, section: Section, arrays: Arrays) -> list[str]:
    """The names of the file that are neither in the table nor among the constants."""
    known = {entry.theirs for entry in layout.entries(section)} | set(layout.constants(section))
    return [name for name in arrays if name not in known]
