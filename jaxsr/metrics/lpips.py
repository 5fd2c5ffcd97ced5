"""LPIPS on the features of a trunk that the caller gives."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from jaxsr.metrics.features import unit
from jaxsr.types import Tree

VERSIONS = ("v0.1", "v0.0")
# ImageNet's mean and deviation, which a trunk applies at its own door
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def lpips(
    extract: Callable[[Tree, jax.Array], Mapping[str, jax.Array]],
    variables: Tree,
    heads: Mapping[str, jax.Array],
    a: jax.Array,
    b: jax.Array,
    *,
    version: str = "v0.1",
) -> jax.Array:
    """The learned perceptual distance of pairs of images.

    d = sum over layers k of mean over positions of sum_c w_kc (a_kc/|a_k| - b_kc/|b_k|)², with |x|
    the norm over the channels at one position.

    Args:
        extract: (variables, images) -> {layer: [B, h, w, C]}; the trunk normalises its images
            itself by ImageNet's mean and deviation.
        variables: of the trunk. An argument, so that no weight enters the compiled program.
        heads: {layer: w [C]}, >= 0.
        a, b: [B, H, W, 3] RGB in [0, 1].
        version: v0.1, or v0.0, which gives the trunk 2x - 1 without any normalisation (and has
            other heads).
    Returns:
        [B] float32, >= 0; 0 for equal images and symmetric, to float32 rounding.
    Raises:
        ValueError: unequal shapes, an unknown version, heads that do not fit the layers.
    Source: Zhang et al. 2018, eq. 1; richzhang/PerceptualSimilarity lpips/lpips.py (its norm has
        1e-10 added outside the root, here 1e-20 inside, for the gradient at 0).
    """
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {', '.join(VERSIONS)}, not {version!r}.")
    if a.shape != b.shape or a.ndim != 4 or a.shape[-1] != 3:
        raise ValueError(f"lpips compares [B, H, W, 3] of one shape, not {a.shape} and {b.shape}.")
    if version == "v0.0":
        # (2x - 1) that comes out of the trunk's own normalisation
        a, b = ((2 * x - 1) * jnp.array(_STD) + jnp.array(_MEAN) for x in (a, b))
    # One pass over both: half the program to compile. In full float32, because the TF32 that a GPU
    # takes by default would move the third digit of a distance between near images.
    with jax.default_matmul_precision("highest"):
        layers = extract(variables, jnp.concatenate([a, b]))
    wanted = {name: head.shape[0] for name, head in heads.items()}
    found = {name: value.shape[-1] for name, value in layers.items()}
    if found != wanted:
        raise ValueError(f"heads of {wanted} do not fit the layers {found}.")
    total = jnp.zeros(a.shape[0], jnp.float32)
    for name, head in heads.items():
        of_a, of_b = jnp.split(unit(layers[name]), 2)
        squares = (of_a - of_b) ** 2
        # Products and a sum, not a matmul: exact in float32 on every device.
        total += (squares * head).sum(-1).mean((1, 2))
    return total
