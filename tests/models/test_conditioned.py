"""FiLM, concatenation and composition: counts, identities with SFT-Net and with the parent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

from jaxsr.models.conditioned import (
    CompositionalNet,
    ConcatNet,
    FiLMNet,
    block_means,
    from_plain_parent,
)
from jaxsr.models.legacy_srresnet import LegacySRResNet
from jaxsr.models.sftnet import SFTNet, from_parent, is_condition
from jaxsr.types import UserError

pytestmark = pytest.mark.usefixtures("unoptimised")

SHAPES = ((1, 8, 8, 3), (1, 32, 32, 8))
PLAIN = dict(features=4, blocks=2)
SFT = PLAIN | dict(condition=4, condition_hidden=8)
# the specification of SFT-GAN, section 3.5
COUNTS = [
    (FiLMNet(), SHAPES, 1_833_763),
    (ConcatNet(), SHAPES, 1_559_107),
    (CompositionalNet(), SHAPES, 8_287_512),
    (CompositionalNet(joined=True), SHAPES, 5_948_931),
]
ALL = [
    FiLMNet(**SFT),
    ConcatNet(**PLAIN),
    CompositionalNet(shared=1, **PLAIN),
    CompositionalNet(shared=1, joined=True, **PLAIN),
]


def inputs(h=4, w=5, seed=0):
    lq, seg = jax.random.split(jax.random.key(seed))
    return (
        jax.random.uniform(lq, (1, h, w, 3)),
        jax.nn.softmax(3 * jax.random.normal(seg, (1, 4 * h, 4 * w, 8))),
    )


def run(module, params, *arrays):
    return np.asarray(jax.jit(module.apply)({"params": params}, *arrays))


def drawn(module, *arrays, seed=1):
    return random_like(shapes_of(module, *arrays), seed)["params"]


def assert_near(found, expected):
    """Sums of some hundred products in another order, relative to the largest value."""
    largest = float(np.abs(expected).max())
    assert largest > 0.05
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * max(largest, 1))


@pytest.mark.parametrize("module, shapes, count", COUNTS)
def test_count(module, shapes, count):
    params = shapes_of(module, *map(np.zeros, shapes))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def test_film_is_sft_where_the_prior_is_constant_and_only_there():
    lq, seg = inputs()
    params = drawn(SFTNet(**SFT), lq, seg)
    assert jax.tree.structure(params) == jax.tree.structure(drawn(FiLMNet(**SFT), lq, seg))
    flat = jnp.broadcast_to(seg[:, :1, :1], seg.shape)
    sft = jax.jit(SFTNet(**SFT).apply)
    assert_near(run(FiLMNet(**SFT), params, lq, flat), sft({"params": params}, lq, flat))
    far = run(FiLMNet(**SFT), params, lq, seg) - sft({"params": params}, lq, seg)
    assert np.abs(far).max() > 1e-3


def test_film_does_not_see_where_a_class_is():
    """Permuting the 4×4 blocks of the prior changes sft and leaves film unchanged."""
    lq, seg = inputs()
    order = np.random.default_rng(0).permutation(4 * 5)
    blocks = seg.reshape(1, 4, 4, 5, 4, 8).transpose(0, 1, 3, 2, 4, 5).reshape(20, 4, 4, 8)
    moved = blocks[order].reshape(1, 4, 5, 4, 4, 8).transpose(0, 1, 3, 2, 4, 5)
    moved = moved.reshape(seg.shape)
    params = drawn(FiLMNet(**SFT), lq, seg)
    assert_near(run(FiLMNet(**SFT), params, lq, moved), run(FiLMNet(**SFT), params, lq, seg))
    sft = jax.jit(SFTNet(**SFT).apply)
    changed = sft({"params": params}, lq, moved) - sft({"params": params}, lq, seg)
    assert np.abs(changed).max() > 1e-3


def test_concat_is_a_convolution_of_eleven_channels():
    lq, seg = inputs()
    params = drawn(ConcatNet(**PLAIN), lq, seg)
    joined = np.concatenate([params["model_0"]["kernel"], params["Cond_0"]["kernel"]], 2)
    assert joined.shape == (3, 3, 11, 4) and list(params["Cond_0"]) == ["kernel"]
    plain = {name: layer for name, layer in params.items() if name != "Cond_0"}
    plain["model_0"] = plain["model_0"] | {"kernel": jnp.asarray(joined)}
    eleven = jnp.concatenate([lq, block_means(seg)], -1)
    expected = run(LegacySRResNet(**PLAIN), plain, eleven)
    assert_near(run(ConcatNet(**PLAIN), params, lq, seg), expected)


def test_block_means():
    seg = np.zeros((1, 8, 8, 2), np.float32)
    seg[0, 4:, :4, 1] = np.arange(16).reshape(4, 4)
    expected = np.zeros((1, 2, 2, 2))
    expected[0, 1, 0, 1] = 7.5
    np.testing.assert_allclose(block_means(jnp.asarray(seg)), expected, rtol=1e-6)


@pytest.mark.parametrize("joined", [False, True])
def test_a_sure_prior_takes_one_branch(joined):
    """One-hot everywhere: the branch of that class alone, as a parent that has its layers."""
    lq, seg = inputs()
    module = CompositionalNet(shared=1, joined=joined, **PLAIN)
    params = drawn(module, lq, seg)
    sure = jnp.broadcast_to(jnp.eye(8)[5], seg.shape)
    branch = params["branch_5"]
    outside = params if joined else branch
    alone = {n: layer for n, layer in outside.items() if n.startswith("model_")}
    alone["model_0"] = params["model_0"]
    alone["model_1"] = {
        "sub_0": params["sub_0"],
        "sub_1": branch["sub_1"],
        "sub_2": branch["sub_2"],
    }
    expected = run(LegacySRResNet(**PLAIN), alone, lq)
    assert_near(run(module, params, lq, sure), expected)
    assert np.abs(run(module, params, lq, seg) - expected).max() > 1e-3


def test_composition_is_the_weighted_sum_of_its_branches():
    lq, seg = inputs()
    module = CompositionalNet(shared=1, **PLAIN)
    params = drawn(module, lq, seg)
    apply = jax.jit(module.apply)
    each = [
        apply({"params": params}, lq, jnp.broadcast_to(jnp.eye(8)[k], seg.shape)) for k in range(8)
    ]
    expected = sum(np.asarray(seg[..., k, None]) * each[k] for k in range(8))
    assert_near(apply({"params": params}, lq, seg), expected)


@pytest.mark.parametrize("module", ALL, ids=lambda m: f"{type(m).__name__}")
def test_each_starts_as_its_parent(module):
    lq, seg = inputs()
    parent = LegacySRResNet(**PLAIN)
    theirs = drawn(parent, lq, seed=2)
    grow = from_parent if isinstance(module, FiLMNet) else from_plain_parent
    # the start of the network itself: what the parent lacks must not show
    start = jax.jit(module.init)(jax.random.key(0, impl="rbg"), lq, seg)["params"]
    kept = jax.tree.map(np.array, start)
    params = grow(start, theirs)
    jax.tree.map(np.testing.assert_array_equal, start, kept)
    assert jax.tree.structure(params) == jax.tree.structure(start)
    expected = run(parent, theirs, lq)
    # FiLM's five layers of condition start at a tenth of Kaiming's size and pass 1e-6 or so
    np.testing.assert_allclose(run(module, params, lq, seg), expected, rtol=0, atol=5e-5)
    assert np.abs(expected).max() > 0.05


def test_what_is_new_is_what_the_optimiser_groups():
    lq, seg = (np.zeros(shape) for shape in SHAPES)
    sizes = []
    for module in (FiLMNet(), ConcatNet(), CompositionalNet()):
        leaves = jax.tree_util.tree_leaves_with_path(shapes_of(module, lq, seg)["params"])
        sizes.append(sum(leaf.size for path, leaf in leaves if is_condition(path)))
    assert sizes == [279_264, 9 * 8 * 64, 0]


def test_a_parent_that_does_not_fit():
    lq, seg = inputs()
    for module in (ConcatNet(**PLAIN), CompositionalNet(shared=1, **PLAIN)):
        params = shapes_of(module, lq, seg)["params"]
        for wrong in (dict(blocks=3), dict(blocks=1), dict(features=6), dict(scale=2)):
            parent = shapes_of(LegacySRResNet(**PLAIN | wrong), lq)["params"]
            with pytest.raises(UserError, match="use a parent of scale 4 and the same features"):
                from_plain_parent(params, parent)


@pytest.mark.parametrize("module", ALL, ids=lambda m: f"{type(m).__name__}")
def test_precision_and_sizes(module):
    lq, seg = inputs()
    params = drawn(module, lq, seg)
    half = module.clone(dtype=jnp.bfloat16)
    full, short = run(module, params, lq, seg), run(half, params, lq, seg)
    assert full.dtype == short.dtype == np.float32 and full.shape == (1, 16, 20, 3)
    error = np.abs(full - short).max() / np.abs(full).max()
    assert 1e-5 < error < 5e-2  # 8 bits of mantissa, some eight layers
    with pytest.raises(ValueError, match="seg must be"):
        shapes_of(module, lq, seg[..., :7])
