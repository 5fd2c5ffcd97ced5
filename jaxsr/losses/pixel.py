"""Pixel losses, per element."""

import jax
import jax.numpy as jnp

from jaxsr.losses.checks import check_same_shape


def l1(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """|x - y| for each element: two arrays of one shape -> the same shape.

    ValueError on unequal shapes.
    """
    check_same_shape(prediction, target)
    return jnp.abs(prediction - target)


def l2(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """(x - y)^2 for each element: two arrays of one shape -> the same shape.

    Caffe's EuclideanLoss is N / (2 B) times the mean of this (N elements, B examples).
    ValueError on unequal shapes.
    """
    check_same_shape(prediction, target)
    return jnp.square(prediction - target)


def charbonnier(prediction: jax.Array, target: jax.Array, *, epsilon: float = 1e-12) -> jax.Array:
    """sqrt((x - y)^2 + epsilon) for each element; epsilon is inside the root, not squared.

    Two arrays of one shape -> the same shape. Approaches L1 with an error of at most
    sqrt(epsilon). BasicSR uses 1e-12 and a mean, LapSRN 1e-6 and a sum over everything.
    ValueError on unequal shapes. Source: Lai et al. 2017 (LapSRN), eq. 2; BasicSR.
    """
    check_same_shape(prediction, target)
    return jnp.sqrt(jnp.square(prediction - target) + epsilon)
