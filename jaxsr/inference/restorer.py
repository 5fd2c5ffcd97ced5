"""What restores an image: a network with its weights, and how a colour image goes through it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxsr.ops.colour import rgb_to_ycbcr
from jaxsr.ops.resize import imresize
from jaxsr.types import Tree

# run(lq [h,w,c], *conditions) -> float32 [s·h,s·w,c], unclipped; lq is float in [0,1], or an integer
# image of its full range; conditions are maps on a grid of their own, found by the network's prior
# where they are not given
Run = Callable[..., np.ndarray]


class Restorer(NamedTuple):
    """A network that restores, with its weights.

    name:      key of `build_method.NETWORKS`
    scale:     output over input, per axis
    channels:  1 (luminance Y of BT.601) or 3 (RGB), in and out
    apply:     (variables, lq [1,h,w,channels] in [0,1], *conditions) -> float32 [1,s·h,s·w,channels],
               not clipped; pure, not jitted
    variables: {"params": …, "batch_stats": …}, float32
    prior:     for a network that takes class probabilities beside the image (SFT-Net):
               lq RGB [h,w,3] -> uint8 [s·h,s·w,8], 255·P; None elsewhere
    card:      where the weights come from; `card["network"]` is the section that builds the network
    """

    name: str
    scale: int
    channels: int
    apply: Callable[..., Any]
    variables: Tree
    prior: Callable[[np.ndarray], np.ndarray] | None
    card: dict[str, Any]


def as_float(image: np.ndarray) -> np.ndarray:
    """float32 of an image: integers divided by the largest value of their type, floats as they are."""
    if np.issubdtype(image.dtype, np.integer):
        return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
    return image.astype(np.float32)


def conditions_of(restorer: Restorer, lq: np.ndarray) -> tuple[np.ndarray, ...]:
    """What the network takes beside the image lq [h,w,channels]: nothing, or its prior map."""
    return () if restorer.prior is None else (restorer.prior(lq),)


def colour(restorer: Restorer, run: Run, rgb: np.ndarray, *conditions: np.ndarray) -> np.ndarray:
    """An RGB image through a network of either kind, unclipped.

    A network for RGB takes it as it is. One for luminance takes Y of BT.601; Cb and Cr are enlarged
    bicubically (edges held), and the three go back to RGB.

    rgb: float [h,w,3] in [0,1] -> float [s·h,s·w,3]; conditions are handed to `run`.
    """
    rgb = as_float(rgb)
    if restorer.channels == 3:
        return run(rgb, *conditions)
    ycbcr = rgb_to_ycbcr(rgb)
    luminance = run(ycbcr[..., :1], *conditions)
    chroma = imresize(ycbcr[..., 1:], restorer.scale, border="clamp", round_passes=False)
    return ycbcr_to_rgb(np.concatenate([luminance, chroma], -1, dtype=np.float32))


def ycbcr_to_rgb(ycbcr: np.ndarray) -> np.ndarray:
    """The inverse of `ops.colour.rgb_to_ycbcr`: float [...,3] -> [...,3] of the same type, unclipped."""
    # the map is affine: its offset is the image of black, its matrix that of the unit vectors
    offset = rgb_to_ycbcr(np.zeros(3))
    matrix = rgb_to_ycbcr(np.eye(3)) - offset
    inverse = np.linalg.inv(matrix).astype(ycbcr.dtype)
    return (ycbcr - offset.astype(ycbcr.dtype)) @ inverse
