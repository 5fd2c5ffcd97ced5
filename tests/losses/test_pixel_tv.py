"""Pixel losses and total variation: values worked out by hand, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.losses.pixel import charbonnier, l1, l2
from jaxsr.losses.tv import power_variation, total_variation

A = jnp.array([[0.0, 0.5, 1.0]])
B = jnp.array([[0.25, 0.5, 0.0]])


def test_values_per_element():
    np.testing.assert_array_equal(l1(A, B), [[0.25, 0.0, 1.0]])
    np.testing.assert_array_equal(l2(A, B), [[0.0625, 0.0, 1.0]])
    # sqrt(d^2 + e) by hand: e = 0.01
    np.testing.assert_allclose(
        charbonnier(A, B, epsilon=0.01), np.sqrt([[0.0725, 0.01, 1.01]]), rtol=1e-6
    )  # float32 roots


def test_caffe_value_from_the_mean():
    """EuclideanLoss = sum d^2 / (2 B) = mean * N / (2 B)."""
    x, y = np.random.default_rng(0).standard_normal((2, 4, 5, 5, 3)).astype(np.float32)
    caffe = float(((x - y) ** 2).sum() / (2 * 4))
    assert float(l2(jnp.asarray(x), jnp.asarray(y)).mean()) * x.size / (2 * 4) == pytest.approx(
        caffe, rel=1e-5
    )


def test_charbonnier_approaches_l1_and_is_flat_at_equality():
    for epsilon in (1e-12, 1e-6, 1e-2):
        error = charbonnier(A, B, epsilon=epsilon) - l1(A, B)
        assert float(jnp.abs(error).max()) <= epsilon**0.5 * (1 + 1e-6)
    slope = jax.grad(lambda x: charbonnier(x, A).sum())(A)
    np.testing.assert_array_equal(slope, 0)
    np.testing.assert_array_equal(charbonnier(A, B), charbonnier(A, B, epsilon=1e-12))


@pytest.mark.parametrize("loss", [l1, l2, charbonnier])
def test_equal_shapes_only(loss):
    with pytest.raises(ValueError, match=r"not \(2, 3\) and \(1, 3\)"):
        loss(jnp.zeros((2, 3)), jnp.zeros((1, 3)))


def test_total_variation():
    flat = jnp.full((2, 4, 6, 3), 0.7)
    np.testing.assert_array_equal(total_variation(flat), [0, 0])
    ramp = jnp.broadcast_to(0.125 * jnp.arange(6.0)[:, None], (4, 6, 3))  # exact in binary
    np.testing.assert_array_equal(
        total_variation(jnp.stack([ramp, ramp.transpose(1, 0, 2)[:4, :4].repeat(2, 1)[:, :6]])),
        [0.125, 0.125],
    )
    # one image by hand: |2-0|, |3-1| down; |1-0|, |3-2| across
    image = jnp.array([[0.0, 1.0], [2.0, 3.0]])[None, ..., None]
    np.testing.assert_array_equal(total_variation(image), [2 + 1])


@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 1, 4, 3), (1, 4, 1, 3)])
def test_total_variation_of_no_image(shape):
    with pytest.raises(ValueError, match="at least 2x2"):
        total_variation(jnp.zeros(shape))


def test_power_variation_by_hand_and_at_a_flat_image():
    image = jnp.array([[0.0, 3.0, 0.0], [4.0, 0.0, 0.0]])[None, :, :, None]
    # at (0, 0): down 4, right 3; at (0, 1): down -3, right -3; the last row and column start nothing
    np.testing.assert_allclose(power_variation(image, power=0.5), [5 + 18**0.5], rtol=1e-6)
    np.testing.assert_allclose(power_variation(image, power=2.0), [625 + 324], rtol=1e-6)
    slope = jax.grad(lambda x: power_variation(x, power=0.5).sum())(jnp.full((1, 3, 3, 2), 0.4))
    np.testing.assert_array_equal(slope, 0)
