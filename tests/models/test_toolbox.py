"""The tools of RL-Restore: counts, identity at the start, reach, and rows that find their tool."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

from jaxsr.models.toolbox import REACH, LargeTool, SmallTool, Toolbox, functions, names

IMAGE = (1, 24, 24, 3)
# specs: the graphs beside the released checkpoints
COUNTS = [
    (SmallTool(), (IMAGE,), 21_827),
    (LargeTool(), (IMAGE,), 50_851),
    (Toolbox(), ((12, 24, 24, 3),), 436_068),
    (Toolbox(("large", "small", "small")), ((3, 24, 24, 3),), 50_851 + 2 * 21_827),
]


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def drawn(module, shape, seed=0):
    return random_like(shapes_of(module, jnp.zeros(shape)), seed=seed)


@pytest.mark.parametrize("module, shapes, count", COUNTS)
def test_count(module, shapes, count):
    assert size(shapes_of(module, *map(jnp.zeros, shapes))["params"]) == count


@pytest.mark.parametrize("module", [SmallTool(), LargeTool()])
def test_an_untrained_tool_is_the_identity_and_a_trained_one_sees_17_pixels(module):
    x = jax.random.normal(jax.random.key(0), (1, 40, 40, 3))
    fresh = module.init(jax.random.key(1), x)
    np.testing.assert_array_equal(module.apply(fresh, x), x)
    held = drawn(module, (1, 40, 40, 3))
    moved = x.at[0, 20, 20].add(1.0)
    hit = np.argwhere(np.any(module.apply(held, x) != module.apply(held, moved), -1)[0])
    assert REACH == 8
    assert hit.min(0).tolist() == [12, 12] and hit.max(0).tolist() == [28, 28]


def relu(x):
    return np.maximum(x, 0)


def convolve(x, layer):
    """Cross-correlation with zeros around, written from the formula; x [h,w,c]."""
    kernel, bias = np.asarray(layer["kernel"], np.float64), np.asarray(layer["bias"], np.float64)
    k = kernel.shape[0]
    wide = np.pad(x, ((k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    views = np.lib.stride_tricks.sliding_window_view(wide, (k, k), axis=(0, 1))
    return np.einsum("hwcij,ijco->hwo", views, kernel) + bias


def test_the_large_tool_by_its_formula():
    held = drawn(LargeTool(), (1, 9, 11, 3), seed=3)
    x = np.random.default_rng(0).random((9, 11, 3))
    p = held["params"]
    s1 = convolve(relu(convolve(x, p["conv1"])), p["conv1_2"])
    s2 = s1 + convolve(relu(convolve(relu(s1), p["conv2"])), p["conv2a"])
    s3 = s2 + convolve(relu(convolve(relu(s2), p["conv2c"])), p["conv2d"])
    y = x + convolve(relu(convolve(s3, p["conv2_2"])), p["conv3"])
    found = LargeTool().apply(held, x[None].astype(np.float32))[0]
    np.testing.assert_allclose(found, y, rtol=1e-4, atol=1e-4 * np.abs(y).max())


def test_the_small_tool_by_its_formula():
    held = drawn(SmallTool(), (1, 9, 11, 3), seed=3)
    x, p = np.random.default_rng(0).random((9, 11, 3)), held["params"]
    y = x + convolve(relu(convolve(relu(convolve(x, p["conv1"])), p["conv2"])), p["conv3"])
    found = SmallTool().apply(held, x[None].astype(np.float32))[0]
    np.testing.assert_allclose(found, y, rtol=1e-4, atol=1e-4 * np.abs(y).max())


def test_row_r_goes_through_tool_r_mod_n_and_stays_in_its_place():
    families = ("small", "large", "small")
    module = Toolbox(families)
    held = drawn(module, (3, 20, 20, 3))
    x = jax.random.uniform(jax.random.key(0), (6, 20, 20, 3))
    found, tools = module.apply(held, x), functions(families)
    assert names(3) == ("tool01", "tool02", "tool03") == tuple(sorted(held["params"]))
    for row in range(6):
        alone = tools[row % 3](held["params"][f"tool{row % 3 + 1:02d}"], x[row : row + 1])
        np.testing.assert_allclose(found[row], alone[0], rtol=1e-5, atol=1e-5)


def test_what_a_box_refuses():
    with pytest.raises(ValueError, match="a batch of 5 cannot be shared out to 12 tools"):
        Toolbox().init(jax.random.key(0), jnp.zeros((5, 20, 20, 3)))
    with pytest.raises(ValueError, match="a tool is small or large, not 'medium'"):
        functions(("medium",))
