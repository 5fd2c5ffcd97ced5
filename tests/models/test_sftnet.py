"""The SFT-GAN generator: what of the prior reaches what, identities, transfer, precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

from jaxsr.models.legacy_srresnet import LegacySRResNet
from jaxsr.models.sftnet import SFTNet, from_parent
from jaxsr.types import UserError

pytestmark = pytest.mark.usefixtures("unoptimised")

TINY = dict(features=8, blocks=2, condition=4, condition_hidden=8)


def inputs(h=6, w=7, batch=1, seed=0):
    lq, seg = jax.random.split(jax.random.key(seed))
    return (
        jax.random.uniform(lq, (batch, h, w, 3)),
        jax.nn.softmax(3 * jax.random.normal(seg, (batch, 4 * h, 4 * w, 8))),
    )


def random_variables(network, *arrays, seed=1, gain=1.0, bias=0.1):
    return random_like(shapes_of(network, *arrays), seed, gain=gain, bias=bias)


def zero_heads(params):
    """Params whose SFT layers give gamma = beta = 0."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * 0 if "SFT" in str(path) else leaf, params
    )


@pytest.mark.parametrize("variant, reach", [("pytorch", 140), ("torch", 137)])
def test_reach_of_one_prior_cell(variant, reach):
    """One 4x4 block of the prior moves exactly the square of the sheet (measured there in torch).

    All weights and inputs are positive, so no ReLU is shut and no sum cancels, and the tangent of
    the output is positive where a path exists and exactly 0 elsewhere. The kernels are scaled so
    that the longest path (36 convolutions through their corners) stays within float32's range.
    """
    side = 2 * 36 + 3  # LR pixels: more than the reach on both sides of the middle one
    network = SFTNet(variant, features=2, blocks=16, condition=2, condition_hidden=2)
    lq = jnp.full((1, side, side, 3), 0.5)
    seg = jnp.full((1, 4 * side, 4 * side, 8), 1 / 8)

    def positive(path, leaf):
        name, kind = path[-2].key, path[-1].key
        if kind == "bias":  # gamma near 1 in the Torch variant too, where it is not added to 1
            return jnp.full(leaf.shape, float(variant == "torch" and name == "SFT_scale_conv1"))
        size = leaf.shape[0]
        return jnp.full(leaf.shape, 0.3 / leaf.shape[2] if size == 3 else 1 / leaf[..., 0].size)

    shapes = jax.tree.map(lambda s: np.zeros(s.shape, np.float32), shapes_of(network, lq, seg))
    variables = jax.tree_util.tree_map_with_path(positive, shapes)
    middle = 4 * (side // 2)
    change = jnp.zeros_like(seg).at[:, middle : middle + 4, middle : middle + 4].set(1.0)
    _, tangent = jax.jit(lambda v, c: jax.jvp(lambda s: network.apply(v, lq, s), (seg,), (c,)))(
        variables, change
    )
    tangent = np.asarray(tangent)[0].max(-1)
    assert np.isfinite(tangent).all()
    expected = np.zeros(tangent.shape, bool)
    expected[middle - reach : middle + 4 + reach, middle - reach : middle + 4 + reach] = True
    np.testing.assert_array_equal(tangent != 0, expected)


def test_condition_cell_sees_its_own_block_only():
    lq, seg = inputs()
    network = SFTNet(**TINY)
    variables = random_variables(network, lq, seg)

    @jax.jit
    def condition(seg):
        _, held = network.apply(
            variables,
            lq,
            seg,
            mutable=["intermediates"],
            capture_intermediates=lambda m, _: m.name == "CondNet_8",
        )
        return held["intermediates"]["CondNet_8"]["__call__"][0]

    before = condition(seg)
    assert before.shape == (1, 6, 7, 4)
    for pixel in ((8, 12), (8, 15), (11, 12), (11, 15)):  # the corners of block (2, 3)
        changed = np.any(condition(seg.at[0, *pixel].set(jnp.eye(8)[3])) != before, axis=-1)[0]
        assert np.argwhere(changed).tolist() == [[2, 3]]


def test_zeroed_heads_of_the_pytorch_variant_give_the_parent():
    lq, seg = inputs()
    network = SFTNet(**TINY)
    params = zero_heads(random_variables(network, lq, seg)["params"])
    parent = LegacySRResNet(features=8, blocks=2)
    expected = random_variables(parent, lq, seed=2)
    params = from_parent(params, expected["params"])
    ours = jax.jit(network.apply)({"params": params}, lq, seg)
    theirs = jax.jit(parent.apply)(expected, lq)
    assert np.abs(theirs).max() > 0.05
    # x * (1 + 0) + 0 is exact, but the two programs may sum a convolution in another order
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * float(np.abs(theirs).max()))


def test_zeroed_heads_of_the_torch_variant_shut_the_blocks():
    """With gamma = beta = 0, blocks are x + bias of conv1; the last SFT layer drops even that."""
    lq, seg = inputs()
    network = SFTNet("torch", **TINY)
    apply = jax.jit(network.apply)
    params = zero_heads(random_variables(network, lq, seg)["params"])
    before = apply({"params": params}, lq, seg)
    assert np.abs(before).max() > 0.05
    other = random_variables(network, lq, seg, seed=3)["params"]
    params |= {
        f"sft_branch_{i}": params[f"sft_branch_{i}"]
        | {name: other[f"sft_branch_{i}"][name] for name in ("conv0", "conv1")}
        for i in (0, 1)
    }
    np.testing.assert_array_equal(apply({"params": params}, lq, seg[:, ::-1]), before)
    # the bias of the last convolution still counts
    params["sft_branch_3"] = other["sft_branch_3"]
    assert np.any(apply({"params": params}, lq, seg) != before)


@pytest.mark.parametrize("variant", ["pytorch", "torch"])
def test_a_permutation_of_classes_moves_with_the_first_kernel(variant):
    """No class is special: permuting the maps and the input channels of CondNet_0 is no change."""
    lq, seg = inputs()
    network = SFTNet(variant, **TINY)
    variables = random_variables(network, lq, seg)
    apply = jax.jit(network.apply)
    order = np.array([0, 5, 4, 6, 3, 1, 2, 7])
    before = apply(variables, lq, seg)
    assert np.abs(apply(variables, lq, seg[..., order]) - before).max() > 1e-3
    first = variables["params"]["CondNet_0"]
    moved = first | {"kernel": first["kernel"][:, :, order]}
    variables = {"params": variables["params"] | {"CondNet_0": moved}}
    # sums of 128 products in another order
    np.testing.assert_allclose(apply(variables, lq, seg[..., order]), before, rtol=0, atol=1e-5)


def test_transfer_reproduces_the_parent_for_any_prior():
    """Full size, published initialisation: the parent to 5e-8, SFT layers identity to 4e-7."""
    lq, seg = inputs(h=8, w=8)
    network, parent = SFTNet(), LegacySRResNet()
    # the published initialisation (test_initial_values), drawn by NumPy: nothing to compile
    params = random_variables(network, lq, seg, gain=0.1 * 2**0.5, bias=0.0)["params"]
    parent_params = random_variables(parent, lq, gain=0.3)["params"]  # a trained net's magnitude
    moved = from_parent(params, parent_params)

    @jax.jit
    def both(params, lq, seg):
        ours, held = network.apply(
            {"params": params},
            lq,
            seg,
            mutable=["intermediates"],
            capture_intermediates=lambda m, _: (m.name or "").startswith("SFT_"),
        )
        return ours, held["intermediates"]

    theirs = jax.jit(parent.apply)({"params": parent_params}, lq)
    for prior in (seg, jnp.broadcast_to(jnp.eye(8)[5], seg.shape)):
        ours, held = both(moved, lq, prior)
        terms = [
            np.abs(leaf).max()
            for path, leaf in jax.tree_util.tree_leaves_with_path(held)
            if "conv1" in str(path)
        ]
        assert len(terms) == 66 and 0 < max(terms) < 4e-7
        # the sheet's 5e-8 is absolute, measured under torch; measured here 1.5e-8
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-8)
    assert np.abs(theirs).max() > 0.1


def test_transfer_copies_and_leaves_its_arguments_alone():
    lq, seg = inputs()
    params = random_variables(SFTNet(**TINY), lq, seg)["params"]
    parent = random_variables(LegacySRResNet(features=8, blocks=2), lq, seed=2)["params"]
    kept = jax.tree.map(np.array, params)
    moved = from_parent(params, parent)
    assert jax.tree.all(jax.tree.map(np.array_equal, params, kept))
    assert jax.tree.structure(moved) == jax.tree.structure(params)
    pairs = {
        "conv0": "model_0",
        "sft_branch_0/conv0": "model_1/sub_0/res_0",
        "sft_branch_0/conv1": "model_1/sub_0/res_2",
        "sft_branch_1/conv0": "model_1/sub_1/res_0",
        "sft_branch_1/conv1": "model_1/sub_1/res_2",
        "sft_branch_3": "model_1/sub_2",
        "HR_branch_0": "model_2",
        "HR_branch_3": "model_5",
        "HR_branch_6": "model_8",
        "HR_branch_8": "model_10",
    }

    def at(tree, path):
        for name in path.split("/"):
            tree = tree[name]
        return tree["kernel"]

    for ours, theirs in pairs.items():
        np.testing.assert_array_equal(at(moved, ours), at(parent, theirs))
    for name in ("CondNet_0", "sft_branch_2"):
        assert jax.tree.all(jax.tree.map(np.array_equal, moved[name], kept[name]))


@pytest.mark.parametrize(
    "variant, parent",
    [
        ("pytorch", dict(features=8, blocks=3)),
        ("pytorch", dict(features=6, blocks=2)),
        ("pytorch", dict(features=8, blocks=2, scale=2)),
        ("pytorch", dict(features=8, blocks=2, scale=3)),
        ("torch", dict(features=8, blocks=2)),
    ],
)
def test_transfer_from_an_unfit_parent(variant, parent):
    lq, seg = inputs()
    params = shapes_of(SFTNet(variant, **TINY), lq, seg)["params"]
    with pytest.raises(UserError, match="use variant 'pytorch', a parent of scale 4"):
        from_parent(params, shapes_of(LegacySRResNet(**parent), lq)["params"])
    with pytest.raises(UserError):
        from_parent(params, params)


def test_initial_values():
    """Kaiming normal (fan_in) x 0.1 in generators, zero biases, whatever the seed."""
    lq, seg = inputs()
    init = jax.jit(SFTNet(features=32, blocks=0).init)
    params = init(jax.random.key(3, impl="rbg"), lq, seg)["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if path[-1].key == "bias":
            assert not leaf.any()
        else:
            expected = 0.1 * np.sqrt(2 / np.prod(leaf.shape[:-1]))
            # a sample of n has a deviation off by 1/sqrt(2n); four of these
            np.testing.assert_allclose(leaf.std(), expected, rtol=4 / np.sqrt(2 * leaf.size))
            assert np.abs(leaf).max() > 2.3 * expected or leaf.size < 1000  # not truncated at 2


@pytest.mark.parametrize("variant", ["pytorch", "torch"])
def test_bfloat16_compute_keeps_float32_parameters(variant):
    lq, seg = inputs()
    variables = random_variables(SFTNet(variant, **TINY), lq, seg)
    network = SFTNet(variant, **TINY, dtype=jnp.bfloat16)
    drawn = jax.eval_shape(network.init, jax.random.key(0), lq, seg)
    assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {jnp.dtype(jnp.float32)}
    half, full = (
        jax.jit(SFTNet(variant, **TINY, dtype=dtype).apply)(variables, lq, seg)
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    assert half.dtype == jnp.float32
    error = float(jnp.abs(half - full).max() / jnp.abs(full).max())
    # 8 bits of mantissa, some ten layers: above float32's 1e-6, far below a wrong result
    assert 1e-4 < error < 5e-2


@pytest.mark.parametrize("shape", [(1, 24, 24, 8), (1, 24, 28, 7), (2, 24, 28, 8)])
def test_prior_of_another_size(shape):
    lq, _ = inputs()
    with pytest.raises(ValueError, match="seg must be"):
        shapes_of(SFTNet(**TINY), lq, jnp.zeros(shape))


def test_unknown_options():
    lq, seg = inputs()
    with pytest.raises(ValueError, match="variant must be"):
        shapes_of(SFTNet("film"), lq, seg)
    with pytest.raises(ValueError, match="scale must be"):
        shapes_of(LegacySRResNet(scale=5), lq)
