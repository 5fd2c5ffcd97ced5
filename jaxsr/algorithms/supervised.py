"""Supervised training: one network, a weighted sum of losses against the truth in the batch."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import optax

from jaxsr import state as states
from jaxsr.state import State
from jaxsr.types import Algorithm, Batch, Metrics, Network, Tree

Loss = Callable[[jax.Array, Batch, Tree], jax.Array]


def weighted(losses: Mapping[str, tuple[float, jax.Array]]) -> tuple[jax.Array, Metrics]:
    """Σ_n w_n · l_n and its parts, from {name: (weight, scalar)}.

    The parts are logged as `loss/<name>` (unweighted) and `weighted/<name>`.
    """
    metrics = {f"loss/{name}": value for name, (_, value) in losses.items()}
    parts = {f"weighted/{name}": weight * value for name, (weight, value) in losses.items()}
    return sum(parts.values()), metrics | parts


def supervised(
    *,
    network: Network,
    inputs: Sequence[str],
    losses: Mapping[str, tuple[float, Loss]],
    optimiser: optax.GradientTransformation,
    finish: Callable[[jax.Array], jax.Array],
) -> Algorithm:
    """Minimises Σ_n w_n · mean(loss_n(network(inputs), batch, frozen)).

    network:   the network, `gen` in the state
    inputs:    names of the batch entries that the network takes, in order
    losses:    {name: (weight, function)}; a function returns values that are averaged here
    optimiser: of the network
    finish:    applied to the output by `predict` (for example softmax), not while training
    """

    def init(key: jax.Array, batch: Batch) -> State:
        drawn = network.init(states.stream(key, "gen"), *(batch[name] for name in inputs))
        return states.create({"gen": drawn}, {"gen": optimiser})

    def objective(params, key: jax.Array, state: State, batch: Batch, frozen: Tree):
        held = states.variables(state, "gen") | {"params": params}
        given = (batch[name] for name in inputs)
        output, stats = network.apply(held, *given, train=True, key=states.stream(key, "dropout"))
        values = {n: (w, jnp.mean(fn(output, batch, frozen))) for n, (w, fn) in losses.items()}
        total, metrics = weighted(values)
        return total, (metrics | {"loss": total}, stats)

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        grads, (metrics, stats) = jax.grad(objective, has_aux=True)(
            state.params["gen"], key, state, batch, frozen
        )
        state, norms = states.update(state, "gen", grads, optimiser)
        if stats:
            state = state.replace(extra=state.extra | {"batch_stats": {"gen": stats}})
        return state.replace(step=state.step + 1), metrics | norms

    def predict(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> jax.Array:
        del key, frozen
        held = states.variables(state, "gen")
        output, _ = network.apply(held, *(batch[name] for name in inputs), train=False)
        return finish(output)

    return Algorithm(init, step, predict)
