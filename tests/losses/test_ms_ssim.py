"""The loss of Zhao et al.: the published golden values, a plain double loop, properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.losses.ms_ssim import SIGMAS, ms_ssim, ms_ssim_l1

I, J = np.indices((33, 33))
X = ((3 * I + 5 * J) % 64) / 64
Y = np.clip(X + 0.1 * np.sin(I / 3) * np.cos(J / 4), 0, 1)
LOSS = jax.jit(ms_ssim, static_argnames="size")
MIX = jax.jit(ms_ssim_l1, static_argnames="size")


def batch(image):
    return jnp.asarray(image, jnp.float32)[None, :, :, None]


def test_published_golden():
    x, y = batch(X), batch(Y)
    found = [LOSS(x, y), MIX(x, y, alpha=0.0), MIX(x, y), MIX(x, y, alpha=0.025)]
    # Evaluation sheet, section 3, eight decimals in float64; ours in float32, where the variances
    # are differences of numbers near 1.
    expected = [0.03011173, 0.03893819, 0.03152396, 0.03871752]
    np.testing.assert_allclose(np.ravel(found), expected, rtol=0, atol=2e-6)
    # alpha 0.84 is the default
    structure, distance, mixed, _ = np.ravel(found)
    assert mixed == pytest.approx(0.84 * structure + 0.16 * distance, abs=1e-7)


def plainly(x, y, size):
    """[H, W] float64 -> the loss and the weighted L1, window by window."""
    offsets = np.arange(size) - size // 2
    half = size // 2
    structure, distance = [], []
    for i in range(half, x.shape[0] - half):
        for j in range(half, x.shape[1] - half):
            a, b = (v[i - half : i + half + 1, j - half : j + half + 1] for v in (x, y))
            product = 1.0
            for sigma in SIGMAS:
                g = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * sigma**2))
                g /= g.sum()
                ma, mb = (g * a).sum(), (g * b).sum()
                cov = (g * (a - ma) * (b - mb)).sum()
                var = (g * (a - ma) ** 2).sum() + (g * (b - mb) ** 2).sum()
                product *= (2 * cov + 9e-4) / (var + 9e-4)
            structure.append(1 - product * (2 * ma * mb + 1e-4) / (ma**2 + mb**2 + 1e-4))
            distance.append((g * np.abs(a - b)).sum())
    return np.mean(structure), np.mean(distance)


def test_dense_form_against_a_double_loop():
    rng = np.random.default_rng(0)
    x = rng.random((2, 13, 16, 3))
    y = np.clip(x + rng.normal(0, 0.1, x.shape), 0, 1)
    found = LOSS(jnp.float32(x), jnp.float32(y), size=9)
    mixed = MIX(jnp.float32(x), jnp.float32(y), size=9, alpha=0.3)
    assert found.shape == mixed.shape == (2, 3)
    for b in range(2):
        for c in range(3):
            structure, distance = plainly(x[b, ..., c], y[b, ..., c], 9)
            # float32 against float64; the smallest window (sigma 0.5) has small variances.
            assert float(found[b, c]) == pytest.approx(structure, abs=2e-5)
            assert float(mixed[b, c]) == pytest.approx(0.3 * structure + 0.7 * distance, abs=2e-5)


def test_zero_on_equal_and_the_gradient_leaves_the_target_alone():
    x, y = batch(X), batch(Y)
    # One float32 unit of 1 per window and factor.
    assert abs(LOSS(x, x)[0, 0]) < 1e-6 and abs(MIX(x, x)[0, 0]) < 1e-6
    to_x, to_y = jax.jit(jax.grad(lambda a, b: ms_ssim_l1(a, b).sum(), argnums=(0, 1)))(x, y)
    assert np.isfinite(to_x).all() and np.abs(to_x).max() > 1e-4
    assert not np.any(to_y)
    # Down the gradient the loss falls.
    assert MIX(x - 0.1 * to_x, y)[0, 0] < MIX(x, y)[0, 0]


def test_wrong_arguments_are_named():
    x = jnp.zeros((1, 33, 40, 1))
    with pytest.raises(ValueError, match="one shape"):
        ms_ssim(x, x[:, :, :39])
    with pytest.raises(ValueError, match="odd width, not 32"):
        ms_ssim(x, x, size=32)
    with pytest.raises(ValueError, match="at least 35 pixels"):
        ms_ssim_l1(x, x, size=35)
