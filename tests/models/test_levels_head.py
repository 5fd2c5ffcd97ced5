"""What reads the strengths of distortions from an agent's features: its size, and that it looks at all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.models.levels_head import LevelsHead

COUNTS = [(LevelsHead(), ((4, 32),), 32 * 3 + 3)]


@pytest.mark.parametrize("module, shapes, count", COUNTS)
def test_size_shape_and_inputs(module, shapes, count):
    features = jnp.ones(shapes[0])
    held = module.init(jax.random.key(0), features)
    assert sum(leaf.size for leaf in jax.tree.leaves(held)) == count
    assert module.apply(held, features).shape == (4, 3)
    slope = jax.jacobian(lambda x: module.apply(held, x))(features)
    np.testing.assert_allclose(slope[0, :, 1], 0)  # each image for itself
    assert (jnp.abs(slope[0, :, 0]) > 0).all()
