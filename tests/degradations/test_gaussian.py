"""Blur and noise on the device against sums written out, and against the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.data import distortions
from jaxsr.degradations.gaussian import gaussian_blur, gaussian_noise


def images(b=4, h=13, w=26, seed=0):
    return np.random.default_rng(seed).random((b, h, w, 3), np.float32)


def dense_blur(image, sigma):
    """All 441 products with the square kernel, as the sheet has it."""
    y, x = np.mgrid[-10:11, -10:11]
    kernel = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(image.astype(np.float64), ((10, 10), (10, 10), (0, 0)), mode="edge")
    h, w = image.shape[:2]
    return sum(kernel[i, j] * padded[i : i + h, j : j + w] for i in range(21) for j in range(21))


SIGMAS = np.array([0.3, 1.7, 5.0, 50.0], np.float32)  # 50: the kernel is cut off, and normalised


def test_blur_is_the_dense_kernel_for_each_image():
    held = images()
    blurred = jax.jit(gaussian_blur)(held, SIGMAS)
    expected = [dense_blur(x, s) for x, s in zip(held, SIGMAS, strict=True)]
    # float32 against float64: 42 terms of at most 1
    np.testing.assert_allclose(blurred, np.stack(expected), atol=2e-6)


def test_blur_equals_the_host():
    held = images(seed=1)
    blurred = jax.jit(gaussian_blur)(held, SIGMAS)
    host = [distortions.gaussian_blur(x.astype(np.float64), s) for x, s in zip(held, SIGMAS)]
    np.testing.assert_allclose(blurred, np.stack(host), atol=1e-5)


def test_no_blur_leaves_the_bits():
    held = images(b=2)
    still = jax.jit(gaussian_blur)(held, jnp.array([0.0, 9e-4]))
    np.testing.assert_array_equal(still, held)
    slope = jax.jit(jax.grad(lambda s: gaussian_blur(held, s).sum()))
    assert np.isfinite(slope(jnp.zeros(2))).all()


def test_blur_is_compiled_once_for_all_strengths():
    traces = []

    @jax.jit
    def function(x, sigma):
        traces.append(1)
        return gaussian_blur(x, sigma)

    for sigma in SIGMAS:
        function(images(), np.full(4, sigma))
    assert len(traces) == 1


def test_noise_has_the_deviation_of_each_image():
    grey = jnp.full((3, 100, 100, 3), 0.5)
    noisy = jax.jit(gaussian_noise)(jax.random.key(0), grey, jnp.array([0.0, 5.0, 25.0]))
    noise = (np.asarray(noisy) - 0.5) * 255
    np.testing.assert_array_equal(noise[0], 0)
    # 30,000 values: the deviation is known to 0.4 %, the mean to 0.6 % of it; nothing is clipped
    assert noise[1].std() == pytest.approx(5, rel=0.02)
    assert noise[2].std() == pytest.approx(25, rel=0.02)
    assert abs(noise[1].mean()) < 0.12
    assert abs(np.corrcoef(noise[1].ravel(), noise[2].ravel())[0, 1]) < 0.03


def test_noise_is_clipped_and_of_the_key():
    black = jnp.zeros((1, 64, 64, 3))
    noisy = gaussian_noise(jax.random.key(1), black, jnp.array([50.0]))
    assert noisy.min() == 0
    assert 0.45 < float((noisy > 0).mean()) < 0.55
    again = gaussian_noise(jax.random.key(1), black, jnp.array([50.0]))
    other = gaussian_noise(jax.random.key(2), black, jnp.array([50.0]))
    np.testing.assert_array_equal(noisy, again)
    assert not np.array_equal(noisy, other)
    assert gaussian_noise(jax.random.key(1), 1 - black, jnp.array([50.0])).max() == 1


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match="sigma is"):
        gaussian_blur(jnp.zeros((2, 8, 8, 3)), jnp.zeros(3))
    with pytest.raises(ValueError, match="b, h, w, c"):
        gaussian_noise(jax.random.key(0), jnp.zeros((8, 8, 3)), jnp.zeros(8))
