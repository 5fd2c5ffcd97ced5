"""What reads the strengths of distortions from an agent's features: its size, and that it looks at all."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr.models.levels_head import LevelsHead


def test_size_shape_and_inputs():
    module, features = LevelsHead(), jnp.ones((4, 32))
    held = module.init(jax.random.key(0), features)
    assert sum(leaf.size for leaf in jax.tree.leaves(held)) == 32 * 3 + 3 == 99
    assert module.apply(held, features).shape == (4, 3)
    slope = jax.jacobian(lambda x: module.apply(held, x))(features)
    np.testing.assert_allclose(slope[0, :, 1], 0)  # each image for itself
    assert (jnp.abs(slope[0, :, 0]) > 0).all()
