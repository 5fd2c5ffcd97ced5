"""Weight layouts of RL-Restore: its toolbox and agent, as arrays under TensorFlow's names.

The reference trains on images whose height and width are swapped. Here its weights are turned upright:
the first two axes of every kernel are swapped, and the rows of the layer behind the flattened map with
them, so that an ordinary image gives the published result.
"""

import re
from typing import Any

import numpy as np

from jaxsr.interchange.detect import complete
from jaxsr.interchange.layout import Arrays, Entry, Layout, Move, Section, same, transposed
from jaxsr.models.toolbox import LargeTool, SmallTool, Toolbox, names
from jaxsr.models.toolchain_agent import GRID, ToolchainAgent

_CONVOLUTIONS = {
    "small": ("conv1", "conv2", "conv3"),
    "large": ("conv1", "conv1_2", "conv2", "conv2a", "conv2c", "conv2d", "conv2_2", "conv3"),
}


def upright() -> Move:
    """A kernel [k,k,I,O] for images of swapped height and width, and for upright ones."""
    return transposed(1, 0, 2, 3)


def upright_flatten() -> Move:
    """The rows of a linear layer behind a flattened 4×4 map, swapped and upright: (4·4·C, O)."""

    def swap(a: np.ndarray) -> np.ndarray:
        return a.reshape(GRID, GRID, -1, a.shape[-1]).transpose(1, 0, 2, 3).reshape(a.shape)

    return Move(swap, swap)


def _tool_entries(family: str, theirs: str, ours: str) -> list[Entry]:
    """The arrays of one tool; theirs and ours are the paths before the names of its layers."""
    return [
        entry
        for layer in _CONVOLUTIONS[family]
        for entry in (
            Entry(f"{theirs}{layer}/weights", f"params/{ours}{layer}/kernel", upright()),
            Entry(f"{theirs}{layer}/biases", f"params/{ours}{layer}/bias", same()),
        )
    ]


def _tool(family: str, module: Any) -> Layout:
    """A checkpoint of one tool."""

    def read(arrays: Arrays) -> dict[str, Any] | None:
        return {} if ("conv2d/weights" in arrays) == (family == "large") else None

    return Layout(
        f"yuke93/RL-Restore {family} tool", f"tool_{family}", module, read,
        lambda section: _tool_entries(family, "", ""),
    )  # fmt: skip


def _toolbox_entries(section: Section) -> list[Entry]:
    families = complete(Toolbox, section)["families"]
    return [
        entry
        for name, family in zip(names(len(families)), families, strict=True)
        for entry in _tool_entries(family, f"{name}/", f"{name}/")
    ]


def _toolbox(arrays: Arrays) -> dict[str, Any] | None:
    count = len({name.split("/")[0] for name in arrays if re.match(r"tool\d\d/", name)})
    large = [f"{name}/conv2d/weights" in arrays for name in names(count)]
    return {"families": tuple("large" if each else "small" for each in large)} if count else None


_AGENT = "prediction"
_CELL = f"{_AGENT}/prediction_rnn/basic_lstm_cell"


def _agent_entries(section: Section) -> list[Entry]:
    complete(ToolchainAgent, section, value=False)
    trunk = [
        entry
        for layer in ("l1", "l2", "l3", "l4")
        for entry in (
            Entry(f"{_AGENT}/{layer}/w", f"params/{layer}/kernel", upright()),
            Entry(f"{_AGENT}/{layer}/biases", f"params/{layer}/bias", same()),
        )
    ]
    return [
        *trunk,
        Entry(f"{_AGENT}/l7/Matrix", "params/l7/kernel", upright_flatten()),
        Entry(f"{_AGENT}/l7/bias", "params/l7/bias", same()),
        Entry(f"{_CELL}/kernel", "params/lstm/gates/kernel", same()),
        Entry(f"{_CELL}/bias", "params/lstm/gates/bias", same()),
        Entry(f"{_AGENT}/q/Matrix", "params/q/kernel", same()),
        Entry(f"{_AGENT}/q/bias", "params/q/bias", same()),
    ]


def _agent(arrays: Arrays) -> dict[str, Any] | None:
    return {"tools": arrays[f"{_AGENT}/q/bias"].shape[0] - 1}


LAYOUTS = (
    Layout("yuke93/RL-Restore toolbox", "toolbox", Toolbox, _toolbox, _toolbox_entries),
    _tool("small", SmallTool),
    _tool("large", LargeTool),
    Layout(
        "yuke93/RL-Restore agent", "toolchain_agent", ToolchainAgent, _agent, _agent_entries,
        beside="step/step|global_step",
    ),
)  # fmt: skip
