"""The feature distance: a worked value and the properties that make it a distance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.metrics.features import feature_distance


def features(seed: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    shapes = {"relu1": (3, 8, 6, 4), "relu2": (3, 4, 3, 7)}
    return {k: jnp.asarray(rng.normal(size=s), jnp.float32) for k, s in shapes.items()}


def test_by_hand():
    # Two positions: right angle (distance 2), equal directions (0); second layer: opposite (4).
    a = {"x": jnp.array([[[[3.0, 0], [1, 2]]]]), "y": jnp.array([[[[5.0]]]])}
    b = {"x": jnp.array([[[[0.0, 9], [2, 4]]]]), "y": jnp.array([[[[-1.0]]]])}
    # Mean over layers of (2 + 0)/2 and 4, by float32 quotients.
    np.testing.assert_allclose(feature_distance(a, b), [2.5], atol=1e-6)


def test_zero_on_equal_positive_else_symmetric_per_example():
    a, b = features(0), features(1)
    np.testing.assert_array_equal(feature_distance(a, a), np.zeros(3))
    d = feature_distance(a, b)
    assert d.shape == (3,)
    assert np.all(d > 0)
    np.testing.assert_array_equal(d, feature_distance(b, a))
    # Only the second example differs: only its distance does.
    mixed = {k: a[k].at[1].set(b[k][1]) for k in a}
    np.testing.assert_array_equal(np.asarray(feature_distance(a, mixed)) > 0, [False, True, False])


def test_blind_to_a_positive_factor_at_every_position():
    a, b = features(0), features(1)
    rng = np.random.default_rng(2)
    scaled = {k: v * jnp.asarray(10 ** rng.uniform(-3, 3, (*v.shape[:3], 1))) for k, v in b.items()}
    # float32 quotients: a few ulp of distances near 2.
    np.testing.assert_allclose(
        feature_distance(a, scaled), feature_distance(a, b), rtol=1e-6, atol=0
    )
    assert np.all(feature_distance(a, {k: -v for k, v in a.items()}) > 3.9)  # a sign is seen


def test_jit_gives_the_same():
    a, b = features(0), features(1)
    # Compiled as one program the sums may be ordered otherwise.
    np.testing.assert_allclose(
        jax.jit(feature_distance)(a, b), feature_distance(a, b), rtol=1e-6, atol=0
    )


def test_a_dead_position_is_finite_in_the_gradient_too():
    a = {"x": jnp.zeros((1, 2, 2, 3))}
    b = {"x": jnp.zeros((1, 2, 2, 3)).at[0, 0, 0].set(1.0)}
    # One of four positions is a unit vector against nothing.
    np.testing.assert_allclose(feature_distance(a, b), [0.25], atol=1e-6)  # float32 quotients
    gradient = jax.grad(lambda x: feature_distance({"x": x}, b).sum())(a["x"])
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ({}, {}, "at least one"),
        ({"x": jnp.zeros((1, 2, 2, 3))}, {"y": jnp.zeros((1, 2, 2, 3))}, "same layers"),
        ({"x": jnp.zeros((1, 2, 2, 3))}, {"x": jnp.zeros((1, 2, 2, 1))}, "x: two equal"),
        ({"x": jnp.zeros((2, 2, 3))}, {"x": jnp.zeros((2, 2, 3))}, "x: two equal"),
        ({"x": jnp.zeros((1, 2, 2, 3), int)}, {"x": jnp.zeros((1, 2, 2, 3))}, "floating"),
    ],
)
def test_wrong_arguments_are_named(a, b, message):
    with pytest.raises(ValueError, match=message):
        feature_distance(a, b)
