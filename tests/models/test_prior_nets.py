"""The networks that Deep Image Prior is compared with: counts, and the reference's outputs and gradients."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import prior_names
from reference.random_trees import shapes_of

from jaxsr.models.pixel_image import PixelImage
from jaxsr.models.prior_resnet import PriorResNet
from jaxsr.models.prior_unet import PriorUNet

pytestmark = pytest.mark.usefixtures("unoptimised")

FIXTURES = Path(__file__).parents[3] / "shared/data/dip/fixtures"
# specs/deep_image_prior.md sections 3.2, 3.4, fixtures: instantiated modules of the reference
FACTORY = PriorUNet(
    outputs=3, widths=(16, 32, 64, 128, 256), deeper=False, scale_and_shift=True, enlarge="bilinear"
)
COUNTS = [
    (PriorResNet(outputs=3), ((1, 32, 32, 1),), 158_979),
    (PriorResNet(outputs=3, blocks=2, features=8), ((1, 32, 32, 1),), 3_267),
    (PriorUNet(outputs=3), ((1, 32, 32, 1),), 1_616_315),
    (FACTORY, ((1, 32, 32, 32),), 2_164_899),
    (PixelImage(outputs=3), ((1, 32, 48, 1),), 32 * 48 * 3),
]


@pytest.mark.parametrize("network, shapes, count", COUNTS)
def test_count(network, shapes, count):
    made = shapes_of(network, jax.ShapeDtypeStruct(shapes[0], jnp.float32))
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == count


FORMS = {
    "resnet": (
        PriorResNet(outputs=3, blocks=2, features=8),
        lambda held: prior_names.resnet_tree(held, 2),
    ),
    "unet_deconv_in": (
        PriorUNet(outputs=3, widths=(2, 4, 8, 16, 32)),
        lambda held: prior_names.unet_tree(held, 5),
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_outputs_and_gradients_are_the_references(name):
    path = FIXTURES / f"{name}.npz"
    if not path.is_file():
        pytest.skip("the fixtures of the reference are not here")
    network, tree = FORMS[name]
    prior_names.compare(network, np.load(path), tree)


def test_a_deeper_scale_takes_sizes_that_are_no_multiple():
    for network in (PriorUNet(outputs=3, widths=(2, 4)), FACTORY.clone(widths=(2, 4))):
        shape = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
        assert shape["params"]["output"]["kernel"].shape == (1, 1, 2, 3)
    made = PriorUNet(outputs=3, widths=(2, 4))
    x = jax.random.uniform(jax.random.key(0), (1, 18, 21, 1))
    with_cut, _ = jax.jit(made.init_with_output)(jax.random.key(1), x)
    # the last half pixel is lost in pooling, as in the reference
    assert with_cut.shape == (1, 16, 20, 3)


def test_pixels_are_their_own_image():
    made = PixelImage(outputs=3, start=0.1)
    image, variables = made.init_with_output(jax.random.key(0), jnp.zeros((1, 8, 12, 5)))
    np.testing.assert_array_equal(image, variables["params"]["image"])
    assert (
        image.shape == (1, 8, 12, 3)
        and 0 <= float(image.min()) < 0.01 < 0.09 < float(image.max()) <= 0.1
    )
