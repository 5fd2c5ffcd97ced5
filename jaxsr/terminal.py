"""What the commands share: the numbers they take, how they tell how far they are, and how they end."""

import _thread
import argparse
import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

INTERRUPTED, UNREAD = 130, 141  # as shells count them: 128 and the number of the signal


def ended(name: str, body: Callable[[], int | None]) -> int:
    """The exit status of a command: that of `body` (None is 0), 130 after Ctrl-C, 141 without a reader.

    A reader goes away in `… | head`; what was not read yet is dropped in silence.
    """
    try:
        with interrupts_kept():
            status = body() or 0
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # what is left in the buffers would raise again when the interpreter writes it at its end
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return UNREAD
    return status


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """Ctrl-C comes again a moment later where it fell into a callback, whose exceptions Python drops.

    JAX has one in the garbage collector, and building and compiling pass through it often.
    """
    usual = sys.unraisablehook

    def hook(dropped: Any) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            threading.Timer(0.05, _thread.interrupt_main).start()
        else:
            usual(dropped)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type for argparse: whole numbers from `least` to `most`."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            span = f"from {least} up" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number {span}")
        return int(text)

    return read


def positive(text: str) -> float:
    """A type for argparse: finite numbers over 0."""
    value = _float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number over 0")
    return value


def share(text: str) -> float:
    """A type for argparse: numbers from 0 to 1."""
    value = _float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to 1")
    return value


def _float(text: str) -> float:
    """NaN, which no comparison is true of, where there is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def duration(seconds: float) -> str:
    """Seconds in words: 40 s, 3 min 20 s, 2 h 05 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def speed(pixels: float, seconds: float) -> str:
    """Millions of pixels a second to three digits, without exponents."""
    rate = pixels / 1e6 / max(seconds, 1e-9)
    return f"{rate:.3g} MP/s" if rate >= 1e-4 else "under 0.0001 MP/s"


def pace(pixels: float, seconds: float, share: float) -> str:
    """Rate and time left of work of which so many pixels, a share of all, took so many seconds.

    With a share of 0 nothing is known of the time.
    """
    left = f", {duration(seconds * (1 / share - 1))} left" if share else ""
    return speed(pixels, seconds) + left


def status_line(*, every: float = 10) -> Callable[..., None]:
    """A function `say(text, last=False)` for how far a long work is.

    On a terminal one line is renewed; elsewhere there is one every so many seconds, and the last.
    """
    shown, said = sys.stderr.isatty(), time.monotonic()

    def say(text: str, last: bool = False) -> None:
        nonlocal said
        now = time.monotonic()
        if shown:
            print(f"\r{text:<60}", end="\n" if last else "", file=sys.stderr, flush=True)
        elif last or now - said > every:
            said = now
            print(text, file=sys.stderr, flush=True)

    return say
