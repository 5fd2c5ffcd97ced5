"""Returns and advantages: by hand, and against each other where formulas meet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.losses import policy


def chains(seed=0):
    rng = np.random.default_rng(seed)
    alive = np.array([[1, 1, 1, 1], [1, 1, 0, 1], [1, 0, 0, 1]], np.float32)
    rewards = rng.normal(size=(3, 4)).astype(np.float32) * alive
    following = np.concatenate([alive[1:], np.zeros((1, 4), np.float32)])
    values = rng.normal(size=(3, 4)).astype(np.float32)
    return (
        jnp.asarray(rewards),
        jnp.asarray(0.9 * following),
        jnp.asarray(values),
        jnp.asarray(alive),
    )


def test_returns_by_hand():
    found = policy.returns(jnp.array([[1.0], [2.0], [4.0]]), jnp.array([[0.5], [0.5], [0.0]]))
    np.testing.assert_allclose(found, [[3.0], [4.0], [4.0]])


def test_advantages_are_returns_less_value_or_errors_of_one_step():
    rewards, discounts, values, _ = chains()
    whole = policy.generalised_advantages(rewards, discounts, values, decay=1.0)
    np.testing.assert_allclose(whole, policy.returns(rewards, discounts) - values, atol=1e-5)
    single = policy.generalised_advantages(rewards, discounts, values, decay=0.0)
    ahead = np.concatenate([values[1:], np.zeros((1, 4))])
    np.testing.assert_allclose(single, rewards + discounts * ahead - values, atol=1e-6)


def test_with_the_whole_return_a2c_and_reinforce_are_the_same():
    rewards, discounts, values, weights = chains()
    first = policy.gae(decay=1.0, normalise=False)(rewards, discounts, values, weights)
    second = policy.reinforce(baseline="value", normalise=False)(
        rewards, discounts, values, weights
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_baselines():
    rewards, discounts, values, weights = chains()
    gained = policy.returns(rewards, discounts)
    plain, _ = policy.reinforce(baseline="none", normalise=False)(
        rewards, discounts, values, weights
    )
    np.testing.assert_array_equal(plain, gained)
    less, _ = policy.reinforce(baseline="batch", normalise=False)(
        rewards, discounts, values, weights
    )
    # the mean is over the chains that are alive: they have advantages of mean 0
    np.testing.assert_allclose((less * weights).sum(1), 0, atol=1e-5)
    with pytest.raises(ValueError, match="none, batch or value, not 'mean'"):
        policy.reinforce(baseline="mean", normalise=False)


def test_normalised_advantages_have_mean_0_and_deviation_1_where_chains_are_alive():
    rewards, discounts, values, weights = chains()
    found, _ = policy.gae(decay=0.95, normalise=True)(rewards, discounts, values, weights)
    inside = np.asarray(found)[np.asarray(weights) == 1]
    np.testing.assert_allclose([inside.mean(), inside.std()], [0, 1], atol=1e-5)


def test_entropy_of_certain_and_of_equal_chances():
    logs = jax.nn.log_softmax(jnp.array([[0.0, 0, 0, 0], [0, -1e38, -1e38, -1e38]]))
    np.testing.assert_allclose(policy.entropy(logs), [np.log(4), 0], atol=1e-6)
    slope = jax.grad(lambda x: policy.entropy(jax.nn.log_softmax(x)).sum())(logs)
    assert np.isfinite(slope).all()


def test_weighted_mean_leaves_out_what_has_ended():
    assert policy.weighted_mean(jnp.array([1.0, 3.0, 9.0]), jnp.array([1.0, 1.0, 0.0])) == 2
    assert policy.weighted_mean(jnp.ones(2), jnp.zeros(2)) == 0
