"""The bicubic degradation against the host's resize and the stored low resolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxsr.degradations.bicubic import bicubic
from jaxsr.ops.resize import imresize, modcrop


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize("border", ["mirror", "clamp"])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_unquantised_equals_the_host(scale, border):
    hq = noise(2, 12, 24, 3)
    lq = bicubic(None, jnp.asarray(hq), scale=scale, border=border, quantise=False)
    expected = [imresize(x, 1 / scale, border=border, round_passes=False) for x in hq]
    # float32 against float64: about 16 terms, two passes (as for `resize`).
    np.testing.assert_allclose(lq, np.stack(expected), atol=1e-6)


def test_quantised_values_are_levels_inside_the_range():
    edge = np.zeros((1, 16, 16, 3), np.float32)
    edge[:, :, 7:] = 1  # overshoots on both sides
    free = bicubic(None, jnp.asarray(edge), scale=2, quantise=False)
    assert free.min() < -0.01
    assert free.max() > 1.01
    lq = np.asarray(bicubic(None, jnp.asarray(edge), scale=2, quantise=True))
    assert (lq.min(), lq.max()) == (0, 1)
    levels = lq.astype(np.float64) * 255
    # lq is a float32 quotient: half an ulp of 1, times 255.
    np.testing.assert_allclose(levels, np.round(levels), atol=2e-5)


def test_quantising_rounds_half_up():
    # Scale 1 leaves the image: 0.5 and 2.5 levels, exact in float32 after the product.
    hq = jnp.full((4, 4, 1), 0.5 / 255)
    half_up = jnp.floor(hq * 255 + 0.5)
    lq = bicubic(None, hq, scale=1, quantise=True)
    np.testing.assert_array_equal(lq * 255, half_up)
    assert float(lq[0, 0, 0]) * 255 == pytest.approx(1, abs=1e-6)  # to even would give 0


def test_border_changes_only_the_border():
    hq = jnp.asarray(noise(1, 48, 48, 1))
    mirror = bicubic(None, hq, scale=4, border="mirror", quantise=False)
    clamp = bicubic(None, hq, scale=4, border="clamp", quantise=False)
    default = bicubic(None, hq, scale=4, quantise=False)
    np.testing.assert_array_equal(default, mirror)
    assert np.abs(mirror - clamp).max() > 1e-3
    np.testing.assert_array_equal(mirror[:, 3:-3, 3:-3], clamp[:, 3:-3, 3:-3])


def test_key_is_not_used_and_jit_works():
    hq = jnp.asarray(noise(1, 8, 8, 3))
    function = jax.jit(bicubic, static_argnames=("scale", "border", "quantise"))
    a = function(jax.random.key(0), hq, scale=4, quantise=False)
    b = function(jax.random.key(1), hq, scale=4, quantise=False)
    np.testing.assert_array_equal(a, b)


def test_one_rounding_is_near_the_stored_files(shared):
    """The figures of the docstring; the exact files need `imresize`."""
    folder = shared / "sr_benchmarks" / "Set5"
    for name in ("bird", "butterfly"):
        with Image.open(folder / "HR" / f"{name}.png") as image:
            hr = modcrop(np.asarray(image), 4)
        with Image.open(folder / "LR_bicubic" / "X4" / f"{name}x4.png") as image:
            stored = np.asarray(image).astype(int)
        lq = bicubic(None, jnp.asarray(hr / np.float32(255)), scale=4, quantise=True)
        difference = np.abs(np.round(np.asarray(lq) * 255) - stored)
        assert difference.max() <= 2
        assert 0.08 < np.mean(difference > 0) < 0.18


@pytest.mark.parametrize(
    ("shape", "scale", "message"),
    [
        ((1, 8, 9, 3), 4, "8x9 is not a multiple"),
        ((1, 8, 8, 3), 0, "at least 1"),
        ((1, 8, 8, 3), 1.5, "integer"),
        ((8, 8), 2, "axes"),
    ],
)
def test_wrong_arguments_are_named(shape, scale, message):
    with pytest.raises(ValueError, match=message):
        bicubic(None, jnp.zeros(shape), scale=scale, quantise=False)
