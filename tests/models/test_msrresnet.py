"""MSRResNet of BasicSR."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of
from reference.starts import is_kaiming, layers

from jaxsr.models.msrresnet import MSRResNet

LQ = (1, 8, 8, 3)

# specs/srgan_esrgan.md section 3.2: BasicSR 8d56e3a instantiated under torch
COUNTS = [
    (MSRResNet(), (LQ,), 1_517_571),
    (MSRResNet(scale=3), (LQ,), 1_554_499),
    (MSRResNet(scale=2), (LQ,), 1_369_859),
]


@pytest.mark.parametrize("network, shapes, count", COUNTS)
def test_count(network, shapes, count):
    made = shapes_of(network, jax.ShapeDtypeStruct(shapes[0], jnp.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == count


def bilinear(image, scale):
    """Weights by hand: output i lies at (i + 0.5)/scale - 0.5, the edge is repeated."""
    for axis in (0, 1):
        n = image.shape[axis]
        at = (np.arange(scale * n) + 0.5) / scale - 0.5
        low = np.floor(at).astype(int)
        part = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
        near, far = np.clip(low, 0, n - 1), np.clip(low + 1, 0, n - 1)
        image = np.take(image, near, axis) * (1 - part) + np.take(image, far, axis) * part
    return image


@pytest.mark.parametrize("scale, h, w", [(2, 3, 5), (3, 1, 4), (4, 5, 2)])
def test_zero_last_convolution_gives_the_bilinear_image(scale, h, w):
    lq = jnp.asarray(np.random.default_rng(0).random((1, h, w, 3)), jnp.float32)
    network = MSRResNet(features=4, blocks=1, scale=scale)
    variables = random_like(shapes_of(network, lq), seed=1)
    last = jax.tree.map(jnp.zeros_like, variables["params"]["conv_last"])
    off = {"params": variables["params"] | {"conv_last": last}}
    # float32 against float64
    np.testing.assert_allclose(
        network.apply(off, lq)[0], bilinear(np.float64(lq[0]), scale), atol=1e-6
    )
    assert np.abs(network.apply(variables, lq) - network.apply(off, lq)).max() > 1e-2


def test_start_and_scale():
    found = layers(MSRResNet(blocks=1), LQ)
    assert len(found) == 7 and all(is_kaiming(layer, 0.1) for layer in found.values())
    with pytest.raises(ValueError, match="scale must be one of 2, 3, 4, not 8"):
        layers(MSRResNet(scale=8), LQ)
