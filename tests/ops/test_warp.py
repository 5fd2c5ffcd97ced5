"""Warping: whole pixels, halves, the border, and an independent sampler."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.ops.warp import warp


def test_whole_pixels_move_and_the_border_repeats():
    images = jnp.arange(24, dtype=jnp.float32).reshape(1, 4, 6, 1)
    moved = warp(images, jnp.broadcast_to(jnp.array([2.0, -1.0]), (1, 4, 6, 2)))
    rows, columns = np.clip(np.arange(4) - 1, 0, 3), np.clip(np.arange(6) + 2, 0, 5)
    np.testing.assert_array_equal(moved[0, ..., 0], np.asarray(images)[0, ..., 0][rows][:, columns])


def test_halves_are_means_and_unequal_sizes_are_refused():
    images = jnp.array([[0.0, 1.0], [4.0, 9.0]])[None, ..., None]
    moved = warp(images, jnp.full((1, 2, 2, 2), 0.5))
    np.testing.assert_allclose(moved[0, ..., 0], [[3.5, 5.0], [6.5, 9.0]])
    with pytest.raises(ValueError, match="cannot be moved by a flow"):
        warp(images, jnp.zeros((1, 2, 3, 2)))


def test_is_the_samplers_of_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(2, 7, 9, 3)).astype(np.float32)
    flow = rng.uniform(-4, 4, (2, 7, 9, 2)).astype(np.float32)
    place = flow + np.stack(np.meshgrid(np.arange(9), np.arange(7)), -1)
    grid = torch.from_numpy((2 * place / [8, 6] - 1).astype(np.float32))
    theirs = torch.nn.functional.grid_sample(
        torch.from_numpy(images.transpose(0, 3, 1, 2)), grid, padding_mode="border", align_corners=True
    )  # fmt: skip
    ours = jax.jit(warp)(images, flow)
    np.testing.assert_allclose(ours, theirs.numpy().transpose(0, 2, 3, 1), atol=2e-6)
