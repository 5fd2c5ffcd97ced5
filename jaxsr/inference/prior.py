"""Prior maps: class probabilities of an image, from a segmenter or from files beside the images."""

import tokenize
import zipfile
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr.ops.resize import imresize, modcrop
from jaxsr.types import Tree, UserError

CLASSES = 8
BUCKET = 64  # padded sizes are multiples of this, so that few shapes are compiled
SCALE = 4
# what NumPy raises on a damaged or foreign file
_DAMAGE = (ValueError, OSError, EOFError, MemoryError, tokenize.TokenError, zipfile.BadZipFile)


def prior_maps(
    segment: Callable[[Tree, jax.Array], jax.Array], variables: Tree
) -> Callable[[np.ndarray], np.ndarray]:
    """The prior P of high-quality images, as SFT-GAN makes it.

    segment:   (variables, image [1, h, w, 3] in [0, 1]) -> class logits [1, h, w, 8]; jitted here
    variables: of the segmenter

    The function returned takes uint8 [h, w, 3] with h and w multiples of 4 and gives
    uint8 [h, w, 8], 255 times the softmax: of the image reduced by 4 and enlarged by 4 with
    MATLAB's bicubic, neither rounded nor clipped in between (paper code: xinntao/SFTGAN, bicubic.py
    and test_segmentation.py), padded by reflection to multiples of 64.
    """

    @jax.jit
    def probabilities(variables: Tree, image: jax.Array) -> jax.Array:
        return jax.nn.softmax(segment(variables, image), axis=-1)

    def maps(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        options = {"border": "mirror", "round_passes": False}
        small = imresize(image.astype(np.float64) / 255, 1 / SCALE, **options)
        seen = imresize(small, SCALE, **options).astype(np.float32)
        pad = [(0, -height % BUCKET), (0, -width % BUCKET), (0, 0)]
        # «symmetric» also where the padding is longer than the image
        found = probabilities(variables, jnp.asarray(np.pad(seen, pad, mode="symmetric"))[None])
        return quantise(np.asarray(found[0, :height, :width]))

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
