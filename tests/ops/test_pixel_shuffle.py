"""Pixel shuffle in both channel orders against loops written from the definitions."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.ops.pixel_shuffle import pixel_shuffle, pixel_unshuffle

ORDERS = ("torch", "tensorflow")


def shuffle_by_hand(x: np.ndarray, r: int, order: str) -> np.ndarray:
    b, h, w, channels = x.shape
    c = channels // r**2
    out = np.zeros((b, h * r, w * r, c), x.dtype)
    for row, column, i, j, k in np.ndindex(h, w, r, r, c):
        source = k * r**2 + i * r + j if order == "torch" else (i * r + j) * c + k
        out[:, row * r + i, column * r + j, k] = x[:, row, column, source]
    return out


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_both_orders_equal_the_loop(order, factor):
    shape = (2, 4, 3, 5 * factor**2)
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    expected = shuffle_by_hand(x, factor, order)
    np.testing.assert_array_equal(pixel_shuffle(jnp.asarray(x), factor, order=order), expected)
    np.testing.assert_array_equal(pixel_unshuffle(jnp.asarray(expected), factor, order=order), x)


def test_the_default_is_the_order_of_torch():
    x = jnp.arange(8.0).reshape(1, 1, 8)
    np.testing.assert_array_equal(pixel_shuffle(x, 2)[..., 0], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(pixel_shuffle(x, 2, order="tensorflow")[..., 0], [[0, 2], [4, 6]])
    np.testing.assert_array_equal(pixel_unshuffle(pixel_shuffle(x, 2), 2), x)


def test_torch_itself_agrees():
    torch = pytest.importorskip("torch")
    x = np.arange(2 * 3 * 2 * 12, dtype=np.float32).reshape(2, 3, 2, 12)
    expected = torch.nn.functional.pixel_shuffle(torch.tensor(x).permute(0, 3, 1, 2), 2)
    np.testing.assert_array_equal(pixel_shuffle(x, 2), expected.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize(
    ("function", "shape", "factor", "order", "message"),
    [
        (pixel_shuffle, (1, 2, 2, 6), 2, "torch", "6 channels"),
        (pixel_shuffle, (1, 2, 2, 4), 2, "dm_pix", "'dm_pix' is unknown"),
        (pixel_shuffle, (2, 4), 2, "torch", "has the axes"),
        (pixel_shuffle, (1, 2, 2, 4), 0, "torch", "at least 1"),
        (pixel_unshuffle, (1, 3, 2, 1), 2, "torch", "size 3x2"),
        (pixel_unshuffle, (1, 2, 2, 1), 2, "caffe", "'caffe' is unknown"),
    ],
)
def test_wrong_arguments_are_named(function, shape, factor, order, message):
    with pytest.raises(ValueError, match=message):
        function(jnp.zeros(shape), factor, order=order)
