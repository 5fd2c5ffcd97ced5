"""The discriminator: its initial values, its normalisation, what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import shapes_of

from jaxsr.models.acd_vgg import ACDVGG96

TINY = dict(size=32, features=8, hidden=16)


def images(batch=4, size=32):
    return jax.random.uniform(jax.random.key(0), (batch, size, size, 3))


@pytest.fixture(scope="module")
def drawn():
    """Initial variables; the generator rbg compiles eight times faster than the default one."""
    init = jax.jit(lambda key: ACDVGG96(**TINY).init(key, images(), train=False))
    return init(jax.random.key(1, impl="rbg"))


def test_initial_values(drawn):
    for path, leaf in jax.tree_util.tree_leaves_with_path(drawn["params"]):
        if path[-1].key == "kernel":
            expected = np.sqrt(2 / np.prod(leaf.shape[:-1]))  # Kaiming normal fan_in, x 1
            # a sample of n has a deviation off by 1/sqrt(2n); four of these
            np.testing.assert_allclose(leaf.std(), expected, rtol=4 / np.sqrt(2 * leaf.size))
        else:
            assert (leaf == (path[-1].key == "scale")).all()
    assert not any(name == "feature_1" for name in drawn["params"])  # none after the first


def test_train_normalises_by_the_batch_and_moves_the_statistics_by_a_tenth(drawn):
    out, held = jax.jit(
        lambda v, x: ACDVGG96(**TINY).apply(
            v,
            x,
            train=True,
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=lambda m, _: m.name in ("feature_2", "feature_3"),
        )
    )(drawn, images())
    before, after = (held["intermediates"][f"feature_{i}"]["__call__"][0] for i in (2, 3))
    mean, var = before.mean((0, 1, 2)), before.var((0, 1, 2))
    stats = held["batch_stats"]["feature_3"]
    # momentum 0.9 from mean 0 and variance 1; float32 sums of 1,024 values
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * var, rtol=1e-5)
    np.testing.assert_allclose(after, (before - mean) / np.sqrt(var + 1e-5), rtol=0, atol=2e-5)
    assert {k: v.shape for k, v in out.items()} == {"gan": (4, 1), "class": (4, 8)}


def test_evaluation_treats_each_image_by_itself(drawn):
    network, x = ACDVGG96(**TINY), images()
    judge = jax.jit(lambda v, x: network.apply(v, x, train=False))
    alone, together = judge(drawn, x[:1]), judge(drawn, x)
    # the same sums, maybe in another order
    np.testing.assert_allclose(alone["class"], together["class"][:1], rtol=0, atol=1e-5)
    train, _ = jax.jit(lambda v, x: network.apply(v, x, train=True, mutable=["batch_stats"]))(
        drawn, x
    )
    assert jnp.abs(train["class"] - together["class"]).max() > 1e-2


@pytest.mark.parametrize("shape", [(1, 48, 32, 3), (1, 64, 64, 3), (32, 32, 3)])
def test_images_of_another_size(shape):
    with pytest.raises(ValueError, match=r"takes \[B,32,32,3\]"):
        shapes_of(ACDVGG96(**TINY), jnp.zeros(shape))


def test_size_that_the_strides_do_not_divide():
    with pytest.raises(ValueError, match="multiple of 16"):
        shapes_of(ACDVGG96(size=40), jnp.zeros((1, 40, 40, 3)))


def test_bfloat16_compute(drawn):
    networks = [ACDVGG96(**TINY, dtype=dtype) for dtype in (jnp.bfloat16, jnp.float32)]
    shapes = shapes_of(networks[0], images())
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype(jnp.float32)}
    half, full = (
        jax.jit(lambda v, x, n=n: n.apply(v, x, train=False))(drawn, images()) for n in networks
    )
    for name, value in half.items():
        assert value.dtype == jnp.float32
        # 8 bits of mantissa, ten layers
        np.testing.assert_allclose(value, full[name], rtol=0, atol=0.1 * np.abs(full[name]).max())
