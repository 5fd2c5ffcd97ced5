"""What Deep Video Prior has made of a clip so far: frames, a strip, how they flicker and what they keep."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from jaxsr.data.clips import Clip
from jaxsr.data.images import write_png
from jaxsr.evaluate import Row, markdown, spread, write
from jaxsr.metrics.psnr import psnr
from jaxsr.metrics.warping import Pair, pair_error
from jaxsr.protocols import to_uint8
from jaxsr.sheets import Cell, sheet
from jaxsr.types import Batch, Tree, UserError

PROTOCOL = (
    "means over frames, 8 bits, all channels; flicker: mean |difference to the frame before| in [0, 1], "
    "motion included; fidelity: PSNR in dB to the processed frame"
)
WARPING = (
    "; warping: mean |difference| to the frame before (short) and to the first (long) moved along the flow "
    "of the input, where it is seen, and their sum; squared: of the next frame, mean square"
)
KINDS = {"output": "image", "minor": "minor", "confidence": "confidence"}  # as `predict` calls them
Motion = Callable[[], Mapping[str, Sequence[Pair]]]


def temporal(
    *, given: Clip, processed: Clip, motion: Motion | None, truncate: bool, shown: int, height: int
) -> Callable[..., tuple[dict[str, float], np.ndarray]]:
    """Evaluates the fit to a clip, beside the input and the processed frames.

    given, processed: the clip and what a program made of it, frame by frame
    motion:   () -> `metrics.warping.pairs` of the input, called once; None: no warping error
    truncate: levels of 8 bits are cut off, as in the reference, and not rounded
    shown:    frames on the strip; height: of the pictures there

    `predict` gives {"image"}, or {"image", "minor", "confidence"}, for one frame. Writes the frames of step n
    as step_<n>/<name>.png (and minor/… and confidence/…, white where the main image wins), step_<n>.csv (a
    line a frame), .md (means) and .png (the strip; its last column is the middle row of all frames, time
    downwards, where flicker is seen as stripes across). Means of the output: flicker, fidelity and, with
    motion, warping short, warping long, warping, warping squared.
    """
    if shown < 1:
        raise UserError(f"config.evaluation.shown is {shown}: the strip has at least one frame.")
    known = functools.cache(motion) if motion else dict
    protocol = PROTOCOL + WARPING * (motion is not None)

    @functools.cache
    def fixed() -> list[Row]:
        clips = {"input": given, "processed": processed}
        return [row for n, c in clips.items() for row in rows(n, c.frames, processed, known())]

    def evaluate(predict: Callable[[Batch], Tree], step: int, folder: Path):
        made = made_of(predict, given, processed, truncate=truncate)
        for kind, frames in made.items():
            where = folder / f"step_{step:08d}" / ("" if kind == "output" else kind)
            for name, frame in zip(given.names, frames, strict=True):
                write_png(where / f"{name}.png", frame[..., 0] if kind == "confidence" else frame)
        found = fixed() + rows("output", made["output"], processed, known())
        averages = means(found)
        clips = {"input": given.frames, "processed": processed.frames} | made
        page = strip(clips, averages, given.names, shown=shown, height=height)
        write(folder, step, rows=found, table=markdown(averages, protocol), page=page)
        return averages["output"], page

    return evaluate


def made_of(
    predict: Callable[[Batch], Tree], given: Clip, processed: Clip, *, truncate: bool
) -> dict[str, np.ndarray]:
    """{"output", perhaps "minor" and "confidence"}: uint8 [t,h,w,3] of all frames of a clip."""
    held: dict[str, list[np.ndarray]] = {}
    for frame, target in zip(given.frames, processed.frames, strict=True):
        made = predict({"frame": frame[None], "processed": target[None]})
        for kind, name in KINDS.items():
            if name in made:
                image = levels(made[name][0], truncate=truncate)
                held.setdefault(kind, []).append(np.repeat(image, 3 // image.shape[-1], -1))
    return {name: np.stack(frames) for name, frames in held.items()}


def levels(image: np.ndarray, *, truncate: bool) -> np.ndarray:
    """[0, 1] as uint8, clipped; the next level, or the one below."""
    return (np.clip(image, 0, 1) * 255).astype(np.uint8) if truncate else to_uint8(image)


def rows(
    method: str, frames: np.ndarray, processed: Clip, pairs: Mapping[str, Sequence[Pair]]
) -> list[Row]:
    """A line for each frame; what looks at the frame before is empty for the first."""
    error = jax.jit(pair_error, static_argnames="power")
    floats = frames.astype(np.float32) / 255
    columns: dict[str, list[object]] = {
        "flicker": [
            "", *(float(np.abs(b - a).mean()) for a, b in zip(floats, floats[1:], strict=False))
        ],
        "fidelity": [psnr(a, b, border=0) for a, b in zip(frames, processed.frames, strict=True)],
    }  # fmt: skip
    if pairs:
        short, long, squared = (
            [
                float(error(floats[p.reference], floats[p.other], p.flow, p.visible, power=power))
                for p in pairs[kind]
            ]
            for kind, power in (("short", 1), ("long", 1), ("back", 2))
        )
        both = [a + b for a, b in zip(short, long, strict=True)]
        named = {"short": short, "long": long, "": both, "squared": squared}
        columns |= {f"warping {kind}".strip(): ["", *each] for kind, each in named.items()}
    return [
        {"frame": name, "method": method} | {key: column[t] for key, column in columns.items()}
        for t, name in enumerate(processed.names)
    ]


def means(found: Sequence[Row]) -> dict[str, dict[str, float]]:
    """{method: {metric: mean over its frames}}; an infinite PSNR makes the mean infinite."""
    made = {}
    for method in dict.fromkeys(str(row["method"]) for row in found):
        own = [row for row in found if row["method"] == method]
        names = [name for name in own[0] if name not in ("frame", "method")]
        made[method] = {
            name: float(np.mean([row[name] for row in own if row[name] != ""])) for name in names
        }
    return made


def strip(
    clips: Mapping[str, np.ndarray],
    averages: Mapping[str, Mapping[str, float]],
    names: Sequence[str],
    *,
    shown: int,
    height: int,
) -> np.ndarray:
    """A line for each clip: some frames, and the middle row of all of them, time downwards."""
    lines = []
    for method, frames in clips.items():
        cells = [Cell(frames[t], names[t]) for t in spread(len(frames), shown)]
        cells[0] = cells[0]._replace(text=f"{method}: {cells[0].text}")
        times = max(1, round(frames.shape[1] / len(frames)))
        through = np.repeat(frames[:, frames.shape[1] // 2], times, 0)
        found = averages.get(method, {})
        text = f"flicker {found['flicker']:.4f}" if found else "through time"
        if np.isfinite(found.get("fidelity", np.inf)) and method != "input":
            text += f", {found['fidelity']:.1f} dB" if found else ""
        lines.append([*cells, Cell(through, text)])
    return sheet(lines, height=height)
