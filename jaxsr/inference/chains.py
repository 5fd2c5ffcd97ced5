"""Images of any size through a tool chain that an agent chooses: by majority, or region by region.

The agent looks at patches of one side. By majority the whole image gets one chain (the paper's way);
by region each patch gets its own, and the results are blended where patches overlap.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsr.inference.restorer import Run
from jaxsr.types import Tree, UserError

CHUNK = 16  # patches that go through a network together: one compilation


class Chooser(NamedTuple):
    """An agent with its tools, ready to act.

    decide: (images [b,s,s,3], previous [b,n], carry) -> (scores [b,n+1], carry); the last action stops
    carry:  b -> the carry at the start
    bank:   (images [b,h,w,3], actions [b]) -> images, of any size
    tools:  Runs of whole images, in the order of the actions
    names:  of the tools
    side:   s, of the patches that the agent sees, in pixels
    reach:  pixels that a tool looks to each side
    """

    decide: Callable[..., tuple[jax.Array, Tree]]
    carry: Callable[[int], Tree]
    bank: Callable[..., jax.Array]
    tools: Sequence[Run]
    names: Sequence[str]
    side: int
    reach: int


class Step(NamedTuple):
    """One step of a chain on a whole image: the tool or stop, who wanted it, and what came out.

    votes: share of the patches for each action [n+1], of sum 1
    """

    action: int
    votes: np.ndarray
    image: np.ndarray


def by_majority(chooser: Chooser, image: np.ndarray, *, steps: int) -> list[Step]:
    """One chain for the whole image: every patch votes, the tool with the most is applied to all.

    Patches lie side by side from the top left, what is left over at the right and below has no vote.
    Every patch has its own memory, all share the last tool. Of equal votes the lowest action wins; stop
    ends the chain.

    Args:
        image: float32 [h,w,3] in [0,1]; steps: at most.
    Returns:
        the steps, up to and with a stop; images are not clipped.
    Raises:
        UserError: an image smaller than a patch.
    Source: yuke93/RL-Restore, `main.py` for real images («mine»).
    """
    corners = _grid(image.shape, chooser.side, chooser.side, whole=False)
    carry, previous = chooser.carry(len(corners)), np.zeros((len(corners), len(chooser.names)))
    found = []
    for _ in range(steps):
        patches = np.stack([_cut(image, corner, chooser.side) for corner in corners])
        scores, carry = _decisions(chooser, patches, previous.astype(np.float32), carry)
        votes = np.bincount(scores.argmax(-1), minlength=len(chooser.names) + 1)
        action = int(votes.argmax())
        if action < len(chooser.names):
            image = chooser.tools[action](image)
            previous = np.broadcast_to(np.eye(len(chooser.names))[action], previous.shape)
        found.append(Step(action, votes / votes.sum(), image))
        if action == len(chooser.names):
            break
    return found


def by_region(
    chooser: Chooser, image: np.ndarray, *, steps: int, stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """A chain for every patch of an overlapping grid, blended without seams.

    A patch goes through its chain with as much of its surroundings as `steps` tools can see, so that
    inside it the result is that of the whole image under the same chain. The results are averaged with
    weights that fall to the edge of a patch; where all patches choose alike, this is the whole
    image's result. Ours, beyond the paper: it helps where distortions differ from place to place.

    Args:
        image: float32 [h,w,3] in [0,1].
        steps: at most, for each patch.
        stride: pixels between patches, at most the side of one.
    Returns:
        the image float32 [h,w,3], not clipped, and the actions int [rows, columns, steps].
    Raises:
        UserError: an image smaller than a patch; a stride that leaves gaps.
    """
    if not 1 <= stride <= chooser.side:
        raise UserError(
            f"a stride of {stride} pixels leaves gaps between patches of {chooser.side}: take at most "
            f"{chooser.side}."
        )
    corners = _grid(image.shape, chooser.side, stride, whole=True)
    context = chooser.reach * steps
    sides = [min(size, chooser.side + 2 * context) for size in image.shape[:2]]
    # an end that is cut by the image is its border, as the tool sees it on the whole
    starts = [
        tuple(
            int(np.clip(at - context, 0, size - side))
            for at, size, side in zip(c, image.shape, sides)
        )
        for c in corners
    ]
    crops = np.stack([image[y : y + sides[0], x : x + sides[1]] for y, x in starts])
    inner = [(y - v, x - h) for (y, x), (v, h) in zip(corners, starts, strict=True)]
    carry = chooser.carry(len(corners))
    previous = np.zeros((len(corners), len(chooser.names)), np.float32)
    alive, taken = np.ones(len(corners), bool), []
    for _ in range(steps):
        seen = np.stack([_cut(c, at, chooser.side) for c, at in zip(crops, inner, strict=True)])
        scores, carry = _decisions(chooser, seen, previous, carry)
        action = np.where(alive, scores.argmax(-1), len(chooser.names))
        alive = action < len(chooser.names)
        crops = _in_chunks(chooser.bank, crops, action.astype(np.int32))
        previous = np.eye(len(chooser.names) + 1, dtype=np.float32)[action][:, :-1]
        taken.append(action)
    total, weight = np.zeros(image.shape, np.float64), np.zeros((*image.shape[:2], 1))
    window = _window(chooser.side)
    for crop, at, (y, x) in zip(crops, inner, corners, strict=True):
        place = np.s_[y : y + chooser.side, x : x + chooser.side]
        total[place] += window * _cut(crop, at, chooser.side)
        weight[place] += window
    across = len({x for _, x in corners})
    chains = np.stack(taken, axis=-1).reshape(-1, across, steps)
    return (total / weight).astype(np.float32), chains


def _grid(shape: tuple[int, ...], side: int, stride: int, *, whole: bool) -> list[tuple[int, int]]:
    """Top left corners of patches, row by row; whole: the last ones end where the image ends."""
    height, width = shape[:2]
    if min(height, width) < side:
        raise UserError(
            f"the image of {width}×{height} pixels is smaller than the {side}×{side} that the agent "
            "looks at: enlarge it, or restore it with a tool of the box alone."
        )
    axes = []
    for size in (height, width):
        starts = list(range(0, size - side + 1, stride))
        axes.append(starts + [size - side] * (whole and starts[-1] < size - side))
    return [(y, x) for y in axes[0] for x in axes[1]]


def _cut(image: np.ndarray, corner: tuple[int, int], side: int) -> np.ndarray:
    y, x = corner
    return image[y : y + side, x : x + side]


def _window(side: int) -> np.ndarray:
    """Weights [s,s,1] of a patch, 1 in the middle and falling to 1/s at its edge."""
    ramp = 1 - np.abs(np.arange(side) - (side - 1) / 2) / ((side + 1) / 2)
    return (ramp[:, None] * ramp[None, :])[..., None]


def _decisions(chooser: Chooser, images: np.ndarray, previous: np.ndarray, carry: Tree):
    return _in_chunks(chooser.decide, images, previous, carry)


def _in_chunks(function: Callable[..., Any], *arrays: Any) -> Any:
    """A function of batches over chunks of one size: one compilation whatever the number of patches."""
    count = len(jax.tree.leaves(arrays)[0])
    parts = []
    for start in range(0, count, CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), count - 1)  # the last one fills up
        made = function(*jax.tree.map(lambda a, rows=rows: np.asarray(a)[rows], arrays))
        kept = min(CHUNK, count - start)
        parts.append(jax.tree.map(lambda a, kept=kept: np.asarray(a)[:kept], made))
    return jax.tree.map(lambda *each: np.concatenate(each), *parts)
