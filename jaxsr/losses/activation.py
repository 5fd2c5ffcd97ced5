"""How strongly one map of a network's features responds."""

import jax

from jaxsr.types import UserError


def activation(features: jax.Array, *, map: int, window: int) -> jax.Array:
    """Σ over the middle 2·window × 2·window positions of one map: [B,h,w,C] -> [B].

    map: 0 … C-1; window: 0 takes all positions, and so does one that is larger than the map.
    UserError for a map that does not exist.
    Source: DmitryUlyanov/deep-image-prior 042e0d4, activation_maximization.ipynb (window 20, times 5).
    """
    height, width, maps = features.shape[1:]
    if not 0 <= map < maps:
        raise UserError(f"there is no map {map}: the layer has 0 to {maps - 1}.")
    rows, columns = (
        slice(max(0, n // 2 - window), n // 2 + window) if window else slice(None)
        for n in (height, width)
    )
    return features[:, rows, columns, map].sum((1, 2))
