"""A perceptual distance on the features of a network that the caller ran."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

_EPSILON = 1e-10


def feature_distance(
    features_a: Mapping[str, jax.Array], features_b: Mapping[str, jax.Array]
) -> jax.Array:
    """Compare images by the directions of their features.

    d = mean over layers, mean over positions of sum_c (a/|a| - b/|b|)², where |x| is
    sqrt(sum_c x_c² + 1e-20) at one position. This is LPIPS without its learnt weights, so that any
    trained trunk serves; figures compare only with figures from the same trunk and layers. LPIPS
    sums over layers, here they are averaged: d is in [0, 4], in [0, 2] for features after a ReLU.

    Args:
        features_a, features_b: layer -> [B, h, w, C] floating; the same layers and shapes.
    Returns:
        [B] float32 or wider, >= 0, 0 for equal features; symmetric; blind to a positive factor
        at every position (as long as its features are far above 1e-10).
    Raises:
        ValueError: no layer, differing layers or shapes, an array that is not floating [B,h,w,C].
    Source: Zhang et al. 2018, eq. 1; richzhang/PerceptualSimilarity lpips/lpips.py.
    """
    if not features_a or features_a.keys() != features_b.keys():
        raise ValueError(
            "both images need the same layers, at least one: "
            f"{sorted(features_a)} and {sorted(features_b)}."
        )
    layers = []
    for name, a in features_a.items():
        b = features_b[name]
        if a.shape != b.shape or a.ndim != 4:
            raise ValueError(f"{name}: two equal [B, h, w, C] expected: {a.shape} and {b.shape}.")
        if not (jnp.issubdtype(a.dtype, jnp.floating) and jnp.issubdtype(b.dtype, jnp.floating)):
            raise ValueError(f"{name}: features must be floating, not {a.dtype} and {b.dtype}.")
        layers.append(((unit(a) - unit(b)) ** 2).sum(-1).mean((1, 2)))
    return jnp.stack(layers).mean(0)


def unit(x: jax.Array) -> jax.Array:
    """Features of length 1 at every position: x/sqrt(sum_c x_c² + 1e-20), [..., C] -> the same."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    # Under the root, so that a position without any feature stays 0 with a finite gradient.
    return x / jnp.sqrt((x * x).sum(-1, keepdims=True) + _EPSILON**2)
