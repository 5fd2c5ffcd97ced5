"""Joint training: gradients through chains, normalised by use, and tools that rest when not used."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from algorithms import toy_chains as toys

from jaxsr.algorithms.joint import joint, uses
from jaxsr.state import step_key


def choose(first, second):
    """An agent that takes `first` for bright images at first and `second` for dark ones, then stops."""

    def apply(variables, images, previous, carry):
        del variables
        bright = images.mean((2, 3, 4)) > 0.5
        chosen = jnp.where(bright, first, second)
        chosen = jnp.where(previous.sum(-1) > 0, toys.TOOLS, chosen)
        return {"logits": 9.0 * jax.nn.one_hot(chosen, toys.TOOLS + 1)}, carry

    return apply


def method(agent, optimiser, *, weights):
    return joint(
        weights=weights, agent=agent, carry=toys.carry, rules=toys.RULES, bank=toys.BANK,
        tools=toys.TOOLS, optimiser=optimiser,
    )  # fmt: skip


WRONG = {"tool01": jnp.float32(0.1), "tool02": jnp.float32(0.1)}


def test_gradients_are_sums_over_uses_divided_by_their_number():
    made = method(choose(0, 1), optax.sgd(1.0), weights=WRONG)
    data = toys.batch(10)
    state = made.init(step_key(0, 0), data)
    after, metrics = jax.jit(made.step)(step_key(0, 0), state, data, {"agent": {}})
    bright = np.asarray(data["lq"].mean((1, 2, 3))) > 0.5
    assert 0 < bright.sum() < 10
    for name, rows, sign in (("tool01", bright, -1.0), ("tool02", ~bright, 1.0)):
        error = np.asarray(data["lq"] + sign * 0.1 - data["hq"])[rows]
        slope = (2 * sign * error).mean((1, 2, 3)).sum() / rows.sum()
        np.testing.assert_allclose(after.params["toolbox"][name], 0.1 - slope, rtol=1e-5)
        assert float(metrics[f"uses/{name}"]) == rows.sum()
    assert float(metrics["length"]) == 1


def test_a_tool_that_is_used_twice_gets_both_gradients():
    def always(variables, images, previous, carry):
        return {
            "logits": jnp.broadcast_to(jnp.array([1.0, 0.0, 0.0]), (1, images.shape[1], 3))
        }, carry

    made = method(always, optax.sgd(1.0), weights=WRONG)
    data = toys.batch(6)
    state = made.init(step_key(0, 0), data)
    after, _ = jax.jit(made.step)(step_key(0, 0), state, data, {"agent": {}})
    error = np.asarray(data["lq"] - 0.2 - data["hq"])
    slope = (-2 * 2 * error).mean((1, 2, 3)).sum() / 12
    np.testing.assert_allclose(after.params["toolbox"]["tool01"], 0.1 - slope, rtol=1e-5)


def test_a_tool_that_rests_keeps_its_weights_and_moments():
    made = method(choose(0, 0), optax.adam(0.01), weights=WRONG)
    data = toys.batch(6)
    state = made.init(step_key(0, 0), data)
    moments = jax.tree.map(jnp.ones_like, state.opt)
    state = state.replace(opt=moments)
    after, _ = jax.jit(made.step)(step_key(0, 0), state, data, {"agent": {}})
    assert float(after.params["toolbox"]["tool02"]) == float(WRONG["tool02"])
    assert float(after.params["toolbox"]["tool01"]) != float(WRONG["tool01"])
    (adam, *_) = after.opt["toolbox"]
    assert float(adam.mu["tool02"]) == 1 and float(adam.mu["tool01"]) != 1


def test_tools_that_are_off_by_half_are_mended():
    made = method(choose(0, 1), optax.adam(0.02), weights=WRONG)
    state = made.init(step_key(0, 0), toys.batch(8))
    step = jax.jit(made.step)
    for number in range(60):
        state, _ = step(step_key(0, number), state, toys.batch(8, seed=number), {"agent": {}})
    for value in state.params["toolbox"].values():
        assert abs(float(value) - 0.2) < 0.02
    found = made.predict(step_key(0, 0), state, toys.batch(4), {"agent": {}})
    assert found["images"].shape == (2, 4, toys.SIDE, toys.SIDE, 3)


def test_uses_are_counted_without_stops():
    np.testing.assert_array_equal(uses(jnp.array([[0, 1, 2], [1, 1, 2]]), 2), [1, 3])
