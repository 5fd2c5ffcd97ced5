"""Maps of class probabilities, the prior P of SFT-GAN: stored arrays and hard annotations."""

import os
import tokenize
import zipfile
from pathlib import Path

import numpy as np

from jaxsr.data.images import read_labels
from jaxsr.ops.resize import modcrop
from jaxsr.outdoor import NAMES, VOID
from jaxsr.types import UserError

CLASSES = len(NAMES)
MULTIPLE = 8  # of pixels, that the published segmenter works on
ENDINGS = (".npy", ".png")
# what NumPy raises on a damaged or foreign file
_DAMAGE = (ValueError, OSError, EOFError, MemoryError, tokenize.TokenError, zipfile.BadZipFile)


def quantise(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities in [0, 1] as uint8 of 255 times the value, rounded half up."""
    return np.floor(np.clip(probabilities, 0, 1) * 255 + 0.5).astype(np.uint8)


def cut_to_prior(image: np.ndarray) -> np.ndarray:
    """The image cropped at the top left to multiples of 8, as the published segmenter wants it."""
    return modcrop(image, MULTIPLE)


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Class indices [h, w], 0..7 or 255, as a map uint8 [h, w, 8] of 0 and 255.

    A pixel without a class (255) becomes background, the class of all that is none of the seven.
    """
    table = np.zeros((256, CLASSES), np.uint8)
    table[range(CLASSES), range(CLASSES)] = 255
    table[VOID, 0] = 255
    return table[labels]


def read_prior(path: str | os.PathLike, *, shape: tuple[int, int]) -> np.ndarray:
    """Reads a stored map: an `.npy` of probabilities, or a `.png` of class indices (`one_hot`).

    Args:
        path: of an array [h, w, 8], or [8, h, w] as PyTorch has it; uint8 (255·P) or floating point
            in [0, 1]; the classes in the order of `outdoor.NAMES`. Or a label map of 0..7 and 255.
        shape: (h, w) of its image. The map may be of the image cut to multiples of 8 (`cut_to_prior`).
    Returns:
        uint8 [h, w, 8], 255·P, of the one or the other size; of a uint8 `.npy` not in memory yet.
    Raises:
        UserError: a missing or foreign file, another size or number of classes, values that are no
            probabilities. Nothing is unpickled.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"there is no prior map {path}: make one per image, as scripts/make_maps.py does, or use "
            "prior = 'prior_net'."
        )
    if path.suffix.lower() == ".png":
        return _sized(path, one_hot(_annotation(path)), shape)
    try:
        # mapped, so that a map is not read only to learn its size
        held = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(held, np.ndarray):
            raise ValueError("an archive of arrays")
    except _DAMAGE as error:
        raise UserError(
            f"the prior map {path} is not a whole .npy array of numbers: write it again."
        ) from error
    held = _sized(path, held, shape)
    if held.dtype == np.uint8:
        return held
    floating = np.issubdtype(held.dtype, np.floating)
    if not floating or not (0 <= held.min() and held.max() <= 1.001):
        raise UserError(f"the prior map {path} must be uint8, or floating point in [0, 1].")
    return quantise(held.astype(np.float32))


def _annotation(path: Path) -> np.ndarray:
    labels = read_labels(path)
    unknown = sorted(set(np.flatnonzero(np.bincount(labels.ravel()))) - {*range(CLASSES), VOID})
    if unknown:
        raise UserError(
            f"the annotation {path} has the value {unknown[0]}: it must hold the classes 0 to "
            f"{CLASSES - 1}, or {VOID} where there is none."
        )
    return labels


def _sized(path: Path, held: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The array with its classes last; UserError where it is no map of an image of this shape."""
    cut = tuple(n // MULTIPLE * MULTIPLE for n in shape)
    if held.ndim == 3 and held.shape[0] == CLASSES:
        # an image 8 pixels high leaves both readings: ours comes first
        if held.shape[-1] != CLASSES or held.shape[:2] not in (shape, cut):
            held = np.moveaxis(held, 0, -1)
    if held.ndim != 3 or held.shape[-1] != CLASSES:
        raise UserError(
            f"the prior map {path} has the shape {held.shape}: it must be (height, width, {CLASSES}) "
            f"or ({CLASSES}, height, width), one channel per class."
        )
    if held.shape[:2] not in (shape, cut):
        raise UserError(
            f"the prior map {path} is {held.shape[0]}×{held.shape[1]}, its image "
            f"{shape[0]}×{shape[1]}: both must have the same size, or the map that of the image cut "
            f"to multiples of {MULTIPLE}."
        )
    return held
