"""The published segmenter: size, start values, and what it refuses. Parity: test_layouts_sftgan.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

from jaxsr.models.outdoor_scene_seg import OutdoorSceneSeg, bilinear_kernel

IMAGE = (1, 32, 32, 3)
# instantiated under torch from xinntao/SFTGAN d98889e; the sheet says 107 normalisations
COUNTS = [(OutdoorSceneSeg(), (IMAGE,), 52_068_296)]


@pytest.mark.parametrize("module, shapes, count", COUNTS)
def test_count(module, shapes, count):
    variables = shapes_of(module, *map(np.zeros, shapes))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count
    assert len(jax.tree.leaves(variables["batch_stats"])) == 2 * 107


def test_the_last_layer_starts_as_a_bilinear_enlargement():
    kernel = bilinear_kernel(jax.random.key(0), (16, 16, 1, 2))
    line = np.array([1, 3, 5, 7, 9, 11, 13, 15, 15, 13, 11, 9, 7, 5, 3, 1]) / 16
    np.testing.assert_array_equal(kernel[..., 0, 1], np.outer(line, line))


def test_sizes():
    network = OutdoorSceneSeg(features=2, blocks=(1, 1, 1, 1))
    for height, width in ((64, 64), (96, 128), (128, 72), (8, 8)):
        image = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
        init = lambda x: network.init_with_output(jax.random.key(0), x)[0]
        assert jax.eval_shape(init, image).shape == (1, height, width, 8)
    with pytest.raises(ValueError, match="multiples of 8, not 12×16"):
        shapes_of(network, np.zeros((1, 12, 16, 3)))


def test_dropout_acts_in_training_only():
    network = OutdoorSceneSeg(features=2, blocks=(1, 1, 1, 1))
    image = jnp.ones((1, 16, 16, 3))
    variables = random_like(shapes_of(network, image), seed=0)

    @jax.jit
    def run(variables, image, seed):
        rngs = {"dropout": jax.random.key(seed)}
        return network.apply(variables, image, train=True, rngs=rngs, mutable=["batch_stats"])[0]

    drawn = [run(variables, image, seed) for seed in range(8)]
    assert any(not np.array_equal(drawn[0], other) for other in drawn[1:])
