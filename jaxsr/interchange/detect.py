"""What the layouts share to tell from names and shapes which network a weight file holds."""

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxsr.interchange.layout import Arrays, Entry, Section, conv_entries
from jaxsr.types import UserError

_UNREAD = ("name", "parent", "dtype")  # of a Flax module, and no part of a section


def full(network: type, section: Section) -> dict[str, Any]:
    """A section with the network's defaults in the place of what it leaves out."""
    fields = [field for field in dataclasses.fields(network) if field.name not in _UNREAD]
    return {field.name: field.default for field in fields} | dict(section)


def fits(arrays: Arrays, entries: Iterable[Entry], constants: Iterable[str] = ()) -> bool:
    """Whether the names are those of the entries, with or without those of the constants."""
    wanted = {entry.theirs for entry in entries}
    return wanted <= set(arrays) and set(arrays) <= wanted | set(constants)


def require(layout: str, section: Section, **options: Any) -> None:
    """UserError where the network has other options than the class of the layout has."""
    for name, value in options.items():
        if section[name] != value:
            raise UserError(
                f"{layout} has {name} {value!r} and this network {section[name]!r}, so its weights "
                "do not fit into that class: choose another layout."
            )


def chained(pairs: Iterable[tuple[str, str]]) -> list[Entry]:
    """The entries of convolutions with bias, from pairs of their name and ours."""
    return [entry for theirs, ours in pairs for entry in conv_entries(theirs, ours)]


def counters(entries: Iterable[Entry]) -> dict[str, np.ndarray]:
    """PyTorch's count of batches, 0, for each batch normalisation among the entries."""
    ends = "running_mean"
    names = [entry.theirs.removesuffix(ends) for entry in entries if entry.theirs.endswith(ends)]
    return {f"{name}num_batches_tracked": np.zeros((), np.int64) for name in names}


def kernel(arrays: Arrays, name: str) -> tuple[int, ...]:
    """(outputs, inputs, height, width) of the convolution `name`, zeros where there is none."""
    weight = arrays.get(f"{name}.weight")
    return (0, 0, 0, 0) if weight is None or weight.ndim != 4 else weight.shape


def enlarges(arrays: Arrays, pattern: str, features: int, *, start: int, step: int) -> int:
    """The scale of a chain of pixel shuffles, 0 where it is none of 2, 3, 4 and 8.

    The convolutions before them are pattern.format(start), pattern.format(start + step), …; the
    chain ends at the first that is absent or makes no 4 or 9 times `features` maps.
    """
    names = (pattern.format(start + step * i) for i in range(4))
    maps = (kernel(arrays, name)[0] for name in names)
    found = itertools.takewhile(lambda n: n in (4 * features, 9 * features), maps)
    factors = tuple(2 if n == 4 * features else 3 for n in found)
    return {(2,): 2, (3,): 3, (2, 2): 4, (2, 2, 2): 8}.get(factors, 0)
