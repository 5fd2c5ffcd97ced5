"""CARN and CARN-M."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of
from reference.starts import is_torch_default, layers

from jaxsr.models.carn import CARN

LQ = (1, 8, 8, 3)
MOBILE = dict(groups=4, shared=True)
ALL = (2, 3, 4)

# specs/sisr_zoo.md section 3, computed: nmhkahn/CARN-pytorch under torch, whose counts include 24
# numbers of the two mean shifts that are constants here
SHIFTS = 24
COUNTS = [
    (CARN(scale=2), (LQ,), 964_187 - SHIFTS),
    (CARN(scale=3), (LQ,), 1_148_827 - SHIFTS),
    (CARN(scale=4), (LQ,), 1_111_899 - SHIFTS),
    (CARN(scales=ALL), (LQ,), 1_591_963 - SHIFTS),
    (CARN(scale=2, **MOBILE), (LQ,), 257_051 - SHIFTS),
    (CARN(scale=3, **MOBILE), (LQ,), 303_451 - SHIFTS),
    (CARN(scale=4, **MOBILE), (LQ,), 294_171 - SHIFTS),
    (CARN(scale=3, scales=ALL, **MOBILE), (LQ,), 414_811 - SHIFTS),
]
# sections 5.22 and 12: arrays of the state, 4 of them of the mean shifts
TENSORS = [
    (CARN(scale=2), 70),
    (CARN(scale=3), 70),
    (CARN(scale=4), 72),
    (CARN(scales=ALL), 76),
    (CARN(scales=ALL, **MOBILE), 58),
]


@pytest.mark.parametrize("network, shapes, count", COUNTS)
def test_count(network, shapes, count):
    made = shapes_of(network, jax.ShapeDtypeStruct(shapes[0], jnp.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == count


@pytest.mark.parametrize("network, tensors", TENSORS)
def test_tensors(network, tensors):
    made = shapes_of(network, jax.ShapeDtypeStruct(LQ, jnp.float32))
    assert len(jax.tree.leaves(made)) == tensors - 4


def image(h, w):
    return jnp.asarray(np.random.default_rng(0).random((1, h, w, 3)), jnp.float32)


def test_one_scale_of_the_multi_scale_network():
    """The tree does not depend on `scale`, and an upsampler that is not used changes nothing."""
    lq, options = image(3, 5), dict(features=8, scales=ALL, **MOBILE)
    trees = [shapes_of(CARN(scale=s, **options), lq) for s in ALL]
    assert trees[0] == trees[1] == trees[2]
    variables = random_like(trees[0], seed=1)
    network = CARN(scale=3, **options)
    out = network.apply(variables, lq)
    assert out.shape == (1, 9, 15, 3)
    others = {name: a for name, a in variables["params"].items() if name[:3] not in ("up2", "up4")}
    single = CARN(features=8, scale=3, **MOBILE)
    np.testing.assert_array_equal(single.apply({"params": others}, lq), out)
    assert set(shapes_of(single, lq)["params"]) == set(others)
    with pytest.raises(ValueError, match="scale 4 is not one of the network's scales"):
        CARN(scale=4, scales=(2, 3)).init(jax.random.key(0), jnp.zeros(LQ))
    with pytest.raises(ValueError, match="scale must be one of 2, 3, 4, not 8"):
        CARN(scale=8).init(jax.random.key(0), jnp.zeros(LQ))


@pytest.mark.parametrize("scale", ALL)
def test_zeros_give_the_mean_colour(scale):
    network, lq = CARN(features=4, scale=scale), image(1, 3)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape), shapes_of(network, lq))
    mean = np.array([0.4488, 0.4371, 0.4040], np.float32)
    expected = np.broadcast_to(mean, (1, scale, 3 * scale, 3))
    np.testing.assert_array_equal(network.apply(zeros, lq), expected)


def test_groups_do_not_mix():
    """In a grouped convolution of the unit a map depends on the maps of its own group alone."""
    network, lq = CARN(features=8, scale=2, **MOBILE), image(3, 3)
    params = shapes_of(network, lq)["params"]
    assert params["b1"]["b1"]["body_0"]["kernel"].shape == (3, 3, 2, 8)
    assert params["b1"]["b1"]["body_4"]["kernel"].shape == (1, 1, 8, 8)
    assert params["up2_0"]["kernel"].shape == (3, 3, 2, 32)
    assert params["exit"]["kernel"].shape == (3, 3, 8, 3)


def test_start():
    found = layers(CARN(scale=2, **MOBILE), LQ)
    fan_ins = {"entry": 27, "up2_0": 9 * 16, "c3": 256, "b1/c1": 128, "b2/b1/body_4": 64}
    assert all(is_torch_default(found[name], fan_in) for name, fan_in in fan_ins.items())
