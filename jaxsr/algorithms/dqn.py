"""Deep Q-learning over tool chains, RL-Restore's own method: whole episodes, a replay inside the state."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxsr import state as states
from jaxsr.algorithms.bank import Bank
from jaxsr.algorithms.supervised import weighted
from jaxsr.algorithms.toolchain import (
    Chains,
    Choose,
    Rules,
    greedy,
    mostly_greedy,
    player,
    rollout,
    shown,
    totals,
)
from jaxsr.state import State
from jaxsr.types import Algorithm, Batch, Metrics, Network, Tree


class Settings(NamedTuple):
    """Numbers of the method, in the reference's terms.

    episodes:     of the replay, a ring: the oldest is overwritten
    warm:         episodes before the first update
    sample:       episodes of an update
    updates:      of one step of the loop, which acts on one batch of new episodes
    target_every: updates between two copies of the network to the target
    discount:     γ
    first, last, decay: ε falls linearly from first to last over `decay` steps of the loop after the warm-up
    length_biased: draws an episode in proportion to its length, as the reference does
    levels_weight: of the loss of the strengths
    """

    episodes: int
    warm: int
    sample: int
    updates: int
    target_every: int
    discount: float
    first: float
    last: float
    decay: int
    length_biased: bool
    levels_weight: float


class Replay(NamedTuple):
    """Episodes, padded to the longest: images float16 [n,t,h,w,c] (before each step), actions uint8 [n,t],
    rewards float32 [n,t], lengths uint8 [n] (steps taken, 0 for an empty place), levels float32 [n,3] (of
    the distortions), count: ever written."""

    images: jax.Array
    actions: jax.Array
    rewards: jax.Array
    lengths: jax.Array
    levels: jax.Array
    count: jax.Array


def empty(episodes: int, steps: int, shape: tuple[int, ...]) -> Replay:
    """A replay without an episode, for images of a shape [h,w,c]."""
    return Replay(
        jnp.zeros((episodes, steps, *shape), jnp.float16),
        jnp.zeros((episodes, steps), jnp.uint8),
        jnp.zeros((episodes, steps), jnp.float32),
        jnp.zeros(episodes, jnp.uint8),
        jnp.zeros((episodes, 3), jnp.float32),
        jnp.zeros([], jnp.int32),
    )


def write(replay: Replay, chains: Chains, levels: jax.Array) -> Replay:
    """Puts chains, and the levels [b,3] of their distortions, over the oldest episodes."""
    batch = chains.actions.shape[1]
    places = (replay.count + jnp.arange(batch)) % len(replay.lengths)

    def put(old: jax.Array, new: jax.Array) -> jax.Array:
        return old.at[places].set(new.astype(old.dtype))

    return Replay(
        put(replay.images, jnp.moveaxis(chains.images[:-1], 1, 0)),
        put(replay.actions, chains.actions.T),
        put(replay.rewards, chains.rewards.T),
        put(replay.lengths, chains.alive[:-1].sum(0)),
        put(replay.levels, levels),
        replay.count + batch,
    )


def draw(key: jax.Array, replay: Replay, count: int, *, length_biased: bool) -> jax.Array:
    """Places of `count` episodes, with repetition: all alike, or in proportion to their lengths."""
    lengths = replay.lengths.astype(jnp.float32)
    shares = lengths if length_biased else (lengths > 0).astype(jnp.float32)
    return jax.random.categorical(key, jnp.log(shares), shape=(count,))


def huber(error: jax.Array) -> jax.Array:
    """e²/2 up to 1, |e| - 1/2 beyond."""
    size = jnp.abs(error)
    return jnp.where(size <= 1, 0.5 * jnp.square(error), size - 0.5)


def targets(
    rewards: jax.Array, following: jax.Array, lengths: jax.Array, *, discount: float
) -> jax.Array:
    """y_t = r_t + γ·max_a Q⁻(s_{t+1}, a), y = r at the last step of an episode.

    rewards [t,b] in dB; following [t,b,n+1]: Q⁻ of the states themselves; lengths [b] -> [t,b], of which
    entries beyond an episode's length mean nothing.
    """
    best = following.max(-1)
    ahead = jnp.concatenate([best[1:], jnp.zeros_like(best[:1])])
    ends = jnp.arange(len(rewards))[:, None] + 1 >= lengths
    return rewards + jnp.where(ends, 0.0, discount * ahead)


def episode_loss(errors: jax.Array, lengths: jax.Array) -> jax.Array:
    """(1/B)·Σ_episodes (1/length)·Σ_t Huber(e): errors [t,b], lengths [b] -> scalar.

    The reference groups episodes by length and weighs each group's mean by its share: the same number.
    """
    inside = jnp.arange(len(errors))[:, None] < lengths
    each = jnp.where(inside, huber(errors), 0.0).sum(0) / jnp.maximum(lengths, 1)
    return each.mean()


def dqn(
    *,
    agent: Network,
    carry: Callable[[int], Tree],
    levels: Network | None,
    rules: Rules,
    bank: Bank,
    tools: int,
    settings: Settings,
    optimisers: Mapping[str, optax.GradientTransformation],
) -> Algorithm:
    """ε-greedy chains into a replay; updates that unroll the LSTM from zero over whole episodes.

    agent: the network, `agent` in the state, whose `logits` are Q values in dB; its target is
    extra["target"], the replay extra["replay"]. levels: as in `policy.policy_gradient`; None in the paper.
    Ours beyond the reference: acting is in batches, the memory
    moves on in exploring steps too, the reward is stored in float32, and one update is made for many
    episodes at once. Streams: «policy» (acting), «replay» (drawing). Batch: lq, hq, levels [b,3] in [0, 1].
    Source: yuke93/RL-Restore dd1463d, dqn.py and replay_memory.py.
    """

    actor = player(agent, carry)

    def look(params: Tree, images: jax.Array, previous: jax.Array) -> dict[str, jax.Array]:
        return actor.apply({"params": params}, images, previous, carry(images.shape[1]))[0]

    def act(
        key: jax.Array, choose: Choose, params: Tree, frozen: Tree, rules: Rules, lq, hq
    ) -> Chains:
        return rollout(
            key, actor, {"params": params}, choose, rules, bank, frozen["tools"], lq, hq, tools=tools
        )  # fmt: skip

    def init(key: jax.Array, batch: Batch) -> State:
        lq = batch["lq"]
        inputs = lq[None], jnp.zeros((1, len(lq), tools)), carry(len(lq))
        drawn = {"agent": agent.init(states.stream(key, "agent"), *inputs)}
        if levels is not None:
            found, _ = jax.eval_shape(actor.apply, drawn["agent"], *inputs)
            fake = jnp.zeros(found["features"].shape[1:])
            drawn["levels"] = levels.init(states.stream(key, "levels"), fake)
        state = states.create(drawn, optimisers)
        # a copy: under donation two entries of the state must not share a buffer
        target = jax.tree.map(jnp.copy, state.params["agent"])
        replay = empty(settings.episodes, rules.steps, lq.shape[1:])._asdict()
        made = jnp.zeros([], jnp.int32)
        return state.replace(extra={"target": target, "replay": replay, "updates": made})

    def update(key: jax.Array, state: State) -> tuple[State, Metrics]:
        replay = Replay(**state.extra["replay"])
        places = draw(key, replay, settings.sample, length_biased=settings.length_biased)
        images, actions, rewards = (
            jnp.moveaxis(part[places], 1, 0)
            for part in (replay.images, replay.actions, replay.rewards)
        )
        images, actions = images.astype(jnp.float32), actions.astype(jnp.int32)
        lengths = replay.lengths[places].astype(jnp.int32)
        before = jax.nn.one_hot(actions[:-1], tools)
        previous = jnp.concatenate([jnp.zeros_like(before[:1]), before])
        wanted = targets(
            rewards, look(state.extra["target"], images, previous)["logits"], lengths,
            discount=settings.discount,
        )  # fmt: skip

        def objective(params: Tree) -> tuple[jax.Array, Metrics]:
            found = look(params["agent"], images, previous)
            taken = jnp.take_along_axis(found["logits"], actions[..., None], -1)[..., 0]
            parts = {"Q": (1.0, episode_loss(taken - wanted, lengths))}
            if levels is not None:
                told = levels.apply(
                    {"params": params["levels"]}, found["features"][0], train=False
                )[0]
                error = jnp.square(told - replay.levels[places]).mean()
                parts["levels"] = (settings.levels_weight, error)
            total, metrics = weighted(parts)
            return total, metrics | {"loss": total, "Q first": taken[0].mean()}

        grads, metrics = jax.grad(objective, has_aux=True)(state.params)
        for name, optimiser in optimisers.items():
            state, norms = states.update(state, name, grads[name], optimiser)
            metrics |= norms
        made = state.extra["updates"] + 1
        due = made % settings.target_every == 0
        target = jax.tree.map(
            lambda new, old: jnp.where(due, new, old), state.params["agent"], state.extra["target"]
        )
        extra = state.extra | {"target": target, "updates": made}
        return state.replace(extra=extra), metrics

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        warm_steps = -(-settings.warm // len(batch["lq"]))
        passed = jnp.clip((state.step - warm_steps) / settings.decay, 0.0, 1.0)
        epsilon = settings.first + (settings.last - settings.first) * passed
        chains = act(
            states.stream(key, "policy"), mostly_greedy(epsilon), state.params["agent"], frozen,
            rules, batch["lq"], batch["hq"],
        )  # fmt: skip
        replay = write(Replay(**state.extra["replay"]), chains, batch["levels"])
        state = state.replace(extra=state.extra | {"replay": replay._asdict()})
        # until the replay is warm the updates are made and not kept: convolutions are slow under a
        # conditional on a CPU, as in a loop
        ready, drawing, moved = replay.count >= settings.warm, states.stream(key, "replay"), state
        for number in range(settings.updates):
            moved, metrics = update(jax.random.fold_in(drawing, number), moved)

        def kept(new: Tree, old: Tree) -> Tree:
            return jax.tree.map(lambda a, b: jnp.where(ready, a, b), new, old)

        learnt = {name: moved.extra[name] for name in ("target", "updates")}
        state = state.replace(
            step=state.step + 1,
            params=kept(moved.params, state.params),
            opt=kept(moved.opt, state.opt),
            extra=state.extra | kept(learnt, {name: state.extra[name] for name in learnt}),
        )
        return state, totals(chains, tools) | metrics | {"epsilon": epsilon}

    def predict(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> Tree:
        plain = rules._replace(abort_below_input=False)
        return shown(
            act(key, greedy, state.params["agent"], frozen, plain, batch["lq"], batch["lq"])
        )

    return Algorithm(init, step, predict)
