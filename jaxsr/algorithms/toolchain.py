"""The environment of RL-Restore: a batch of images, tools that act on them, reward in dB; and its rollouts.

Actions 0 … n-1 are the tools of the box, n is to stop. All functions are pure and act on a whole batch;
steps are unrolled, since a convolution inside a loop primitive is many times slower on a CPU.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxsr.algorithms.bank import Bank
from jaxsr.types import Network, Tree

# (key, scores [b,n+1], legal [b,n+1]) -> actions [b]
Choose = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


class Rules(NamedTuple):
    """What a chain may be.

    steps:      at most, 3 in the paper
    allow_stop: whether to stop is an action; without it all chains have `steps` tools
    min_steps:  tools before the first stop
    abort_below_input: a chain ends where PSNR falls below that of the input. The agent can't see it, so
                for the paper's DQN only, and only while training
    """

    steps: int
    allow_stop: bool
    min_steps: int
    abort_below_input: bool


class Situation(NamedTuple):
    """Where chains stand. Agents see `observe` of it and no more.

    images [b,h,w,c] unclipped, truth [b,h,w,c], previous [b,n] (one-hot of the last tool, zeros at first
    and after a stop), alive bool [b], score and first: PSNR now and of the input, dB [b], time: steps taken
    """

    images: jax.Array
    truth: jax.Array
    previous: jax.Array
    alive: jax.Array
    score: jax.Array
    first: jax.Array
    time: int


class Chains(NamedTuple):
    """Whole chains, time first; the images are those before each step, and the last result.

    images [t+1,b,h,w,c], previous [t,b,n], legal bool [t,b,n+1], actions int [t,b], log_probs [t,b] (of the
    actions under the masked scores), scores [t,b,n+1] (of the agent, not masked), rewards dB [t,b], alive
    bool [t+1,b] (before each step; no chain is alive at the end), psnr dB [t+1,b], carries: the agent's
    memory after each step, t of them
    """

    images: jax.Array
    previous: jax.Array
    legal: jax.Array
    actions: jax.Array
    log_probs: jax.Array
    scores: jax.Array
    rewards: jax.Array
    alive: jax.Array
    psnr: jax.Array
    carries: tuple[Tree, ...]


class Agent(NamedTuple):
    """What a rollout needs of an agent.

    apply: (variables, images [t,b,h,w,c], previous [t,b,n], carry) -> ({"logits": [t,b,n+1], …}, carry)
    start: b -> carry at the start of chains
    """

    apply: Callable[..., tuple[dict[str, jax.Array], Tree]]
    start: Callable[[int], Tree]


def player(network: Network, carry: Callable[[int], Tree]) -> Agent:
    """A network as the agent of rollouts; carry: b -> its memory at the start."""

    def apply(variables: Tree, *inputs: jax.Array) -> tuple[dict[str, jax.Array], Tree]:
        return network.apply(variables, *inputs, train=False)[0]

    return Agent(apply, carry)


def psnr(images: jax.Array, truth: jax.Array) -> jax.Array:
    """10·log10(1/(MSE + 1e-10)) in dB over the pixels and channels of [..., h, w, c] in [0, 1].

    Neither clipped nor rounded; at most 100. Source: yuke93/RL-Restore dd1463d.
    """
    error = jnp.square(images - truth).mean((-3, -2, -1))
    return -10 * jnp.log10(error + 1e-10)


def reset(lq: jax.Array, hq: jax.Array, *, tools: int) -> Situation:
    """The start of chains for degraded images and their truth, both [b,h,w,c] in [0, 1]."""
    if lq.shape != hq.shape:
        raise ValueError(f"images of {lq.shape} and truth of {hq.shape} differ in shape.")
    score = psnr(lq, hq)
    return Situation(lq, hq, jnp.zeros((len(lq), tools)), jnp.ones(len(lq), bool), score, score, 0)


def observe(situation: Situation) -> tuple[jax.Array, jax.Array]:
    """What an agent sees: images [b,h,w,c] and one-hot of the last tool [b,n]."""
    return situation.images, situation.previous


def legal(rules: Rules, situation: Situation) -> jax.Array:
    """Which actions may be taken, bool [b,n+1]; a chain that has ended may only stop."""
    batch, tools = situation.previous.shape
    stop = rules.allow_stop and situation.time >= rules.min_steps
    open_to = jnp.broadcast_to(jnp.arange(tools + 1) < tools + stop, (batch, tools + 1))
    return jnp.where(situation.alive[:, None], open_to, jnp.arange(tools + 1) == tools)


def step(
    rules: Rules, bank: Bank, weights: Tree, situation: Situation, actions: jax.Array
) -> tuple[Situation, jax.Array]:
    """Applies actions int [b]; gives the next situation and the rewards in dB [b].

    r = PSNR after - PSNR before, 0 for a stop and for what has ended: so rewards add up to the whole gain.
    A stop latches, and leaves images as they are, bit for bit.
    """
    tools = situation.previous.shape[1]
    actions = jnp.where(situation.alive, actions, tools)
    images = bank.apply(weights, situation.images, actions)
    acted = actions < tools
    score = jnp.where(acted, psnr(images, situation.truth), situation.score)
    alive = acted & (situation.time + 1 < rules.steps)
    if rules.abort_below_input:
        alive &= score >= situation.first
    after = situation._replace(
        images=images,
        previous=jax.nn.one_hot(actions, tools),  # zeros for a stop
        alive=alive,
        score=score,
        time=situation.time + 1,
    )
    return after, score - situation.score


def masked(scores: jax.Array, allowed: jax.Array) -> jax.Array:
    """Scores of actions that may not be taken become so low that their probability is 0."""
    return scores + jnp.where(allowed, 0.0, jnp.finfo(scores.dtype).min / 2)


def greedy(key: jax.Array, scores: jax.Array, allowed: jax.Array) -> jax.Array:
    """The best action; of equal ones the first."""
    del key
    return masked(scores, allowed).argmax(-1)


def sampled(key: jax.Array, scores: jax.Array, allowed: jax.Array) -> jax.Array:
    """An action by its probability under softmax."""
    return jax.random.categorical(key, masked(scores, allowed))


def uniform(key: jax.Array, scores: jax.Array, allowed: jax.Array) -> jax.Array:
    """Any action that may be taken, all alike."""
    return sampled(key, jnp.zeros_like(scores), allowed)


def mostly_greedy(epsilon: jax.Array) -> Choose:
    """ε-greedy, for each image on its own: `uniform` with probability epsilon, else `greedy`."""

    def choose(key: jax.Array, scores: jax.Array, allowed: jax.Array) -> jax.Array:
        coin, any_of = jax.random.split(key)
        explores = jax.random.uniform(coin, scores.shape[:1]) < epsilon
        found = greedy(key, scores, allowed)
        return jnp.where(explores, uniform(any_of, scores, allowed), found)

    return choose


def rollout(
    key: jax.Array, agent: Agent, variables: Tree, choose: Choose, rules: Rules, bank: Bank,
    weights: Tree, lq: jax.Array, hq: jax.Array, *, tools: int,
) -> Chains:  # fmt: skip
    """Chains from start to end; step t draws from fold_in(key, t). The memory always moves on.

    weights: of the tools; lq, hq: [b,h,w,c] in [0, 1]; tools: n
    """
    now, carry = reset(lq, hq, tools=tools), agent.start(len(lq))
    images, alive, score, parts, carries = [now.images], [now.alive], [now.score], [], []
    for time in range(rules.steps):
        seen, previous = observe(now)
        found, carry = agent.apply(variables, seen[None], previous[None], carry)
        scores, allowed = found["logits"][0], legal(rules, now)
        actions = choose(jax.random.fold_in(key, time), scores, allowed)
        logs = jax.nn.log_softmax(masked(scores, allowed))
        chosen = jnp.take_along_axis(logs, actions[:, None], -1)[:, 0]
        now, reward = step(rules, bank, weights, now, actions)
        parts.append((previous, allowed, actions, chosen, scores, reward))
        images.append(now.images)
        alive.append(now.alive)
        score.append(now.score)
        carries.append(carry)
    stacked = [jnp.stack(each) for each in zip(*parts, strict=True)]
    return Chains(jnp.stack(images), *stacked, jnp.stack(alive), jnp.stack(score), tuple(carries))


def shown(chains: Chains) -> dict[str, jax.Array]:
    """What the evaluation of chains takes: results of the steps, actions, probabilities of all actions."""
    return {
        "images": chains.images[1:],
        "actions": chains.actions,
        "probabilities": jax.nn.softmax(masked(chains.scores, chains.legal)),
    }


def totals(chains: Chains, tools: int) -> dict[str, jax.Array]:
    """Means over chains: gain in dB, length in tools, share of chains that were stopped by the agent."""
    acted = chains.actions < tools
    return {
        "gain": chains.rewards.sum(0).mean(),
        "length": acted.sum(0).mean(dtype=jnp.float32),
        "stops": (chains.alive[:-1] & ~acted).any(0).mean(dtype=jnp.float32),
    }
