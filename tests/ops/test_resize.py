"""Host resizing: published fixtures, weights, an independent resizer, properties, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.ops.resize import imresize, modcrop, resize_bilinear, resize_matrix, resize_nearest

BORDERS = ("mirror", "clamp")
ROWS, COLUMNS = np.indices((12, 12))
FIXTURE = ((7 * ROWS**2 + 13 * COLUMNS + 3 * ROWS * COLUMNS) % 256).astype(np.uint8)

# Evaluation sheet, section 7, «Fixture without images»: computed there by a resizer that
# reproduces all 414 images of SelfExSR bit for bit.
FIXTURES = {
    ("clamp", 2): [
        [10, 39, 68, 99, 134, 167],
        [55, 103, 146, 167, 147, 128],
        [158, 138, 128, 97, 112, 135],
        [140, 111, 104, 132, 132, 121],
        [138, 103, 157, 127, 117, 147],
        [137, 126, 98, 147, 134, 108],
    ],
    ("clamp", 3): [
        [27, 82, 128, 155],
        [129, 135, 128, 121],
        [133, 114, 128, 129],
        [129, 121, 137, 125],
    ],
    ("clamp", 4): [[57, 116, 143], [136, 123, 126], [125, 127, 129]],
    ("mirror", 2): [
        [8, 38, 67, 98, 132, 166],
        [54, 103, 146, 167, 147, 130],
        [158, 138, 128, 97, 112, 137],
        [144, 111, 104, 132, 132, 123],
        [137, 103, 157, 127, 117, 150],
        [133, 131, 93, 145, 140, 105],
    ],
    ("mirror", 3): [
        [24, 80, 126, 155],
        [128, 135, 128, 122],
        [136, 114, 128, 131],
        [130, 119, 137, 123],
    ],
    ("mirror", 4): [[51, 113, 144], [137, 123, 127], [127, 127, 128]],
}
UP_CLAMP = [
    [0, 2, 9, 15, 23, 26],
    [0, 3, 10, 18, 25, 29],
    [3, 7, 15, 23, 31, 35],
    [11, 15, 24, 33, 42, 46],
    [23, 27, 37, 47, 58, 62],
    [28, 33, 44, 54, 65, 69],
]
UP_MIRROR_LAST_ROWS = [
    [10, 15, 24, 33, 42, 47],
    [22, 27, 37, 47, 58, 63],
    [28, 33, 44, 54, 65, 71],
]

# Evaluation sheet, section 7, «Consequences»: left halves of the weights, eight decimals.
DOWN_WEIGHTS = {
    2: [-0.01171875, -0.03515625, 0.11328125, 0.43359375],
    3: [-0.01234568, -0.02469136, 0, 0.11111111, 0.25925926, 0.33333333],
    4: [
        -0.00170898,
        -0.01098633,
        -0.01831055,
        -0.01196289,
        0.02270508,
        0.09741211,
        0.18188477,
        0.2409668,
    ],
}
UP_WEIGHTS = {
    2: [[-0.0234375, 0.2265625, 0.8671875, -0.0703125]],
    3: [[-0.03703704, 0.33333333, 0.77777778, -0.07407407], [0, 0, 1, 0]],
    4: [
        [-0.04394531, 0.38964844, 0.72753906, -0.07324219],
        [-0.00683594, 0.09082031, 0.96386719, -0.04785156],
    ],
}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


@pytest.mark.parametrize(("border", "factor"), FIXTURES)
def test_reducing_the_fixture_gives_the_published_levels(border, factor):
    out = imresize(FIXTURE, 1 / factor, border=border, round_passes=True)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out, FIXTURES[border, factor])


def test_enlarging_the_fixture_gives_the_published_levels():
    small = FIXTURE[:3, :3]
    clamp = imresize(small, 2, border="clamp", round_passes=True)
    np.testing.assert_array_equal(clamp, UP_CLAMP)
    mirror = imresize(small, 2, border="mirror", round_passes=True)
    np.testing.assert_array_equal(mirror[3:], UP_MIRROR_LAST_ROWS)
    np.testing.assert_array_equal(mirror[3:, -1], [47, 63, 71])


@pytest.mark.parametrize("factor", DOWN_WEIGHTS)
def test_reducing_weights_are_the_published_ones(factor):
    half = DOWN_WEIGHTS[factor]
    matrix = resize_matrix(16 * factor, 16, 1 / factor, border="mirror")
    row = matrix[8]
    expected = np.array(half + half[::-1])
    start = 8 * factor + factor // 2 - len(half) + factor % 2
    if factor % 2:  # an odd factor has its largest weight once, in the middle
        expected = np.array(half + half[-2::-1])
    # Printed with eight decimals.
    np.testing.assert_allclose(row[start : start + len(expected)], expected, atol=5e-9)
    assert np.count_nonzero(np.abs(row) > 1e-12) == np.count_nonzero(expected)


@pytest.mark.parametrize("factor", UP_WEIGHTS)
def test_enlarging_weights_are_the_published_ones(factor):
    matrix = resize_matrix(12, 12 * factor, factor, border="mirror")
    phases = matrix[6 * factor : 7 * factor]
    for phase, expected in enumerate(UP_WEIGHTS[factor]):
        # Printed with eight decimals.
        np.testing.assert_allclose(phases[phase, 4:8], expected, atol=5e-9)
        np.testing.assert_allclose(phases[-1 - phase, 5:9], expected[::-1], atol=5e-9)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("n_in", "scale"), [(7, 0.5), (30, 1 / 3), (3, 1 / 4), (2, 4), (9, 0.7)])
def test_weights_sum_to_one(n_in, scale, border):
    matrix = resize_matrix(n_in, int(np.ceil(scale * n_in)), scale, border=border)
    # Sums of at most 20 float64 weights below 1.
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-14)


@pytest.mark.parametrize("shape", [(20, 30), (13, 11, 3)])
@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 0.7, 2, 3, 1.5])
def test_mirrored_floats_equal_jax_image_on_a_padded_image(shape, scale):
    """JAX has the same kernel but drops what lies outside: mirror by hand, then no tap is lost."""
    image = noise(*shape)
    pad = 12
    padded = np.pad(image, [(pad, pad)] * 2 + [(0, 0)] * (image.ndim - 2), mode="symmetric")
    out = imresize(image, scale, round_passes=False)
    move = jax.jit(jax.image.scale_and_translate, static_argnums=(1, 2, 5))
    steps = np.float32([scale, scale]), np.float32([-pad * scale] * 2)
    reference = move(np.float32(padded), out.shape, (0, 1), *steps, "cubic")
    assert out.shape[:2] == tuple(int(np.ceil(scale * n)) for n in shape[:2])
    # Its positions (about 40) and its sums are float32: 40·6e-8 of a pixel at a slope below 2.
    np.testing.assert_allclose(out, reference, atol=1e-5)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("size", "scale"), [((150, 90), 1 / 2), ((37, 101), 3)])
def test_an_image_is_multiplied_by_both_matrices(size, scale, border):
    image = noise(*size)
    rows, columns = (resize_matrix(n, int(np.ceil(scale * n)), scale, border=border) for n in size)
    out = imresize(image, scale, border=border, round_passes=False)
    # float64 sums of at most 10 terms in another order.
    np.testing.assert_allclose(out, rows @ image @ columns.T, atol=1e-14)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 2, 3, 4])
def test_a_constant_image_stays(scale, border):
    image = np.full((12, 24, 3), 131, np.uint8)
    assert np.unique(imresize(image, scale, border=border, round_passes=True)) == [131]
    # Two passes of rounded float64 weights on values near 131.
    out = imresize(image, scale, border=border, round_passes=False)
    np.testing.assert_allclose(out, 131, atol=1e-12)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 2, 3, 4])
def test_a_ramp_stays_a_ramp_inside(scale):
    n = 48
    ramp = np.broadcast_to(np.arange(n, dtype=float), (12, n))
    out = imresize(ramp, scale, round_passes=False)
    at = (np.arange(out.shape[1]) + 0.5) / scale - 0.5
    inside = slice(int(2 / min(scale, 1) * scale) + 2, -int(2 / min(scale, 1) * scale) - 2)
    # float64 sums on values up to 48.
    np.testing.assert_allclose(out[:, inside], out.shape[0] * [at[inside]], atol=1e-12)
    assert abs(out[0, 0] - at[0]) > 1e-3  # at the border it is bent: the slice above is needed


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 2, 3, 4])
def test_resizing_commutes_with_flips_and_transposition(scale, border):
    image = noise(24, 36, 3)
    out = imresize(image, scale, border=border, round_passes=False)
    for turn in (lambda x: x[::-1], lambda x: x[:, ::-1], lambda x: x.swapaxes(0, 1)):
        turned = imresize(turn(image), scale, border=border, round_passes=False)
        # float64 sums in another order.
        np.testing.assert_allclose(turned, turn(out), atol=1e-14)


def test_levels_are_rounded_after_the_rows_before_the_columns():
    image = (noise(24, 24) * 256).astype(np.uint8)
    twice = imresize(image, 0.5, round_passes=True)
    once = np.clip(np.floor(imresize(image, 0.5, round_passes=False) + 0.5), 0, 255)
    columns_first = imresize(image.T, 0.5, round_passes=True).T
    assert np.any(twice != once)
    assert np.any(twice != columns_first)
    rows = resize_matrix(24, 12, 0.5, border="mirror")
    expected = np.clip(np.floor(rows @ image + 0.5), 0, 255)
    expected = np.clip(np.floor(expected @ rows.T + 0.5), 0, 255)
    np.testing.assert_array_equal(twice, expected)


def test_overshoot_is_clipped_only_with_rounding():
    edge = np.repeat(np.array([0, 255], np.uint8), 8)[None].repeat(8, 0)
    levels = imresize(edge, 2, round_passes=True)
    free = imresize(edge, 2, round_passes=False)
    assert (levels.min(), levels.max()) == (0, 255)
    assert free.min() < -1
    assert free.max() > 256


def test_the_input_is_left_alone():
    image = FIXTURE.copy()
    out = imresize(image, 1, round_passes=True)
    np.testing.assert_array_equal(out, FIXTURE)
    out[:] = 0
    np.testing.assert_array_equal(image, FIXTURE)


@pytest.mark.parametrize("size", [(10, 14), (23, 17), (40, 5), (1, 1)])
def test_bilinear_equals_half_pixel_linear_interpolation(size):
    image = noise(20, 15, 3)
    expected = jax.image.resize(
        jnp.asarray(image, jnp.float32), (*size, 3), "linear", antialias=False
    )
    # The reference computes positions (up to 20) in float32.
    np.testing.assert_allclose(resize_bilinear(image, size), expected, atol=1e-5)


def test_bilinear_by_hand():
    out = resize_bilinear(np.array([[0, 100]], np.uint8), (1, 4))
    np.testing.assert_array_equal(out, [[0, 25, 75, 100]])
    # Not antialiased: of ten pixels reduced to two only 2 and 7 are seen.
    line = np.zeros((1, 10))
    line[0, 7] = 1
    np.testing.assert_array_equal(resize_bilinear(line, (1, 2)), [[0, 1]])


@pytest.mark.parametrize("size", [(10, 14), (23, 17), (1, 31)])
def test_nearest_takes_the_floor(size):
    labels = np.random.default_rng(1).integers(0, 256, (20, 15), dtype=np.uint8)
    out = resize_nearest(labels, size)
    assert out.dtype == np.uint8
    for i in range(size[0]):
        for j in range(size[1]):
            assert out[i, j] == labels[i * 20 // size[0], j * 15 // size[1]]


def test_modcrop_keeps_the_top_left():
    image = noise(13, 11, 3)
    np.testing.assert_array_equal(modcrop(image, 4), image[:12, :8])
    np.testing.assert_array_equal(modcrop(image[..., 0], 1), image[..., 0])


GREY = np.zeros((8, 8), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: imresize(GREY, 2, border="reflect", round_passes=True), "'reflect' is unknown"),
        (lambda: imresize(GREY, 0, round_passes=True), "scale must be"),
        (lambda: imresize(GREY, float("nan"), round_passes=True), "scale must be"),
        (lambda: imresize(GREY / 255, 2, round_passes=True), "needs a uint8 image"),
        (lambda: imresize(GREY.astype(np.int32), 2, round_passes=False), "uint8 or floating"),
        (lambda: imresize(GREY[None, None], 2, round_passes=True), r"\[H, W\] or"),
        (lambda: imresize(GREY[:0], 2, round_passes=True), r"\[H, W\] or"),
        (lambda: resize_matrix(0, 4, 2, border="clamp"), "at least 1"),
        (lambda: resize_matrix(4, 8, 2, border="wrap"), "'wrap' is unknown"),
        (lambda: resize_matrix(4, 8, -2, border="clamp"), "scale must be"),
        (lambda: resize_bilinear(GREY, (0, 4)), "size is"),
        (lambda: resize_bilinear(GREY.astype(bool), (4, 4)), "uint8 or floating"),
        (lambda: resize_nearest(GREY, (4,)), "size is"),
        (lambda: resize_nearest(GREY[0], (4, 4)), r"\[H, W\] or"),
        (lambda: modcrop(GREY, 0), "multiple must be"),
        (lambda: modcrop(GREY, 9), "no part"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
