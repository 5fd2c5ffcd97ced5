"""Prior maps: class probabilities of an image, from a segmenter or from files beside the images."""

import tokenize
import zipfile
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr.inference.restorer import as_float
from jaxsr.inference.spans import place, spans
from jaxsr.ops.resize import imresize, modcrop
from jaxsr.types import Tree, UserError

CLASSES = 8
BUCKET = 64  # padded sizes are multiples of this, so that few shapes are compiled
SCALE = 4
WINDOW = 512  # LQ pixels a side that the segmenter sees at once
MARGIN = 64  # of them, context on each side that is thrown away
# what NumPy raises on a damaged or foreign file
_DAMAGE = (ValueError, OSError, EOFError, MemoryError, tokenize.TokenError, zipfile.BadZipFile)


def prior_maps(
    segment: Callable[[Tree, jax.Array], jax.Array], variables: Tree
) -> Callable[[np.ndarray], np.ndarray]:
    """The prior P of high-quality images, as SFT-GAN makes it.

    segment:   (variables, image [1, h, w, 3] in [0, 1]) -> class logits [1, h, w, 8]; jitted here
    variables: of the segmenter

    The function returned takes uint8 [h, w, 3] with h and w multiples of 4 and gives
    uint8 [h, w, 8]: `low_prior` of the image reduced by 4 with MATLAB's bicubic, neither rounded nor
    clipped (paper code: xinntao/SFTGAN, bicubic.py and test_segmentation.py).
    """
    of_low = low_prior(segment, variables)

    def maps(image: np.ndarray) -> np.ndarray:
        small = image.astype(np.float64) / 255
        return of_low(imresize(small, 1 / SCALE, border="mirror", round_passes=False))

    return maps


def low_prior(
    segment: Callable[[Tree, jax.Array], jax.Array], variables: Tree
) -> Callable[[np.ndarray], np.ndarray]:
    """The prior P of low-resolution images, as SFT-GAN makes it in its test.

    segment, variables: as in `prior_maps`

    The function returned takes RGB [h, w, 3], floating in [0, 1] or an integer type, and gives uint8
    [4h, 4w, 8], 255 times the softmax: of the image enlarged by MATLAB's bicubic, unrounded, padded by
    reflection to multiples of 64. An image of more than `WINDOW` pixels a side is segmented in windows
    of that size, whose scene is then the window's and not the image's (the segmenter looks at the mean
    over all that it sees), so that memory stays bounded.
    """

    @jax.jit
    def probabilities(variables: Tree, image: jax.Array) -> jax.Array:
        return jax.nn.softmax(segment(variables, image), axis=-1)

    def of_window(lq: np.ndarray) -> np.ndarray:
        lq = as_float(lq) if np.issubdtype(lq.dtype, np.integer) else lq
        seen = imresize(lq, SCALE, border="mirror", round_passes=False).astype(np.float32)
        height, width = seen.shape[:2]
        pad = [(0, -height % BUCKET), (0, -width % BUCKET), (0, 0)]
        # «symmetric» also where the padding is longer than the image
        found = probabilities(variables, jnp.asarray(np.pad(seen, pad, mode="symmetric"))[None])
        return quantise(np.asarray(found)[0, :height, :width])

    def maps(lq: np.ndarray) -> np.ndarray:
        height, width = lq.shape[:2]
        out = np.empty((SCALE * height, SCALE * width, CLASSES), np.uint8)
        for rows in spans(height, tile=WINDOW, overlap=MARGIN):
            for columns in spans(width, tile=WINDOW, overlap=MARGIN):
                found = of_window(lq[rows.start : rows.stop, columns.start : columns.stop])
                place(out, found, rows, columns, scale=SCALE)
        return out

    return maps


def quantise(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities in [0, 1] as uint8 of 255 times the value, rounded half up."""
    return np.floor(np.clip(probabilities, 0, 1) * 255 + 0.5).astype(np.uint8)


def cut_to_prior(image: np.ndarray) -> np.ndarray:
    """The image cropped at the top left to multiples of 8, as the published segmenter wants it."""
    return modcrop(image, 8)


def read_prior(path: Path, *, shape: tuple[int, int]) -> np.ndarray:
    """Reads a stored prior map [h, w, 8]: `.npy`, uint8 (255·P) or floating point in [0, 1].

    shape: (h, w) of its image. Raises UserError for a missing or foreign file, another size or
    number of classes, and values that are no probabilities. Nothing is unpickled.
    """
    if not path.is_file():
        raise UserError(
            f"there is no prior map {path}: make one per image, or use prior = 'prior_net'."
        )
    try:
        held = np.load(path, allow_pickle=False)
        if not isinstance(held, np.ndarray):
            raise ValueError("an archive of arrays")
    except _DAMAGE as error:
        raise UserError(
            f"the prior map {path} is not a whole .npy array of numbers: write it again."
        ) from error
    if held.ndim != 3 or held.shape[-1] != CLASSES:
        raise UserError(
            f"the prior map {path} has the shape {held.shape}: it must be "
            f"(height, width, {CLASSES}), one channel per class."
        )
    if held.shape[:2] != shape:
        raise UserError(
            f"the prior map {path} is {held.shape[0]}×{held.shape[1]}, its image "
            f"{shape[0]}×{shape[1]}: both must have the same size."
        )
    if held.dtype == np.uint8:
        return held
    floating = np.issubdtype(held.dtype, np.floating)
    if not floating or not (0 <= held.min() and held.max() <= 1.001):
        raise UserError(f"the prior map {path} must be uint8, or floating point in [0, 1].")
    return quantise(held.astype(np.float32))
