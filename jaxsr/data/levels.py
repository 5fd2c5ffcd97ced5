"""How strong the three distortions of RL-Restore are: ten levels of each, mixtures, bands of tools."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxsr.types import UserError

# Level i of a distortion is the interval between edges i - 1 and i.
EDGES = {
    "blur": (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0),
    "noise": (0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0),
    "jpeg": (100.0, 80.0, 60.0, 50.0, 40.0, 35.0, 30.0, 25.0, 20.0, 15.0, 10.0),
}
# Least and largest k + m + n - 2 of the levels of a mixture. The agent is trained on `moderate`.
SEVERITIES = {"mild": (9, 11), "moderate": (12, 17), "severe": (18, 20)}
# What each of the twelve tools treats, in the order of the actions: distortion, from, to.
BANDS = (
    ("blur", 0.0, 1.25),
    ("blur", 1.25, 2.5),
    ("blur", 2.5, 3.75),
    ("blur", 3.75, 5.0),
    ("noise", 0.0, 12.5),
    ("noise", 12.5, 25.0),
    ("noise", 25.0, 37.5),
    ("noise", 37.5, 50.0),
    ("jpeg", 60.0, 100.0),
    ("jpeg", 35.0, 60.0),
    ("jpeg", 20.0, 35.0),
    ("jpeg", 10.0, 20.0),
)
_LEVELS = range(1, 11)


class Levels(NamedTuple):
    """How strongly one image is distorted, in the order in which it happens.

    blur:    standard deviation of the Gaussian, pixels; 0 is none
    noise:   standard deviation on the scale 0..255; 0 is none
    quality: of JPEG, 1..100; None: no JPEG
    """

    blur: float
    noise: float
    quality: float | None


def tool_names() -> tuple[str, ...]:
    """The twelve tools in words, for tables and pictures: «deblur σ 1.25–2.5», «deblock q 35–60»."""
    verbs = {"blur": "deblur σ", "noise": "denoise σ", "jpeg": "deblock q"}
    return tuple(f"{verbs[kind]} {low:g}–{high:g}" for kind, low, high in BANDS)


def triples(severity: str) -> tuple[tuple[int, int, int], ...]:
    """All ordered triples of levels (blur k, noise m, JPEG n) of a severity.

    All with k + m + n - 2 in the range of `SEVERITIES`: 163 mild, 434 moderate, 163 severe.

    Args:
        severity: `mild`, `moderate` or `severe`.
    Raises:
        UserError: another severity.
    Source: yuke93/RL-Restore dd1463d, the MATLAB scripts that make the data.
    """
    if severity not in SEVERITIES:
        raise UserError(f"there is no severity {severity!r}: use {_either(SEVERITIES)}.")
    low, high = (total + 2 for total in SEVERITIES[severity])
    return tuple(
        (k, m, n)
        for k in _LEVELS
        for m in _LEVELS
        for n in range(max(1, low - k - m), min(10, high - k - m) + 1)
    )


def draw(severity: str, rng: np.random.Generator) -> Levels:
    """The levels of a mixture: a triple drawn uniformly, then each uniformly inside its interval.

    Args:
        severity: `mild`, `moderate` or `severe`.
        rng: gives four draws.
    Raises:
        UserError: another severity.
    Source: yuke93/RL-Restore dd1463d, the MATLAB scripts that make the data.
    """
    choices = triples(severity)
    picked = choices[rng.integers(len(choices))]
    ends = [EDGES[kind][i - 1 : i + 1] for kind, i in zip(EDGES, picked, strict=True)]
    low, high = np.sort(ends, axis=1).T  # of JPEG the stronger end is the smaller number
    return Levels(*(float(value) for value in rng.uniform(low, high)))


def draw_band(kind: str, low: float, high: float, rng: np.random.Generator) -> Levels:
    """One distortion alone, its strength uniform in a band; see `BANDS`.

    Args:
        kind: `blur`, `noise` or `jpeg`.
        low, high: the band, low <= high, within 0..5 pixels of blur, 0..50 of noise, or 1..100 of
            JPEG quality.
        rng: gives one draw.
    Raises:
        UserError: another kind or band.
    """
    if kind not in EDGES:
        raise UserError(f"there is no distortion {kind!r} to draw a band of: use {_either(EDGES)}.")
    least, most = (1, 100) if kind == "jpeg" else (0, EDGES[kind][-1])
    if not least <= low <= high <= most:
        raise UserError(
            f"the band {low:g}..{high:g} of {kind} must ascend within {least}..{most:g}: change it."
        )
    value = float(rng.uniform(low, high))
    return Levels(0.0, 0.0, None)._replace(**{"quality" if kind == "jpeg" else kind: value})


def draw_slight(rng: np.random.Generator) -> Levels:
    """The slight noise and JPEG that tools are trained with: σ in [0, 5], quality in [80, 100].

    A tool meets what other tools have left of a mixture, never one clean distortion.

    Args:
        rng: gives two draws.
    Source: the paper, which gives no sizes; they are those of Farshad-Farahtaj/RL-Restore.
    """
    return Levels(0.0, float(rng.uniform(0, 5)), float(rng.uniform(80, 100)))


def strengths(chain: Sequence[Levels]) -> np.ndarray:
    """The strengths of a chain of distortions on a common scale: (σ_b/5, σ_n/50, (100 - q)/90).

    Args:
        chain: at least one; of several the strongest of each kind counts.
    Returns:
        float32 [3], 0..1 for levels of `EDGES`.
    """
    every = [(b / 5, n / 50, 0.0 if q is None else (100 - q) / 90) for b, n, q in chain]
    return np.max(np.array(every, np.float32), axis=0)


def _either(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"
