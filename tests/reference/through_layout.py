"""Variables through the table of a layout and back, written a second time for the tests."""

import numpy as np
from flax import traverse_util


def theirs_of(layout, section, variables):
    """The arrays of their file: moved weights and the layout's constants."""
    flat = traverse_util.flatten_dict(variables, sep="/")
    table = layout.entries(section)
    assert sorted(entry.ours for entry in table) == sorted(flat)
    arrays = {
        e.theirs: np.ascontiguousarray(e.move.theirs(np.asarray(flat[e.ours]))) for e in table
    }
    return arrays | layout.constants(section)


def ours_of(layout, section, arrays):
    """The tree of our variables, float32."""
    flat = {e.ours: np.float32(e.move.ours(arrays[e.theirs])) for e in layout.entries(section)}
    return traverse_util.unflatten_dict(flat, sep="/")
