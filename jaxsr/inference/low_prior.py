"""The prior map of a low-resolution image: what SFT-Net takes beside it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr.inference.prior import BUCKET, CLASSES, SCALE, quantise
from jaxsr.inference.restorer import as_float
from jaxsr.inference.spans import place, spans
from jaxsr.ops.resize import imresize
from jaxsr.types import Tree

WINDOW = 512  # LQ pixels a side that the segmenter sees at once
MARGIN = 64  # of them, context on each side that is thrown away


def low_prior(
    segment: Callable[..., jax.Array], variables: Tree
) -> Callable[[np.ndarray], np.ndarray]:
    """The prior P of low-resolution images, as SFT-GAN makes it in its test.

    segment: (variables, image [1,h,w,3] in [0,1]) -> class logits [1,h,w,8]; jitted here

    The function returned takes RGB [h,w,3], float in [0,1] or an integer type, and gives uint8
    [4h,4w,8], 255 times the softmax: of the image enlarged by MATLAB's bicubic, unrounded, padded by
    reflection to multiples of 64. An image of more than `WINDOW` pixels a side is segmented in windows
    of that size, whose scene is then the window's and not the image's (the segmenter looks at the mean
    over all that it sees), so that memory stays bounded.
    """

    @jax.jit
    def probabilities(variables: Tree, image: jax.Array) -> jax.Array:
        return jax.nn.softmax(segment(variables, image), axis=-1)

    def of_window(lq: np.ndarray) -> np.ndarray:
        seen = imresize(as_float(lq), SCALE, border="mirror", round_passes=False)
        height, width = seen.shape[:2]
        pad = [(0, -height % BUCKET), (0, -width % BUCKET), (0, 0)]
        # «symmetric» also where the padding is longer than the image
        padded = np.pad(seen.astype(np.float32), pad, mode="symmetric")
        found = probabilities(variables, jnp.asarray(padded)[None])
        return quantise(np.asarray(found[0, :height, :width]))

    def maps(lq: np.ndarray) -> np.ndarray:
        height, width = lq.shape[:2]
        out = np.empty((SCALE * height, SCALE * width, CLASSES), np.uint8)
        for rows in spans(height, tile=WINDOW, overlap=MARGIN):
            for columns in spans(width, tile=WINDOW, overlap=MARGIN):
                found = of_window(lq[rows.start : rows.stop, columns.start : columns.stop])
                place(out, found, rows, columns, scale=SCALE)
        return out

    return maps
