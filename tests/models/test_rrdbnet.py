"""RRDBNet, the generator of ESRGAN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of
from reference.starts import is_kaiming, is_torch_default, layers

from jaxsr.models.rrdbnet import RRDBNet

pytestmark = pytest.mark.usefixtures("unoptimised")

LQ = (1, 8, 8, 3)

# specs/srgan_esrgan.md section 3.5: BasicSR 8d56e3a instantiated under torch
COUNTS = [
    (RRDBNet(), (LQ,), 16_697_987),
    (RRDBNet(scale=2), (LQ,), 16_703_171),
    (RRDBNet(scale=1), (LQ,), 16_723_907),
    (RRDBNet(blocks=16), (LQ,), 11_662_019),
    (RRDBNet(blocks=6), (LQ,), 4_467_779),
]


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("network, shapes, count", COUNTS)
def test_count(network, shapes, count):
    made = shapes_of(network, jax.ShapeDtypeStruct(shapes[0], jnp.float32))["params"]
    assert size(made) == count
    assert size(made["body_0"]) == 719_424
    assert size(made["body_0"]["rdb1"]) == 239_808


def image(h, w):
    return jnp.asarray(np.random.default_rng(0).random((1, h, w, 3)), jnp.float32)


def changed(variables, change):
    """The parameters through change(path as text, array)."""
    text = lambda path: "/".join(key.key for key in path)
    return jax.tree_util.tree_map_with_path(lambda path, a: change(text(path), a), variables)


def test_without_dense_residuals_each_block_multiplies_by_1_2():
    """conv5 of every dense block 0: the trunk is 1.2^blocks, put into the convolution behind it."""
    lq, options = image(4, 3), dict(features=6, growth=3)
    network = RRDBNet(blocks=3, **options)
    variables = random_like(shapes_of(network, lq), seed=1)
    off = changed(variables, lambda path, a: a * ("conv5" not in path))
    bare = RRDBNet(blocks=0, **options)
    gain = changed(variables, lambda path, a: a * (1.2**3 if path.endswith("body/kernel") else 1))
    expected = bare.apply(gain, lq)
    atol = 1e-5 * np.abs(expected).max()  # float32 sums in another order
    np.testing.assert_allclose(network.apply(off, lq), expected, rtol=0, atol=atol)
    assert np.abs(network.apply(variables, lq) - expected).max() > 100 * atol
    assert 1.2**23 == pytest.approx(66.25, abs=0.01)  # sheet section 11, for the full depth


@pytest.mark.parametrize("scale, h, w", [(1, 3, 6), (2, 5, 4), (2, 2, 3), (4, 3, 2)])
def test_every_size(scale, h, w):
    """A size that the unshuffle does not divide is the image with its edge repeated, cut."""
    lq = image(h, w)
    network = RRDBNet(features=4, blocks=1, growth=4, scale=scale)
    variables = random_like(shapes_of(network, jnp.zeros(LQ)), seed=2)
    out = network.apply(variables, lq)
    assert out.shape == (1, scale * h, scale * w, 3)
    fold = 4 // scale
    wide = np.pad(lq, ((0, 0), (0, -h % fold), (0, -w % fold), (0, 0)), mode="edge")
    expected = network.apply(variables, jnp.asarray(wide))[:, : scale * h, : scale * w]
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-6)
    assert np.asarray(out).std() > 1e-2
    tiny = jax.eval_shape(network.apply, variables, jnp.zeros((1, 1, 1, 3)))
    assert tiny.shape == (1, scale, scale, 3)


def test_start_and_scale():
    found = layers(RRDBNet(blocks=1, scale=2), LQ)
    dense = {name for name in found if name.startswith("body_0")}
    assert len(dense) == 15 and all(is_kaiming(found[name], 0.1) for name in dense)
    assert len(found) == 21
    for name in set(found) - dense:
        assert is_torch_default(found[name], 108 if name == "conv_first" else 576)
    with pytest.raises(ValueError, match="scale must be one of 1, 2, 4, not 3"):
        layers(RRDBNet(scale=3), LQ)
