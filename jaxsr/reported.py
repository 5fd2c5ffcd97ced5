"""The figures that papers and repositories print for the benchmark sets, to stand beside one's own.

`data/reported.csv` holds them as they are printed. Its last column is the protocol (a key of
`protocols.PROTOCOLS`) by which they were made: with a question mark where it is likely and was not
verified, empty where it is not known.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

RGB_PROTOCOLS = ("basicsr", "edsr", "ntire")
_COLOUR = " (RGB)"


class Figure(NamedTuple):
    """One printed figure: who printed it where, for which method and set, and its value."""

    source: str
    table: str
    method: str
    scale: int
    dataset: str
    metric: str
    value: float
    protocol: str


def read() -> tuple[Figure, ...]:
    """All reported figures, in the order of the file."""
    path = Path(__file__).parent / "data" / "reported.csv"
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(
            Figure(
                row["source"], row["table"], row["method"], int(row["scale"].removeprefix("x")),
                row["dataset"], row["metric"], float(row["value"]), row["protocol"],
            )
            for row in csv.DictReader(file)
        )  # fmt: skip


def find(
    figures: Sequence[Figure], *, method: str, dataset: str, scale: int, metric: str, protocol: str
) -> list[Figure]:
    """The figures reported for one number, those of the same protocol first.

    Args:
        figures: of `read`.
        method: any spelling: case, dashes and blanks do not count, «+» is «plus» (self-ensemble),
            and an ending like `_x4` in the printed name does not either.
        dataset: a key of `data.benchmarks.SETS`; DIV2K means its validation images.
        metric: psnr or ssim.
        protocol: of the number; figures on RGB are never set beside figures on Y.
    Returns:
        the figures: of the protocol, of the same one unverified, of another; then as in the file.
    """
    wanted = _plain(method)
    colour = protocol in RGB_PROTOCOLS
    held = [
        figure
        for figure in figures
        if figure.scale == scale
        and dataset == figure.dataset.removesuffix(" val100")
        and figure.metric.removesuffix(_COLOUR).lower() == metric
        and on_rgb(figure) == colour
        and _plain(re.sub(rf"_x{scale}$", "", figure.method)) == wanted
    ]
    return sorted(held, key=lambda figure: _distance(figure.protocol, protocol))


def on_rgb(figure: Figure) -> bool:
    """Whether a figure was computed on RGB (some tables print such a one among those on Y)."""
    return figure.metric.endswith(_COLOUR) or figure.protocol in RGB_PROTOCOLS


def same_protocol(figure: Figure, protocol: str) -> bool:
    """Whether a figure was made by a protocol, verified or likely."""
    return figure.protocol.removesuffix("?") == protocol


def _distance(printed: str, protocol: str) -> int:
    if printed == protocol:
        return 0
    return 1 if printed == protocol + "?" else 2


def _plain(method: str) -> str:
    return re.sub(r"[^a-z0-9]", "", method.lower().replace("+", "plus"))
