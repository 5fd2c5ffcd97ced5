"""What the tables of layouts share: complete sections, and whether a file is exactly a network."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from jaxsr.interchange.detect import full, require
from jaxsr.interchange.layout import Arrays, Entry, Section, no_constants, same


def complete(network: type[nn.Module], section: Section, **required: Any) -> dict[str, Any]:
    """`section` with the network's defaults for what it leaves out.

    Raises UserError where an option is not the one that the layout's class has.
    """
    filled = full(network, section)
    require(f"the {network.__name__} of this layout", filled, **required)
    return filled


def hwio_entries(kernel: str, bias: str, ours: str) -> list[Entry]:
    """The two arrays of a convolution whose kernel is HWIO in the file (TensorFlow, MatConvNet)."""
    return [
        Entry(kernel, f"params/{ours}/kernel", same()),
        Entry(bias, f"params/{ours}/bias", same()),
    ]


def kernel_shape(arrays: Arrays, name: str) -> tuple[int, ...] | None:
    """The shape of the convolution kernel `name`; None where it is absent or has not four axes."""
    array = arrays.get(name)
    return tuple(array.shape) if array is not None and array.ndim == 4 else None


def fitted(
    arrays: Arrays,
    section: Section,
    network: type[nn.Module],
    entries: Callable[[Section], list[Entry]],
    *,
    constants: Callable[[Section], dict[str, np.ndarray]] = no_constants,
) -> dict[str, Any] | None:
    """`section` as a dict, or None where names or shapes are not those of network(**section).

    The names of the file are those of the entries, with the constants or without; the paths of the
    entries are the variables of the network; and every array has the shape that its move makes of
    the variable's. The network is only traced, on an image of `section["channels"]` (else 1).
    """
    table = entries(section)
    if set(arrays) - set(constants(section)) != {entry.theirs for entry in table}:
        return None
    image = jax.ShapeDtypeStruct((1, 8, 8, section.get("channels", 1)), jnp.float32)
    module = network(**section)
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), image)
    leaves = flax.traverse_util.flatten_dict(variables, sep="/")
    if set(leaves) != {entry.ours for entry in table}:
        return None
    for entry in table:
        # a view of one zero: moved like the array, without its memory
        blank = np.broadcast_to(np.float32(0), leaves[entry.ours].shape)
        if entry.move.theirs(blank).shape != arrays[entry.theirs].shape:
            return None
    return dict(section)
