"""The trunks of LPIPS against PyTorch, with weights that go through the layouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

from jaxsr.interchange import layouts_lpips
from jaxsr.interchange.convert import to_ours, to_theirs
from jaxsr.interchange.detect import detect
from jaxsr.models.alexnet import AlexNet
from jaxsr.models.squeezenet import CAFFE_MEAN, TAPS, SqueezeNet
from jaxsr.models.vgg import MEAN, STD, VGG16, layer_names

IMAGE = (1, 96, 96, 3)
# Provenance: the sums of the kernels' shapes in torchvision's alexnet().features,
# squeezenet1_1().features (its classifier of 513,000 left out: 1,235,496 in all) and
# vgg16().features (138,357,544 in all, 123,642,856 of them in the classifier).
COUNTS = [
    (AlexNet(), (IMAGE,), 2_469_696),
    (SqueezeNet(), (IMAGE,), 1_235_496 - 513_000),
    (SqueezeNet(input="caffe"), (IMAGE,), 722_496),
    (VGG16(), (IMAGE,), 138_357_544 - 123_642_856),
    (VGG16(layers=("relu3_3",)), (IMAGE,), 1_735_488),
]


@pytest.mark.parametrize("module, shapes, count", COUNTS)
def test_count(module, shapes, count):
    drawn = shapes_of(module, *(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))
    assert sum(leaf.size for leaf in jax.tree.leaves(drawn)) == count


def variables_of(module, seed, size=64):
    return random_like(shapes_of(module, jnp.zeros((1, size, size, 3))), seed, gain=1.4)


def pictures(h, w):
    return np.random.default_rng(5).random((2, h, w, 3), np.float32)


def features_of(torch, layers, taps, state, images):
    """Outputs of torchvision's flat `features` at the places `taps`, NHWC, and a strict load."""
    features = torch.nn.Sequential(*layers)
    holder = torch.nn.Module()
    holder.features = features
    holder.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in state.items()}, strict=True)
    normal = (images - np.float32(MEAN)) / np.float32(STD)
    x, found = torch.from_numpy(normal.transpose(0, 3, 1, 2).copy()), []
    with torch.no_grad():
        for place, layer in enumerate(features):
            x = layer(x)
            if place in taps:
                found.append(x.numpy().transpose(0, 2, 3, 1).copy())
    return found


def compare(found, expected):
    assert len(found) == len(expected)
    for name, value in found.items():
        target = expected.pop(0)
        # float32 sums of up to 5,000 products in another order.
        np.testing.assert_allclose(
            value, target, rtol=0, atol=2e-5 * np.abs(target).max(), err_msg=name
        )


# 67x94: a last column and row that the strided layers leave out, on each axis another remainder
@pytest.mark.parametrize("size", [(31, 45), (67, 94)])
def test_alexnet(size):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    layers = [
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
    ]  # fmt: skip
    module, images = AlexNet(), pictures(*size)
    variables = variables_of(module, 1)
    state = to_theirs(layouts_lpips.ALEXNET, {}, variables)
    expected = features_of(torch, layers, (1, 4, 7, 9, 11), state, images)
    found = jax.jit(module.apply)(variables, images)
    assert {name: v.shape[-1] for name, v in found.items()} == layouts_lpips.HEADS["alex"]
    compare(found, expected)


# every remainder by 8 of the last windows, which hang over the edge or not
@pytest.mark.parametrize("size", [(17, 40), (37, 54)])
def test_squeezenet(size):
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Fire(nn.Module):
        def __init__(self, inputs, squeezed, expanded):
            super().__init__()
            self.squeeze = nn.Conv2d(inputs, squeezed, 1)
            self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
            self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

        def forward(self, x):
            x = torch.relu(self.squeeze(x))
            return torch.cat([torch.relu(self.expand1x1(x)), torch.relu(self.expand3x3(x))], 1)

    pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)  # noqa: E731
    layers = [
        nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), pool(), Fire(64, 16, 64), Fire(128, 16, 64), pool(),
        Fire(128, 32, 128), Fire(256, 32, 128), pool(), Fire(256, 48, 192), Fire(384, 48, 192),
        Fire(384, 64, 256), Fire(512, 64, 256),
    ]  # fmt: skip
    module, images = SqueezeNet(), pictures(*size)
    variables = variables_of(module, 2)
    state = to_theirs(layouts_lpips.SQUEEZENET, {"input": "torchvision"}, variables)
    expected = features_of(torch, layers, (1, 4, 7, 9, 10, 11, 12), state, images)
    found = jax.jit(module.apply)(variables, images)
    assert set(found) == set(TAPS)  # jit sorts the names
    compare({name: found[name] for name in TAPS}, expected)


def test_caffe_s_door_is_bgr_levels_less_the_mean():
    images = pictures(20, 20)
    variables = variables_of(SqueezeNet(), 2)
    caffe = SqueezeNet(input="caffe").apply(variables, images)
    # what torchvision's door turns into the BGR levels that Caffe's takes
    levels = (images * 255 - np.float32(CAFFE_MEAN))[..., ::-1]
    same = SqueezeNet().apply(variables, levels * np.float32(STD) + np.float32(MEAN))
    for name in TAPS:
        # float32, of numbers near 100.
        np.testing.assert_allclose(
            caffe[name], same[name], rtol=0, atol=1e-4 * np.abs(same[name]).max()
        )


def test_vgg16():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    widths = (4, 6, 8, 10, 12)
    module, images = VGG16(widths=widths), pictures(33, 46)
    variables = variables_of(module, 3)
    layers, state, inputs = [], {}, 3
    for name in layer_names(depth=16):
        if name.startswith("conv"):
            width = widths[int(name[4]) - 1]
            kernel = np.asarray(variables["params"][name]["kernel"])
            state[f"features.{len(layers)}.weight"] = kernel.transpose(3, 2, 0, 1)
            state[f"features.{len(layers)}.bias"] = np.asarray(variables["params"][name]["bias"])
            layers.append(nn.Conv2d(inputs, width, 3, padding=1))
            inputs = width
        else:
            layers.append(nn.ReLU() if name.startswith("relu") else nn.MaxPool2d(2))
    # evaluation sheet, section 4.1: the places of LPIPS's layers
    expected = features_of(torch, layers, (3, 8, 15, 22, 29), state, images)
    compare(jax.jit(module.apply)(variables, images), expected)


@pytest.mark.parametrize(
    ("layout", "module"),
    [
        (layouts_lpips.ALEXNET, AlexNet()),
        (layouts_lpips.SQUEEZENET, SqueezeNet()),
        (layouts_lpips.SQUEEZENET_KERAS, SqueezeNet(input="caffe")),
    ],
)
def test_layouts_round_trip_and_know_their_own(layout, module):
    variables = variables_of(module, 4)
    section = {} if layout is layouts_lpips.ALEXNET else {"input": module.input}
    theirs = to_theirs(layout, section, variables)
    others = [detect(each, theirs) for each in layouts_lpips.LAYOUTS if each is not layout]
    assert detect(layout, theirs) == section and others == [None, None]
    # torchvision's file holds the classifier too; a missing or a misshapen array is another file
    with_classifier = detect(layout, theirs | {"classifier.1.weight": np.zeros((2, 2))})
    assert with_classifier == (None if layout is layouts_lpips.SQUEEZENET_KERAS else section)
    name = next(iter(theirs))
    assert detect(layout, {k: v for k, v in theirs.items() if k != name}) is None
    assert detect(layout, theirs | {name: theirs[name][..., :-1]}) is None
    assert detect(layout, theirs | {"features.99.weight": theirs[name]}) is None
    back = to_ours(layout, section, theirs)
    jax.tree.map(np.testing.assert_array_equal, back, dict(variables))


def test_small_and_grey_images_are_refused():
    for module, smallest in ((AlexNet(), 31), (SqueezeNet(), 17)):
        shapes_of(module, jnp.zeros((1, smallest, smallest, 3)))
        with pytest.raises(ValueError, match=f"needs {smallest} pixels on a side"):
            shapes_of(module, jnp.zeros((1, 64, smallest - 1, 3)))
        with pytest.raises(ValueError, match="takes RGB images"):
            shapes_of(module, jnp.zeros((1, 64, 64, 1)))
    with pytest.raises(ValueError, match="VGG16 takes RGB images"):
        shapes_of(VGG16(), jnp.zeros((1, 64, 64, 1)))
    with pytest.raises(ValueError, match="vanish at pool4"):
        shapes_of(VGG16(), jnp.zeros((1, 15, 40, 3)))
    with pytest.raises(ValueError, match="input must be one of torchvision, caffe"):
        shapes_of(SqueezeNet(input="keras"), jnp.zeros((1, 64, 64, 3)))
