"""The agent of RL-Restore: counts, sizes of its maps, the LSTM by its formula, sequences and steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.models.toolchain_agent import HIDDEN, LSTM, ToolchainAgent, pooled, zero_carry
from jaxsr.types import UserError

STEP = ((1, 2, 63, 63, 3), (1, 2, 12))
# specs: read from the released checkpoint; 50 + 1 for the value
COUNTS = [
    (ToolchainAgent(), STEP, 87_863),
    (ToolchainAgent(value=True), STEP, 87_914),
    (ToolchainAgent(tools=3), ((1, 2, 63, 63, 3), (1, 2, 3)), 87_863 - 9 * (200 + 51)),
    (LSTM(HIDDEN, jnp.float32), ((2, 44),), 19_000),
]


def random_variables(module, images, previous, seed=0):
    """Weights that let every input through: not the start, whose heads are near zero."""
    fresh = module.init(jax.random.key(seed), images, previous, zero_carry(images.shape[1]))
    rng = np.random.default_rng(seed)

    def draw(leaf):
        fan = np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 4
        return jnp.asarray(rng.normal(size=leaf.shape) * (1.5 / fan) ** 0.5, jnp.float32)

    return jax.tree.map(draw, fresh)


@pytest.mark.parametrize("module, shapes, count", COUNTS)
def test_count(module, shapes, count):
    given = [jnp.zeros(shape) for shape in shapes]
    carry = zero_carry(2)
    made = jax.eval_shape(lambda: module.init(jax.random.key(0), *given, carry))
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == count


def inputs(steps, batch, side=63, seed=1):
    rng = np.random.default_rng(seed)
    previous = np.eye(13, dtype=np.float32)[rng.integers(0, 13, (steps, batch))][..., :12]
    return rng.random((steps, batch, side, side, 3), np.float32), previous


def test_maps_have_the_published_sizes():
    module, (images, previous) = ToolchainAgent(), inputs(1, 2)
    held = random_variables(module, images, previous)
    _, seen = module.apply(held, images, previous, zero_carry(2), capture_intermediates=True)
    kept = seen["intermediates"]
    sizes = [kept[name]["__call__"][0].shape for name in ("l1", "l2", "l3", "l4", "l7")]
    assert sizes == [(2, 32, 32, 32), (2, 16, 16, 24), (2, 8, 8, 24), (2, 4, 4, 24), (2, 32)]


def test_first_layer_pads_four_zeros_before_and_the_others_one():
    """A pixel in the corner counts for the outputs that TensorFlow's SAME lets see it."""
    module, (images, previous) = ToolchainAgent(), inputs(1, 1)
    held = random_variables(module, images, previous)
    held = jax.tree.map(jnp.abs, held)  # nothing is cut by a ReLU

    def layer(images, name):
        _, seen = module.apply(held, images, previous, zero_carry(1), capture_intermediates=True)
        return np.asarray(seen["intermediates"][name]["__call__"][0])[0]

    moved = images.copy()
    moved[0, 0, 0, 0] += 1
    first = np.argwhere((layer(moved, "l1") != layer(images, "l1")).any(-1))
    assert first.max(0).tolist() == [2, 2]  # taps 4, 2 and 0 of outputs 0, 1 and 2
    second = np.argwhere((layer(moved, "l2") != layer(images, "l2")).any(-1))
    assert second.max(0).tolist() == [1, 1]  # output 1 covers rows 1 to 5, output 2 rows 3 to 7
    moved = images.copy()
    moved[0, 0, 62, 62] += 1
    last = np.argwhere((layer(moved, "l1") != layer(images, "l1")).any(-1))
    assert last.min(0).tolist() == [29, 29]  # 2·29 - 4 + 8 = 62


def test_lstm_by_its_formula():
    rng = np.random.default_rng(0)
    x, c, h = (rng.normal(size=(2, n)).astype(np.float32) for n in (5, 3, 3))
    kernel = rng.normal(size=(8, 12)).astype(np.float32)
    bias = rng.normal(size=12).astype(np.float32)

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    z = np.concatenate([x, h], 1) @ kernel + bias
    i, g, f, o = z[:, :3], z[:, 3:6], z[:, 6:9], z[:, 9:]
    new = c * sigmoid(f + 1) + sigmoid(i) * np.tanh(g)
    held = {"params": {"gates": {"kernel": kernel, "bias": bias}}}
    (found_c, found_h), output = LSTM(3, jnp.float32).apply(held, x, (c, h))
    np.testing.assert_allclose(found_c, new, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found_h, np.tanh(new) * sigmoid(o), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found_h, output)


def test_a_sequence_is_its_steps_one_after_the_other():
    module, (images, previous) = ToolchainAgent(value=True), inputs(3, 2)
    held = random_variables(module, images, previous)
    whole, end = module.apply(held, images, previous, zero_carry(2))
    assert whole["logits"].shape == (3, 2, 13) and whole["value"].shape == (3, 2)
    carry = zero_carry(2)
    for step in range(3):
        part = slice(step, step + 1)
        found, carry = module.apply(held, images[part], previous[part], carry)
        # float32 of another batch of the same convolutions
        np.testing.assert_allclose(found["logits"][0], whole["logits"][step], atol=1e-5)
        np.testing.assert_allclose(found["value"][0], whole["value"][step], atol=1e-5)
    np.testing.assert_allclose(carry[0], end[0], atol=1e-5)
    # what came before is remembered, and so is the tool
    alone, _ = module.apply(held, images[2:], previous[2:], zero_carry(2))
    assert np.abs(alone["logits"][0] - whole["logits"][2]).max() > 1e-3
    other, _ = module.apply(held, images[:1], np.roll(previous[:1], 1, -1), zero_carry(2))
    assert np.abs(other["logits"][0] - whole["logits"][0]).max() > 1e-3


def test_a_pooled_agent_takes_any_size_and_at_63_pixels_is_the_same():
    plain, wide = ToolchainAgent(), ToolchainAgent(pool=True)
    images, previous = inputs(1, 2)
    held = random_variables(plain, images, previous)
    a, b = (m.apply(held, images, previous, zero_carry(2))[0] for m in (plain, wide))
    np.testing.assert_array_equal(a["logits"], b["logits"])
    found, _ = wide.apply(held, inputs(1, 2, side=90)[0], previous, zero_carry(2))
    assert found["logits"].shape == (1, 2, 13)


def test_bins_of_the_pool_overlap_where_four_does_not_divide():
    x = jnp.arange(6.0)[None, :, None, None] * jnp.ones((1, 6, 4, 1))
    # rows 0-1, 1-2, 3-4, 4-5
    np.testing.assert_array_equal(pooled(x)[0, :, 0, 0], [1, 2, 4, 5])
    np.testing.assert_array_equal(pooled(x[:, :4]), x[:, :4])


def test_starts():
    images, previous = inputs(1, 1)
    for start, deviation in (("paper", 0.001), ("policy", None)):
        made = ToolchainAgent(start=start, value=True)
        params = made.init(jax.random.key(0), images, previous, zero_carry(1))["params"]
        l1 = np.asarray(params["l1"]["kernel"])
        if deviation:
            wanted = (2 / (81 * 32)) ** 0.5
            assert np.abs(l1).max() <= 2 * wanted + 1e-7  # cut at two deviations
            assert l1.std() == pytest.approx(0.88 * wanted, rel=0.05)  # of a normal cut there
        else:
            assert l1.std() == pytest.approx(10 * (2 / 243) ** 0.5, rel=0.05)
            np.testing.assert_allclose(l1.mean((0, 1)), 0, atol=1e-6)
        assert not np.any(params["lstm"]["gates"]["bias"])
        assert np.abs(params["lstm"]["gates"]["kernel"]).max() <= (6 / 294) ** 0.5
        l7, head = np.asarray(params["l7"]["kernel"]), np.asarray(params["q"]["kernel"])
        if deviation:
            assert l7.std() == pytest.approx(deviation, rel=0.05)
            assert head.std() == pytest.approx(deviation, rel=0.2)
        else:
            np.testing.assert_allclose(l7.T @ l7, 2 * np.eye(32), atol=1e-5)
            np.testing.assert_allclose(head.T @ head, 1e-4 * np.eye(13), atol=1e-9)


def test_what_an_agent_refuses():
    previous = jnp.zeros((1, 1, 12))
    for side, pool, words in (
        (48, False, "the agent takes patches of 63 pixels, not 48×48"),
        (80, False, "not 80×80: cut them, or set pool"),
        (40, True, "leaves fewer than 4×4 of 40×40 pixels"),
    ):
        images = jnp.zeros((1, 1, side, side, 3))
        with pytest.raises(UserError, match=words):
            ToolchainAgent(pool=pool).init(jax.random.key(0), images, previous, zero_carry(1))
    with pytest.raises(ValueError, match="not 'xavier'"):
        images = jnp.zeros((1, 1, 63, 63, 3))
        ToolchainAgent(start="xavier").init(jax.random.key(0), images, previous, zero_carry(1))
