"""SPyNet: its count, an independent build in PyTorch, the layouts of its files, and real motion."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

from jaxsr.data.images import read_image
from jaxsr.interchange import convert, layouts_flow
from jaxsr.interchange.files import read_arrays
from jaxsr.models.spynet import SPyNet

PAIR = ((1, 32, 32, 3), (1, 32, 32, 3))
# the sum over the arrays of the released models (anuragranj/spynet 7c4a3f7, modelL1_F … modelL6_F)
COUNTS = [(SPyNet(), PAIR, 1_440_300), (SPyNet(levels=2), PAIR, 2 * 240_050)]


@pytest.mark.parametrize("network, shapes, count", COUNTS)
def test_count(network, shapes, count):
    made = shapes_of(network, *(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == count


def drawn(levels, *, gain=0.8):
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return random_like(shapes_of(SPyNet(levels=levels), image, image), seed=1, gain=gain)


def in_torch(params, one, two, *, levels):
    """The same network in PyTorch's own operations, NCHW."""
    torch = pytest.importorskip("torch")
    nn = torch.nn.functional

    def chw(x):
        return torch.from_numpy(np.array(x).transpose(0, 3, 1, 2))

    def sized(x, size):
        return nn.interpolate(x, size=size, mode="bilinear", align_corners=False)

    height, width = one.shape[1:3]
    step = 2 ** (levels - 1)
    tall, wide = -(-height // step) * step, -(-width // step) * step
    mean, deviation = (
        torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    pyramids = []
    for image in (one, two):
        found = [(sized(chw(image), (tall, wide)) - mean) / deviation]
        for _ in range(levels - 1):
            found.append(nn.avg_pool2d(found[-1], 2))
        pyramids.append(found[::-1])
    flow = torch.zeros(len(one), 2, tall // (2 * step), wide // (2 * step))
    for level in range(levels):
        here, there = pyramids[0][level], pyramids[1][level]
        h, w = here.shape[2:]
        up = 2 * nn.interpolate(flow, size=(h, w), mode="bilinear", align_corners=True)
        up = up if level else torch.zeros(len(one), 2, h, w)
        grid = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"), -1)
        place = grid + up.permute(0, 2, 3, 1)
        place = 2 * place / torch.tensor([max(w - 1, 1), max(h - 1, 1)]) - 1
        moved = nn.grid_sample(there, place, padding_mode="border", align_corners=True)
        x = torch.cat([here, moved, up], 1)
        for number in range(1, 6):
            layer = params[f"level{level + 1}_conv{number}"]
            kernel = torch.from_numpy(np.array(layer["kernel"]).transpose(3, 2, 0, 1))
            x = nn.conv2d(x, kernel, torch.from_numpy(np.array(layer["bias"])), padding=3)
            x = nn.relu(x) if number < 5 else x
        flow = up + x
    flow = sized(flow, (height, width)) * torch.tensor([width / wide, height / tall])[:, None, None]
    return flow.numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize("size", [(16, 24), (15, 22)], ids=["multiples", "resized"])
def test_is_an_independent_build(size):
    held, rng = drawn(3), np.random.default_rng(0)
    one, two = (rng.uniform(size=(1, *size, 3)).astype(np.float32) for _ in range(2))
    ours = jax.jit(SPyNet(levels=3).apply)(held, one, two)
    theirs = in_torch(held["params"], one, two, levels=3)
    assert ours.shape == (1, *size, 2) and np.abs(theirs).max() > 0.5
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("layout", layouts_flow.LAYOUTS, ids=lambda layout: layout.name)
def test_each_layout_is_recognised_and_gives_the_bits_back(layout):
    held = drawn(2)
    arrays = convert.to_theirs(layout, {"levels": 2}, held)
    found, section, unused = convert.identify(arrays)
    assert (found.name, section, unused) == (layout.name, {"levels": 2}, [])
    back = flax.traverse_util.flatten_dict(convert.to_ours(found, section, arrays))
    for name, value in flax.traverse_util.flatten_dict(held).items():
        np.testing.assert_array_equal(back[name], value)
    first = next(iter(arrays))
    assert {
        "anuragranj/spynet (L1/conv1/weight)": "L1/conv1/weight",
        "sniklaus/pytorch-spynet Network": "moduleBasic.0.moduleBasic.0.weight",
        "BasicSR SpyNet": "basic_module.0.basic_module.0.weight",
    }[layout.name] == first


def test_unequal_images_are_refused():
    one = jnp.zeros((1, 32, 32, 3))
    with pytest.raises(ValueError, match="images of one size"):
        jax.eval_shape(SPyNet(levels=2).apply, drawn(2), one, one[:, 1:])


def test_the_released_weights_find_a_known_shift(shared):
    """A picture moved by (5, -3) pixels: half of all errors, away from the border, are below 0.1."""
    arrays = read_arrays(shared / "weights/spynet/spynet_F.npz")[0]
    layout, section, _ = convert.identify(arrays)
    assert layout.name.startswith("anuragranj") and section == {"levels": 6}
    picture = read_image(shared / "dvp/input/00000.jpg") / np.float32(255)
    one, two = picture[100:260, 200:456][None], picture[103:263, 195:451][None]
    held = convert.to_ours(layout, section, arrays)
    flow = np.asarray(jax.jit(SPyNet().apply)(held, one, two))[0, 16:-16, 16:-16]
    error = np.linalg.norm(flow - [5, -3], axis=-1)
    assert np.median(error) < 0.1
