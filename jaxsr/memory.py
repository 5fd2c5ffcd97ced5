"""Whether a compiled program fits into the memory, told before it runs instead of by a kill."""

import os
from collections.abc import Callable
from typing import Any

import jax

from jaxsr.types import UserError

USABLE = 0.9  # of the memory: the rest is the runtime's and the system's


def total() -> int:
    """Bytes of the first device, or of the machine where the device does not say."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("bytes_limit") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def needed(program: Any) -> int:
    """Bytes that a compiled program needs at once on a device: arguments, results, what lies between."""
    found = program.memory_analysis()
    held = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    return held + found.temp_size_in_bytes


def check(need: int, room: int, smaller: Callable[[float], str]) -> None:
    """Raises UserError where `need` bytes are more than can be used of `room`.

    smaller: share of what is needed that can be used, in 0..1 -> what to change
    """
    usable = USABLE * room
    if need > usable:
        raise UserError(
            f"the steps need {need / 2**30:.1f} GiB of memory, and {usable / 2**30:.1f} GiB can be used "
            f"here: {smaller(usable / need)}."
        )


def checked(function: Any, smaller: Callable[[float], str]) -> Callable[..., Any]:
    """The program of a jitted function for some arguments, to be called with them; UserError: see `check`.

    Each new shape of the arguments is compiled and looked at once.
    """
    compiled: dict[tuple[Any, ...], Any] = {}

    def program(*given: Any) -> Any:
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(given))
        if shapes not in compiled:
            made = function.lower(*given).compile()
            check(needed(made), total(), smaller)
            compiled[shapes] = made
        return compiled[shapes]

    return program
