"""The environment: rewards telescope, stops latch, masks hold, and a rollout is one chain for each row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.algorithms import toolchain
from jaxsr.algorithms.bank import compute_all, sorted_blocks
from jaxsr.algorithms.toolchain import Agent, Rules

TOOLS = 3
FUNCTIONS = tuple(lambda p, x, k=k: x + p * (k + 1) for k in range(TOOLS))
WEIGHTS = {"tool01": jnp.float32(0.1), "tool02": jnp.float32(-0.05), "tool03": jnp.float32(0.02)}
BANK = sorted_blocks(FUNCTIONS, block=1)
RULES = Rules(steps=3, allow_stop=True, min_steps=0, abort_below_input=False)


def images(count, *, seed=0):
    rng = np.random.default_rng(seed)
    lq, hq = rng.uniform(size=(2, count, 4, 4, 3)).astype(np.float32)
    return jnp.asarray(lq), jnp.asarray(hq)


def toy(variables, seen, previous, carry):
    """An agent whose scores depend on the image, the last tool and its memory."""
    steps, outputs = seen.shape[0], []
    for time in range(steps):
        carry = carry * 0.5 + seen[time].mean((1, 2))
        outputs.append(carry @ variables["w"] + previous[time] @ variables["v"])
    return {"logits": jnp.stack(outputs)}, carry


AGENT = Agent(toy, lambda batch: jnp.zeros((batch, 3)))


def variables(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "w": jnp.asarray(rng.normal(size=(3, TOOLS + 1)), jnp.float32),
        "v": jnp.asarray(rng.normal(size=(TOOLS, TOOLS + 1)), jnp.float32),
    }


def play(choose, rules=RULES, *, count=12, seed=0, bank=BANK):
    lq, hq = images(count, seed=seed)
    return toolchain.rollout(
        jax.random.key(seed), AGENT, variables(), choose, rules, bank, WEIGHTS, lq, hq, tools=TOOLS
    )


def test_rewards_add_up_to_the_gain_and_stops_change_nothing():
    chains = play(toolchain.sampled, count=64)
    # float32 of sums of logarithms near 10
    np.testing.assert_allclose(chains.rewards.sum(0), chains.psnr[-1] - chains.psnr[0], atol=1e-4)
    lq, hq = images(64)
    np.testing.assert_allclose(chains.psnr[-1], toolchain.psnr(chains.images[-1], hq), atol=1e-5)
    stopped = np.asarray(chains.actions) == TOOLS
    assert 0 < stopped.mean() < 1
    assert (np.asarray(chains.rewards)[stopped] == 0).all()
    before, after = np.asarray(chains.images[:-1]), np.asarray(chains.images[1:])
    np.testing.assert_array_equal(before[stopped], after[stopped])
    # a stop latches
    for first, second in zip(stopped[:-1], stopped[1:], strict=True):
        assert second[first].all()
    alive = np.asarray(chains.alive)
    assert alive[0].all() and not alive[-1].any()
    np.testing.assert_array_equal(alive[1:-1], ~stopped[:-1])
    # what has ended has one action, of probability 1
    assert (np.asarray(chains.log_probs)[~alive[:-1]] == 0).all()
    assert (np.asarray(chains.legal)[~alive[:-1]].sum(-1) == 1).all()


def test_previous_is_the_tool_before_and_zeros_after_a_stop():
    chains = play(toolchain.sampled, count=64)
    assert (np.asarray(chains.previous[0]) == 0).all()
    for time in (1, 2):
        wanted = np.eye(TOOLS + 1)[chains.actions[time - 1]][:, :-1]
        np.testing.assert_array_equal(chains.previous[time], wanted)


@pytest.mark.parametrize(
    ("change", "shortest", "first"),
    [({"allow_stop": False}, 3, TOOLS), ({"min_steps": 1}, 1, TOOLS), ({}, 0, TOOLS + 1)],
)
def test_rules_say_when_to_stop(change, shortest, first):
    chains = play(toolchain.uniform, RULES._replace(**change), count=200)
    lengths = (np.asarray(chains.actions) < TOOLS).sum(0)
    assert lengths.min() == shortest and lengths.max() == 3
    assert (np.asarray(chains.legal[0]).sum(-1) == first).all()


def test_a_chain_below_its_input_ends_where_the_rule_says_so():
    rules = RULES._replace(abort_below_input=True, allow_stop=False)
    chains = play(toolchain.uniform, rules, count=200)
    below = np.asarray(chains.psnr[1:] < chains.psnr[0])[:-1] & np.asarray(chains.alive[:-2])
    assert below.any()
    np.testing.assert_array_equal(np.asarray(chains.alive[1:-1]), ~np.logical_or.accumulate(below))
    plain = play(toolchain.uniform, RULES._replace(allow_stop=False), count=200)
    assert np.asarray(plain.alive[:-1]).all()


def test_rows_know_nothing_of_each_other():
    """Greedy, since a draw depends on the row."""
    order = np.random.default_rng(1).permutation(12)
    lq, hq = images(12)

    def run(lq, hq):
        return toolchain.rollout(
            jax.random.key(0), AGENT, variables(), toolchain.greedy, RULES, BANK, WEIGHTS, lq, hq,
            tools=TOOLS,
        )  # fmt: skip

    straight, mixed = run(lq, hq), run(lq[order], hq[order])
    np.testing.assert_array_equal(straight.actions[:, order], mixed.actions)
    np.testing.assert_allclose(straight.rewards[:, order], mixed.rewards, atol=1e-5)


def test_recomputed_scores_are_those_acted_with():
    """Catches mistakes of memory, of the one-hot's shift and of axes."""
    chains = play(toolchain.sampled, count=32)
    found, _ = toy(variables(), chains.images[:-1], chains.previous, AGENT.start(32))
    logs = jax.nn.log_softmax(toolchain.masked(found["logits"], chains.legal))
    chosen = jnp.take_along_axis(logs, chains.actions[..., None], -1)[..., 0]
    np.testing.assert_allclose(chosen, chains.log_probs, atol=1e-5)


def test_both_banks_give_the_same_chains():
    first, second = (
        play(toolchain.sampled, count=32, bank=bank) for bank in (BANK, compute_all(FUNCTIONS))
    )
    np.testing.assert_array_equal(first.actions, second.actions)
    np.testing.assert_allclose(first.images, second.images, atol=1e-6)


def test_policies_explore_as_much_as_they_say():
    scores = jnp.tile(jnp.array([0.0, 3.0, 1.0, 2.0]), (4000, 1))
    allowed = jnp.ones_like(scores, bool).at[:, 3].set(False)
    assert (toolchain.greedy(None, scores, allowed) == 1).all()
    half = toolchain.mostly_greedy(0.5)(jax.random.key(0), scores, allowed)
    # a half and a third of the other half; three deviations of 4,000 draws
    assert abs(float((half == 1).mean()) - 2 / 3) < 0.023
    drawn = toolchain.sampled(jax.random.key(0), scores, allowed)
    wanted = np.exp([0.0, 3.0, 1.0]) / np.exp([0.0, 3.0, 1.0]).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4)[:3] / 4000, wanted, atol=0.02)
    assert not (drawn == 3).any()


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        toolchain.reset(jnp.zeros((2, 4, 4, 3)), jnp.zeros((1, 4, 4, 3)), tools=TOOLS)
