"""The networks that benchmark.py lets restore one image, with random weights."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsr import build_method
from jaxsr.types import Tree


class View(NamedTuple):
    """A network: its section, what makes it narrow, whether it takes the enlarged image."""

    section: Mapping[str, Any]
    tiny: Mapping[str, Any]
    enlarged: bool


VIEWS = {
    "sftgan": View(
        {"name": "sftnet", "variant": "pytorch", "features": 64, "blocks": 16},
        {"features": 4, "blocks": 2}, False,
    ),
    "parent": View(
        {"name": "legacy_srresnet", "features": 64, "blocks": 16, "scale": 4},
        {"features": 4, "blocks": 2}, False,
    ),
    "srcnn": View({"name": "srcnn", "kernels": (9, 1, 5), "features": (64, 32)}, {}, True),
    "vdsr": View(
        {"name": "vdsr", "depth": 20, "features": 64, "bias": False}, {"depth": 4, "features": 8}, True
    ),
    "srresnet": View(
        {"name": "srresnet", "features": 64, "blocks": 16, "scale": 4, "output": "tanh"},
        {"features": 4, "blocks": 2}, False,
    ),
    "rrdbnet": View(
        {"name": "rrdbnet", "features": 64, "blocks": 23, "growth": 32, "scale": 4},
        {"features": 4, "blocks": 1, "growth": 2}, False,
    ),
}  # fmt: skip


def our_view(
    name: str, *, dtype: str, side: int, tiny: bool
) -> tuple[Callable[..., jax.Array], Tree, dict[str, Any], tuple[jax.Array, ...]]:
    """(apply, variables, section, images on the device) of a case; side: of LR in pixels."""
    view = VIEWS[name]
    section = {**view.section, **(view.tiny if tiny else {})}
    module = build_method.network_module(section, name, dtype=build_method.DTYPES[dtype])
    rng, size = np.random.default_rng(0), 4 * side if view.enlarged else side
    images = [rng.random((1, size, size, 1 if view.enlarged else 3), np.float32)]
    if section["name"] == "sftnet":
        seg = rng.random((1, 4 * side, 4 * side, 8), np.float32)
        images.append(seg / seg.sum(-1, keepdims=True))
    trees = importlib.import_module("reference.random_trees")
    # which keeps activations near 1, as trained weights do
    variables = trees.random_like(trees.shapes_of(module, *images), seed=1, gain=0.7)

    def apply(variables: Tree, *images: jax.Array) -> jax.Array:
        return module.apply(variables, *images, train=False)

    return apply, variables, section, tuple(jax.device_put(images))
