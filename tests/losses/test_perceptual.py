"""Feature losses: values, layers, and the target that gets no gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

from jaxsr.losses.perceptual import feature_l1, feature_l2
from jaxsr.models.vgg import VGG19

NETWORK = VGG19(layers=("conv1_2", "relu2_1"), widths=(4, 6, 8, 10, 12))


def test_values_per_element_and_layer():
    a = {"x": jnp.array([[1.0, -2.0]]), "y": jnp.array([3.0])}
    b = {"y": jnp.array([1.0]), "x": jnp.array([[0.5, 2.0]])}
    out = feature_l1(a, b)
    assert set(out) == {"x", "y"}
    np.testing.assert_array_equal(out["x"], [[0.5, 4.0]])
    np.testing.assert_array_equal(out["y"], [2.0])
    np.testing.assert_array_equal(feature_l2(a, b)["x"], [[0.25, 16.0]])


@pytest.mark.parametrize("loss", [feature_l1, feature_l2])
def test_gradient_reaches_the_prediction_and_not_the_target(loss):
    x, y = jax.random.uniform(jax.random.key(0), (2, 1, 12, 12, 3))
    variables = random_like(shapes_of(NETWORK, x), seed=1)

    def objective(x, y):
        values = loss(NETWORK.apply(variables, x), NETWORK.apply(variables, y))
        return sum(value.mean() for value in values.values())

    to_x, to_y = jax.jit(jax.grad(objective, argnums=(0, 1)))(x, y)
    assert jnp.abs(to_x).max() > 1e-4
    np.testing.assert_array_equal(to_y, 0)
    assert float(objective(x, x)) == 0


@pytest.mark.parametrize("loss", [feature_l1, feature_l2])
def test_unequal_features(loss):
    with pytest.raises(ValueError, match="same layers"):
        loss({"x": jnp.zeros(1)}, {"x": jnp.zeros(1), "y": jnp.zeros(1)})
    with pytest.raises(ValueError, match="one shape"):
        loss({"x": jnp.zeros((2, 1))}, {"x": jnp.zeros((1, 1))})
