"""Swapping SFT-GAN's prior: a category forced over an image or a region, and what modulation it makes."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxsr.outdoor import NAMES
from jaxsr.types import Tree, UserError

# HR pixels that the result may change beyond the 4×4 blocks that changed in the prior, by SFT-Net's variant
REACH = {"pytorch": 140, "torch": 137}
BLOCK = 4  # side of the block of the prior that one LR pixel sees


def forced(seg: np.ndarray, category: str, *, region: Sequence[int] | None = None) -> np.ndarray:
    """The prior [h,w,8] with the probability 1 for one category, everywhere or in one region.

    category: of `outdoor.NAMES`; region: (top, left, bottom, right) in HR pixels, ends not included,
    each a multiple of 4, since an LR pixel sees a block of 4×4. float32 of sum 1; seg is left as it is.
    Raises UserError for another category and a region that is empty, outside the image or off the grid.
    """
    if category not in NAMES:
        raise UserError(f"there is no category {category!r}: there are {', '.join(NAMES)}.")
    top, left, bottom, right = region or (0, 0, *seg.shape[:2])
    inside = 0 <= top < bottom <= seg.shape[0] and 0 <= left < right <= seg.shape[1]
    if not inside or any(edge % BLOCK for edge in (top, left, bottom, right)):
        raise UserError(
            f"the region {top} {left} {bottom} {right} must be top, left, bottom, right in multiples of "
            f"{BLOCK} pixels within {seg.shape[0]}×{seg.shape[1]}."
        )
    made = np.array(seg, np.float32)
    made[top:bottom, left:right] = np.eye(len(NAMES), dtype=np.float32)[NAMES.index(category)]
    return made


def farthest(difference: np.ndarray, region: Sequence[int]) -> int:
    """How far from a region a difference [h,w,c] is not zero, in pixels along the worse axis; 0 within it.

    region: (top, left, bottom, right), ends not included
    """
    rows, columns = np.nonzero(np.asarray(difference).any(-1))
    if not rows.size:
        return 0
    top, left, bottom, right = region
    beyond = (
        top - rows.min(),
        left - columns.min(),
        rows.max() + 1 - bottom,
        columns.max() + 1 - right,
    )
    return int(max(0, *beyond))


def modulations(
    module: nn.Module, variables: Tree, lq: np.ndarray, seg: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """gamma and beta of every SFT layer: {layer: ([h,w,C], [h,w,C])} on the LR grid, in their order.

    module: an SFTNet; lq [h,w,3], seg [4h,4w,8]. gamma is what the layer adds to 1 (PyTorch variant) or
    multiplies with (Torch variant).
    """

    @jax.jit
    def captured(variables: Tree, lq: jax.Array, seg: jax.Array) -> Any:
        return module.apply(
            variables, lq[None], seg[None], train=False, mutable=["intermediates"],
            capture_intermediates=lambda m, _: (m.name or "").endswith(("scale_conv1", "shift_conv1")),
        )[1]["intermediates"]  # fmt: skip

    found: dict[str, dict[str, np.ndarray]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(captured(variables, lq, seg)):
        names = [key.key for key in path if _is_key(key)]
        layer, term = "/".join(names[:-2]), names[-2].split("_")[1]
        found.setdefault(layer, {})[term] = np.asarray(leaf)[0]
    order = sorted(found, key=lambda layer: (int(layer.split("/")[0].rsplit("_", 1)[1]), layer))
    return {layer: (found[layer]["scale"], found[layer]["shift"]) for layer in order}


def _is_key(key: Any) -> bool:
    """Whether a step of a path is the key of a dict, not the place in a tuple."""
    return isinstance(key, jax.tree_util.DictKey)


def liveliest(maps: np.ndarray, count: int) -> list[int]:
    """The `count` channels of maps [h,w,C] that vary most over the image, the most varied first."""
    return [int(c) for c in np.argsort(-maps.std((0, 1)), kind="stable")[:count]]


def unmodulated(variables: Tree, *, variant: str) -> Tree:
    """Variables of an SFT-Net whose SFT layers leave the features as they are, whatever the prior.

    The last convolution of both heads becomes 0, and where gamma multiplies by itself (variant `torch`)
    its bias 1. What is left is the network between its conditioned layers; that of the PyTorch variant is
    a residual network as the parent is, with the weights that training has made of it.
    """

    def changed(path: Any, leaf: Any) -> Any:
        *_, layer, kind = (key.key for key in path if _is_key(key))
        if not layer.endswith(("SFT_scale_conv1", "SFT_shift_conv1")):
            return leaf
        one = variant == "torch" and kind == "bias" and layer.endswith("SFT_scale_conv1")
        return np.full(np.shape(leaf), float(one), np.float32)

    return jax.tree_util.tree_map_with_path(changed, variables)
