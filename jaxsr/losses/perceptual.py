"""Losses between two dictionaries of features, whatever network they come from."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxsr.losses import pixel

Features = Mapping[str, jax.Array]


def feature_l1(prediction: Features, target: Features) -> dict[str, jax.Array]:
    """|f(x) - f(y)| for each element of each layer; no gradient flows to the target.

    Two dicts of the same names and shapes ([B,h,w,C]) -> a dict of the same. The mean over all
    elements of conv5_4 is the term of SFT-GAN's code and of ESRGAN. ValueError on unequal names
    or shapes. Source: XPixelGroup/BasicSR 9fd09d4, SFTGAN_ACD_model.py.
    """
    return _per_layer(pixel.l1, prediction, target)


def feature_l2(prediction: Features, target: Features) -> dict[str, jax.Array]:
    """(f(x) - f(y))^2 for each element of each layer; no gradient flows to the target.

    Two dicts of the same names and shapes ([B,h,w,C]) -> a dict of the same. SRGAN (eq. 5) and
    the SFT-GAN paper sum it over channels and average over space, so theirs is C times the mean
    over all elements. ValueError on unequal names or shapes. Source: arXiv:1609.04802, eq. 5.
    """
    return _per_layer(pixel.l2, prediction, target)


def compared(
    distance: Callable[[Features, Features], dict[str, jax.Array]],
    extract: Callable[..., Features],
    layers: Mapping[str, float],
) -> Callable[..., jax.Array]:
    """(variables, prediction, target) -> Σ over layers of weight · mean distance of their features.

    distance: `feature_l1` or `feature_l2`; extract: (variables, images [B,H,W,3]) -> {layer: features};
    layers: their weights. No gradient flows to the target.
    """

    def value(variables: Any, prediction: jax.Array, target: jax.Array) -> jax.Array:
        wanted = jax.lax.stop_gradient(extract(variables, target))
        found = distance(extract(variables, prediction), wanted)
        return sum(layers[name] * jnp.mean(each) for name, each in found.items())

    return value


def _per_layer(
    loss: Callable[..., jax.Array], prediction: Features, target: Features
) -> dict[str, jax.Array]:
    if set(prediction) != set(target):
        raise ValueError(f"Both need the same layers; got {set(prediction)} and {set(target)}.")
    return {
        name: loss(prediction[name], jax.lax.stop_gradient(target[name])) for name in prediction
    }
