"""DQN: targets by hand, a ring that forgets the oldest, masked losses, and a toy that is learned."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms import toy_chains as toys

from jaxsr.algorithms import dqn as q
from jaxsr.algorithms.toolchain import Agent, psnr, rollout, uniform
from jaxsr.state import step_key

FROZEN = {"tools": toys.WEIGHTS}
SETTINGS = q.Settings(
    episodes=64, warm=32, sample=16, updates=2, target_every=10, discount=0.99, first=1.0, last=0.1,
    decay=40, length_biased=False, levels_weight=1.0,
)  # fmt: skip


def method(*, levels=None):
    optimisers = {"agent": optax.adam(0.05)} | ({"levels": optax.adam(0.05)} if levels else {})
    return q.dqn(
        agent=toys.agent(value=False), carry=toys.carry, levels=levels, rules=toys.RULES, bank=toys.BANK,
        tools=toys.TOOLS, settings=SETTINGS, optimisers=optimisers,
    )  # fmt: skip


def test_targets_of_a_chain_of_three_and_of_one_by_hand():
    rewards = jnp.array([[1.0, 5.0], [2.0, 0.0], [4.0, 0.0]])
    following = jnp.array([[[9.0, 0], [9, 0]], [[3.0, 1], [7, 7]], [[-2.0, 6], [7, 7]]])
    found = q.targets(rewards, following, jnp.array([3, 1]), discount=0.5)
    np.testing.assert_allclose(found[:, 0], [1 + 1.5, 2 + 3, 4])
    np.testing.assert_allclose(found[0, 1], 5)


def test_loss_is_the_reference_of_groups_by_length():
    """Per length: the mean over its transitions times its share of the episodes."""
    rng = np.random.default_rng(0)
    errors, lengths = rng.normal(size=(3, 20)) * 2, rng.integers(1, 4, 20)
    wanted = 0.0
    for length in (1, 2, 3):
        own = errors[:length, lengths == length]
        size = np.abs(own)
        wanted += np.where(size <= 1, own**2 / 2, size - 0.5).mean() * (lengths == length).mean()
    np.testing.assert_allclose(
        q.episode_loss(jnp.asarray(errors), jnp.asarray(lengths)), wanted, rtol=1e-5
    )


def chains(count, seed):
    data = toys.batch(count, seed=seed)

    def apply(variables, *inputs):
        return toys.agent().apply(variables, *inputs, train=False)[0]

    drawn = toys.agent().init(jax.random.key(0), None, None, None)
    return rollout(
        jax.random.key(seed), Agent(apply, toys.carry), drawn, uniform, toys.RULES, toys.BANK,
        toys.WEIGHTS, data["lq"], data["hq"], tools=toys.TOOLS,
    )  # fmt: skip


def test_replay_is_a_ring_that_holds_what_was_played():
    replay = q.empty(8, 2, (toys.SIDE, toys.SIDE, 3))
    played = [chains(6, seed) for seed in range(2)]
    for seed, each in enumerate(played):
        replay = q.write(replay, each, jnp.arange(18.0).reshape(6, 3) + 100 * seed)
    assert int(replay.count) == 12
    # episodes 4 to 11, of which 8 to 11 took the places of 0 to 3
    joined = {
        name: np.concatenate([np.moveaxis(getattr(each, name), 1, 0) for each in played])
        for name in ("actions", "rewards")
    }
    lengths = np.concatenate([np.asarray(each.alive[:-1]).sum(0) for each in played])
    places = [8, 9, 10, 11, 4, 5, 6, 7]
    np.testing.assert_array_equal(replay.actions, joined["actions"][places])
    np.testing.assert_array_equal(replay.rewards, joined["rewards"][places])
    np.testing.assert_array_equal(replay.lengths, lengths[places])
    levels = np.concatenate([np.arange(18.0).reshape(6, 3) + 100 * seed for seed in range(2)])
    np.testing.assert_array_equal(replay.levels, levels[places])
    images = np.concatenate([np.moveaxis(each.images[:-1], 1, 0) for each in played])[places]
    np.testing.assert_array_equal(replay.images, images.astype(np.float16))


def test_draws_are_even_or_by_length_and_never_of_an_empty_place():
    replay = q.empty(4, 2, (1, 1, 1))._replace(lengths=jnp.array([1, 0, 2, 1], jnp.uint8))
    for biased, wanted in ((False, [1 / 3, 0, 1 / 3, 1 / 3]), (True, [0.25, 0, 0.5, 0.25])):
        drawn = q.draw(jax.random.key(0), replay, 6000, length_biased=biased)
        shares = np.bincount(drawn, minlength=4) / 6000
        # three deviations
        np.testing.assert_allclose(shares, wanted, atol=0.02)
        assert shares[1] == 0


def run(made, steps):
    state = jax.jit(made.init)(step_key(0, 0), toys.batch(16))
    step, seen = jax.jit(made.step), []
    for number in range(steps):
        state, metrics = step(step_key(0, number), state, toys.batch(16, seed=number), FROZEN)
        seen.append((state, metrics))
    return seen


def test_nothing_moves_until_the_replay_is_warm_and_the_target_follows_in_jumps():
    seen = run(method(), 8)
    fresh = jax.jit(method().init)(step_key(0, 0), toys.batch(16))
    first, second = seen[0][0], seen[1][0]
    np.testing.assert_array_equal(fresh.params["agent"]["w"], first.params["agent"]["w"])
    assert int(first.extra["updates"]) == 0 and int(second.extra["updates"]) == 2
    assert (second.params["agent"]["w"] != first.params["agent"]["w"]).any()
    # 2 updates a step from the second on: the tenth is in the sixth
    targets = [np.asarray(state.extra["target"]["w"]) for state, _ in seen]
    np.testing.assert_array_equal(targets[4], fresh.params["agent"]["w"])
    assert (targets[5] != targets[4]).any()
    np.testing.assert_array_equal(targets[5], seen[5][0].params["agent"]["w"])
    assert float(seen[0][1]["epsilon"]) == 1.0 and float(seen[-1][1]["epsilon"]) < 0.9


@pytest.mark.parametrize("levels", [None, toys.levels()], ids=["rewards", "levels"])
def test_it_learns_to_mend_both_kinds_of_image(levels):
    made = method(levels=levels)
    seen = run(made, 150)
    state, metrics = seen[-1]
    # the levels of the toy are random, so the best guess is their mean, with an error of their variance
    assert levels is None or 0.05 < float(metrics["loss/levels"]) < 0.12
    held = toys.batch(64, seed=999)
    found = made.predict(step_key(0, 0), state, held, FROZEN)
    gain = psnr(found["images"][-1], held["hq"]) - psnr(held["lq"], held["hq"])
    assert float(gain.min()) > 10
