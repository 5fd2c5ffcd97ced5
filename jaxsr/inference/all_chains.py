"""What every possible chain of tools would give: one table, from which all fixed policies are read."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr.types import Tree

Tool = Callable[[Tree, jax.Array], jax.Array]


class Reference(NamedTuple):
    """A policy that needs no agent: PSNR in dB of each patch [n], and what it chose, in words."""

    psnr: np.ndarray
    chain: str


def score_all(
    tools: Sequence[Tool],
    weights: Tree,
    lq: np.ndarray,
    hq: np.ndarray,
    *,
    steps: int,
    score: Callable[[jax.Array, jax.Array], jax.Array],
    report: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """PSNR in dB of every patch after every chain: float32 [a, …, a, n] with `steps` axes of a = tools + 1.

    The last action is to stop, after which nothing changes: entries behind a stop repeat its value. So a
    mean over all entries is the expectation of uniform choices. Costs a + a² + … applications of all
    tools, 157 for twelve tools and three steps.

    lq, hq: float32 [n,h,w,c] in [0, 1]; weights {name: parameters} in the order of the tools
    score: (images, truth) -> PSNR in dB [n]
    report: (calls done, calls in all)
    """
    count = len(tools)
    held = [weights[name] for name in sorted(weights)]
    applied = [jax.jit(tool) for tool in tools]

    score = jax.jit(score)
    truth, done, total = jnp.asarray(hq), 0, sum(count**k for k in range(steps))

    def below(images: jax.Array, left: int) -> np.ndarray:
        """[a, …, a, n] with `left` axes, from these images on."""
        nonlocal done
        own = np.asarray(score(images, truth))
        found = np.empty((count + 1,) * left + own.shape, np.float32)
        found[-1] = own  # whatever comes behind a stop
        for action in range(count):
            made = applied[action](held[action], images)
            found[action] = below(made, left - 1) if left > 1 else score(made, truth)
        done += 1
        report(done, total)
        return found

    return below(jnp.asarray(lq), steps)


def chosen(table: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """PSNR of each patch [n] after its own chain; actions int [t,n]."""
    return table[(*actions, np.arange(table.shape[-1]))]


def references(table: np.ndarray, names: Callable[[Sequence[int]], str]) -> dict[str, Reference]:
    """The policies that a table knows: input, random, best constant chain, greedy oracle, best chain.

    random: each action with the same probability, stop too, in expectation. best constant: one chain for
    all patches, the one of the highest mean. greedy oracle: at each step the action of the highest PSNR,
    known from the truth; it stops where none helps. best chain: the highest of all chains, patch by patch.
    names: actions -> chain in words
    """
    count, steps = table.shape[-1], table.ndim - 1
    stop = table.shape[0] - 1
    flat = table.reshape(-1, count)
    constant = np.unravel_index(int(flat.mean(-1).argmax()), table.shape[:-1])
    oracle = np.full((steps, count), stop)
    for patch in range(count):
        for step in range(steps):
            options = [
                table[(*oracle[:step, patch], a, *[stop] * (steps - step - 1), patch)]
                for a in range(stop + 1)
            ]
            oracle[step, patch] = _best(options)
            if oracle[step, patch] == stop:
                break
    return {
        "input": Reference(table[(stop,) * steps], ""),
        "random": Reference(flat.mean(0), ""),
        "best constant": Reference(table[constant], names([int(a) for a in constant])),
        "greedy oracle": Reference(chosen(table, oracle), ""),
        "best chain": Reference(flat.max(0), ""),
    }


def _best(options: Sequence[float]) -> int:
    """The place of the highest; the last, which is to stop, where nothing is higher than it."""
    place = int(np.argmax(options))
    return place if options[place] > options[-1] else len(options) - 1
