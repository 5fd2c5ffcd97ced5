"""A picture through a network: colour, grey, alpha and depth, window by window."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxsr.inference.pictures import Picture, to_levels, to_unit
from jaxsr.inference.restorer import Restorer, Run, colour
from jaxsr.ops.resize import imresize
from jaxsr.types import UserError

ALPHA = ("bicubic", "network")
_BAND = 512  # rows of alpha that are enlarged together
_MARGIN = 4  # rows: the cubic reaches two to each side


def restore_picture(
    picture: Picture,
    restorer: Restorer,
    run: Run,
    *,
    alpha: str = "bicubic",
    premultiplied: bool = False,
    around: Callable[[Run], Run] = lambda run: run,
    progress: Callable[[int, int], None] | None = None,
) -> Picture:
    """The restored picture, of the same kind and depth: v_out = floor(max · clip(f(v/max)) + 1/2).

    Colour goes through the network as `restorer.colour` says. Grey goes into a network for
    luminance as it is (its values are taken for Y, though Y of BT.601 keeps to 16..235), and into
    one for RGB three times, of which the mean comes out. Alpha takes a path of its own.

    Args:
        picture: uint8 or uint16.
        restorer, run: the network, and a Run of `tiles.runner` or `tiles.tiled`.
        alpha: `bicubic` (edges held) or `network` (as grey).
        premultiplied: colour is multiplied by alpha before the network and divided by the restored
            alpha (the rounded one) after, so that colour from under transparent pixels does not
            bleed; it is held as float32 then, and black where alpha is 0.
        around: what goes around the network in each window (self-ensemble, back-projection).
        progress: progress(done, total), windows of colour.
    Returns:
        `Picture` of [s·h, s·w]; icc, exif and gamma are the picture's.
    Raises:
        UserError: the network gave numbers that are not finite; ValueError: another alpha.
    """
    if alpha not in ALPHA:
        raise ValueError(f"alpha is one of {', '.join(ALPHA)}, not {alpha!r}.")
    kind, levels = picture.colour.dtype, picture.colour
    enlarged = None
    if picture.alpha is not None:
        enlarged = (
            enlarge(picture.alpha, restorer.scale)
            if alpha == "bicubic"
            else _through(picture.alpha[..., None], restorer, run, around, kind, None)[..., 0]
        )
    if picture.alpha is None or not premultiplied:
        made = _through(levels, restorer, run, around, kind, progress)
    else:
        weighed = to_unit(levels) * to_unit(picture.alpha)[..., None]
        made = _through(weighed, restorer, run, around, np.dtype(np.float32), progress)
        share = to_unit(enlarged)[..., None]
        np.divide(made, share, out=made, where=share > 0)
        made[share[..., 0] == 0] = 0
        made = to_levels(made, kind)
    return picture._replace(colour=made, alpha=enlarged)


def enlarge(levels: np.ndarray, scale: int) -> np.ndarray:
    """A plane enlarged bicubically with held edges, in bands of rows, and rounded half up.

    Args:
        levels: uint8 or uint16 [h, w]; scale: whole.
    Returns:
        the same type [s·h, s·w].
    """
    height, width = levels.shape
    out = np.empty((scale * height, scale * width), levels.dtype)
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        first, last = max(0, top - _MARGIN), min(height, bottom + _MARGIN)
        part = levels[first:last].astype(np.float64) / np.iinfo(levels.dtype).max
        part = imresize(part, scale, border="clamp", round_passes=False)
        part = part[scale * (top - first) : scale * (bottom - first)]
        out[scale * top : scale * bottom] = to_levels(part, levels.dtype)
    return out


def _through(
    image: np.ndarray,
    restorer: Restorer,
    run: Run,
    around: Callable[[Run], Run],
    kind: np.dtype,
    progress: Callable[[int, int], None] | None,
) -> np.ndarray:
    """An image [h, w, 1 | 3] through the network as `kind`: a type of levels, clipped and rounded,
    or float32 as it comes."""
    grey = image.shape[2] == 1
    if grey and restorer.channels == 3:
        image = np.broadcast_to(image, (*image.shape[:2], 3))

    def each(one: Run, part: np.ndarray, *conditions: np.ndarray) -> np.ndarray:
        network = around(one)
        if grey:
            made = network(part, *conditions).mean(axis=-1, keepdims=True)
        else:
            made = colour(restorer, network, part, *conditions)
        if not np.isfinite(made).all():
            raise UserError(
                f"{restorer.name} gave numbers that are not finite: its weights do not fit it."
            )
        return made if kind == np.float32 else to_levels(made, kind)

    options: dict[str, Any] = {} if progress is None else {"progress": progress}
    return run(image, each=each, **options)
