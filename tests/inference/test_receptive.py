"""The receptive field: exact support by hand, measured reach, networks that see the whole image."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.restorers import image, restorer, small

from jaxsr.inference import budget, receptive, tiles
from jaxsr.models.blocks import TransposedConv, convolution
from jaxsr.models.conditioned import FiLMNet
from jaxsr.models.dncnn import DnCNN
from jaxsr.models.legacy_srresnet import LegacySRResNet
from jaxsr.models.rrdbnet import RRDBNet
from jaxsr.models.srcnn import SRCNN
from jaxsr.models.srresnet import SRResNet
from jaxsr.models.vdsr import VDSR
from jaxsr.types import UserError

# worked out from the kernel sizes, in LQ pixels
SUPPORTS = [
    (SRCNN(features=(3, 3), kernels=(9, 1, 5)), 6),  # 4 + 0 + 2
    (VDSR(depth=20, features=2), 20),
    (DnCNN(depth=17, features=2, channels=1), 17),
    # first, 2 per block, end of the trunk, upsampling: 1 + 2·1 + 1 + 1; then two at ×2, that is one
    (LegacySRResNet(features=2, blocks=1, scale=2), 6),
    # 9x9 (4), 2 per block, end of the trunk, upsampling, and 9x9 at ×2: 4 HR pixels are 2
    (SRResNet(features=2, blocks=1, scale=2), 4 + 2 + 1 + 1 + 2),
    # 5x5, two 3x3, then 9x9 transposed, crop 4, stride 3: output 3j + 2 sees i with
    # |3i - 3j - 2| <= 4, so up to j + 2
    ("fsrcnn", 2 + 2 + 2),
]


@pytest.mark.parametrize(("module", "expected"), SUPPORTS)
def test_support_is_that_of_the_kernels(module, expected):
    made = small(module) if isinstance(module, str) else restorer("net", module)
    assert receptive.support(made) == expected


def test_support_is_the_reach_of_a_derivative_with_real_weights():
    """The farthest pixel with a gradient at all, by autodiff of the network itself."""
    made = small("lapsrn")
    length = 48
    strip = jnp.asarray(image(8, length, 1))[None]
    grad = jax.jit(jax.grad(lambda x, p: made.apply(made.variables, x)[0, 16, p, 0]))
    farthest = 0
    for pixel in range(4 * 24, 4 * 25):
        hit = np.flatnonzero(np.abs(np.asarray(grad(strip, pixel)[0, ..., 0])).max(0))
        farthest = max(farthest, 24 - hit[0], hit[-1] - 24)
    assert receptive.support(made) == farthest


@pytest.mark.slow
def test_support_of_rrdbnet():
    """1 + 23·3·5 + 1 convolutions at ×1, then one at ×2 and three at ×4: 347 + 1/2 + 3/4."""
    assert receptive.support(restorer("rrdbnet", RRDBNet(features=4, growth=2))) == 349


def step(made):
    return receptive.structure(made).step


def test_granularity():
    assert step(small("rrdbnet")) == 1
    assert step(small("rrdbnet x2")) == 2
    four = restorer("rrdbnet", RRDBNet(features=4, blocks=1, growth=2, scale=1))
    assert step(four) == 4
    assert step(small("sftnet")) == 1


def test_instance_normalisation_cannot_be_tiled(monkeypatch):
    made = restorer("srresnet", SRResNet(features=4, blocks=1, scale=2, norm="instance"))
    with pytest.raises(UserError, match="srresnet cannot be tiled: every pixel of its output"):
        receptive.support(made)
    # not even an image smaller than the window, whose padding would change its statistics
    with pytest.raises(UserError, match="cannot be tiled"):
        tiles.tiled(made, tile=32, overlap=4)
    said = []
    run = tiles.runner(made, memory_mib=1000, report=said.append)
    lq = image(20, 9, 3)
    expected = tiles.whole(made)(lq)
    np.testing.assert_allclose(run(lq), expected, rtol=0, atol=1e-5)
    doubled = run(lq, each=lambda one, part: 2 * one(part))
    np.testing.assert_allclose(doubled, 2 * expected, rtol=0, atol=2e-5)
    assert said == [
        "every image whole, since each pixel depends on all others: a compilation per size"
    ]
    with pytest.raises(UserError, match="At 20×9 pixels that takes .* MiB, and 0.01 are allowed"):
        tiles.runner(made, memory_mib=0.01)(lq)

    def full(*inputs):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(tiles, "analysed", lambda lowered: (full, 0))
    with pytest.raises(UserError, match="no memory for 20×9 pixels"):
        tiles.runner(made, memory_mib=1000)(lq)


def test_a_prior_averaged_over_the_image_cannot_be_tiled():
    made = restorer("film_net", FiLMNet(features=4, blocks=1, condition=4, condition_hidden=4))
    with pytest.raises(UserError, match="film_net cannot be tiled: every pixel of its output"):
        receptive.support(made)


class _Deep(nn.Module):
    """Forty convolutions of which each passes a tenth of its input sideways."""

    scale: int = 1

    @nn.compact
    def __call__(self, x, *, train=False):
        for i in range(40):
            x = x + 0.1 * convolution(1, 3, name=f"c{i}", dtype=jnp.float32)(x)
        return x


def test_overlap_of_a_deep_network_is_less_than_its_support(monkeypatch):
    monkeypatch.setattr(receptive, "ENOUGH", 16)
    made = restorer("deep", _Deep())
    made = made._replace(channels=1)
    module = _Deep()
    variables = module.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    variables = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 1 / 9), variables)
    made = made._replace(variables=variables)
    assert receptive.support(made) == 40
    program = budget.masked(made)
    overlap = receptive.overlap(made, program, tile=128)
    assert 10 < overlap < 40
    lq = image(20, 200, 1)
    expected = tiles.whole(made)(lq)
    run = tiles.runner(made, memory_mib=1000, largest=128)
    # the promise of 1e-5 is relative to the output, which reaches 50 here
    np.testing.assert_allclose(run(lq), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_overlap_in_a_window_without_room_for_the_support():
    """Windows of 2·40 + 15 pixels: measured, for which there is room; one more pixel: the support."""
    made = restorer("deep", _Deep())._replace(channels=1)
    variables = _Deep().init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    made = made._replace(variables=variables)
    program = budget.masked(made)
    overlap = receptive.overlap(made, program, tile=95)
    assert 4 < overlap < 40 and receptive.overlap(made, program, tile=96) == 40
    lq = image(20, 150, 1)
    run = tiles.tiled(made, tile=64, overlap=overlap)
    np.testing.assert_allclose(run(lq), tiles.whole(made)(lq), rtol=0, atol=1e-5)


class _Shifted(nn.Module):
    """A transposed convolution off the grid: rows that are no whole multiple of the input's."""

    scale: int = 2

    @nn.compact
    def __call__(self, x, *, train=False):
        x = TransposedConv(3, size=3, stride=2, crop=((0, 0), (0, 0)), name="up")(x)
        return convolution(3, 3, name="conv", dtype=jnp.float32)(x)


def test_layers_off_the_grid_are_refused():
    made = restorer("shifted", _Shifted())
    with pytest.raises(ValueError, match="does not lie on the grid"):
        tiles.tiled(made, tile=16, overlap=2)(image(8, 8, 3))
