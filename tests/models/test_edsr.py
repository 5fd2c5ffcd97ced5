"""EDSR and its baseline."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of
from reference.starts import is_torch_default, layers

from jaxsr.models.edsr import EDSR

LQ = (1, 8, 8, 3)
BASELINE = dict(features=64, blocks=16, residual_scale=1.0)

# specs/sisr_zoo.md section 3, computed: EDSR-PyTorch under torch, without its 24 mean-shift numbers
COUNTS = [
    (EDSR(scale=2), (LQ,), 40_729_603),
    (EDSR(scale=3), (LQ,), 43_680_003),
    (EDSR(scale=4), (LQ,), 43_089_923),
    (EDSR(scale=2, **BASELINE), (LQ,), 1_369_859),
    (EDSR(scale=3, **BASELINE), (LQ,), 1_554_499),
    (EDSR(scale=4, **BASELINE), (LQ,), 1_517_571),
]
# section 12: arrays of the reference's state, 4 of them the mean shifts of EDSR-PyTorch
TENSORS = [(2, 16, 72), (3, 16, 72), (4, 16, 74), (2, 32, 136), (4, 32, 138)]


@pytest.mark.parametrize("network, shapes, count", COUNTS)
def test_count(network, shapes, count):
    made = shapes_of(network, jax.ShapeDtypeStruct(shapes[0], jnp.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == count


@pytest.mark.parametrize("scale, blocks, tensors", TENSORS)
def test_tensors(scale, blocks, tensors):
    network = EDSR(features=4, scale=scale, blocks=blocks)
    made = shapes_of(network, jax.ShapeDtypeStruct(LQ, jnp.float32))
    assert len(jax.tree.leaves(made)) == tensors


@pytest.mark.parametrize("scale, h, w", [(2, 3, 5), (3, 1, 1), (4, 2, 3), (8, 1, 2)])
def test_zeros_give_the_mean_colour(scale, h, w):
    network = EDSR(features=4, blocks=1, scale=scale)
    lq = jnp.asarray(np.random.default_rng(0).random((1, h, w, 3)), jnp.float32)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape), shapes_of(network, lq))
    mean = np.array([0.4488, 0.4371, 0.4040], np.float32)
    expected = np.broadcast_to(mean, (1, scale * h, scale * w, 3))
    np.testing.assert_array_equal(network.apply(zeros, lq), expected)


def test_range_and_residual_scale():
    """A range changes only the biases' weight; a residual scale of 0 takes the blocks away."""
    lq = jnp.asarray(np.random.default_rng(1).random((1, 4, 3, 3)), jnp.float32)
    options = dict(features=4, scale=2)
    network = EDSR(blocks=2, **options)
    variables = random_like(shapes_of(network, lq), seed=1, bias=2.0)
    out = network.apply(variables, lq)
    assert np.abs(EDSR(blocks=2, rgb_range=1.0, **options).apply(variables, lq) - out).max() > 1e-2
    # on levels 0..1 the same network has biases 255 times smaller
    smaller = jax.tree.map(lambda a: a / 255 if a.ndim == 1 else a, variables)
    same = EDSR(blocks=2, rgb_range=1.0, **options).apply(smaller, lq)
    np.testing.assert_allclose(same, out, rtol=0, atol=1e-5 * np.abs(out).max())
    bare = EDSR(blocks=0, **options).apply(variables, lq)
    off = EDSR(blocks=2, residual_scale=0.0, **options).apply(variables, lq)
    np.testing.assert_array_equal(off, bare)
    assert np.abs(out - bare).max() > 1e-2


def test_start_and_scale():
    found = layers(EDSR(blocks=1, features=64), LQ)
    assert len(found) == 7
    for name, layer in found.items():
        assert is_torch_default(layer, 27 if name == "conv_first" else 576)
    with pytest.raises(ValueError, match="scale must be one of 2, 3, 4, 8, not 6"):
        layers(EDSR(scale=6), LQ)


def test_bfloat16_keeps_the_mean_shift():
    """Computing in bfloat16 costs 2^-8 of the contrast, not 2^-8 of the range of 255 levels."""
    lq = jnp.asarray(np.random.default_rng(2).random((1, 6, 6, 3)), jnp.float32)
    options = dict(features=4, blocks=0, scale=2)
    variables = random_like(shapes_of(EDSR(**options), lq), seed=2, gain=0.7)
    full = EDSR(**options).apply(variables, lq)
    half = EDSR(dtype=jnp.bfloat16, **options).apply(variables, lq)
    assert half.dtype == jnp.float32
    assert 0 < np.abs(half - full).max() < 0.02
