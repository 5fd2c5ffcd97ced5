"""One map of a layer: what is summed, and what does not exist."""

import jax.numpy as jnp
import pytest

from jaxsr.losses.activation import activation
from jaxsr.types import UserError


def test_the_middle_of_one_map_is_summed():
    features = jnp.arange(2 * 6 * 8 * 3, dtype=jnp.float32).reshape(2, 6, 8, 3)
    found = activation(features, map=1, window=2)
    assert found.tolist() == features[:, 1:5, 2:6, 1].sum((1, 2)).tolist()
    for window in (0, 20):
        whole = activation(features, map=2, window=window)
        assert whole.tolist() == features[..., 2].sum((1, 2)).tolist()


def test_a_map_that_does_not_exist_is_named():
    with pytest.raises(UserError, match="no map 3: the layer has 0 to 2"):
        activation(jnp.zeros((1, 4, 4, 3)), map=3, window=0)
