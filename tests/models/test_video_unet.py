"""Deep Video Prior's U-Net: counts of the reference and of its port, sizes, and what tells them apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import shapes_of

from jaxsr.models.video_unet import VideoUNet
from jaxsr.types import UserError

pytestmark = pytest.mark.usefixtures("unoptimised")

FRAME = ((1, 32, 32, 3),)
# specs/deep_video_prior.md sections 3.1 (summed table) and 3.2 (instantiated port)
COUNTS = [
    (VideoUNet(), FRAME, 8_621_315),
    (VideoUNet(outputs=6), FRAME, 8_622_182),
    (VideoUNet(port=True, enlarge="align_corners"), FRAME, 8_627_619),
    (VideoUNet(outputs=6, port=True, enlarge="align_corners"), FRAME, 8_627_718),
]


@pytest.mark.parametrize("network, shapes, count", COUNTS)
def test_count(network, shapes, count):
    made = shapes_of(network, jax.ShapeDtypeStruct(shapes[0], jnp.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == count
    assert len(jax.tree.leaves(made)) == (28 if network.port else 44)


def test_starts_and_sizes():
    network, frame = VideoUNet(features=4), jax.random.uniform(jax.random.key(0), (1, 32, 48, 3))
    held = jax.jit(network.init)(jax.random.key(1), frame)["params"]
    assert jax.eval_shape(network.apply, {"params": held}, frame).shape == (1, 32, 48, 3)
    assert held["conv1_1"]["kernel"].shape == (1, 1, 3, 4)
    bound = (6 / (9 * 32 + 9 * 64)) ** 0.5
    assert 0.95 * bound < float(jnp.abs(held["conv5_1"]["kernel"]).max()) <= bound
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(held) if leaf.ndim == 1)
    with pytest.raises(UserError, match="45×32: sides must be multiples of 16"):
        jax.eval_shape(network.apply, {"params": held}, frame[:, :, :45])


def test_the_rule_of_enlargement_changes_values_and_not_weights():
    frame = jax.random.uniform(jax.random.key(0), (1, 16, 16, 3))
    held = jax.jit(VideoUNet(features=2).init)(jax.random.key(1), frame)
    made = [
        np.asarray(jax.jit(VideoUNet(features=2, enlarge=rule).apply)(held, frame))
        for rule in ("legacy", "align_corners", "half_pixel")
    ]
    assert all(np.abs(a - b).max() > 1e-4 for a, b in zip(made, made[1:] + made[:1], strict=True))
