"""SRResNet of the SRGAN paper and its two PyTorch copies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of
from reference.starts import is_torch_default, layers

from jaxsr.models.srresnet import SRResNet

LQ = (1, 8, 8, 3)
TWTYGQYY = dict(norm="instance", activation="lrelu", bias="none", output="linear")
LEFTTHOMAS = dict(blocks=5, output="tanh")

# specs/srgan_esrgan.md section 3.1: the paper's table built under torch, in its four readings
# («computed», the paper gives no count); leftthomas/SRGAN 7ddfdf2 and twtygqyy d715729
# instantiated under torch. Sizes 3 of the first and 1 of the last convolution: by hand.
COUNTS = [
    (SRResNet(), (LQ,), 1_549_462),
    (SRResNet(bias="unnormalised"), (LQ,), 1_547_350),
    (SRResNet(activation="prelu_per_channel"), (LQ,), 1_550_659),
    (SRResNet(activation="prelu_per_channel", bias="unnormalised"), (LQ,), 1_548_547),
    (SRResNet(scale=2, **LEFTTHOMAS), (LQ,), 586_506),
    (SRResNet(scale=4, **LEFTTHOMAS), (LQ,), 734_219),
    (SRResNet(scale=8, **LEFTTHOMAS), (LQ,), 881_932),
    (SRResNet(**TWTYGQYY), (LQ,), 1_546_752),
    (SRResNet(head_size=3, tail_size=1), (LQ,), 1_549_462 - 72 * 192 - 80 * 192),
]


def size(shapes):
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


@pytest.mark.parametrize("network, shapes, count", COUNTS)
def test_count(network, shapes, count):
    assert (
        size(shapes_of(network, *(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))) == count
    )


def image(h, w):
    return jnp.asarray(np.random.default_rng(0).random((1, h, w, 3)), jnp.float32)


def blocks_off(variables, *names):
    """The variables with scale and bias of these normalisations 0."""
    params = dict(variables["params"])
    for name in names:
        params[name] = jax.tree.map(jnp.zeros_like, params[name])
    return variables | {"params": params}


def test_blocks_without_second_normalisation_are_identities():
    """The output is then that of a network of no blocks (sheet section 11)."""
    lq, options = image(5, 4), dict(features=8, scale=2)
    network = SRResNet(blocks=2, **options)
    variables = random_like(shapes_of(network, lq), seed=1)
    off = blocks_off(variables, "residual_0_norm2", "residual_1_norm2")
    bare = SRResNet(blocks=0, **options).apply(variables, lq)
    np.testing.assert_array_equal(network.apply(off, lq), bare)
    assert np.abs(network.apply(variables, lq) - bare).max() > 1e-2


@pytest.mark.parametrize("output, middle", [("symmetric", 0.5), ("tanh", 0.5), ("linear", 0.0)])
def test_output_range(output, middle):
    """A last convolution of zeros gives the middle of the range; tanh alone is bounded."""
    lq = image(3, 3)
    network = SRResNet(features=4, blocks=1, scale=2, output=output)
    variables = random_like(shapes_of(network, lq), seed=2, gain=20.0)
    out = network.apply(variables, lq)
    assert (np.abs(out - 0.5).max() <= 0.5) == (output == "tanh")
    zero = network.apply(blocks_off(variables, "conv_output"), lq)
    np.testing.assert_array_equal(zero, np.full((1, 6, 6, 3), middle, np.float32))


def test_training_uses_the_batch_and_moves_the_statistics():
    lq = image(4, 5)
    network = SRResNet(features=4, blocks=1, scale=2)
    variables = random_like(shapes_of(network, lq), seed=3)
    out, moved = network.apply(variables, lq, train=True, mutable=["batch_stats"])
    assert np.abs(out - network.apply(variables, lq)).max() > 1e-2
    for place, stats in moved["batch_stats"].items():
        assert np.abs(stats["mean"] - variables["batch_stats"][place]["mean"]).max() > 1e-3
    assert "batch_stats" not in shapes_of(SRResNet(blocks=1, **TWTYGQYY), lq)


def test_instance_normalisation_sees_the_whole_image():
    """A pixel far outside of the receptive field changes the output: tiles cannot equal the whole."""
    network = SRResNet(features=4, blocks=1, **TWTYGQYY)
    lq = image(40, 6)
    variables = random_like(shapes_of(network, lq), seed=4)
    changed = (
        network.apply(variables, lq.at[0, 39].set(3.0))[0, 0] - network.apply(variables, lq)[0, 0]
    )
    assert np.abs(changed).max() > 1e-3


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("h, w", [(1, 1), (3, 5)])
def test_shapes(scale, h, w):
    network = SRResNet(features=4, blocks=1, scale=scale)
    variables = shapes_of(network, jnp.zeros(LQ))
    assert jax.eval_shape(network.apply, variables, image(h, w)).shape == (
        1,
        scale * h,
        scale * w,
        3,
    )


def test_start():
    """As PyTorch's default."""
    found = layers(SRResNet(blocks=1), LQ)
    fan_ins = {"conv_input": 243, "residual_0_conv1": 576, "up_1_conv": 576, "conv_output": 5184}
    assert all(is_torch_default(found[name], fan_in) for name, fan_in in fan_ins.items())


@pytest.mark.parametrize("option", ["norm", "activation", "bias", "output"])
def test_unknown_options_are_named(option):
    with pytest.raises(ValueError, match=f"{option} must be one of .*, not 'x'"):
        layers(SRResNet(**{option: "x"}), LQ)
    with pytest.raises(ValueError, match="scale must be one of 2, 3, 4, 8, not 5"):
        layers(SRResNet(scale=5), LQ)
