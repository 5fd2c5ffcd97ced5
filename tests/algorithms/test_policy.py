"""Policy gradients: each form learns which tool mends which image; exact gradients where they are known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms import toy_chains as toys

from jaxsr.algorithms.policy import Terms, policy_gradient
from jaxsr.algorithms.toolchain import psnr
from jaxsr.losses import policy
from jaxsr.state import step_key

FROZEN = {"tools": toys.WEIGHTS}


def terms(estimate, *, all_action=False, bonus=0.0, discount=0.99):
    return Terms(
        estimate, policy.entropy, policy.weighted_mean, lambda step: bonus, value_weight=0.5,
        levels_weight=10.0, reward_scale=0.3, discount=discount, all_action=all_action,
    )  # fmt: skip


def method(
    estimate, *, value=True, critic=None, levels=None, rules=toys.RULES, rate=0.05, **options
):
    nets = {"agent": toys.agent(value=value), "critic": critic, "levels": levels}
    return policy_gradient(
        carry=toys.carry, rules=rules, bank=toys.BANK, tools=toys.TOOLS, terms=terms(estimate, **options),
        optimisers={name: optax.adam(rate) for name, net in nets.items() if net}, **nets,
    )  # fmt: skip


GAE = policy.gae(decay=0.95, normalise=False)
FORMS = {
    "a2c": lambda: method(GAE),
    "all actions": lambda: method(GAE, all_action=True),
    "batch mean": lambda: method(policy.reinforce(baseline="batch", normalise=False), value=False),
    "critic": lambda: method(GAE, value=False, critic=toys.critic()),
    "levels": lambda: method(GAE, levels=toys.levels()),
    "normalised": lambda: method(policy.gae(decay=0.95, normalise=True)),
    "value": lambda: method(policy.reinforce(baseline="value", normalise=False)),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_learns_to_mend_both_kinds_of_image(name):
    made = FORMS[name]()
    state = jax.jit(made.init)(step_key(0, 0), toys.batch(16))
    step = jax.jit(made.step)
    for number in range(120):
        state, metrics = step(step_key(0, number), state, toys.batch(16, seed=number), FROZEN)
        assert float(metrics["drift"]) < 1e-5
    assert int(state.step) == 120
    held = toys.batch(64, seed=999)
    found = made.predict(step_key(0, 0), state, held, FROZEN)
    # the right tool is worth 26 dB, the same tool for all images half of that on average at the most
    gain = psnr(found["images"][-1], held["hq"]) - psnr(held["lq"], held["hq"])
    assert float(gain.min()) > 10
    bright = np.asarray(held["lq"].mean((1, 2, 3))) > 0.5
    np.testing.assert_array_equal(np.asarray(found["actions"][0]), np.where(bright, 0, 1))
    np.testing.assert_allclose(found["probabilities"].sum(-1), 1, rtol=1e-5)


def test_returns_without_a_baseline_point_the_same_way():
    """It learns too, only slower: its gradient has the same mean, so a large batch shows it."""
    plain, less = (
        method(policy.reinforce(baseline=kind, normalise=False), value=False, rate=1.0)
        for kind in ("none", "batch")
    )
    data, moved = toys.batch(4096), []
    for made in (plain, less):
        state = made.init(step_key(0, 0), toys.batch(2))
        after, _ = jax.jit(made.step)(step_key(0, 1), state, data, FROZEN)
        moved.append(np.asarray(after.params["agent"]["w"] - state.params["agent"]["w"])[:3, :3])
    assert (np.sign(moved[0]) == np.sign(moved[1])).mean() > 0.7


def test_all_action_gradient_of_one_step_is_that_of_the_expected_reward():
    rules = toys.RULES._replace(steps=1)
    plain = policy_gradient(
        agent=toys.agent(), carry=toys.carry, critic=None, levels=None, rules=rules, bank=toys.BANK,
        tools=toys.TOOLS, terms=terms(GAE, all_action=True)._replace(value_weight=0.0),
        optimisers={"agent": optax.sgd(1.0)},
    )  # fmt: skip
    data = toys.batch(8)
    state = plain.init(step_key(0, 0), data)
    after, _ = jax.jit(plain.step)(step_key(0, 0), state, data, FROZEN)
    every = toys.BANK.every(toys.WEIGHTS, data["lq"])
    gains = (psnr(every, data["hq"]) - psnr(data["lq"], data["hq"])).at[-1].set(0.0)

    def expected(params):
        inputs = data["lq"][None], jnp.zeros((1, 8, toys.TOOLS)), toys.carry(8)
        (found, _), _ = toys.agent().apply({"params": params}, *inputs, train=False)
        return (jax.nn.softmax(found["logits"][0]) * 0.3 * gains.T).sum(-1).mean()

    slope = jax.grad(expected)(state.params["agent"])
    moved = jax.tree.map(lambda a, b: a - b, after.params["agent"], state.params["agent"])
    np.testing.assert_allclose(moved["w"], slope["w"], rtol=1e-4, atol=1e-6)


def test_the_sampled_gradient_is_that_of_all_actions_in_the_mean():
    rules = toys.RULES._replace(steps=1)
    moved = {}
    for kind in (True, False):
        made = policy_gradient(
            agent=toys.agent(), carry=toys.carry, critic=None, levels=None, rules=rules, bank=toys.BANK,
            tools=toys.TOOLS, terms=terms(GAE, all_action=kind)._replace(value_weight=0.0),
            optimisers={"agent": optax.sgd(1.0)},
        )  # fmt: skip
        data = jax.tree.map(lambda x: jnp.tile(x, (2000, 1, 1, 1)[: x.ndim]), toys.batch(4))
        state = made.init(step_key(0, 0), data)
        after, _ = jax.jit(made.step)(step_key(0, 0), state, data, FROZEN)
        moved[kind] = np.asarray(after.params["agent"]["w"] - state.params["agent"]["w"])
    # 8,000 draws of rewards of 8 with a deviation of about 8: a few hundredths of the largest
    np.testing.assert_allclose(moved[False], moved[True], atol=0.05 * np.abs(moved[True]).max())


def test_entropy_is_raised_by_its_bonus():
    made = method(GAE, bonus=100.0, rate=0.01)
    state = made.init(step_key(0, 0), toys.batch(16))
    pushed = {"w": state.params["agent"]["w"].at[-1, 0].add(3.0)}
    state = state.replace(params={"agent": pushed})
    step, seen = jax.jit(made.step), []
    for number in range(30):
        state, metrics = step(step_key(0, number), state, toys.batch(16), FROZEN)
        seen.append(float(metrics["loss/entropy"]))
    assert seen[-1] > seen[0] + 0.1


def test_same_key_same_bits_and_another_key_other_actions():
    made = method(GAE)
    state = made.init(step_key(0, 0), toys.batch(16))
    step = jax.jit(made.step)
    first, second, third = (
        step(step_key(0, number), state, toys.batch(16), FROZEN)[0].params["agent"]["w"]
        for number in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (np.asarray(first) != np.asarray(third)).any()


def test_the_strengths_teach_what_the_rewards_do_not():
    """Without a reward that differs, only the loss of the strengths moves the features, and it is solved."""
    made = method(GAE, levels=toys.levels(), rules=toys.RULES._replace(steps=1), rate=0.1)
    frozen = {"tools": jax.tree.map(jnp.zeros_like, toys.WEIGHTS)}
    state, seen = made.init(step_key(0, 0), toys.batch(16)), []
    step = jax.jit(made.step)
    for number in range(60):
        data = toys.batch(16, seed=number)
        bright = (data["lq"].mean((1, 2, 3)) > 0.5).astype(jnp.float32)
        data = data | {"levels": jnp.stack([bright, 1 - bright, jnp.ones(16)], -1)}
        state, metrics = step(step_key(0, number), state, data, frozen)
        seen.append(float(metrics["loss/levels"]))
    assert seen[0] > 0.25 and max(seen[-5:]) < 0.02
    moved = (
        made.init(step_key(0, 0), toys.batch(16)).params["agent"]["w"] - state.params["agent"]["w"]
    )
    assert float(jnp.abs(moved[:3, : toys.TOOLS + 1]).max()) > 0.1
