"""The start of layers: what Flax would draw, drawn as one vector."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from jaxsr.models import blocks

KEY = jax.random.key(3)


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (1, 1, 5, 7), (12, 9)])
@pytest.mark.parametrize("fan", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_kernels_are_those_of_flax_to_the_bit(shape, fan, distribution):
    theirs = nn.initializers.variance_scaling(0.7, fan, distribution)(KEY, shape)
    ours = blocks.variance_scaling(0.7, fan, distribution)(KEY, shape)
    np.testing.assert_array_equal(ours, theirs)


def test_the_others_are_those_of_jax_to_the_bit():
    shape = (3, 3, 4, 6)
    theirs = nn.initializers.normal(0.01)(KEY, shape)
    np.testing.assert_array_equal(blocks.normal(0.01)(KEY, shape), theirs)
    theirs = jax.random.uniform(KEY, shape, minval=-0.3, maxval=0.3)
    np.testing.assert_array_equal(blocks.uniform(0.3)(KEY, shape), theirs)
    theirs = nn.initializers.variance_scaling(0.02, "fan_in", "normal")(KEY, shape)
    np.testing.assert_array_equal(blocks.kaiming_normal(0.1)(KEY, shape), theirs)
