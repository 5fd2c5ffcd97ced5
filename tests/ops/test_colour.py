"""BT.601 luma and chroma: published values, and the paths against each other."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.ops.colour import luma, luma_uint8, rgb_to_ycbcr

# Evaluation sheet, section 6: RGB -> unrounded Y (levels), Y of uint8.
GOLDENS = [
    ((0, 0, 0), 16, 16),
    ((255, 255, 255), 235, 235),
    ((255, 0, 0), 81.481, 81),
    ((0, 255, 0), 144.553, 145),
    ((0, 0, 255), 40.966, 41),
    ((128, 128, 128), 125.929412, 126),
    ((12, 200, 77), 127.446094, 127),
]


@pytest.mark.parametrize(("rgb", "unrounded", "rounded"), GOLDENS)
def test_published_values(rgb, unrounded, rounded):
    levels = np.array(rgb, np.uint8)
    assert luma_uint8(levels) == rounded
    # Printed with six decimals.
    assert luma(levels / 255) * 255 == pytest.approx(unrounded, abs=5e-7)
    # float32: a few ulp of a value below 1, times 255.
    single = float(luma(jnp.asarray(levels, jnp.float32) / 255)) * 255
    assert single == pytest.approx(unrounded, abs=1e-4)


def test_chroma_of_the_primaries():
    # Evaluation sheet, section 6: 128 plus the matrix entry, in levels.
    rgb = np.concatenate([np.eye(3), np.ones((1, 3)), np.zeros((1, 3))])
    expected = [
        [81.481, 90.203, 240],
        [144.553, 53.797, 34.214],
        [40.966, 240, 109.786],
        [235, 128, 128],
        [16, 128, 128],
    ]
    out = rgb_to_ycbcr(rgb)
    assert out.dtype == np.float64
    # float64 sums of four terms below 256.
    np.testing.assert_allclose(out * 255, expected, atol=1e-12)


def test_luma_is_the_first_channel_and_jax_agrees_with_numpy():
    rgb = np.random.default_rng(0).random((2, 5, 4, 3))
    ycbcr = rgb_to_ycbcr(rgb)
    np.testing.assert_allclose(luma(rgb), ycbcr[..., 0], atol=1e-15)  # float64, values below 1
    # float32 against float64: a few ulp of values below 1.
    single = jnp.asarray(rgb, jnp.float32)
    np.testing.assert_allclose(rgb_to_ycbcr(single), ycbcr, atol=3e-7)
    np.testing.assert_allclose(luma(single), ycbcr[..., 0], atol=3e-7)


def test_uint8_luma_is_the_rounded_luma_and_halves_go_up():
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    exact = luma(rgb / 255.0) * 255
    away_from_ties = np.abs(exact % 1 - 0.5) > 1e-9
    out = luma_uint8(rgb)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[away_from_ties], np.floor(exact + 0.5)[away_from_ties])
    # 128553·204 + 24966·68 = 109.5·255000, found by search: Y is 125.5 exactly.
    assert luma_uint8(np.array([0, 204, 68], np.uint8)) == 126


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: luma(np.zeros((4, 4))), "last axis of 3"),
        (lambda: luma(np.zeros((4, 3), np.uint8)), "floating"),
        (lambda: rgb_to_ycbcr(jnp.zeros((4, 1))), "last axis of 3"),
        (lambda: rgb_to_ycbcr(jnp.zeros((4, 3), jnp.int32)), "floating"),
        (lambda: luma_uint8(np.zeros((4, 3))), "uint8"),
        (lambda: luma_uint8(np.zeros((4, 4), np.uint8)), "last axis of 3"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
