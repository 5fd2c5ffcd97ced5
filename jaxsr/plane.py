"""The perception–distortion plane: every evaluated method as a point, and which are not dominated.

Distortion compares with the truth (RMSE or PSNR), the perceptual index says how far the images look
from natural ones (LPIPS, NIQE, …). No method can be best in both (Blau and Michaeli 2018): those
that nothing beats in both lie on the frontier.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxsr.checkpoint import write_text
from jaxsr.data.images import write_png
from jaxsr.types import UserError

DISTORTIONS = ("rmse", "psnr")
HIGHER_IS_BETTER = ("psnr", "ssim")
# Columns of a training run's evaluation, and those of a benchmark.
_TEXT = ("image", "set", "scale", "method", "protocol", "lr", "seconds")  # no scores
_ALIASES = {"psnr_y": "psnr", "ssim_y": "ssim"}
_TITLE = 24  # letters of the name of a set, which may be a path
# Places of a label around its point, in points of 1/72 inch, the best first.
_OFFSETS = (
    (6, 4),
    (6, -12),
    (-6, 4),
    (-6, -12),
    (0, 8),
    (0, -16),
    (14, 16),
    (-14, 16),
    (14, -24),
    (-14, -24),
)


class Point(NamedTuple):
    """A method on one set at one scale; `frontier` where no other beats it in both."""

    dataset: str
    scale: str
    method: str
    protocol: str
    images: int
    distortion: float
    perception: float
    frontier: bool


def read_rows(source: Path) -> list[dict[str, str]]:
    """The rows of an evaluation: a CSV file, a folder with results.csv, or that of a training run.

    Of a training run the latest table is read. Every row has set, scale, method, protocol and image
    (set and scale empty where the table has none) beside its scores, all as text.
    Raises UserError where there is no such table.
    """
    path = source
    if source.is_dir():
        tables = [source / "results.csv", *sorted((source / "evaluation").glob("step_*.csv"))[::-1]]
        path = next((table for table in tables if table.is_file()), source / "results.csv")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read: name a CSV file or a folder that scripts/evaluate.py or a "
            "training run has written."
        ) from error
    if not rows or not {"image", "method"} <= set(rows[0]):
        raise UserError(f"{path} is no table of an evaluation: it lacks rows, image or method.")
    blank = {"set": "", "scale": "", "protocol": ""}
    return [blank | {_ALIASES.get(k, k): v for k, v in row.items() if k} for row in rows]


def points(
    sources: Mapping[str, Sequence[Mapping[str, str]]], *, distortion: str, perception: str
) -> list[Point]:
    """The points of some evaluations, over the images that all methods of a set have.

    RMSE = sqrt(mean over images of 255²·10^(-PSNR/10)); every other value is the mean of its column.

    Args:
        sources: {name: rows of `read_rows`}. A method in several is one point where its values are
            equal, else each gets the name of its source.
        distortion: rmse (from the column psnr), psnr, or another column.
        perception: name of a column.
    Returns:
        points in the order of sets, scales and methods.
    Raises:
        UserError: a column that no row has, methods of one set by different protocols, no image
            that all have.
    """
    column = "psnr" if distortion == "rmse" else distortion
    panels: dict[tuple[str, str], dict[str, dict[str, tuple[float, float]]]] = {}
    protocols: dict[tuple[str, str], str] = {}
    for (panel, method, protocol), rows in _grouped(sources, column, perception).items():
        if protocols.setdefault(panel, protocol) != protocol:
            raise UserError(
                f"{panel[0] or 'the images'} x{panel[1]} were scored by the protocols "
                f"{protocols[panel]!r} and {protocol!r}: evaluate all methods by one."
            )
        panels.setdefault(panel, {})[method] = rows
    if not panels:
        there = dict.fromkeys(k for rows in sources.values() for row in rows for k in row)
        others = [name for name in there if name not in _TEXT]
        raise UserError(
            f"no row has numbers for both {column!r} and {perception!r}: evaluate with that metric, or "
            f"choose of {', '.join(others)}."
        )
    found: list[Point] = []
    for panel, methods in panels.items():
        common = set.intersection(*(set(rows) for rows in methods.values()))
        if not common:
            raise UserError(f"{panel[0]} x{panel[1]}: there is no image that all methods restored.")
        own = []
        for method, rows in methods.items():
            values = np.array([rows[image] for image in sorted(common)])
            first = _rmse(values[:, 0]) if distortion == "rmse" else float(values[:, 0].mean())
            mean = float(values[:, 1].mean())
            held = (*panel, method, protocols[panel], len(common), first, mean, False)
            own.append(Point(*held))
        best = frontier([_costs(point, distortion, perception) for point in own])
        found += [point._replace(frontier=k in best) for k, point in enumerate(own)]
    return found


def frontier(costs: Sequence[tuple[float, float]]) -> list[int]:
    """The positions of the points that no other beats: none is as low in both and lower in one.

    costs: (distortion, perception), lower is better. Equal points are on the frontier together.
    """
    return [
        k
        for k, (x, y) in enumerate(costs)
        if not any((a <= x and b <= y) and (a < x or b < y) for a, b in costs)
    ]


def table(found: Sequence[Point], *, distortion: str, perception: str) -> str:
    """The points as CSV, with the names of the two axes as columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["set", "scale", "method", "protocol", "images", distortion, perception, "frontier"]
    )
    for point in found:
        numbers = [repr(point.distortion), repr(point.perception)]
        writer.writerow([*point[:5], *numbers, "yes" if point.frontier else "no"])
    return text.getvalue()


def write(folder: Path, found: Sequence[Point], *, distortion: str, perception: str) -> list[Path]:
    """Writes plane.csv and plane.png into a folder; UserError where the disk refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = table(found, distortion=distortion, perception=perception)
        write_text(folder / "plane.csv", text)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror or error}).") from error
    picture = draw(found, distortion=distortion, perception=perception)
    write_png(folder / "plane.png", picture)
    return [folder / "plane.csv", folder / "plane.png"]


def draw(found: Sequence[Point], *, distortion: str, perception: str) -> np.ndarray:
    """The plane as uint8 [h, w, 3], a panel for every set and scale, at most three in a line.

    Both axes are turned so that better is to the left and below; the frontier is joined by a line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys((point.dataset, point.scale) for point in found))
    across = min(3, len(panels))
    down = math.ceil(len(panels) / across)
    figure = Figure(figsize=(5.6 * across, 4.6 * down), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    labels = []
    for place, panel in enumerate(panels):
        axes = figure.add_subplot(down, across, place + 1)
        own = [point for point in found if (point.dataset, point.scale) == panel]
        labels.append((axes, _panel(axes, own, distortion, perception)))
    canvas.draw()
    for axes, texts in labels:
        _place(axes, texts, canvas.get_renderer())
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _panel(axes, own: Sequence[Point], distortion: str, perception: str) -> list:
    """Draws the points of one panel and returns their labels."""
    best = sorted((p for p in own if p.frontier), key=lambda p: _costs(p, distortion, perception))
    axes.plot(
        [p.distortion for p in best], [p.perception for p in best], "-", color="0.75", zorder=1
    )
    texts = []
    for point in own:
        colour = "tab:red" if point.frontier else "tab:blue"
        axes.scatter(point.distortion, point.perception, color=colour, s=28, zorder=2)
        at = (point.distortion, point.perception)
        texts.append(
            axes.annotate(
                point.method, at, xytext=(6, 4), textcoords="offset points",
                fontsize=9, color=colour, arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "0.6"},
            )
        )  # fmt: skip
    axes.margins(0.18)
    for name, invert in ((distortion, axes.invert_xaxis), (perception, axes.invert_yaxis)):
        if name in HIGHER_IS_BETTER:
            invert()
    # the better end is the left and the lower one, whichever way the numbers run
    axes.set_xlabel(f"← better      {_title(distortion)}")
    axes.set_ylabel(f"← better      {_title(perception)}")
    dataset = own[0].dataset if len(own[0].dataset) <= _TITLE else "…" + own[0].dataset[-_TITLE:]
    head = f"{dataset} ×{own[0].scale}" if dataset else "evaluation"
    protocol = f", protocol {own[0].protocol}" if own[0].protocol and own[0].dataset else ""
    count = f"{own[0].images} image{'s' * (own[0].images != 1)}"
    axes.set_title(f"{head}, {count}{protocol}", fontsize=10)
    axes.grid(alpha=0.3)
    return texts


def _place(axes, texts: Sequence, renderer) -> None:
    """Moves every label to the side of its point where it covers least and stays in the panel."""
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    def extent(text) -> Bbox:
        return Text.get_window_extent(text, renderer)  # an annotation's own counts its line too

    frame = axes.get_window_extent(renderer)
    dots = [axes.transData.transform(text.xy) for text in texts]
    taken = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in dots]
    # from the right to the left: the first choice is the right side of a point
    for text in sorted(texts, key=lambda text: -axes.transData.transform(text.xy)[0]):
        choices = []
        for offset in _OFFSETS:
            _move(text, offset)
            box = extent(text)
            covered = sum(_area(Bbox.intersection(box, other)) for other in taken)
            outside = _area(box) - _area(Bbox.intersection(box, frame))
            choices.append((covered + 2 * outside, offset))
        _move(text, min(choices, key=lambda choice: choice[0])[1])
        taken.append(extent(text))


def _area(box) -> float:
    """Square pixels of a Bbox, 0 for the None that two without a common part give."""
    return 0.0 if box is None else box.width * box.height


def _move(text, offset: tuple[int, int]) -> None:
    text.set_position(offset)
    text.set_ha("left" if offset[0] > 0 else "right" if offset[0] < 0 else "center")


def _title(name: str) -> str:
    return {"rmse": "RMSE (levels of 255)", "psnr": "PSNR (dB)", "niqe": "NIQE"}.get(name, name)


def _costs(point: Point, distortion: str, perception: str) -> tuple[float, float]:
    """Both values with the sign that makes lower better."""
    return tuple(
        -value if name in HIGHER_IS_BETTER else value
        for name, value in ((distortion, point.distortion), (perception, point.perception))
    )


def _rmse(psnrs: np.ndarray) -> float:
    return float(np.sqrt(np.mean(255**2 * 10 ** (-psnrs / 10))))


def _grouped(sources, column: str, perception: str) -> dict[tuple, dict[str, tuple[float, float]]]:
    """{((set, scale), method, protocol): {image: (distortion, perception)}}; equal ones once."""
    found: dict[tuple, dict[str, dict]] = {}
    for name, rows in sources.items():
        for row in rows:
            values = (_number(row.get(column)), _number(row.get(perception)))
            if None not in values:
                group = ((row["set"], row["scale"]), row["method"], row["protocol"])
                found.setdefault(group, {}).setdefault(name, {})[row["image"]] = values
    groups = {}
    for (panel, method, protocol), held in found.items():
        alike = all(own == next(iter(held.values())) for own in held.values())
        for name, own in list(held.items())[: 1 if alike else None]:
            groups[panel, method if alike else f"{method} ({name})", protocol] = own
    return groups


def _number(text: str | None) -> float | None:
    """A finite number, else None: empty cells and equal images count for nothing."""
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
