"""Random flips of square crops."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxsr.types import UserError

FLIPS = ("horizontal", "vertical", "transpose")  # all three: the 8 symmetries of a square


def check_flips(flips: Sequence[str]) -> None:
    """UserError that names a flip which is none of `FLIPS`."""
    unknown = sorted(set(flips) - set(FLIPS))
    if unknown:
        raise UserError(f"the flip {unknown[0]!r} is unknown: use some of {', '.join(FLIPS)}.")


def drawn_flips(
    rng: np.random.Generator, flips: Sequence[str]
) -> Callable[[np.ndarray], np.ndarray]:
    """A function that flips squares [s, s, c] all alike, by each of `flips` with probability ½."""
    # All three are drawn always, so that a choice of flips does not move the other draws.
    drawn = dict(zip(FLIPS, rng.random(len(FLIPS)) < 0.5, strict=True))

    def flip(part: np.ndarray) -> np.ndarray:
        if "horizontal" in flips and drawn["horizontal"]:
            part = part[:, ::-1]
        if "vertical" in flips and drawn["vertical"]:
            part = part[::-1]
        if "transpose" in flips and drawn["transpose"]:
            part = part.transpose(1, 0, 2)
        return part

    return flip
