"""Where the numbers of a run go: the console, `metrics.jsonl`, and TensorBoard files."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorboardX

from jaxsr.disk import in_one_move
from jaxsr.types import UserError

Series = dict[str, tuple[list[int], list[float]]]


class Log(NamedTuple):
    """The open files of one run."""

    path: Path
    board: tensorboardX.SummaryWriter


def open_log(workdir: Path, *, start: int) -> Log:
    """Opens the logs of a work folder at step `start`.

    What a killed run wrote after that step is dropped, in one move: a kill now loses no other row.
    Raises UserError where the folder cannot be written.
    """
    path = workdir / "metrics.jsonl"
    try:
        if path.exists():
            lines = path.read_text(errors="replace").splitlines()
            kept = "".join(line + "\n" for line in lines if 0 <= _step(line) <= start)
            with in_one_move(path) as part:
                part.write_text(kept)
        board = tensorboardX.SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)
    except OSError as error:
        raise UserError(
            f"{workdir} cannot be written ({error.strerror}): name another folder with --workdir."
        ) from error
    return Log(path, board)


def _step(line: str) -> int:
    """The step of one line of metrics.jsonl, or -1 for a line that a kill cut short."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1


def read(workdir: Path) -> Series:
    """{metric: (steps, values)} of a run, evaluations as «evaluation/…»; {} where nothing is logged."""
    found: Series = {}
    path = workdir / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for row in map(json.loads, lines):
        for name, value in row.items():
            if name != "step":
                steps, values = found.setdefault(name, ([], []))
                steps.append(row["step"])
                values.append(value)
    return found


def scalars(log: Log, step: int, values: Mapping[str, float]) -> None:
    """Appends one row {"step": …, name: value, …} to the JSON lines, and to TensorBoard."""
    row = {"step": step} | {name: float(value) for name, value in values.items()}
    try:
        with log.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in values.items():
            log.board.add_scalar(name, float(value), step)
    except OSError as error:
        raise UserError(
            f"{log.path} cannot be written ({error.strerror}); checkpoints saved before are "
            "untouched: free some space and run the same command again."
        ) from error


def picture(log: Log, step: int, name: str, image: np.ndarray) -> None:
    """Shows an image, uint8 [h, w, 3], in TensorBoard."""
    log.board.add_image(name, image, step, dataformats="HWC")


def close(log: Log) -> None:
    """Flushes and closes the files; UserError where the disk is full."""
    try:
        log.board.close()
    except OSError as error:
        raise UserError(
            f"{log.path.parent / 'tensorboard'} cannot be written ({error.strerror}); checkpoints "
            "saved before are untouched: free some space and run the same command again."
        ) from error


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss under an hour."""
    whole = int(round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def progress(step: int, steps: int, rate: float, shown: Mapping[str, float]) -> str:
    """One console line: step, share done, seconds a step, time left, and the totals.

    rate: seconds per step over the last log interval.
    """
    numbers = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
    left = duration(rate * (steps - step))
    share = f"step {step}/{steps} ({100 * step // steps} %)"
    return f"{time.strftime('%H:%M:%S')}  {share}  {rate:.2f} s/step  left {left}  {numbers}"


def say(text: Any) -> None:
    """Prints one line at once, also into a pipe."""
    print(text, flush=True)
