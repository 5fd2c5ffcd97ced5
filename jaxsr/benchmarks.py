"""Benchmark sets through restoring methods: rows, means beside the reported figures, sheets.

`evaluate` yields one `Outcome` an image, so that whoever runs it writes each as it comes and keeps
what there is when it is interrupted.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxsr import protocols
from jaxsr.data.benchmarks import Pair, read_truth
from jaxsr.inference.restorer import Restorer, colour
from jaxsr.ops.colour import luma_uint8
from jaxsr.ops.resize import BORDERS, imresize, modcrop
from jaxsr.protocols import Protocol, to_uint8
from jaxsr.sheets import Cell, boxed, busiest, shrunk
from jaxsr.types import UserError

BASELINES = ("bicubic", "nearest")
SIDE = 80  # pixels of the truth in a crop of the sheet
WHOLE = 480  # rows of a whole image that are kept for the sheet
Row = dict[str, object]


class Method(NamedTuple):
    """A restoring method: lq float64 [h, w, 3 | 1] in [0, 1] -> float [sh, sw, 3 | 1]."""

    name: str
    scale: int
    restore: Callable[[np.ndarray], np.ndarray]


class Task(NamedTuple):
    """One set at one scale, and the methods that restore it."""

    dataset: str
    scale: int
    pairs: Sequence[Pair]
    methods: Sequence[Method]


class Picture(NamedTuple):
    """What the sheet shows of one image: the gain over bicubic that orders it, and its cells."""

    name: str
    gain: float
    cells: Sequence[Cell]


class Outcome(NamedTuple):
    """What came of one image: rows, a picture for the sheet (None: nothing was restored), and a
    sentence for each thing that failed."""

    dataset: str
    scale: int
    rows: Sequence[Row]
    picture: Picture | None
    failures: Sequence[str]


def method(
    name: str, restorer: Restorer, run: Callable[[np.ndarray], np.ndarray], protocol: Protocol
) -> Method:
    """A network as a method of a protocol.

    A luminance network takes Y, or the values of a grey image as they are, without conversion; of
    an RGB image it gets Y, and Cb, Cr are enlarged bicubically. An RGB network gets a grey image in
    three equal channels, and their mean comes back.

    Raises:
        UserError: an RGB network under a protocol of the luminance.
    """
    if protocol.luma_only and restorer.channels != 1:
        raise UserError(
            f"{name} restores RGB, and protocol {protocol.name} feeds networks the luminance alone: "
            "evaluate it by classic or B."
        )

    def restore(lq: np.ndarray) -> np.ndarray:
        lq = lq.astype(np.float32)
        if lq.shape[-1] == 3:
            return colour(restorer, run, lq)
        if restorer.channels == 1:
            return run(lq)
        return run(np.repeat(lq, 3, axis=-1)).mean(-1, keepdims=True)

    return Method(name, restorer.scale, restore)


def baselines(protocol: Protocol, scale: int) -> list[Method]:
    """Bicubic, as the protocol enlarges, and the repetition of every pixel."""
    return [
        Method("bicubic", scale, lambda lq: protocols.bicubic(protocol, lq, scale)),
        Method("nearest", scale, lambda lq: lq.repeat(scale, axis=0).repeat(scale, axis=1)),
    ]


def takes_files(protocol: Protocol) -> bool:
    """Whether the LR of a protocol can come from image files, that is, is made of 8-bit RGB."""
    if protocol.luma_only:
        return False
    probe = np.arange(12 * 12 * 3, dtype=np.uint32).reshape(12, 12, 3) ** 2 % 256
    levels = protocols.low(protocol, probe.astype(np.uint8), 2) * 255
    return bool(np.abs(levels - levels.round()).max() < 1e-9)


def evaluate(task: Task, *, protocol: Protocol, metrics: Sequence[Any] = ()) -> Iterator[Outcome]:
    """Restores and scores every image of a set, one outcome an image.

    Args:
        task: the set and the methods; `bicubic` must be among them for the gains of the sheet.
        protocol: makes the LR where a pair has none, and scores.
        metrics: further columns, `build_metrics.Metric`; one that refuses an image leaves None.
    Yields:
        outcomes in the order of the pairs. A file that cannot be read, a method or a metric that
        refuses an image becomes a sentence in `failures`; the rest goes on.
    """
    for pair in task.pairs:
        try:
            truth = modcrop(read_truth(pair.hq), task.scale)
            lq = _low(pair, truth, protocol, task.scale)
            origin = _origin(pair, lq, truth, protocol, task.scale)
        except (UserError, ValueError) as error:
            yield Outcome(task.dataset, task.scale, [], None, [f"{pair.name}: {error}"])
            continue
        held = {"image": pair.name, "set": task.dataset, "scale": task.scale}
        shown = luma_uint8(truth) if protocol.luma_only and truth.ndim == 3 else truth
        rows, restored, refused = [], {}, {}
        for each in task.methods:
            try:
                scores, image = _restore(each, lq, truth, protocol, task.scale)
            except (UserError, ValueError) as error:  # ValueError: too small for a score
                refused.setdefault(str(error), []).append(each.name)
                continue
            seconds = scores.pop("seconds")
            further, sentences = _measured(metrics, image, shown)
            for sentence in sentences:
                refused.setdefault(sentence, []).append(each.name)
            own = {"method": each.name, "protocol": protocol.name, "lr": origin}
            rows.append(held | own | scores | further | {"seconds": seconds})
            restored[each.name] = _rgb(image)
        picture = _picture(pair.name, _rgb(shown), restored, rows) if restored else None
        failures = [
            # what is true of every method is true of the image
            f"{pair.name}{'' if len(names) == len(task.methods) else ', ' + ', '.join(names)}: {why}"
            for why, names in refused.items()
        ]
        yield Outcome(task.dataset, task.scale, rows, picture, failures)


def columns(metrics: Sequence[Any] = ()) -> list[str]:
    """The columns of the rows of `evaluate`, in their order."""
    fixed = ["image", "set", "scale", "method", "protocol", "lr", "psnr", "ssim"]
    return [*fixed, *(metric.name for metric in metrics), "seconds"]


def _low(pair: Pair, truth: np.ndarray, protocol: Protocol, scale: int) -> np.ndarray:
    """The LR of a pair, float64 [h, w, 3 | 1], from its file or made from the truth."""
    if pair.lq is None:
        return protocols.low(protocol, truth, scale)
    lq = read_truth(pair.lq)
    lq, wanted = lq.reshape(*lq.shape[:2], -1), 1 if truth.ndim == 2 else 3
    if lq.shape != (truth.shape[0] // scale, truth.shape[1] // scale, wanted):
        raise UserError(
            f"{pair.lq} is {lq.shape[1]}x{lq.shape[0]} with {lq.shape[2]} channel(s), which is not "
            f"{pair.hq} reduced by {scale}: correct it, or make the LR with --lr make."
        )
    return lq / 255.0


def _origin(pair: Pair, lq: np.ndarray, truth: np.ndarray, protocol: Protocol, scale: int) -> str:
    """Where an LR comes from: «made clamp», or «file clamp | mirror | other» by what reproduces it.

    Stored files follow one of two border rules, which move a figure in its third decimal.
    """
    if pair.lq is None:
        return f"made {protocol.border}"
    levels = to_uint8(lq).reshape(lq.shape[:2] + truth.shape[2:])
    for border in BORDERS:
        made = imresize(truth, 1 / scale, border=border, round_passes=True)
        if np.array_equal(made, levels):
            return f"file {border}"
    return "file other"


def _restore(
    method: Method, lq: np.ndarray, truth: np.ndarray, protocol: Protocol, scale: int
) -> tuple[dict[str, float], np.ndarray]:
    """Scores and seconds of one image by one method, and the image, uint8 [h, w, 3] or [h, w]."""
    started = time.perf_counter()
    restored = np.asarray(method.restore(lq), np.float64)
    seconds = time.perf_counter() - started
    scores = protocols.score(protocol, restored, truth, scale)
    image = to_uint8(restored)
    return scores | {"seconds": seconds}, image if image.shape[-1] == 3 else image[..., 0]


def _measured(
    metrics: Sequence[Any], image: np.ndarray, truth: np.ndarray
) -> tuple[dict[str, float | None], list[str]]:
    """The further columns, None where a metric refuses the image, and its sentences."""
    found, refused = {}, []
    for metric in metrics:
        try:
            found[metric.name] = metric.measure(image, truth)
        except UserError as error:
            found[metric.name] = None
            refused.append(str(error))
    return found, refused


def _picture(
    name: str, truth: np.ndarray, restored: Mapping[str, np.ndarray], rows: Sequence[Row]
) -> Picture:
    """The whole truth with a frame, and what every method made of the square in it.

    The square is where the first network differs most from bicubic; without one, where bicubic
    differs most from the truth.
    """
    networks = [method for method in restored if method not in BASELINES]
    main = networks[0] if networks else "bicubic"
    scores = {row["method"]: row["psnr"] for row in rows}
    base = restored.get("bicubic", truth)
    other = restored[main] if networks else truth
    side = min(SIDE, *truth.shape[:2])
    difference = luma_uint8(other).astype(int) - luma_uint8(base)
    top, left = busiest(difference, side)
    inside = np.s_[top : top + side, left : left + side]
    gain = scores.get(main, 0.0)
    if networks and "bicubic" in scores:
        gain = 0.0 if gain == scores["bicubic"] else gain - scores["bicubic"]  # both infinite: 0
    # copies: a view of a crop would hold the whole image for as long as the sheet waits
    crops = [
        Cell(image[inside].copy(), f"{method} {scores[method]:.2f} dB")
        for method, image in restored.items()
    ]
    whole = Cell(shrunk(boxed(truth, top, left, side), WHOLE), name)
    return Picture(name, gain, [whole, *crops, Cell(truth[inside].copy(), "truth")])


def _rgb(image: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] from [h, w, 3], [h, w, 1] or [h, w]."""
    image = image.reshape(*image.shape[:2], -1)
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
