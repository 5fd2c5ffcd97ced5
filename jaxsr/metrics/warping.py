"""Warping error: how far the frames of a clip differ once the motion between them is taken out."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsr.ops.warp import warp


class Pair(NamedTuple):
    """Two frames of a clip and what connects them.

    reference, other: their places in the clip
    flow:    float32 [h,w,2], from the reference to the other, pixels right and down
    visible: bool [h,w], pixels of the reference that the other shows too
    """

    reference: int
    other: int
    flow: jax.Array
    visible: jax.Array


def visible(forward: jax.Array, backward: jax.Array) -> jax.Array:
    """Where a flow can be trusted: bool [h,w].

    With f the flow [h,w,2] from the reference to the other frame and b the one back, moved by f, false
    where |b + f|² > 0.01 (|b|² + |f|²) + 0.5 (occluded), where |∇f_x|² + |∇f_y|² > 0.01 |f|² + 0.002 (an
    edge of motion; differences to the next pixel), and where f leaves the frame, which the source does not
    look at.
    Source: phoenix104104/fast_blind_video_consistency, its occlusion masks; Ruder et al. 2016.
    """
    back = warp(backward[None], forward[None])[0]
    size = jnp.square(forward).sum(-1)
    apart = jnp.square(back + forward).sum(-1)
    occluded = apart > 0.01 * (jnp.square(back).sum(-1) + size) + 0.5
    slope = sum(
        jnp.square(jnp.diff(forward, axis=axis, append=last)).sum(-1)
        for axis, last in ((0, forward[-1:]), (1, forward[:, -1:]))
    )
    height, width = forward.shape[:2]
    x = jnp.arange(width) + forward[..., 0]
    y = jnp.arange(height)[:, None] + forward[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside & ~occluded & ~(slope > 0.01 * size + 0.002)


def pair_error(
    reference: jax.Array, other: jax.Array, flow: jax.Array, seen: jax.Array, *, power: int
) -> jax.Array:
    """mean over the pixels seen and all channels of |other(p + flow(p)) - reference(p)|^power.

    reference, other: [h,w,c] in [0, 1]; flow [h,w,2]; seen bool [h,w], all pixels where none is
    power: 2 in fast_blind_video_consistency, with the later frame moved to the earlier; 1 in Deep Video
           Prior, whose E_warp is the sum of the errors to the frame before and to the first one
    Raises ValueError for frames of unequal size.
    Source: Lai et al. 2018, equation 12; arXiv:2010.11838 by a secondary note.
    """
    if reference.shape != other.shape:
        raise ValueError(f"frames of {reference.shape} and {other.shape} cannot be compared.")
    gap = jnp.abs(warp(other[None], flow[None])[0] - reference) ** power
    weight = jnp.where(seen.any(), seen, True)[..., None]
    return (gap * weight).sum() / (weight.sum() * reference.shape[-1])


def pairs(count: int, flow: Callable[[int, int], jax.Array]) -> dict[str, tuple[Pair, ...]]:
    """The pairs of frames that the errors of a clip of `count` frames look at, one for each but the first.

    flow: (reference, other) -> [h,w,2]
    Returns {"short": t with t - 1, "long": t with 0, "back": t - 1 with t}. Deep Video Prior's E_warp is the
    mean over t of the errors of short and long, added; fast_blind_video_consistency takes back, squared.
    """
    look = jax.jit(visible)
    found: dict[str, list[Pair]] = {"short": [], "long": [], "back": []}
    for t in range(1, count):
        near = flow(t, t - 1), flow(t - 1, t)
        far = (flow(t, 0), flow(0, t)) if t > 1 else near
        found["short"].append(Pair(t, t - 1, near[0], look(*near)))
        found["long"].append(Pair(t, 0, far[0], look(*far)))
        found["back"].append(Pair(t - 1, t, near[1], look(*near[::-1])))
    return {name: tuple(each) for name, each in found.items()}
