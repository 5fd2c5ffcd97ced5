"""A batch through a box of tools, each image through the tool that its action names."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsr.types import Tree

Tool = Callable[[Tree, jax.Array], jax.Array]


class Bank(NamedTuple):
    """Two ways to use n tools; action n is the identity (stop).

    apply: (weights, images [b,h,w,c], actions int [b]) -> images [b,h,w,c]
    every: (weights, images) -> [n+1,b,h,w,c]: what each action would give, the last the images
    weights are {name: parameters}, in sorted order those of the actions.
    """

    apply: Callable[[Tree, jax.Array, jax.Array], jax.Array]
    every: Callable[[Tree, jax.Array], jax.Array]


def compute_all(tools: Sequence[Tool]) -> Bank:
    """Every image through every tool, and one of the results kept: n times the work.

    The way for estimators that need all results anyhow.
    """
    every = _every(tools)

    def apply(weights: Tree, images: jax.Array, actions: jax.Array) -> jax.Array:
        return every(weights, images)[actions, jnp.arange(len(images))]

    return Bank(apply, every)


def sorted_blocks(tools: Sequence[Tool], *, block: int, remat: bool = False) -> Bank:
    """Images sorted by tool into blocks of one tool each, and one real switch a block.

    An image costs about one tool: at most ⌊(b + n·(block - 1))/block⌋ blocks hold all images of any
    actions, since each tool wastes less than a block. Exact, and differentiable in images and weights.
    `jax.vmap` over it would turn the switch into a select over all tools.

    block: images in one, 1 on a CPU, 16 to 64 on an accelerator
    remat: recompute a tool in the backward pass: a switch keeps what every branch would need, so
           gradients through a chain take less memory with it
    Source: the sheet's own design; compare megablocks-style dispatch of expert networks.
    """
    count = len(tools)

    def apply(weights: Tree, images: jax.Array, actions: jax.Array) -> jax.Array:
        held = [weights[name] for name in sorted(weights)]
        if len(held) != count:
            raise ValueError(f"{len(held)} sets of weights for {count} tools.")
        total = (len(images) + count * (block - 1)) // block
        order = jnp.argsort(actions)
        sorted_actions, sorted_images = actions[order], images[order]
        sizes = jnp.bincount(actions, length=count + 1)
        needed = -(-sizes[:count] // block)
        ends = jnp.cumsum(needed)
        # the place of an image in the blocks: first that of its tool, then its rank among its like
        first = jnp.concatenate([block * (ends - needed), jnp.array([block * total])])
        rank = jnp.arange(len(images)) - (jnp.cumsum(sizes) - sizes)[sorted_actions]
        places = first[sorted_actions] + rank
        # images that stop lie beyond the last block, and are dropped
        filled = jnp.zeros((block * total, *images.shape[1:]), images.dtype)
        filled = filled.at[places].set(sorted_images, mode="drop", unique_indices=True)
        filled = filled.reshape(total, block, *images.shape[1:])
        chosen = jnp.searchsorted(ends, jnp.arange(total), side="right")  # count for unused ones
        wrap = jax.checkpoint if remat else (lambda function: function)
        branches = [
            wrap(lambda part, tool=tool, own=own: tool(own, part))
            for tool, own in zip(tools, held, strict=True)
        ]
        branches.append(lambda part: part)
        made = jax.lax.map(
            lambda each: jax.lax.switch(each[0], branches, each[1]), (chosen, filled)
        )
        made = made.reshape(block * total, *images.shape[1:])
        stops = (sorted_actions == count)[:, None, None, None]
        kept = jnp.where(stops, sorted_images, made[jnp.minimum(places, block * total - 1)])
        return jnp.zeros_like(images).at[order].set(kept, unique_indices=True)

    return Bank(apply, _every(tools))


def _every(tools: Sequence[Tool]) -> Callable[[Tree, jax.Array], jax.Array]:
    def every(weights: Tree, images: jax.Array) -> jax.Array:
        pairs = zip(tools, sorted(weights), strict=True)
        return jnp.stack([*(tool(weights[name], images) for tool, name in pairs), images])

    return every
