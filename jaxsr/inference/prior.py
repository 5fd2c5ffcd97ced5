"""Prior maps: class probabilities of an image from a segmenter (`data.maps` reads stored ones)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr.data.maps import CLASSES, quantise
from jaxsr.inference.restorer import as_float
from jaxsr.inference.spans import place, spans
from jaxsr.ops.resize import imresize
from jaxsr.types import Tree

BUCKET = 64  # padded sizes are multiples of this, so that few shapes are compiled
SCALE = 4
WINDOW = 512  # LQ pixels a side that the segmenter sees at once
MARGIN = 64  # of them, context on each side that is thrown away


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
