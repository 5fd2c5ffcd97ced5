"""Policy gradients over tool chains: REINFORCE, A2C and the all-action form, one update for each rollout."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxsr import state as states
from jaxsr.algorithms.bank import Bank
from jaxsr.algorithms.supervised import weighted
from jaxsr.algorithms.toolchain import (
    Agent,
    Chains,
    Rules,
    greedy,
    masked,
    player,
    psnr,
    rollout,
    sampled,
    shown,
    totals,
)
from jaxsr.state import State
from jaxsr.types import Algorithm, Batch, Metrics, Network, Tree


class Terms(NamedTuple):
    """The formulas that the gradient is made of; see `jaxsr.losses.policy` for them.

    estimate: (rewards, discounts, values, weights) -> (advantages, targets), all [t,b]
    entropy:  log-probabilities [t,b,a] -> [t,b]
    mean:     (values, weights) -> Σ w·v / Σ w
    bonus:    step -> weight of the entropy
    value_weight, levels_weight: of the loss of the value and of that of the strengths
    reward_scale, discount: dB to units of the loss; γ
    all_action: the gradient sums over all actions instead of taking the drawn one
    """

    estimate: Callable[..., tuple[jax.Array, jax.Array]]
    entropy: Callable[[jax.Array], jax.Array]
    mean: Callable[[jax.Array, jax.Array], jax.Array]
    bonus: Callable[[jax.Array], jax.Array]
    value_weight: float
    levels_weight: float
    reward_scale: float
    discount: float
    all_action: bool


def policy_gradient(
    *,
    agent: Network,
    carry: Callable[[int], Tree],
    critic: Network | None,
    levels: Network | None,
    rules: Rules,
    bank: Bank,
    tools: int,
    terms: Terms,
    optimisers: Mapping[str, optax.GradientTransformation],
) -> Algorithm:
    """Minimises -Σ w·log π(a)·A/Σw + v·Σ w·(V - target)²/Σw - β·Σ w·H/Σw + l·E over sampled chains.

    w is 1 where a chain is alive. The images of a chain are data: no gradient goes through tools. With
    `all_action` the first term is -Σ_a π(a)·Q(a), Q(a) = c·r(a) + γ·V(s'_a), exact at the last step.

    agent:      the network, `agent` in the state; its tools are frozen["tools"]
    carry:      b -> its memory at the start
    critic:     a value that also sees what the agent can't: PSNR/50, steps left, the true levels. Only
                used in training, and still unbiased, since it does not depend on the action. None: the
                agent's own value, or 0 where it has none
    levels:     tells the strengths of the distortions from the features of the first image, so that the
                trunk learns to see them: E is its mean square error. None: only the rewards teach it
    rules, bank, tools: the environment; n
    terms:      formulas and weights
    optimisers: of `agent`, and of `critic` and `levels` where there are such
    Streams: «policy» (actions). Batch: lq, hq; `levels` [b,3] in [0, 1] with a critic or levels.
    Source: Williams 1992; Mnih et al., arXiv:1602.01783; Ciosek and Whiteson, arXiv:1706.05374 (all actions).
    """

    actor = player(agent, carry)

    def act(key: jax.Array, choose, params: Tree, frozen: Tree, lq, hq) -> Chains:
        variables = {"params": params["agent"]}
        return rollout(
            states.stream(key, "policy"), actor, variables, choose, rules, bank, frozen["tools"],
            lq, hq, tools=tools,
        )  # fmt: skip

    def init(key: jax.Array, batch: Batch) -> State:
        lq = batch["lq"]
        inputs = lq[None], jnp.zeros((1, len(lq), tools)), carry(len(lq))
        drawn = {"agent": agent.init(states.stream(key, "agent"), *inputs)}
        found, _ = jax.eval_shape(actor.apply, drawn["agent"], *inputs)
        if levels is not None:
            fake = jnp.zeros(found["features"].shape[1:])
            drawn["levels"] = levels.init(states.stream(key, "levels"), fake)
        if critic is not None:
            fake = jnp.zeros(found["memory"].shape), jnp.zeros((1, len(lq), 5))
            drawn["critic"] = critic.init(states.stream(key, "critic"), *fake)
        return states.create(drawn, optimisers)

    def values(params: Tree, found: dict[str, jax.Array], chains: Chains, batch: Batch):
        if critic is None:
            return found.get("value", jnp.zeros_like(chains.rewards))
        steps = len(chains.rewards)
        left = jnp.broadcast_to((steps - jnp.arange(steps))[:, None] / steps, chains.rewards.shape)
        levels = jnp.broadcast_to(batch["levels"], (steps, *batch["levels"].shape))
        told = jnp.concatenate([chains.psnr[:-1, :, None] / 50, left[..., None], levels], -1)
        # the agent's memory as data: the critic is not to shape what the agent looks at
        memory = jax.lax.stop_gradient(found["memory"])
        return critic.apply({"params": params["critic"]}, memory, told, train=False)[0]

    def objective(params: Tree, state: State, chains: Chains, gains, batch: Batch):
        count = chains.actions.shape[1]
        found, _ = actor.apply(
            {"params": params["agent"]}, chains.images[:-1], chains.previous, carry(count)
        )
        logs = jax.nn.log_softmax(masked(found["logits"], chains.legal))
        chosen = jnp.take_along_axis(logs, chains.actions[..., None], -1)[..., 0]
        value = values(params, found, chains, batch)
        weights = chains.alive[:-1].astype(jnp.float32)
        discounts = terms.discount * chains.alive[1:]
        held = jax.lax.stop_gradient(value)
        advantages, targets = terms.estimate(
            terms.reward_scale * chains.rewards, discounts, held, weights
        )
        gain = chosen * advantages if gains is None else (jnp.exp(logs) * gains).sum(-1)
        spread = terms.mean(terms.entropy(logs), weights)
        parts = {
            "policy": (1.0, -terms.mean(gain, weights)),
            "entropy": (-terms.bonus(state.step), spread),
        }
        if critic is not None or "value" in found:
            error = jnp.square(value - targets)
            parts["value"] = (terms.value_weight, terms.mean(error, weights))
        if levels is not None:
            told = levels.apply({"params": params["levels"]}, found["features"][0], train=False)[0]
            parts["levels"] = (terms.levels_weight, jnp.square(told - batch["levels"]).mean())
        total, metrics = weighted(parts)
        # of the numbers acted with and those computed anew: anything but rounding is a mistake
        drift = jnp.max(jnp.abs(jax.lax.stop_gradient(chosen) - chains.log_probs))
        return total, metrics | {"loss": total, "drift": drift}

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        chains = act(key, sampled, state.params, frozen, batch["lq"], batch["hq"])
        metrics, gains = totals(chains, tools), None
        if terms.all_action:
            variables = {"params": state.params["agent"]}
            rewards, following = successors(actor, variables, bank, frozen["tools"], chains, batch)
            gains = terms.reward_scale * rewards + terms.discount * following
            lost = rewards.max(-1) - chains.rewards
            alive = chains.alive[:-1].astype(jnp.float32)
            metrics["regret"] = terms.mean(lost, alive)
            same = (rewards.argmax(-1) == chains.actions).astype(jnp.float32)
            metrics["oracle agreement"] = terms.mean(same, alive)
        grads, found = jax.grad(objective, has_aux=True)(state.params, state, chains, gains, batch)
        for name, optimiser in optimisers.items():
            state, norms = states.update(state, name, grads[name], optimiser)
            metrics |= norms
        return state.replace(step=state.step + 1), metrics | found

    def predict(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> Tree:
        # the truth plays no part in greedy chains: without it, rewards mean nothing and are not used
        return shown(act(key, greedy, state.params, frozen, batch["lq"], batch["lq"]))

    return Algorithm(init, step, predict)


def successors(
    agent: Agent, variables: Tree, bank: Bank, weights: Tree, chains: Chains, batch: Batch
) -> tuple[jax.Array, jax.Array]:
    """For every action at every step: its reward in dB and the value of where it leads, each [t,b,n+1].

    The value after a stop and after the last step is 0. The agent needs a value of its own.
    """
    tools, steps = chains.previous.shape[-1], len(chains.actions)
    rewards, following = [], []
    for time in range(steps):
        made = bank.every(weights, chains.images[time])
        gained = (psnr(made, batch["hq"]) - chains.psnr[time]).at[-1].set(0.0)
        rewards.append(gained.T)
        if time + 1 == steps:
            following.append(jnp.zeros_like(gained.T))
            continue
        count = made.shape[1]
        before = jnp.repeat(jnp.eye(tools), count, axis=0)
        memory = jax.tree.map(lambda x: jnp.tile(x, (tools, 1)), chains.carries[time])
        flat = made[:-1].reshape(tools * count, *made.shape[2:])
        found, _ = agent.apply(variables, flat[None], before[None], memory)
        ahead = found["value"].reshape(tools, count).T
        following.append(jnp.concatenate([ahead, jnp.zeros((count, 1))], -1))
    return jnp.stack(rewards), jnp.stack(following)
