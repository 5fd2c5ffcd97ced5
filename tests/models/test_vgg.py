"""VGG19 features: names, sizes, only what is needed is built."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

from jaxsr.models.vgg import MEAN, VGG19, layer_names

NARROW = dict(widths=(4, 6, 8, 10, 12))


def test_names_are_in_torchvisions_order():
    names = layer_names()
    # indices of torchvision's flat list, specs sheet of the VGG19 layers
    index = {
        "conv1_1": 0,
        "relu1_1": 1,
        "pool1": 4,
        "relu2_2": 8,
        "conv3_4": 16,
        "conv5_4": 34,
        "relu5_4": 35,
        "pool5": 36,
    }
    assert {name: names.index(name) for name in index} == index and len(names) == 37


def test_only_what_is_asked_for_is_built_and_returned():
    network, x = VGG19(layers=("relu2_1", "conv1_2"), **NARROW), jnp.ones((2, 9, 12, 3))
    variables = random_like(shapes_of(network, x), seed=1)
    out = jax.jit(network.apply)(variables, x)
    assert set(variables["params"]) == {"conv1_1", "conv1_2", "conv2_1"}
    assert {k: v.shape for k, v in out.items()} == {
        "conv1_2": (2, 9, 12, 4),
        "relu2_1": (2, 4, 6, 6),
    }
    assert out["conv1_2"].min() < 0 <= out["relu2_1"].min()


def test_the_mean_colour_is_zero_inside():
    """Without biases, an image of the mean colour gives no feature at all, to rounding."""
    network = VGG19(layers=("conv3_1",), **NARROW)
    mean = jnp.broadcast_to(jnp.array(MEAN), (1, 16, 16, 3))
    variables = random_like(shapes_of(network, mean), seed=1, bias=0.0)
    apply = jax.jit(network.apply)
    np.testing.assert_allclose(apply(variables, mean)["conv3_1"], 0, atol=1e-6)
    assert jnp.abs(apply(variables, mean + 0.3)["conv3_1"]).max() > 0.1


def test_bfloat16_compute_returns_float32():
    x = jax.random.uniform(jax.random.key(1), (1, 16, 16, 3))
    full = VGG19(layers=("conv3_1",), **NARROW)
    half = VGG19(layers=("conv3_1",), **NARROW, dtype=jnp.bfloat16)
    drawn = jax.eval_shape(half.init, jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} == {jnp.dtype(jnp.float32)}
    variables = random_like(shapes_of(full, x), seed=1)
    a, b = (network.apply(variables, x)["conv3_1"] for network in (half, full))
    assert a.dtype == jnp.float32
    # 8 bits of mantissa, five layers
    np.testing.assert_allclose(a, b, rtol=0, atol=0.05 * np.abs(b).max())


@pytest.mark.parametrize("layers", [(), ("conv6_1",), ("conv1_1", "fc6")])
def test_unknown_layers(layers):
    with pytest.raises(ValueError, match="layers must be some of"):
        shapes_of(VGG19(layers=layers), jnp.zeros((1, 16, 16, 3)))


def test_unfit_images():
    with pytest.raises(ValueError, match="RGB images"):
        shapes_of(VGG19(**NARROW), jnp.zeros((1, 16, 16, 1)))
    with pytest.raises(ValueError, match="vanish at pool4"):
        shapes_of(VGG19(**NARROW), jnp.zeros((1, 15, 40, 3)))
