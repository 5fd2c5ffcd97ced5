"""Weight layouts of SPyNet: the official models as arrays, and two PyTorch classes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxsr.interchange.layout import (
    Arrays,
    Entry,
    Layout,
    Section,
    conv,
    conv_chain,
    counted,
    no_constants,
    same,
)
from jaxsr.models.spynet import WIDTHS, SPyNet
from jaxsr.models.vgg import MEAN, STD

_LEVELS = 6  # without a section


def _pairs(section: Section, theirs: Callable[[int, int], str]) -> list[tuple[str, str]]:
    """Their name and ours of every convolution, numbered from 1."""
    return [
        (theirs(level, number), f"level{level}_conv{number}")
        for level in range(1, section.get("levels", _LEVELS) + 1)
        for number in range(1, len(WIDTHS) + 1)
    ]


def _torch(name: str, part: str, constants: Any = no_constants) -> Layout:
    """A PyTorch SPyNet whose levels, and the layers in each, are lists called `part`."""

    def entries(section: Section) -> list[Entry]:
        return conv_chain(_pairs(section, lambda k, n: f"{part}.{k - 1}.{part}.{2 * (n - 1)}"))

    def read(arrays: Arrays) -> dict[str, Any] | None:
        levels = counted(f"{part}.{{}}.{part}.0.weight", arrays)
        return {"levels": levels} if levels else None

    return Layout(name, "spynet", SPyNet, read, entries, constants)


def _official_entries(section: Section) -> list[Entry]:
    return [
        entry
        for theirs, ours in _pairs(section, lambda k, n: f"L{k}/conv{n}")
        for entry in (
            Entry(f"{theirs}/weight", f"params/{ours}/kernel", conv()),
            Entry(f"{theirs}/bias", f"params/{ours}/bias", same()),
        )
    ]


def _official(arrays: Arrays) -> dict[str, Any] | None:
    levels = counted("L{}/conv1/weight", {"L0/conv1/weight": None} | dict(arrays)) - 1
    return {"levels": levels} if levels else None


def _normalising(section: Section) -> dict[str, np.ndarray]:
    """What the images are normalised with; the released file lacks it."""
    del section
    return {k: np.float32(v).reshape(1, 3, 1, 1) for k, v in (("mean", MEAN), ("std", STD))}


LAYOUTS = (
    Layout("anuragranj/spynet (L1/conv1/weight)", "spynet", SPyNet, _official, _official_entries),
    _torch("sniklaus/pytorch-spynet Network", "moduleBasic"),
    _torch("BasicSR SpyNet", "basic_module", _normalising),
)
