"""Weight layouts of other code: which of their names is which of ours, and how an array moves.

A layout is one table that is read in both directions, so import and export cannot disagree. Every
move is a permutation of the elements: a round trip gives the same bits.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

Arrays = Mapping[str, np.ndarray]
Section = Mapping[str, Any]


class Move(NamedTuple):
    """An array from their layout to ours, and back."""

    ours: Callable[[np.ndarray], np.ndarray]
    theirs: Callable[[np.ndarray], np.ndarray]


class Entry(NamedTuple):
    """One array: its name in the reference, its path in our variables («params/conv/kernel»)."""

    theirs: str
    ours: str
    move: Move


def no_constants(section: Section) -> dict[str, np.ndarray]:
    """For a layout all of whose arrays are weights."""
    del section
    return {}


class Layout(NamedTuple):
    """The weight file of one class of a repository.

    name:      «owner/repository ClassName», as shown to the user and taken by --layout
    network:   its name in `build_method.NETWORKS`
    module:    its class
    read:      arrays -> the section of the network (its constructor's keyword arguments) that a few
               names and shapes speak of, or None; `detect.detect` proves it by all of them
    entries:   section -> the table, in the order of the reference's state_dict; UserError where the
               class has not these options
    constants: section -> arrays that the reference keeps and our network has not (mean shifts,
               counters of batches): accepted at import, written at export
    beside:    pattern of names that may lie beside and are not used (a classifier's)
    """

    name: str
    network: str
    module: type[nn.Module]
    read: Callable[[Arrays], dict[str, Any] | None]
    entries: Callable[[Section], list[Entry]]
    constants: Callable[[Section], dict[str, np.ndarray]] = no_constants
    beside: str = ""


def transposed(*axes: int) -> Move:
    """The axes of ours are these of theirs."""
    back = tuple(int(axis) for axis in np.argsort(axes))
    return Move(lambda a: a.transpose(axes), lambda a: a.transpose(back))


def same() -> Move:
    """Vectors, and kernels that are HWIO already (TensorFlow, MatConvNet)."""
    return Move(lambda a: a, lambda a: a)


def conv() -> Move:
    """Convolution of PyTorch or Caffe (O,I/groups,kh,kw) <-> (kh,kw,I/groups,O)."""
    return transposed(2, 3, 1, 0)


def linear() -> Move:
    """Dense layer (O,I) <-> (I,O)."""
    return transposed(1, 0)


def linear_after_flatten(*, channels: int, height: int, width: int) -> Move:
    """Dense layer behind a flattened (C,H,W) map: (O, C·H·W) <-> (H·W·C, O)."""

    def ours(a: np.ndarray) -> np.ndarray:
        outputs = a.shape[0]
        shaped = a.reshape(outputs, channels, height, width)
        return shaped.transpose(2, 3, 1, 0).reshape(-1, outputs)

    def theirs(a: np.ndarray) -> np.ndarray:
        outputs = a.shape[1]
        shaped = a.reshape(height, width, channels, outputs)
        return shaped.transpose(3, 2, 0, 1).reshape(outputs, -1)

    return Move(ours, theirs)


def transposed_conv() -> Move:
    """Transposed convolution of PyTorch or Caffe (I,O,kh,kw) <-> (kh,kw,I,O) flipped in space."""
    return Move(
        lambda a: a[:, :, ::-1, ::-1].transpose(2, 3, 0, 1),
        lambda a: a.transpose(2, 3, 0, 1)[:, :, ::-1, ::-1],
    )


def matconvnet_transposed_conv() -> Move:
    """Transposed convolution of MatConvNet (kh,kw,O,I) <-> (kh,kw,I,O) flipped in space."""
    return Move(
        lambda a: a[::-1, ::-1].transpose(0, 1, 3, 2), lambda a: a.transpose(0, 1, 3, 2)[::-1, ::-1]
    )


def shuffled(move: Move, factor: int, *, order: str) -> Move:
    """`move`, then outputs (the last axis) reordered for a pixel shuffle in PyTorch's order.

    order: of theirs: `tensorflow`, (i·r + j)·C + c, or `matconvnet`, c·r² + j·r + i
    """

    def places(outputs: int) -> np.ndarray:
        """places[k]: the place in their order of output k in PyTorch's."""
        every = np.arange(outputs)
        if order == "tensorflow":
            return every.reshape(factor, factor, -1).transpose(2, 0, 1).ravel()
        return every.reshape(-1, factor, factor).transpose(0, 2, 1).ravel()

    def theirs(a: np.ndarray) -> np.ndarray:
        return move.theirs(a[..., np.argsort(places(a.shape[-1]))])

    def ours(a: np.ndarray) -> np.ndarray:
        moved = move.ours(a)
        return moved[..., places(moved.shape[-1])]

    return Move(ours, theirs)


def conv_entries(theirs: str, ours: str, *, bias: bool = True) -> list[Entry]:
    """The two arrays of a PyTorch convolution: `theirs`.weight and .bias."""
    entries = [Entry(f"{theirs}.weight", f"params/{ours}/kernel", conv())]
    return entries + [Entry(f"{theirs}.bias", f"params/{ours}/bias", same())] * bias


def norm_entries(theirs: str, ours: str) -> list[Entry]:
    """The four arrays of a PyTorch batch normalisation; its counter is a constant of the layout."""
    return [
        Entry(f"{theirs}.weight", f"params/{ours}/scale", same()),
        Entry(f"{theirs}.bias", f"params/{ours}/bias", same()),
        Entry(f"{theirs}.running_mean", f"batch_stats/{ours}/mean", same()),
        Entry(f"{theirs}.running_var", f"batch_stats/{ours}/var", same()),
    ]


def conv_chain(pairs: Iterable[tuple[str, str]]) -> list[Entry]:
    """The entries of PyTorch convolutions with bias, from pairs of their name and ours."""
    return [entry for theirs, ours in pairs for entry in conv_entries(theirs, ours)]


def hwio_entries(kernel: str, bias: str, ours: str) -> list[Entry]:
    """The two arrays of a convolution whose kernel is HWIO in the file (TensorFlow, MatConvNet)."""
    return [
        Entry(kernel, f"params/{ours}/kernel", same()),
        Entry(bias, f"params/{ours}/bias", same()),
    ]


def batch_counters(entries: Iterable[Entry]) -> dict[str, np.ndarray]:
    """PyTorch's count of batches, 0, for each batch normalisation among the entries."""
    end = "running_mean"
    stems = [entry.theirs.removesuffix(end) for entry in entries if entry.theirs.endswith(end)]
    return {f"{stem}num_batches_tracked": np.zeros((), np.int64) for stem in stems}


def counted(pattern: str, names: Arrays) -> int:
    """How many of pattern.format(0), pattern.format(1), … are among the names, up to the first gap."""
    return next(index for index in itertools.count() if pattern.format(index) not in names)
