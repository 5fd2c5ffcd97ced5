"""Evaluation: images → rows → CSV, a table, a PNG sheet, and means.

Both evaluations here are built once and called by the loop as `evaluate(predict, step, folder)`;
they write `step_<n>.csv`, `.md` and `.png` into the folder and return the means and the sheet.
"""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxsr import outdoor
from jaxsr.checkpoint import write_text
from jaxsr.data.images import write_png
from jaxsr.metrics.segmentation import confusion_matrix, mean_iou, pixel_accuracy
from jaxsr.protocols import PROTOCOLS, score, to_uint8
from jaxsr.sheets import Cell, sheet
from jaxsr.types import Batch, UserError

Row = dict[str, object]
Distance = Callable[[np.ndarray, np.ndarray], float]


def restoration(
    *,
    samples: Sequence[Mapping[str, object]],
    method: str,
    baselines: Mapping[str, Sequence[np.ndarray]],
    distance: Distance | None,
    distance_name: str,
    scale: int,
    protocol: str,
    shown: int,
    height: int,
):
    """Evaluates restored images against the truth, beside baselines computed beforehand.

    samples:   dicts with name, lq float32 [h, w, 3], hq uint8 [sh, sw, 3] and optionally seg
               float32 [sh, sw, 8]
    method:    name of the network under training in the tables
    baselines: {name: restored uint8 images, in the order of the samples}
    distance:  (restored, truth) -> perceptual distance of uint8 images, or None
    protocol:  printed with every number
    shown:     images on the sheet; height: of each picture there, in pixels
    """

    def row(name: str, image: str, restored: np.ndarray, truth: np.ndarray) -> Row:
        # the scores' names say which plane they are of: these enter the logs of a training run
        found = score(PROTOCOLS["classic"], restored / 255.0, truth, scale)
        scores = {f"{metric}_y": value for metric, value in found.items()}
        far = {distance_name: distance(restored, truth)} if distance else {}
        return {"image": image, "method": name, "protocol": protocol} | scores | far

    fixed = [
        row(name, sample["name"], image, sample["hq"])
        for name, images in baselines.items()
        for sample, image in zip(samples, images, strict=True)
    ]

    def evaluate(predict: Callable[[Batch], np.ndarray], step: int, folder: Path):
        own = []
        for sample in samples:
            batch = {name: sample[name][None] for name in ("lq", "seg") if name in sample}
            own.append(to_uint8(predict(batch)[0]))
        pairs = zip(samples, own, strict=True)
        rows = fixed + [row(method, s["name"], image, s["hq"]) for s, image in pairs]
        lines = []
        for index in spread(len(samples), shown):
            sample = samples[index]
            images = {name: held[index] for name, held in baselines.items()} | {method: own[index]}
            lines.append(_cells(sample, images, rows))
        page = sheet(lines, height=height)
        averages = means(rows)
        write(folder, step, rows=rows, table=markdown(averages, protocol), page=page)
        return averages[method], page

    return evaluate


def _cells(sample, restored: Mapping[str, np.ndarray], rows: Sequence[Row]) -> list[Cell]:
    """One line of the sheet: LR, the methods with their PSNR, the truth and the prior map."""
    found = {(r["image"], r["method"]): r["psnr_y"] for r in rows}
    name = str(sample["name"])
    cells = [Cell(to_uint8(sample["lq"]), f"{name}: LR")]
    cells += [Cell(image, f"{n} {found[name, n]:.2f} dB") for n, image in restored.items()]
    cells.append(Cell(sample["hq"], "ground truth"))
    if "seg" in sample:
        cells.append(Cell(outdoor.paint(sample["seg"]), "prior map"))
    return cells


def segmentation(*, samples: Sequence[Mapping[str, object]], shown: int, height: int):
    """Evaluates class probabilities against label maps: pixel accuracy, mean IoU and confusions.

    samples: dicts with name, lq float32 [h, w, 3] and label uint8 [h, w], 255 for no class
    The table also gives the share of the majority class, which a constant answer would reach.
    """
    classes = len(outdoor.NAMES)

    def evaluate(predict: Callable[[Batch], np.ndarray], step: int, folder: Path):
        total, rows, lines = np.zeros((classes, classes), np.int64), [], []
        for index, sample in enumerate(samples):
            probabilities = predict({"lq": sample["lq"][None]})[0]
            found = probabilities.argmax(-1)
            matrix = confusion_matrix(found, sample["label"], classes=classes, ignore=outdoor.VOID)
            total += matrix
            accuracy = pixel_accuracy(matrix)
            rows.append({"image": sample["name"], "pixel_accuracy": accuracy})
            if index in spread(len(samples), shown):
                lines.append(
                    [
                        Cell(to_uint8(sample["lq"]), f"{sample['name']}: input"),
                        Cell(outdoor.paint_labels(sample["label"]), "labels, void white"),
                        Cell(outdoor.paint(probabilities), "probabilities"),
                        Cell(outdoor.paint_labels(found), f"{100 * accuracy:.1f} %"),
                    ]
                )
        averages = {
            "pixel_accuracy": pixel_accuracy(total),
            "mean_iou": mean_iou(total),
            "majority": float(total.sum(1).max() / max(total.sum(), 1)),
        }
        page = sheet(lines, height=height)
        write(folder, step, rows=rows, table=confusion_markdown(total, averages), page=page)
        return averages, page

    return evaluate


def spread(count: int, shown: int) -> list[int]:
    """At most `shown` of `count` positions, evenly from the first to the last, for the sheet."""
    if shown >= count:
        return list(range(count))
    return [int(place) for place in np.linspace(0, count - 1, shown).round()]


def deviation(values: Sequence[float]) -> float:
    """Standard deviation of what several runs give (n - 1); 0 of a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def over_runs(values: Sequence[float], *, digits: int = 2) -> str:
    """«mean ± deviation» of what several runs give; the value of a single one, nothing of none."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if len(values) else ""
    return f"{np.mean(values):.{digits}f} ± {deviation(values):.{digits}f}"


def means(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """{method: {metric: mean over its images}}, in the order of the rows.

    Infinite PSNRs, those of equal images, are left out; a score that is NaN makes the mean NaN.
    """
    found: dict[str, dict[str, float]] = {}
    for method in dict.fromkeys(str(row["method"]) for row in rows):
        own = [row for row in rows if row["method"] == method]
        names = [name for name in own[0] if name not in ("image", "method", "protocol")]
        found[method] = {
            name: float(np.mean([row[name] for row in own if row[name] != math.inf] or [math.inf]))
            for name in names
        }
    return found


def markdown(averages: Mapping[str, Mapping[str, float]], protocol: str) -> str:
    """The means as a Markdown table, one method a line, with the protocol under it."""
    names = list(next(iter(averages.values())))
    width = max(len(name) for name in averages)
    head = f"| {'method':<{width}} | " + " | ".join(names) + " |"
    rule = f"|{'-' * (width + 2)}|" + "".join("-" * (len(name) + 1) + ":|" for name in names)
    lines = [
        f"| {method:<{width}} | "
        + " | ".join(f"{values[name]:>{len(name)}.4f}" for name in names) + " |"
        for method, values in averages.items()
    ]  # fmt: skip
    return "\n".join([head, rule, *lines, "", f"Protocol: {protocol}", ""])


def confusion_markdown(matrix: np.ndarray, averages: Mapping[str, float]) -> str:
    """The confusion matrix in percent of each true class, with the overall scores."""
    share = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    lines = ["| true ↓, found → | " + " | ".join(outdoor.NAMES) + " | pixels |"]
    lines.append("|---|" + "---:|" * (len(outdoor.NAMES) + 1))
    for name, row, count in zip(outdoor.NAMES, share, matrix.sum(1), strict=True):
        lines.append(f"| {name} | " + " | ".join(f"{v:.1f}" for v in row) + f" | {count} |")
    scores = ", ".join(f"{name} {value:.4f}" for name, value in averages.items())
    return "\n".join([*lines, "", scores, ""])


def write(folder: Path, step: int, *, rows: Sequence[Row], table: str, page: np.ndarray) -> None:
    """Writes rows (CSV), table (Markdown) and sheet (PNG) of one step.

    Raises UserError where the disk refuses.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / f"step_{step:08d}.csv", text.getvalue())
        write_text(folder / f"step_{step:08d}.md", table)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}); checkpoints saved before are "
            "untouched: free some space and run the same command again."
        ) from error
    write_png(folder / f"step_{step:08d}.png", page)


def report(workdir: Path) -> str:
    """The latest table of a work folder and where its sheet lies."""
    table = max((workdir / "evaluation").glob("step_*.md"))
    return f"\n{table.read_text(encoding='utf-8')}\nsheet: {table.with_suffix('.png')}"
