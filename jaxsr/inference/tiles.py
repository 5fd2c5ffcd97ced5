"""Images of any size through a network: whole, or in windows of one size, with bounded memory.

The windows overlap by the receptive field and lie inside the image; only an image smaller than a
window is padded, and then the network sees its edge where it is (`edges.inside`). So the seams are not
blended: there are none, and the result does not depend on the size of the windows.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxsr.inference import receptive
from jaxsr.inference.budget import (
    SIZES,
    analysed,
    candidates,
    compiled,
    even,
    fitting,
    is_exhausted,
    masked,
    shapes_of,
    up,
)
from jaxsr.inference.restorer import Restorer, Run, as_float, conditions_of
from jaxsr.inference.spans import Span, place, spans
from jaxsr.types import UserError

LEAST_OVERLAP = 4  # pixels that the bicubic enlargement of the chroma needs, with one to spare


def whole(restorer: Restorer) -> Run:
    """A Run that gives the network the image as it is: one compilation per size."""
    apply = jax.jit(restorer.apply)
    variables = jax.device_put(restorer.variables)
    step = receptive.structure(restorer).step

    def run(lq: np.ndarray, *conditions: np.ndarray) -> np.ndarray:
        check(restorer, lq)
        conditions = conditions or conditions_of(restorer, lq)
        height, width = lq.shape[:2]
        size = (up(height, step), up(width, step))
        inputs = [_padded(image, size, lq.shape) for image in (lq, *conditions)]
        out = np.asarray(apply(variables, *inputs))[0]
        return out[: height * restorer.scale, : width * restorer.scale]

    return run


def tiled(restorer: Restorer, *, tile: int, overlap: int) -> Run:
    """A Run in windows of `tile`² LQ pixels, neighbours sharing 2·`overlap`: one compilation in all.

    The results of two windows meet `overlap` pixels inside both. With an overlap of at least
    `receptive.support` the result is that of the whole image, up to the rounding of float32.

    The Run takes, beside (lq, *conditions):
    each:     (run, part [h,w,c], *parts of the conditions) -> image [s·h,s·w,k] of any type, what to
              do with a window instead of run(part, *parts): conversions of colour and type, so that
              the image itself is never held as float. It must not look further than the overlap.
    out:      array [s·h,s·w,k] to write into, made from the first window where it is None
    progress: progress(done, total) after every window

    Raises UserError for a network that cannot be tiled, and windows that the overlap leaves no room in.
    """
    return _in_windows(restorer, masked(restorer), tile=tile, overlap=lambda: overlap)


def runner(
    restorer: Restorer,
    *,
    memory_mib: float,
    report: Callable[[str], None] | None = None,
    extra: int = 0,
    largest: int = 0,
) -> Run:
    """A Run as `tiled` gives, with the largest windows whose program stays within `memory_mib`.

    The memory is what XLA's analysis of the compiled program says: arguments (the weights too),
    results and temporary arrays; images on the host come on top. When the device has no such
    memory after all, the next smaller size of `SIZES` is taken and the image begun again.

    report:  report(text) for what was chosen, and why
    extra:   pixels added to the overlap, for an `each` that looks beyond the network's reach
    largest: the longest side among the images to come, in LQ pixels, if that is known: no window
             needs to be larger, and it is chosen once for all. With 0 the windows are made for the first
             image and again for one that is larger than those before.

    The overlap is measured (`receptive.overlap`) when the first image comes that is larger than a
    window. A network that looks at the whole image (instance normalisation) gets it whole, where that
    stays within the memory. Raises UserError where no window, or no such image, fits.
    """
    say = report or (lambda text: None)
    if receptive.structure(restorer).summed:
        say("every image whole, since each pixel depends on all others: a compilation per size")
        return _uncut(restorer, memory_mib=memory_mib)
    held: dict[str, Any] = {"limit": SIZES[0], "side": 0}

    def choose(height: int, width: int) -> None:
        sizes = candidates(min(max(height, width), held["limit"]))
        # known also if compiling fails for want of memory
        held["tile"] = held["side"] = sizes[0]
        tile, program, used = fitting(restorer, sizes, memory_mib=memory_mib)
        if tile < sizes[0]:
            held["limit"] = tile
        reach = functools.cache(
            lambda: max(receptive.overlap(restorer, program, tile=tile), LEAST_OVERLAP) + extra
        )
        evenly, made = tile, program
        if max(height, width) > tile:
            evenly = even(height, width, tile=tile, overlap=reach())
        if evenly < tile:
            made, used = compiled(restorer, masked(restorer), evenly)
        say(f"windows of {evenly}² pixels, {used / 2**20:.0f} MiB")
        held["run"] = _in_windows(restorer, made, tile=evenly, overlap=reach)
        held["tile"], held["side"] = evenly, max(height, width, tile)

    def run(lq: np.ndarray, *conditions: np.ndarray, **options: Any) -> np.ndarray:
        nonlocal held
        check(restorer, lq)
        size = (largest, largest) if largest else lq.shape[:2]
        while True:
            try:
                if "run" not in held or held["side"] < min(max(size), held["limit"]):
                    choose(*size)
                return held["run"](lq, *conditions, **options)
            except MemoryError as error:  # of the host; the device's is a JaxRuntimeError
                raise UserError(
                    f"the memory of this machine does not hold the result of {lq.shape[0]}×"
                    f"{lq.shape[1]} pixels ×{restorer.scale}: cut the image, or take a larger machine."
                ) from error
            except jax.errors.JaxRuntimeError as error:
                if not is_exhausted(error):
                    raise
                tried = held["tile"]
                if tried <= SIZES[-1]:
                    raise UserError(
                        f"the device has no memory for {restorer.name} even on {SIZES[-1]}² "
                        "pixels: free some, or run on another."
                    ) from error
                held = {"limit": next(size for size in SIZES if size < tried), "side": 0}
                say(f"out of memory: windows of at most {held['limit']}² pixels now")

    return run


def _uncut(restorer: Restorer, *, memory_mib: float) -> Run:
    """The Run of a network that cannot be tiled: the image as one window, if the memory allows."""
    programs: dict[tuple[int, ...], Any] = {}

    def one(part: np.ndarray, *conditions: np.ndarray) -> np.ndarray:
        conditions = conditions or conditions_of(restorer, part)
        height, width = part.shape[:2]
        if (height, width) not in programs:
            program = jax.jit(restorer.apply)
            inputs = receptive.inputs(restorer, height, width)
            made, used = analysed(program.lower(shapes_of(restorer), *inputs))
            if used > memory_mib * 2**20:
                raise UserError(
                    f"{receptive.refusal(restorer)} At {height}×{width} pixels that takes "
                    f"{used / 2**20:.0f} MiB, and {memory_mib:g} are allowed."
                )
            programs[height, width] = made
        inputs = [as_float(image)[None] for image in (part, *conditions)]
        try:
            return np.asarray(programs[height, width](restorer.variables, *inputs))[0]
        except jax.errors.JaxRuntimeError as error:
            if not is_exhausted(error):
                raise
            raise UserError(
                f"{receptive.refusal(restorer)} The device has no memory for {height}×{width} pixels."
            ) from error

    def run(lq, *conditions, each=None, out=None, progress=None):
        check(restorer, lq)
        conditions = conditions or conditions_of(restorer, lq)
        parts = [as_float(image) for image in (lq, *conditions)]
        made = one(*parts) if each is None else each(one, *parts)
        if out is not None:
            out[...] = made
        if progress is not None:
            progress(1, 1)
        return made if out is None else out

    return run


def check(restorer: Restorer, lq: np.ndarray) -> None:
    """ValueError unless lq is an image [h,w,channels] that the network takes."""
    if lq.ndim != 3 or lq.shape[-1] not in (restorer.channels, 3) or 0 in lq.shape:
        raise ValueError(f"{restorer.name} takes [h,w,{restorer.channels}], not {lq.shape}.")


def _in_windows(
    restorer: Restorer, program: Callable[..., Any], *, tile: int, overlap: Callable[[], int]
) -> Run:
    """A Run that puts an image together from windows; `overlap` is asked for when one is cut."""
    found, s = receptive.structure(restorer), restorer.scale
    receptive.refuse_global(restorer, found)
    step = found.step
    tile = up(tile, step)
    variables = jax.device_put(restorer.variables)

    def one(part: np.ndarray, *conditions: np.ndarray) -> np.ndarray:
        """A part no larger than a window, by the one program that there is."""
        conditions = conditions or conditions_of(restorer, part)
        extent = np.array([up(size, step) for size in part.shape[:2]], np.int32)
        inputs = [_padded(image, (tile, tile), part.shape) for image in (part, *conditions)]
        out = np.asarray(program(variables, extent, *inputs))[0]
        return out[: s * part.shape[0], : s * part.shape[1]]

    def run(lq, *conditions, each=None, out=None, progress=None):
        check(restorer, lq)
        conditions = conditions or conditions_of(restorer, lq)
        height, width = lq.shape[:2]
        share = up(overlap(), step) if max(height, width) > tile else 0
        # the last window may stand out by less than a step, so that it too begins on the grid
        down, across = (spans(up(size, step), tile=tile, overlap=share) for size in (height, width))
        windows = [(v, h) for v in down for h in across]
        for done, (v, h) in enumerate(windows, start=1):
            part, *rest = (_cut(image, v, h, lq.shape) for image in (lq, *conditions))
            made = one(part, *rest) if each is None else each(one, part, *rest)
            if out is None:
                out = np.empty((s * height, s * width, made.shape[-1]), made.dtype)
            place(out, made, v, h, scale=s)
            if progress is not None:
                progress(done, len(windows))
        return out

    return run


def _cut(image: np.ndarray, v: Span, h: Span, shape: tuple[int, ...]) -> np.ndarray:
    """The part of an image, or of a map on a finer grid, that a window sees, as float32."""
    k = image.shape[0] // shape[0]
    return as_float(image[k * v.start : k * v.stop, k * h.start : k * h.stop])


def _padded(image: np.ndarray, size: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """[1,…] float32 of an image, or of a map k times finer, grown to k·size by repeating its edge."""
    k = image.shape[0] // shape[0]
    pad = [(0, k * size[axis] - image.shape[axis]) for axis in (0, 1)]
    return np.pad(as_float(image), (*pad, (0, 0)), mode="edge")[None]
