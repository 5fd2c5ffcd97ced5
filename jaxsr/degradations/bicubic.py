"""The bicubic degradation: the low resolution of the classical benchmarks, on the device."""

import jax
import jax.numpy as jnp

from jaxsr.ops.resize import resize


def bicubic(
    key: jax.Array | None,
    hq: jax.Array,
    *,
    scale: int,
    border: str = "mirror",
    quantise: bool,
) -> jax.Array:
    """Reduce images bicubically by an integer factor.

    lq = resize(hq, 1/scale); with `quantise` lq = floor(255·lq + 0.5)/255, clipped to [0, 1].
    Rounded once, after both passes. Files that MATLAB makes from uint8 are rounded after each pass
    (`ops.resize.imresize`): 11-15 % of their samples differ from these, by up to 2 levels (Set5,
    Set14, BSD100).

    Args:
        key: unused (nothing is random); kept so that every degradation is called alike.
        hq: [..., H, W, C] floating in [0, 1]; H and W multiples of scale.
        scale: integer >= 1.
        border: `mirror` or `clamp`.
        quantise: True for an image that could be a file. The rounding has zero gradient.
    Returns:
        lq [..., H/scale, W/scale, C], dtype of hq; without `quantise` it may overshoot [0, 1].
    Raises:
        ValueError: scale below 1 or not dividing the size, bad shape, dtype or border.
    Source: MATLAB imresize on double images.
    """
    del key
    if scale < 1 or scale != int(scale):
        raise ValueError(f"scale must be an integer of at least 1, not {scale}.")
    if hq.ndim >= 3 and (hq.shape[-3] % scale or hq.shape[-2] % scale):
        raise ValueError(f"size {hq.shape[-3]}x{hq.shape[-2]} is not a multiple of {scale}.")
    lq = resize(hq, 1 / scale, border=border)
    if not quantise:
        return lq
    return jnp.clip(jnp.floor(lq * 255 + 0.5), 0, 255) / 255
