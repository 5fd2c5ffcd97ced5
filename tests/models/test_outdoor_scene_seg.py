"""The published segmenter: size, start values, and what it refuses. Parity: test_layouts_sftgan.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

from jaxsr.models.outdoor_scene_seg import (
    RGB_DEVIATION,
    RGB_MEAN,
    OutdoorBackbone,
    OutdoorSceneSeg,
    _Enlarge,
    bilinear_kernel,
    from_backbone,
)
from jaxsr.types import UserError

IMAGE = (1, 32, 32, 3)
# instantiated under torch from xinntao/SFTGAN d98889e; the sheet says 107 normalisations
# Of the backbone: torchvision's ResNet-101 without its classifier has 42,500,160; the deep stem has
# 112,832 in the place of 9,536, and the first block takes 128 maps and not 64: 64·64 + 64·256 more.
COUNTS = [
    (OutdoorSceneSeg(), (IMAGE,), 52_068_296),
    (OutdoorBackbone(), (IMAGE,), 42_500_160 - 9_536 + 112_832 + 64 * 64 + 64 * 256),
]


@pytest.mark.parametrize("module, shapes, count", COUNTS)
def test_count(module, shapes, count):
    variables = shapes_of(module, *map(np.zeros, shapes))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count
    norms = 107 if isinstance(module, OutdoorSceneSeg) else 106
    assert len(jax.tree.leaves(variables["batch_stats"])) == 2 * norms


def test_the_last_layer_starts_as_a_bilinear_enlargement():
    kernel = bilinear_kernel(jax.random.key(0), (16, 16, 1, 2))
    line = np.array([1, 3, 5, 7, 9, 11, 13, 15, 15, 13, 11, 9, 7, 5, 3, 1]) / 16
    np.testing.assert_array_equal(kernel[..., 0, 1], np.outer(line, line))


def test_sizes():
    network = OutdoorSceneSeg(features=2, blocks=(1, 1, 1, 1))
    for height, width in ((64, 64), (96, 128), (128, 72), (8, 8)):
        image = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
        init = lambda x: network.init_with_output(jax.random.key(0), x)[0]
        assert jax.eval_shape(init, image).shape == (1, height, width, 8)
    with pytest.raises(UserError, match="multiples of 8, not 12×16"):
        shapes_of(network, np.zeros((1, 12, 16, 3)))


def test_dropout_acts_in_training_only():
    network = OutdoorSceneSeg(features=2, blocks=(1, 1, 1, 1))
    image = jnp.ones((1, 16, 16, 3))
    variables = random_like(shapes_of(network, image), seed=0)

    @jax.jit
    def run(variables, image, seed):
        rngs = {"dropout": jax.random.key(seed)}
        return network.apply(variables, image, train=True, rngs=rngs, mutable=["batch_stats"])[0]

    drawn = [run(variables, image, seed) for seed in range(8)]
    assert any(not np.array_equal(drawn[0], other) for other in drawn[1:])


SMALL = {"features": 2, "blocks": (1, 2, 1, 1)}


def drawn(network, seed):
    return random_like(shapes_of(network, np.zeros((1, 16, 16, 3))), seed=seed)


def test_a_backbone_takes_its_layers_and_leaves_the_others():
    own, parent = drawn(OutdoorSceneSeg(**SMALL), 0), drawn(OutdoorBackbone(**SMALL), 1)
    grown = from_backbone(own, parent, {"name": "outdoor_backbone", "input": "bgr_levels"})
    assert jax.tree.structure(grown) == jax.tree.structure(own)
    for kind, tree in grown.items():
        for name, layer in tree.items():
            source = parent if name in parent[kind] else own
            jax.tree.map(np.testing.assert_array_equal, layer, source[kind][name])
    left = set(own["params"]) - set(parent["params"])
    assert left == {"deconv", "feature_15", "feature_16", "feature_19"}


def test_a_backbone_of_unit_colours_sees_the_same_through_levels():
    own, parent = drawn(OutdoorSceneSeg(**SMALL), 0), drawn(OutdoorBackbone(**SMALL), 1)
    grown = from_backbone(own, parent, {"name": "outdoor_backbone", "input": "rgb_unit"})
    images = np.random.default_rng(0).random((2, 8, 8, 3)).astype(np.float32)

    def first(kernel, seen):
        return jax.lax.conv_general_dilated(
            seen, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    ours = first(grown["params"]["feature_0"]["kernel"], 255 * images[..., ::-1])
    unit = (images - np.float32(RGB_MEAN)) / np.float32(RGB_DEVIATION)
    theirs = first(parent["params"]["feature_0"]["kernel"], unit)
    # equal but for a constant of each map, since the two means are not the same colour
    np.testing.assert_allclose(ours[0] - ours[1], theirs[0] - theirs[1], rtol=0, atol=1e-5)


def test_parents_that_do_not_fit_are_refused():
    own = drawn(OutdoorSceneSeg(**SMALL), 0)
    section = {"name": "outdoor_backbone", "input": "bgr_levels"}
    for change in ({"features": 3}, {"blocks": (1, 1, 1, 1)}, {"blocks": (1, 2, 1, 2)}):
        parent = drawn(OutdoorBackbone(**SMALL | change), 1)
        with pytest.raises(UserError, match="the parent does not fit the segmenter"):
            from_backbone(own, parent, section)
    shorter = drawn(OutdoorBackbone(**SMALL | {"blocks": (1, 2, 1, 1)}), 1)
    longer = drawn(OutdoorSceneSeg(**SMALL | {"blocks": (1, 2, 1, 2)}), 0)
    with pytest.raises(UserError, match="the parent does not fit the segmenter"):
        from_backbone(longer, shorter, section)
    with pytest.raises(UserError, match="the parent holds a prior_net"):
        from_backbone(own, own, {"name": "prior_net"})


def test_the_enlargement_is_the_grouped_convolution_over_spread_inputs():
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4)).astype(np.float32)
    shapes = jax.eval_shape(_Enlarge(4, jnp.float32).init, jax.random.key(0), x)
    variables = random_like(shapes, seed=0)
    ours = jax.jit(_Enlarge(4, jnp.float32).apply)(variables, x)
    wanted = jax.lax.conv_general_dilated(
        x, variables["params"]["kernel"], (1, 1), [(11, 11)] * 2, lhs_dilation=(8, 8),
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=4,
    )  # fmt: skip
    assert ours.shape == wanted.shape == (2, 24, 40, 4)
    # four products summed in another order
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-6)
