"""The VGG-style discriminators."""

import jax
import jax.numpy as jnp
import pytest
from reference.random_trees import shapes_of
from reference.starts import is_kaiming, is_torch_default, layers

from jaxsr.models.disc_vgg import VGGDiscriminator


def images(side):
    return (1, side, side, 3)


OLD = dict(bias=True, start="kaiming")
SRGAN = dict(stages=4, down_size=3, hidden=1024, bias=True)

# specs/srgan_esrgan.md sections 3.3 and 3.4: BasicSR 8d56e3a and 9fd09d4 and leftthomas/SRGAN
# 7ddfdf2 instantiated under torch; SRGAN's built from the paper's layers
COUNTS = [
    (VGGDiscriminator(), (images(128),), 14_499_401),
    (VGGDiscriminator(size=256, stages=6), (images(256),), 21_055_049),
    (VGGDiscriminator(size=96, **OLD), (images(96),), 14_143_881),
    (VGGDiscriminator(size=128, **OLD), (images(128),), 14_502_281),
    (VGGDiscriminator(size=192, stages=6, **OLD), (images(192),), 20_700_553),
    (VGGDiscriminator(size=96, **SRGAN), (images(96),), 23_565_505),
    (VGGDiscriminator(size=96, **SRGAN | {"bias": False}), (images(96),), 23_563_649),
    (VGGDiscriminator(size=128, **SRGAN), (images(128),), 38_245_569),
    (VGGDiscriminator(pool=True, **SRGAN), (images(96),), 5_215_425),
]


@pytest.mark.parametrize("network, shapes, count", COUNTS)
def test_count(network, shapes, count):
    made = shapes_of(network, jax.ShapeDtypeStruct(shapes[0], jnp.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(made["params"])) == count


def test_only_the_pooled_one_takes_every_size():
    small = dict(features=2, hidden=4)
    network = VGGDiscriminator(size=32, stages=3, **small)
    with pytest.raises(ValueError, match=r"takes \[B,32,32,3\], not \(1, 24, 32, 3\)"):
        network.init(jax.random.key(0), jnp.zeros((1, 24, 32, 3)), train=False)
    with pytest.raises(ValueError, match="size must be a multiple of 8, not 30"):
        VGGDiscriminator(size=30, stages=3, **small).init(
            jax.random.key(0), jnp.zeros(images(30)), train=False
        )
    pooled = VGGDiscriminator(pool=True, stages=3, down_size=3, **small)
    variables = shapes_of(pooled, jnp.zeros(images(8)))
    judge = lambda v, x: pooled.apply(v, x, train=False)
    for side in (1, 7, 24):
        out = jax.eval_shape(judge, variables, jnp.ones((2, side, side + 3, 3)))
        assert out["gan"].shape == (2, 1)


def test_start():
    side = dict(size=8, stages=2, features=32)
    found = layers(VGGDiscriminator(bias=True, **side), images(8), train=False)
    fan_ins = {"conv0_0": 27, "conv0_1": 16 * 32, "conv1_0": 9 * 32, "linear1": 256, "linear2": 100}
    assert all(is_torch_default(found[name], fan_in) for name, fan_in in fan_ins.items())
    old = layers(VGGDiscriminator(**OLD, **side), images(8), train=False)
    assert len(old) == 6 and all(is_kaiming(layer, 1.0) for layer in old.values())
    with pytest.raises(ValueError, match="start must be one of torch, kaiming, not 'he'"):
        layers(VGGDiscriminator(start="he", **side), images(8), train=False)
