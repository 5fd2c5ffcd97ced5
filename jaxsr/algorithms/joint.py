"""Joint training of the tools of RL-Restore through the chains that an agent chooses (its Algorithm 1)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxsr import state as states
from jaxsr.algorithms.bank import Bank
from jaxsr.algorithms.toolchain import Agent, Rules, greedy, rollout, shown, totals
from jaxsr.state import State
from jaxsr.types import Algorithm, Batch, Metrics, Tree


def uses(actions: jax.Array, tools: int) -> jax.Array:
    """How often each tool was applied in chains of actions [t,b]: [n]."""
    return jnp.bincount(actions.ravel(), length=tools + 1)[:tools]


def joint(
    *,
    weights: Tree,
    agent: Callable[..., tuple[dict[str, jax.Array], Tree]],
    carry: Callable[[int], Tree],
    rules: Rules,
    bank: Bank,
    tools: int,
    optimiser: optax.GradientTransformation,
) -> Algorithm:
    """The agent chooses greedily with the tools as they are; the chains are gone through again with
    gradients; each tool gets the sum of its gradients over all its uses divided by their number.

    A tool that was not used is left as it is, its moments too. Chains that stop at once add nothing.

    weights: of the tools, {name: parameters}, to begin with; `toolbox` in the state
    agent:   (variables, images, previous, carry) -> ({"logits"}, carry), with frozen["agent"]
    carry, rules, bank, tools: the environment
    Source: arXiv:1804.03312, Algorithm 1 (no code was released).
    """

    def chains_of(key: jax.Array, params: Tree, frozen: Tree, lq, hq):
        return rollout(
            key, Agent(agent, carry), frozen["agent"], greedy, rules, bank, params, lq, hq, tools=tools
        )  # fmt: skip

    def init(key: jax.Array, batch: Batch) -> State:
        del key, batch  # nothing is drawn, and tools take any size
        return states.create({"toolbox": {"params": weights}}, {"toolbox": optimiser})

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        params, lq, hq = state.params["toolbox"], batch["lq"], batch["hq"]
        chains = chains_of(key, params, frozen, lq, hq)
        counts = uses(chains.actions, tools)

        def objective(params: Tree) -> tuple[jax.Array, jax.Array]:
            images = lq
            for actions in chains.actions:
                images = bank.apply(params, images, actions)
            each = jnp.square(images - hq).mean((1, 2, 3))
            return each.sum(), each.mean()

        grads, loss = jax.grad(objective, has_aux=True)(params)
        share = dict(zip(sorted(params), 1 / jnp.maximum(counts, 1), strict=True))
        grads = {
            name: jax.tree.map(lambda g, s=share[name]: g * s, tree) for name, tree in grads.items()
        }
        moved, norms = states.update(state, "toolbox", grads, optimiser)
        used = dict(zip(sorted(params), counts > 0, strict=True))
        new, old = (s.replace(extra={}, step=state.step) for s in (moved, state))
        state = jax.tree_util.tree_map_with_path(
            lambda path, a, b: _kept(path, a, b, used), new, old
        ).replace(extra=state.extra, step=state.step + 1)
        metrics = {f"uses/{name}": jnp.float32(n) for name, n in zip(used, counts, strict=True)}
        return state, totals(chains, tools) | metrics | norms | {"loss": loss}

    def predict(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> Tree:
        lq = batch["lq"]
        return shown(chains_of(key, state.params["toolbox"], frozen, lq, lq))

    return Algorithm(init, step, predict)


def _kept(path: tuple, new: jax.Array, old: jax.Array, used: dict[str, jax.Array]) -> jax.Array:
    """The new leaf where it belongs to a tool that was used, or to no tool (a count of steps)."""
    names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
    tool = next((name for name in names if name in used), None)
    return new if tool is None else jnp.where(used[tool], new, old)
