"""The rows of a benchmark as files and tables: CSV as it goes, means beside reported figures."""

import contextlib
import csv
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxsr import reported
from jaxsr.benchmarks import Picture, Row
from jaxsr.checkpoint import write_text
from jaxsr.data.benchmarks import expected
from jaxsr.data.images import write_png
from jaxsr.evaluate import spread
from jaxsr.protocols import Protocol, describe
from jaxsr.reported import Figure
from jaxsr.sheets import sheet
from jaxsr.types import UserError

Summary = dict[str, object]
_TEXT = ("image", "set", "scale", "method", "protocol", "lr")


@contextlib.contextmanager
def row_writer(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Row], None]]:
    """A function that appends a row to a new CSV file and has it on the disk when it returns.

    Raises UserError where the disk refuses.
    """

    def refused(error: OSError) -> UserError:
        why = error.strerror or error
        return UserError(f"{path} cannot be written ({why}): name another folder with --out.")

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise refused(error) from error
    with file:
        writer = csv.DictWriter(file, fieldnames=list(columns), lineterminator="\n")

        def write(row: Row) -> None:
            try:
                writer.writerow(row)
                file.flush()
            except OSError as error:
                raise refused(error) from error

        write(dict(zip(columns, columns, strict=True)))
        yield write


def summarise(
    rows: Sequence[Row], *, names: Mapping[str, str], figures: Sequence[Figure]
) -> list[Summary]:
    """Means over the images of every set, scale and method, with the figure reported for each.

    Args:
        rows: of `benchmarks.evaluate`, all of one protocol.
        names: {method: the name by which tables know it}; a method that is missing has its own.
        figures: of `reported.read`.
    Returns:
        one dict each: set, scale, method, images, expected (images of the whole set, or None), lr
        (where it comes from), equal (images of infinite PSNR), the means of psnr and of the other
        columns (without infinite PSNRs), and reported: {"psnr": Figure | None, "ssim": Figure | None,
        "others": figures of other tables for psnr}.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["scale"], row["method"]), []).append(row)
    found = []
    for (dataset, scale, method), own in groups.items():
        scores = [name for name in own[0] if name not in _TEXT]
        wanted = {"method": names.get(method, method), "dataset": dataset, "scale": scale}
        wanted |= {"protocol": own[0]["protocol"]}
        found.append(
            {"set": dataset, "scale": scale, "method": method, "images": len(own)}
            | {"expected": expected(dataset), "lr": _one([row["lr"] for row in own])}
            | {"equal": sum(row["psnr"] == math.inf for row in own)}
            | {name: _mean([row[name] for row in own]) for name in scores}
            | {"reported": _reported(figures, wanted)}
        )
    return found


def _reported(figures: Sequence[Figure], wanted: Mapping) -> dict[str, object]:
    """The figures for PSNR and SSIM, both from one table where one prints both."""
    psnr = reported.find(figures, metric="psnr", **wanted)
    ssim = reported.find(figures, metric="ssim", **wanted)
    if psnr:
        place = (psnr[0].source, psnr[0].table, psnr[0].method)
        ssim = [each for each in ssim if (each.source, each.table, each.method) == place]
    return {"psnr": next(iter(psnr), None), "ssim": next(iter(ssim), None), "others": psnr[1:]}


def _one(values: Sequence[object]) -> str:
    """The value that all share, else all there are."""
    return ", ".join(dict.fromkeys(str(value) for value in values))


def _mean(values: Sequence[float | None]) -> float:
    """The mean of the numbers: without infinity (equal images) and None (refused by a metric)."""
    finite = [value for value in values if value not in (None, math.inf)]
    if finite:
        return float(np.mean(finite))
    return math.inf if math.inf in values else math.nan


def markdown(summaries: Sequence[Summary], protocol: Protocol, metrics: Sequence[Any] = ()) -> str:
    """The means as a Markdown table, obtained beside reported, with notes that name every source.

    A difference is obtained minus reported. It stands in brackets where the figure was made by
    another protocol, or over a whole set of which images are missing here: it is no error then.
    None is made between the SRGAN paper's kind of SSIM and Wang's.
    """
    if not summaries:
        return f"Nothing was restored.\n\nProtocol: {describe(protocol)}\n"
    extras = [metric.name for metric in metrics]
    head = ["set", "×", "method", "images", "PSNR", "reported", "diff", "SSIM", "reported", "diff"]
    head += [*extras, "s/image", "note"]
    notes: dict[str, int] = {}
    lines = []
    for summary in summaries:
        count, whole = summary["images"], summary["expected"]
        partial = whole is not None and count != whole
        cells = [summary["set"], str(summary["scale"]), summary["method"]]
        cells.append(f"{count}/{whole}" if partial else str(count))
        for metric, digits in (("psnr", 2), ("ssim", 4)):
            cells += _compared(summary, metric, digits, protocol.name, partial)
        cells += [f"{summary[name]:.4f}" for name in extras]
        cells += [f"{summary['seconds']:.2f}", _note(summary["reported"]["psnr"], protocol, notes)]
        lines.append(cells)
    text = [
        aligned(head, lines, left={0, 2, len(head) - 1}),
        "",
        f"Protocol: {describe(protocol)}",
        "",
    ]
    origins = dict.fromkeys(f"{each['set']} x{each['scale']} {each['lr']}" for each in summaries)
    text += [f"LR: {'; '.join(origins)}", ""]
    text += [line for metric in metrics for line in (f"{metric.name}: {metric.text}", "")]
    if any(each["expected"] not in (None, each["images"]) for each in summaries):
        text += ["Means over a part of a set (images n/all) are no figures of the set.", ""]
    equal = [
        f"{each['method']} {each['equal']} on {each['set']} x{each['scale']}"
        for each in summaries
        if 0 < each["equal"] < each["images"]
    ]
    if equal:
        text += [
            f"Images equal to the truth, whose infinite PSNR no mean holds: {'; '.join(equal)}.",
            "",
        ]
    text += [f"[{number}] {note}" for note, number in notes.items()]
    return "\n".join(text).rstrip("\n") + "\n"


def _compared(summary: Summary, metric: str, digits: int, protocol: str, partial: bool):
    """Three cells: obtained, reported, difference."""
    value, figure = summary[metric], summary["reported"][metric]
    obtained = f"{value:.{digits}f}"
    if figure is None:
        return [obtained, "", ""]
    apart = f"{round(value - figure.value, digits) + 0.0:+.{digits}f}"  # never «-0.00»
    if metric == "ssim" and (figure.protocol == "srgan") != (protocol == "srgan"):
        return [obtained, f"{figure.value:.{digits}f}", "other SSIM"]
    if partial or not reported.same_protocol(figure, protocol):
        apart = f"({apart})"
    return [obtained, f"{figure.value:.{digits}f}", apart]


def _note(figure: Figure | None, protocol: Protocol, notes: dict[str, int]) -> str:
    """«[1]», after giving the source of a figure its number."""
    if figure is None:
        return ""
    made = figure.protocol.removesuffix("?") or "not stated"
    where = (
        figure.table if figure.source.startswith("seed ") else f"{figure.source}, {figure.table}"
    )
    text = f"{figure.method} in {where}; protocol {made}"
    text += " (likely, not verified)" if figure.protocol.endswith("?") else ""
    if not reported.same_protocol(figure, protocol.name):
        text += f", not {protocol.name}: the difference is no error"
    return f"[{notes.setdefault(text, len(notes) + 1)}]"


def aligned(head: Sequence[str], lines: Sequence[Sequence[str]], *, left: Collection[int]) -> str:
    """A Markdown table whose columns are aligned as text too, those of `left` to the left."""
    widths = [max(len(line[k]) for line in [head, *lines]) for k in range(len(head))]

    def row(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if k in left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|".join(
        "-" * (width + 2) if k in left else "-" * (width + 1) + ":"
        for k, width in enumerate(widths)
    )
    return "\n".join([row(head), f"|{rule}|", *map(row, lines)])


def write_results(
    folder: Path,
    *,
    rows: Sequence[Row],
    summaries: Sequence[Summary],
    protocol: Protocol,
    metrics: Sequence[Any],
    failures: Sequence[str],
    complete: bool,
) -> None:
    """Writes `results.md` and `results.json` (infinite and undefined numbers as null)."""
    write_text(folder / "results.md", markdown(summaries, protocol, metrics))
    held = {
        "protocol": protocol.name,
        "protocol_text": describe(protocol),
        "metrics": {metric.name: metric.text for metric in metrics},
        "complete": complete,
        "means": [_plain(summary) for summary in summaries],
        "rows": [_plain(row) for row in rows],
        "failures": list(failures),
    }
    write_text(folder / "results.json", json.dumps(held, indent=1, allow_nan=False) + "\n")


def _plain(value: object) -> object:
    """A value as JSON can hold it: figures as dicts, numbers that are none as null."""
    if isinstance(value, Figure):
        return value._asdict()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_sheet(path: Path, pictures: Sequence[Picture], *, shown: int, height: int) -> list[str]:
    """Writes a sheet with the image of the least gain, that of the greatest, and some between.

    Returns the names of the images that are shown, the worst first.
    """
    ordered = sorted(pictures, key=lambda picture: picture.gain)
    chosen = [ordered[place] for place in spread(len(ordered), shown)]
    lines = []
    for picture in chosen:
        ends = ordered[:: len(ordered) - 1] if len(ordered) > 1 else ()  # one alone is neither
        mark = next((m for m, end in zip((" (worst)", " (best)"), ends) if picture is end), "")
        first = picture.cells[0]
        lines.append([first._replace(text=first.text + mark), *picture.cells[1:]])
    write_png(path, sheet(lines, height=height))
    return [picture.name for picture in chosen]
