"""Device resizing: equal to the host's floats, linear with the right transpose, small programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.ops.resize import imresize, resize, resize_matrix

CASES = [(b, s) for b in ("mirror", "clamp") for s in (1 / 2, 1 / 3, 1 / 4, 0.7, 2, 3, 4)]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize(("border", "scale"), CASES)
def test_floats_equal_the_host(border, scale):
    images = noise(2, 12, 20, 3)
    out = resize(jnp.asarray(images), scale, border=border)
    expected = np.stack([imresize(x, scale, border=border, round_passes=False) for x in images])
    assert out.dtype == jnp.float32
    assert out.shape == expected.shape
    # Weights and sums are float32: about 16 terms below 0.5, two passes, half an ulp (6e-8) each.
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_any_number_of_leading_axes():
    images = noise(2, 3, 8, 12, 1)
    out = resize(jnp.asarray(images), 1 / 4, border="mirror")
    one = resize(jnp.asarray(images[1, 2]), 1 / 4, border="mirror")
    assert out.shape == (2, 3, 2, 3, 1)
    # The same sums, perhaps in another order: an ulp of values below 1.
    np.testing.assert_allclose(out[1, 2], one, atol=2e-7)


@pytest.mark.parametrize(("border", "scale"), [("mirror", 1 / 4), ("clamp", 1 / 2), ("mirror", 3)])
def test_the_gradient_is_the_transpose(border, scale):
    x = jnp.asarray(noise(1, 12, 8, 2))
    out, pull = jax.vjp(lambda v: resize(v, scale, border=border), x)
    y = noise(*out.shape)
    rows, columns = (resize_matrix(n, round(scale * n), scale, border=border) for n in x.shape[1:3])
    expected = np.einsum("ih,bijc,jw->bhwc", rows, y, columns)
    # float32 sums of at most 12 by 12 terms below 1, values of a few units.
    np.testing.assert_allclose(pull(jnp.asarray(y))[0], expected, atol=5e-6)


def test_jit_gives_the_same_and_holds_only_the_small_matrices():
    images = jnp.asarray(noise(2, 96, 96, 3))
    function = jax.jit(lambda x: resize(x, 1 / 4, border="mirror"))
    plain = resize(images, 1 / 4, border="mirror")
    # Compiled as one program the sums may be ordered otherwise: a few ulp of values below 1.
    np.testing.assert_allclose(function(images), plain, atol=5e-7)
    # Two matrices of 24 by 96 float32 in hexadecimal are 37 kB.
    assert len(function.lower(images).as_text()) < 60_000


def test_half_precision_is_computed_in_float32():
    images = jnp.asarray(noise(16, 16, 3), jnp.bfloat16)
    out = resize(images, 1 / 2, border="mirror")
    assert out.dtype == jnp.bfloat16
    exact = resize(images.astype(jnp.float32), 1 / 2, border="mirror")
    np.testing.assert_array_equal(out, exact.astype(jnp.bfloat16))


@pytest.mark.parametrize(
    ("shape", "dtype", "scale", "border", "message"),
    [
        ((8, 8), jnp.float32, 2, "mirror", r"\[\.\.\., H, W, C\]"),
        ((8, 8, 3), jnp.uint8, 2, "mirror", "floating"),
        ((8, 8, 3), jnp.float32, 0.0, "mirror", "scale must be"),
        ((8, 8, 3), jnp.float32, 2, "edge", "'edge' is unknown"),
    ],
)
def test_wrong_arguments_are_named(shape, dtype, scale, border, message):
    with pytest.raises(ValueError, match=message):
        resize(jnp.zeros(shape, dtype), scale, border=border)
