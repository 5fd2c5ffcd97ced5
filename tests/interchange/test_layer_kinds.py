"""Every kind of layer that can go wrong between PyTorch and us, through the moves of the layouts."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from jaxsr.interchange import layout  # noqa: E402
from jaxsr.interchange.layouts_sftgan import grouped_transposed_conv  # noqa: E402
from jaxsr.models.blocks import (  # noqa: E402
    EdgePad,
    PReLU,
    TransposedConv,
    batch_norm,
    convolution,
    upsample_nearest,
)
from jaxsr.ops.pixel_shuffle import pixel_shuffle  # noqa: E402
from jaxsr.ops.resize import imresize, resize  # noqa: E402

# float32 on both sides, sums of at most 600 products in another order, values around 1: 1e-6 is
# usual; every mistake that these tests are for is off by more than 1e-2
TOLERANCE = 1e-5
RNG = np.random.default_rng(0)


def drawn(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def nchw(x):
    return torch.from_numpy(np.asarray(x).transpose(0, 3, 1, 2).copy())


def close(ours, theirs, tolerance=TOLERANCE):
    """NHWC of ours against NCHW of torch."""
    theirs = theirs.detach().numpy().transpose(0, 2, 3, 1)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=tolerance)


def differ(ours, theirs, least=1e-2):
    theirs = theirs.detach().numpy().transpose(0, 2, 3, 1)
    assert ours.shape != theirs.shape or np.abs(np.asarray(ours) - theirs).max() > least


def run(module, params, x, **options):
    params = jax.tree.map(jnp.asarray, params)
    return jax.jit(lambda p, y: module.apply({"params": p}, y, **options))(params, x)


@pytest.mark.parametrize("height, width", [(8, 8), (7, 9)])
@pytest.mark.parametrize("size, padding", [(3, 1), (4, 1), (5, 2), (9, 4), (4, 0)])
def test_strided_convolution(size, padding, height, width):
    x, weight, bias = drawn(2, height, width, 3), drawn(4, 3, size, size) / size, drawn(4)
    params = {"kernel": layout.conv().ours(weight), "bias": bias}
    module = convolution(4, size, stride=2, padding=padding, name=None, dtype=jnp.float32)
    theirs = F.conv2d(nchw(x), torch.tensor(weight), torch.tensor(bias), 2, padding)
    close(run(module, params, x), theirs)
    if size == 3 and height == 8:  # the reason for explicit padding: SAME pads one side only
        differ(run(nn.Conv(4, (3, 3), strides=2, padding="SAME"), params, x), theirs)


@pytest.mark.parametrize("groups", [2, 4])
def test_grouped_convolution(groups):
    x, weight = drawn(1, 6, 5, 8), drawn(12, 8 // groups, 3, 3) / 3
    module = convolution(12, 3, groups=groups, bias=False, name=None, dtype=jnp.float32)
    theirs = F.conv2d(nchw(x), torch.tensor(weight), padding=1, groups=groups)
    close(run(module, {"kernel": layout.conv().ours(weight)}, x), theirs)


def test_convolution_on_repeated_edges():
    """SRCNN as its authors run it."""
    x, weight = drawn(1, 6, 5, 2), drawn(3, 2, 5, 5) / 5
    module = nn.Sequential([
        EdgePad(2),
        convolution(3, 5, padding=0, bias=False, name=None, dtype=jnp.float32),
    ])  # fmt: skip
    params = {"layers_1": {"kernel": layout.conv().ours(weight)}}
    theirs = F.conv2d(F.pad(nchw(x), (2,) * 4, mode="replicate"), torch.tensor(weight))
    close(run(module, params, x), theirs)


# PyTorch's padding p and output_padding q are the crop ((p, p - q), (p, p - q))
@pytest.mark.parametrize(
    "size, stride, p, q",
    [(9, 2, 4, 1), (9, 3, 4, 2), (9, 4, 4, 3), (4, 2, 1, 0), (3, 2, 1, 1), (3, 2, 0, 0)],
)
def test_transposed_convolution(size, stride, p, q):
    x, weight, bias = drawn(1, 5, 4, 3), drawn(3, 2, size, size) / size, drawn(2)
    params = {"kernel": layout.transposed_conv().ours(weight), "bias": bias}
    theirs = F.conv_transpose2d(
        nchw(x), torch.tensor(weight), torch.tensor(bias), stride, p, output_padding=q
    )
    crop = ((p, p - q), (p, p - q))
    close(run(TransposedConv(2, size, stride, crop), params, x), theirs)
    unflipped = params | {"kernel": weight.transpose(2, 3, 0, 1)}
    differ(run(TransposedConv(2, size, stride, crop), unflipped, x), theirs)


def test_transposed_convolution_of_matconvnet_with_its_odd_crop():
    """LapSRN: 3×3 of stride 2, crop [0 1 0 1] (top, bottom, left, right); kernel (kh,kw,out,in)."""
    x, weight = drawn(1, 5, 4, 3), drawn(3, 3, 2, 3)
    params = {"kernel": layout.matconvnet_transposed_conv().ours(weight)}
    full = F.conv_transpose2d(nchw(x), torch.tensor(weight.transpose(3, 2, 0, 1).copy()), stride=2)
    assert full.shape[2:] == (11, 9)
    module = TransposedConv(2, 3, 2, ((0, 1), (0, 1)), bias=False)
    close(run(module, params, x), full[:, :, :-1, :-1])
    # PyTorch's own way to 10×8 crops the other side
    differ(run(module, params, x), full[:, :, 1:, 1:])


def test_grouped_transposed_convolution():
    """The segmenter's: one 16×16 kernel a class, stride 8, padding 4."""
    x, weight = drawn(1, 3, 2, 5), drawn(5, 1, 16, 16)
    module = nn.Conv(
        5, (16, 16), input_dilation=8, padding=((11, 11), (11, 11)), feature_group_count=5,
        use_bias=False,
    )  # fmt: skip
    params = {"kernel": grouped_transposed_conv().ours(weight)}
    theirs = F.conv_transpose2d(nchw(x), torch.tensor(weight), stride=8, padding=4, groups=5)
    close(run(module, params, x), theirs)
    np.testing.assert_array_equal(grouped_transposed_conv().theirs(params["kernel"]), weight)


@pytest.mark.parametrize("factor", [2, 3])
def test_pixel_shuffle_in_three_orders(factor):
    """A convolution made for another order of shuffling, moved, and shuffled in PyTorch's."""
    x, outputs = drawn(1, 4, 3, 2), 3 * factor**2
    weight, bias = drawn(outputs, 2, 3, 3) / 3, drawn(outputs)
    maps = F.conv2d(nchw(x), torch.tensor(weight), torch.tensor(bias), padding=1)
    module = convolution(outputs, 3, name=None, dtype=jnp.float32)

    def ours(kernel, offset):
        made = run(module, {"kernel": kernel, "bias": offset}, x)
        return pixel_shuffle(made, factor, order="torch")

    plain = ours(layout.conv().ours(weight), bias)
    close(plain, F.pixel_shuffle(maps, factor))
    # TensorFlow, NHWC: channel (i·r + j)·C + c
    n, _, h, w = maps.shape
    spread = maps.reshape(n, factor, factor, 3, h, w).permute(0, 3, 4, 1, 5, 2)
    theirs = spread.reshape(n, 3, h * factor, w * factor)
    moves = [layout.shuffled(m, factor, order="tensorflow") for m in (layout.conv(), layout.same())]
    close(ours(moves[0].ours(weight), moves[1].ours(bias)), theirs)
    differ(plain, theirs)
    # MATLAB, columns first: channel c·r² + j·r + i
    spread = maps.reshape(n, 3, factor, factor, h, w).permute(0, 1, 4, 3, 5, 2)
    theirs = spread.reshape(n, 3, h * factor, w * factor)
    moves = [layout.shuffled(m, factor, order="matconvnet") for m in (layout.conv(), layout.same())]
    close(ours(moves[0].ours(weight), moves[1].ours(bias)), theirs)
    differ(plain, theirs)


@pytest.mark.parametrize("shared", [True, False])
def test_prelu(shared):
    x, slope = drawn(2, 4, 3, 5), drawn(1 if shared else 5)
    theirs = F.prelu(nchw(x), torch.tensor(slope))
    close(run(PReLU(shared=shared), {"slope": slope}, x), theirs)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-4])
@pytest.mark.parametrize("train", [False, True])
def test_batch_norm(train, epsilon):
    x = 3 * drawn(2, 4, 3, 5) + 1
    theirs = torch.nn.BatchNorm2d(5, eps=epsilon).train(train)
    state = {"weight": drawn(5), "bias": drawn(5), "running_mean": drawn(5)}
    state["running_var"] = np.abs(drawn(5)) + 1e-4  # small, so that epsilon tells
    state = {name: torch.tensor(value) for name, value in state.items()}
    theirs.load_state_dict(state, strict=False)
    names = {e.theirs: e.ours for e in layout.norm_entries("bn", "bn")}
    variables = {"params": {}, "batch_stats": {}}
    for name, value in state.items():
        part, _, leaf = names[f"bn.{name}"].split("/")
        variables[part][leaf] = value.numpy().copy()
    module = batch_norm(train=train, name=None, dtype=jnp.float32, epsilon=epsilon)
    ours, moved = jax.jit(lambda v, y: module.apply(v, y, mutable=["batch_stats"]))(variables, x)
    close(ours, theirs(nchw(x)))
    mean, var = moved["batch_stats"]["mean"], moved["batch_stats"]["var"]
    np.testing.assert_allclose(mean, theirs.running_mean, atol=1e-6)
    if not train:
        np.testing.assert_array_equal(var, theirs.running_var)
        return
    # PyTorch's running variance is the unbiased estimate, Flax's the biased one: n = 2·4·3
    before = variables["batch_stats"]["var"]
    batch = (theirs.running_var.numpy() - 0.9 * before) / 0.1
    np.testing.assert_allclose(var, 0.9 * before + 0.1 * batch * 23 / 24, rtol=1e-5)
    assert np.abs(var - theirs.running_var.numpy()).max() > 1e-3


def test_dense_layer_behind_a_flattened_map():
    x, weight, bias = drawn(2, 3, 4, 5), drawn(6, 60), drawn(6)
    theirs = F.linear(nchw(x).flatten(1), torch.tensor(weight), torch.tensor(bias)).numpy()
    move = layout.linear_after_flatten(channels=5, height=3, width=4)
    kernel = move.ours(weight)
    ours = run(nn.Dense(6), {"kernel": kernel, "bias": bias}, x.reshape(2, -1))
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)
    straight = x.reshape(2, -1) @ layout.linear().ours(weight) + bias
    assert np.abs(straight - theirs).max() > 1


@pytest.mark.parametrize("height, width", [(8, 8), (9, 7), (6, 5)])
def test_max_pool_in_ceil_mode(height, width):
    """3×3 of stride 2: one row and column of -inf at the bottom and right."""
    x = drawn(1, height, width, 2) - 5  # below the 0 that a padding by zeros would bring in
    theirs = F.max_pool2d(nchw(x), 3, 2, ceil_mode=True)
    close(nn.max_pool(x, (3, 3), strides=(2, 2), padding=((0, 1), (0, 1))), theirs, 0)
    if height % 2 == 0:
        differ(nn.max_pool(x, (3, 3), strides=(2, 2), padding="VALID"), theirs)


# resizing


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_nearest(factor):
    x = drawn(1, 5, 4, 3)
    close(upsample_nearest(x, factor), F.interpolate(nchw(x), scale_factor=factor), 0)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bilinear_between_pixel_centres(factor):
    x = drawn(1, 5, 4, 3)
    shape = (1, 5 * factor, 4 * factor, 3)
    ours = jax.image.resize(x, shape, "linear")
    options = dict(scale_factor=factor, mode="bilinear")
    close(ours, F.interpolate(nchw(x), align_corners=False, **options))
    # align_corners=True is another rule, which no network here has
    differ(ours, F.interpolate(nchw(x), align_corners=True, **options))


def smooth(height, width):
    """An image with a slope at its edges, in [0,1]."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(0.21 * x + 0.13 * y + phase) for phase in (0, 1, 2)]
    return (0.5 + 0.4 * np.stack(waves, -1))[None].astype(np.float32)


@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 1 / 2, 2, 3, 4])
def test_bicubic(scale):
    """MATLAB's rule and PyTorch's antialiased one have the same kernel, a = -0.5, inside.

    At the edge MATLAB repeats pixels and PyTorch cuts the kernel off and divides by what is left, so
    that up to 8 pixels of the input differ there. Inside both are float32 sums of 16 weights to an
    axis: 1e-6. PyTorch's default bicubic (no antialias) has a = -0.75 and no stretched kernel.
    """
    x = smooth(48, 60)
    ours = resize(jnp.asarray(x), scale, border="mirror")
    options = dict(scale_factor=scale, mode="bicubic", align_corners=False)
    theirs = F.interpolate(nchw(x), antialias=True, **options)
    edge = max(1, round(8 * scale))
    inner = np.s_[:, edge:-edge, edge:-edge]
    close(ours[inner], theirs[:, :, edge:-edge, edge:-edge], 2e-6)
    # the slope at the edges shows which rule it is; a wave of 30 pixels leaves 1e-3 there
    differ(ours, theirs, 1e-4)
    noise = np.random.default_rng(1).random((1, 48, 60, 3)).astype(np.float32)
    plain = F.interpolate(nchw(noise), antialias=False, **options)
    differ(resize(jnp.asarray(noise), scale, border="mirror"), plain)
    host = imresize(x[0].astype(np.float64), scale, border="mirror", round_passes=False)
    np.testing.assert_allclose(ours[0], host, atol=2e-6)
