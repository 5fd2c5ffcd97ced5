"""The start of convolutions: what Flax would draw, drawn as one vector."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from jaxsr.models.blocks import kaiming_normal


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (1, 1, 5, 7), (4, 4, 8, 128)])
@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_the_numbers_of_flax_to_the_bit(shape, factor):
    key = jax.random.key(3)
    theirs = nn.initializers.variance_scaling(2.0 * factor**2, "fan_in", "normal")(key, shape)
    np.testing.assert_array_equal(kaiming_normal(factor)(key, shape), theirs)
    assert float(theirs.std()) == pytest.approx(factor * (2 / np.prod(shape[:-1])) ** 0.5, rel=0.3)
