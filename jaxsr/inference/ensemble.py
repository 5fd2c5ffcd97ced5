"""What goes around a network at inference: the mean over turned images, and back-projection."""

from collections.abc import Callable

import numpy as np

from jaxsr.inference.restorer import Restorer, Run
from jaxsr.ops.resize import imresize

REACH = 5  # LQ pixels that one step of back-projection looks further than the network


def self_ensemble(
    run: Run, *, prior: Callable[[np.ndarray], np.ndarray] | None = None, step: int = 1
) -> Run:
    """The mean of the eight results for the image turned and mirrored, each turned back.

    out = 1/8 Σ_T T⁻¹(run(T(lq))), T over the rotations by 90° with and without a mirror, before any
    clipping or rounding. Maps beside the image are turned with it. Sums are in float64.

    prior: `Restorer.prior`: the map is made once, of the image as it is, where none is given
    step:  of `receptive.Structure`: the image is grown to multiples of it, its edge repeated, before
           it is turned, so that a window's grid of blocks is that of the image in all eight
    Source: Timofte et al., CVPR 2016, seven ways to improve super-resolution; EDSR's «+».
    """

    def ensemble(lq: np.ndarray, *conditions: np.ndarray) -> np.ndarray:
        if prior is not None and not conditions:
            conditions = (prior(lq),)
        height, width = lq.shape[:2]
        images = [_grown(image, step, lq.shape) for image in (lq, *conditions)]
        total: np.ndarray | float = 0.0
        for mirrored in (False, True):
            for turns in range(4):
                turned = [_turned(image, turns, mirrored) for image in images]
                made = np.asarray(run(*turned), np.float64)
                back = np.rot90(made, -turns)
                total = total + (back[:, ::-1] if mirrored else back)
        scale = total.shape[0] // images[0].shape[0]
        return (total / 8)[: scale * height, : scale * width].astype(np.float32)

    return ensemble


def _grown(image: np.ndarray, step: int, shape: tuple[int, ...]) -> np.ndarray:
    """An image, or a map k times finer than `shape`, grown as `shape` is to multiples of `step`."""
    k = image.shape[0] // shape[0]
    ends = [(0, k * (-size % step)) for size in shape[:2]]
    return np.pad(image, (*ends, (0, 0)), mode="edge") if step > 1 else image


def _turned(image: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(image[:, ::-1] if mirrored else image, turns))


def back_projection(run: Run, restorer: Restorer, *, steps: int, border: str = "clamp") -> Run:
    """The network's result, moved until its reduction is the image it was made from.

    x ← x + up(lq - down(x)), `steps` times, with MATLAB's bicubic reduction and enlargement (neither
    rounded nor clipped), which is right for images that were reduced that way: elsewhere, and with
    noise or JPEG in them, it brings their faults back. Works on what the network works on, the
    luminance or RGB.

    border: of the two resizes, `clamp` (published LR files) or `mirror` (newer MATLAB)
    Source: Irani and Peleg 1991; Timofte et al., CVPR 2016, as a way to improve any method.
    """
    rule = {"border": border, "round_passes": False}

    def projected(lq: np.ndarray, *conditions: np.ndarray) -> np.ndarray:
        out = np.asarray(run(lq, *conditions), np.float64)
        for _ in range(steps):
            missing = lq - imresize(out, 1 / restorer.scale, **rule)
            out += imresize(missing, restorer.scale, **rule)
        return out.astype(np.float32)

    return projected
