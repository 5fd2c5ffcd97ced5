"""NIQE: statistics of blocks on the device, their Gaussian and its distance in float64 on the host."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln

from jaxsr.ops.resize import imresize
from jaxsr.types import UserError

BLOCK = 96
_HALO = 3  # of the 7x7 window
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
_BATCH = 16


class Model(NamedTuple):
    """Mean [36] and covariance [36, 36] of the features of pristine photographs, float64."""

    mean: np.ndarray
    covariance: np.ndarray


def niqe(
    y: np.ndarray,
    model: Model,
    *,
    border: int,
    measure: Callable[[np.ndarray], jax.Array] | None = None,
) -> float:
    """Score one image without a reference: the lower, the more like a photograph.

    The image is cut to blocks of 96x96; at its own size and at half of it, each block gives 18
    numbers: (alpha, (l + r)/2) of the asymmetric generalised Gaussian fitted to its normalised
    levels, and (alpha, mean, l, r) of that fitted to their products with the neighbour right,
    below, and on both diagonals (the block closed to a ring). With m, S the mean and covariance
    over blocks: sqrt((m - m0)ᵀ pinv((S + S0)/2) (m - m0)). Blocks without a fit are left out of S.

    Args:
        y: uint8 [H, W], luminance of BT.601 rounded, or a grey image.
        model: of pristine photographs.
        border: pixels cut off on every side first.
        measure: `block_statistics`, jitted by the caller or as it is; it always sees 16 blocks, so
            it is compiled twice, whatever the sizes of the images.
    Returns:
        >= 0. The statistics are float32: within 1e-3 of a computation in float64 for photographs
        (each alpha stands on a grid of 0.001, and may move by a step). Areas of one level have no
        sign in float32, and noise for one in float64, so drawings differ by more.
    Raises:
        UserError: fewer than 96 pixels on a side, fewer than two blocks that have a fit.
        ValueError: not uint8 [H, W].
    Source: Mittal, Soundararajan, Bovik 2013; XPixelGroup/BasicSR basicsr/metrics/niqe.py.
    """
    if y.dtype != np.uint8 or y.ndim != 2:
        raise ValueError(f"niqe takes 8-bit luminance, uint8 [H, W], not {y.dtype} {y.shape}.")
    h, w = (n - 2 * border for n in y.shape)
    if border < 0 or min(h, w) < BLOCK:
        raise UserError(
            f"NIQE needs {BLOCK} pixels on a side after the crop, not {h}x{w}: leave this image out."
        )
    rows, columns = h // BLOCK, w // BLOCK
    whole = y[border:, border:][: rows * BLOCK, : columns * BLOCK].astype(np.float64)
    half = imresize(whole / 255, 0.5, border="mirror", round_passes=False) * 255
    parts = [
        _features(_in_batches(measure or block_statistics, _blocks(image, rows, columns)))
        for image in (whole, half)
    ]
    found = np.concatenate(parts, axis=1)
    complete = found[~np.isnan(found).any(axis=1)]
    if len(complete) < 2:
        raise UserError(
            f"NIQE needs two blocks of {BLOCK}x{BLOCK} pixels that are not of one level, and this "
            f"image of {h}x{w} has {len(complete)}: leave it out."
        )
    away = model.mean - np.nanmean(found, axis=0)
    inverse = np.linalg.pinv((model.covariance + np.cov(complete, rowvar=False)) / 2)
    return float(np.sqrt(away @ inverse @ away))


def block_statistics(blocks: jax.Array) -> jax.Array:
    """What the fits need of a batch of blocks.

    Levels are normalised, x = (I - m)/(s + 1) with m, s the mean and deviation under a 7x7 Gaussian
    of sigma 7/6; then x and its four products with neighbours each give the mean square of what is
    negative, of what is positive, the mean of |x| and of x².

    Args:
        blocks: [B, n + 6, n + 6] float32 in 0..255, each with 3 pixels around it.
    Returns:
        [B, 5, 4] float32; NaN where a sign does not occur.
    Source: as `niqe`, equations 1 to 8.
    """
    taps = np.exp(-0.5 * (np.arange(-_HALO, _HALO + 1) / (7 / 6)) ** 2)
    taps /= taps.sum()
    n = blocks.shape[1] - 2 * _HALO
    centre = blocks[:, _HALO:-_HALO, _HALO:-_HALO]
    # Around the pixel itself, because E[I²] - E[I]² of levels near 255 keeps no digit in float32.
    first, second = jnp.zeros_like(centre), jnp.zeros_like(centre)
    for i, j in np.ndindex(len(taps), len(taps)):
        away = blocks[:, i : i + n, j : j + n] - centre
        weight = np.float32(taps[i] * taps[j])
        first, second = first + weight * away, second + weight * away * away
    deviation = jnp.sqrt(jnp.abs(second - first * first))
    x = -first / (deviation + 1)
    maps = [x] + [x * jnp.roll(x, shift, axis=(1, 2)) for shift in _SHIFTS]
    maps = jnp.stack(maps, axis=1).reshape(len(blocks), len(maps), -1)
    squares = maps * maps
    left, right = (
        jnp.where(signed, squares, 0).sum(-1) / signed.sum(-1) for signed in (maps < 0, maps > 0)
    )
    return jnp.stack([left, right, jnp.abs(maps).mean(-1), squares.mean(-1)], axis=-1)


def _blocks(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """[rows·n, columns·n] -> [blocks, n + 6, n + 6] float32: each with its surroundings, the edge
    repeated around the image."""
    n = image.shape[0] // rows
    wide = np.pad(image, _HALO, mode="edge").astype(np.float32)
    size = n + 2 * _HALO
    views = np.lib.stride_tricks.sliding_window_view(wide, (size, size))[::n, ::n]
    return views.reshape(-1, size, size)


def _in_batches(measure: Callable[[np.ndarray], jax.Array], blocks: np.ndarray) -> np.ndarray:
    """measure over batches of one size, so that one compilation serves every image; float64."""
    found = []
    for start in range(0, len(blocks), _BATCH):
        part = blocks[start : start + _BATCH]
        filled = np.concatenate([part, np.zeros((_BATCH - len(part), *part.shape[1:]), part.dtype)])
        found.append(np.asarray(measure(filled), np.float64)[: len(part)])
    return np.concatenate(found)


def _features(statistics: np.ndarray) -> np.ndarray:
    """[blocks, 5, 4] -> the 18 numbers of each block; NaN where there is no fit."""
    left, right, absolute, square = np.moveaxis(statistics, -1, 0)
    left, right = np.sqrt(left), np.sqrt(right)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = left / right
        shape = absolute**2 / square * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    alpha = _alpha(shape)
    spread = np.exp((gammaln(1 / alpha) - gammaln(3 / alpha)) / 2)
    left, right = left * spread, right * spread
    mean = (right - left) * np.exp(gammaln(2 / alpha) - gammaln(1 / alpha))
    own = np.stack([alpha[:, 0], (left[:, 0] + right[:, 0]) / 2], axis=1)
    products = np.stack([alpha, mean, left, right], axis=-1)[:, 1:]
    return np.concatenate([own, products.reshape(len(own), -1)], axis=1)


def _alpha(shape: np.ndarray) -> np.ndarray:
    """The exponent whose generalised Gaussian has this E|x|²/E[x²]: the nearest of a grid."""
    grid = np.arange(0.2, 10.001, 0.001)
    ratios = np.exp(2 * gammaln(2 / grid) - gammaln(1 / grid) - gammaln(3 / grid))  # rising
    wanted = np.nan_to_num(shape, nan=ratios[0])
    above = np.clip(np.searchsorted(ratios, wanted), 1, len(grid) - 1)
    nearer_below = wanted - ratios[above - 1] <= ratios[above] - wanted
    return np.where(np.isnan(shape), np.nan, grid[above - nearer_below])
