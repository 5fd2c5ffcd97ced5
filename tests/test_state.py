"""Keys and the optimiser update."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsr import state as states


def draw(key):
    return np.asarray(jax.random.bits(key, (4,)))


def test_step_keys_differ_between_steps_and_seeds_and_repeat():
    keys = {(s, n): draw(states.step_key(s, n)).tobytes() for s in (0, 1) for n in (0, 1, 2)}
    assert len(set(keys.values())) == 6
    assert draw(states.step_key(1, 2)).tobytes() == keys[1, 2]


def test_streams_of_one_key_are_independent_of_each_other_and_of_the_key():
    key = states.step_key(0, 5)
    drawn = [draw(key)] + [draw(states.stream(key, n)) for n in ("degrade", "dropout", "policy")]
    assert len({d.tobytes() for d in drawn}) == 4


def test_update_takes_one_step_and_reports_norms():
    network = {"params": {"w": jnp.array([3.0, 4.0])}}
    state = states.create({"gen": network}, {"gen": optax.sgd(0.5)})
    new, metrics = states.update(state, "gen", {"w": jnp.array([0.0, 2.0])}, optax.sgd(0.5))
    np.testing.assert_allclose(new.params["gen"]["w"], [3.0, 3.0])
    assert float(metrics["grad_norm/gen"]) == pytest.approx(2.0)
    assert float(metrics["param_norm/gen"]) == pytest.approx(18**0.5)  # after the update
    assert int(new.step) == 0, "the algorithm counts steps, not the update"


def test_batch_statistics_are_kept_apart_from_parameters():
    held = {"disc": {"params": {"w": jnp.ones(1)}, "batch_stats": {"mean": jnp.zeros(1)}}}
    state = states.create(held, {"disc": optax.sgd(0.1)})
    assert states.variables(state, "disc").keys() == {"params", "batch_stats"}
    assert state.extra["batch_stats"]["disc"]["mean"].shape == (1,)
