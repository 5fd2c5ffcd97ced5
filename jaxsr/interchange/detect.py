"""Which network a weight file holds: hyper-parameters from a few shapes, the proof from all of them."""

import dataclasses
import itertools
import math
import re
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from jaxsr.interchange.damage import reason
from jaxsr.interchange.layout import Arrays, Layout, Section
from jaxsr.models.sftnet import SFTNet
from jaxsr.models.spynet import SPyNet
from jaxsr.models.toolchain_agent import HIDDEN, SIDE, ToolchainAgent
from jaxsr.types import UserError

# what a table, a `read` or a network can raise on sections and shapes that are none of its own
UNFIT = (UserError, KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)
_UNREAD = ("name", "parent", "dtype")  # of a Flax module, and no part of a section
_ARRAYS = 4096  # that a file may have; RRDBNet has 702
_SIDE = 32  # of the image that a network is traced with: VGG19 halves it five times


def full(network: type[nn.Module], section: Section) -> dict[str, Any]:
    """A section with the network's defaults in the place of what it leaves out."""
    fields = [field for field in dataclasses.fields(network) if field.name not in _UNREAD]
    return {field.name: field.default for field in fields} | dict(section)


def complete(
    network: type[nn.Module], section: Section, *, layout: str = "", **required: Any
) -> dict[str, Any]:
    """`full`, and UserError where an option is not the one that the class of the layout has.

    layout: its name, for the sentence; required: the options that the class fixes
    """
    filled = full(network, section)
    for name, value in required.items():
        if filled[name] != value:
            raise UserError(
                f"{layout or f'the {network.__name__} of this layout'} has {name} {value!r} and this "
                f"network {filled[name]!r}, so its weights do not fit into that class: choose another "
                "layout."
            )
    return filled


def detect(layout: Layout, arrays: Arrays) -> dict[str, Any] | None:
    """The section of the network in a file, or None where the file is not wholly of this layout.

    All names are those of the table, with the layout's constants or without; all shapes are those
    of the network, which is only traced.
    """
    return examine(layout, arrays)[0]


def examine(layout: Layout, arrays: Arrays) -> tuple[dict[str, Any] | None, str]:
    """As `detect`, with a sentence where the names are the layout's and the shapes no network's."""
    if len(arrays) > _ARRAYS:  # of no network here, whatever their names
        return None, ""
    try:
        section = layout.read(arrays)
        if section is None or not same_names(layout, section, arrays):
            return None, ""
    except UNFIT:  # the file is another's, whose shapes this layout did not expect
        return None, ""
    try:
        odd = _odd_shape(layout, section, arrays)
    except (UserError, ValueError, TypeError, ArithmeticError) as error:  # of the network
        odd = reason(error)
    return (None, odd) if odd else (section, "")


def same_names(layout: Layout, section: Section, arrays: Arrays) -> bool:
    """Whether the names are those of the table, with or without the others that the layout knows."""
    wanted = {entry.theirs for entry in layout.entries(section)}
    more = set(arrays) - wanted - set(layout.constants(section))
    # without a pattern only the empty name would match
    return (
        0 < len(wanted)
        and wanted <= set(arrays)
        and all(re.fullmatch(layout.beside, name) for name in more)
    )


def inputs(network: type[nn.Module], section: Section) -> list[Any]:
    """Shapes of what a network takes, to trace it with; for a tuple of arrays a list of shapes."""
    given = full(network, section)
    if network is ToolchainAgent:
        return [(1, 1, SIDE, SIDE, 3), (1, 1, given["tools"]), [(1, HIDDEN), (1, HIDDEN)]]
    side = given.get("size", _SIDE)
    images = [(len(given.get("families", "1")), side, side, given.get("channels", 3))]
    if network is SFTNet:
        images.append((1, 4 * side, 4 * side, given["classes"]))  # the maps of its prior
    if network is SPyNet:
        images.append(images[0])
    return images


def shapes(network: nn.Module, images: list[Any]) -> dict[str, tuple[int, ...]]:
    """The shapes of the network's variables by their paths; it is only traced.

    images: of `inputs`
    """
    blank = jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32),
        images,
        is_leaf=lambda each: isinstance(each, tuple),
    )
    made = jax.eval_shape(lambda *x: network.init(jax.random.key(0), *x, train=False), *blank)
    flat = flax.traverse_util.flatten_dict(made, sep="/")
    return {path: leaf.shape for path, leaf in flat.items()}


def _odd_shape(layout: Layout, section: Section, arrays: Arrays) -> str:
    """What is wrong with the first array that the network has otherwise; «» where all is well."""
    table = layout.entries(section)
    wanted = shapes(layout.module(**section), inputs(layout.module, section))
    if set(wanted) != {entry.ours for entry in table}:
        return "they are those of another network"
    for name, value in layout.constants(section).items():
        held = arrays.get(name, value)
        # a mean shift may have become half-precision, and a counter any number
        kind = jnp.floating if value.dtype.kind == "f" else jnp.number
        if held.shape != value.shape or not jnp.issubdtype(held.dtype, kind):
            return f"{name} is {held.shape} {held.dtype}, where the class has {value.shape} {value.dtype}"
    for entry in table:
        held, size = arrays[entry.theirs].shape, math.prod(wanted[entry.ours])
        # moved only where the file has as much: a section may speak of a far larger network
        if arrays[entry.theirs].size != size:
            return f"{entry.theirs} is {held}, where the network has {size:,} numbers"
        theirs = entry.move.theirs(np.broadcast_to(np.float32(0), wanted[entry.ours])).shape
        if theirs != held:
            return f"{entry.theirs} is {held}, where the network has {theirs}"
    return ""


def kernel(arrays: Arrays, name: str) -> tuple[int, ...]:
    """The shape of the convolution kernel `name`, zeros where it is absent or has not four axes."""
    array = arrays.get(name)
    return (0, 0, 0, 0) if array is None or array.ndim != 4 else tuple(array.shape)


def enlarges(arrays: Arrays, pattern: str, features: int, *, start: int, step: int) -> int:
    """The scale of a chain of pixel shuffles, 0 where it is none of 2, 3, 4 and 8.

    The convolutions before them are pattern.format(start), pattern.format(start + step), …; the
    chain ends at the first that is absent or makes no 4 or 9 times `features` maps.
    """
    names = (pattern.format(start + step * i) for i in range(4))
    maps = (kernel(arrays, f"{name}.weight")[0] for name in names)
    found = itertools.takewhile(lambda n: n in (4 * features, 9 * features), maps)
    factors = tuple(2 if n == 4 * features else 3 for n in found)
    return {(2,): 2, (3,): 3, (2, 2): 4, (2, 2, 2): 8}.get(factors, 0)
