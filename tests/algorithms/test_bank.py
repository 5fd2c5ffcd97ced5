"""Banks of tools: both are what applying each image's tool alone would be, gradients too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.algorithms.bank import compute_all, sorted_blocks

TOOLS = (
    lambda p, x: x * p,
    lambda p, x: x + p[..., None] * jnp.roll(x, 1, axis=1),
    lambda p, x: jnp.tanh(x - p),
)
BANKS = {
    "all": compute_all(TOOLS),
    "blocks of 1": sorted_blocks(TOOLS, block=1),
    "blocks of 4": sorted_blocks(TOOLS, block=4),
    "blocks of 4, recomputed": sorted_blocks(TOOLS, block=4, remat=True),
}
ACTIONS = [[0, 1, 2, 3, 1, 1, 0, 3, 2, 1], [3] * 10, [2] * 10, [1, 1, 1, 1, 1, 1, 1, 1, 1, 0]]


def case(seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(10, 4, 5, 3)).astype(np.float32)
    weights = {f"tool{n:02d}": jnp.asarray(rng.normal(size=3), jnp.float32) for n in (1, 2, 3)}
    weights["tool02"] = weights["tool02"][:1]
    return weights, jnp.asarray(images)


def one_by_one(weights, images, actions):
    made = [
        TOOLS[a](weights[f"tool{a + 1:02d}"], x[None])[0] if a < 3 else x
        for x, a in zip(images, actions, strict=True)
    ]
    return jnp.stack(made)


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("name", BANKS)
def test_each_image_goes_through_its_tool(name, actions):
    weights, images = case()
    found = jax.jit(BANKS[name].apply)(weights, images, jnp.array(actions))
    # the same operations on each image; fused differently under jit
    np.testing.assert_allclose(found, one_by_one(weights, images, actions), rtol=1e-6, atol=1e-6)
    stopped = np.array(actions) == 3
    np.testing.assert_array_equal(found[stopped], images[stopped])


@pytest.mark.parametrize("name", BANKS)
def test_gradients_are_those_of_one_by_one(name):
    weights, images = case(1)
    actions = jnp.array(ACTIONS[0])

    def total(bank):
        return lambda w, x: (bank(w, x, actions) ** 3).sum()

    found = jax.jit(jax.grad(total(BANKS[name].apply), (0, 1)))(weights, images)
    wanted = jax.grad(total(lambda w, x, a: one_by_one(w, x, ACTIONS[0])), (0, 1))(weights, images)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, wanted)


@pytest.mark.parametrize("name", BANKS)
def test_every_gives_what_each_action_would(name):
    weights, images = case(2)
    found = BANKS[name].every(weights, images)
    assert found.shape == (4, *images.shape)
    for action in range(4):
        wanted = one_by_one(weights, images, [action] * 10)
        np.testing.assert_allclose(found[action], wanted, rtol=1e-6, atol=1e-6)


def test_a_box_of_another_number_of_tools_is_refused():
    weights, images = case()
    with pytest.raises(ValueError, match="2 sets of weights for 3 tools"):
        BANKS["blocks of 1"].apply(
            {k: weights[k] for k in ("tool01", "tool02")}, images, jnp.zeros(10, int)
        )
