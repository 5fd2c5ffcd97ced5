"""Weight layouts of the LPIPS trunks that are no VGG, and the names of its heads."""

import re

import numpy as np

from jaxsr.interchange.detect import complete
from jaxsr.interchange.layout import Arrays, Entry, Layout, Section, conv_chain, hwio_entries
from jaxsr.interchange.layouts_torchvision import CLASSIFIER
from jaxsr.models.alexnet import AlexNet
from jaxsr.models.squeezenet import SqueezeNet
from jaxsr.types import UserError

_SLICED = re.compile(r"net\.slice\d+\.(\d+)\.(.+)")
_HEAD = "lin{}.model.1.weight"
_ALEXNET = (0, 3, 6, 8, 10)  # places of the convolutions in torchvision's `features`
_FIRE_PLACES = (3, 4, 6, 7, 9, 10, 11, 12)
_SQUEEZENET = "torchvision SqueezeNet 1.1"
_KERAS = "DeepCognition/keras-squeezenet SqueezeNet 1.1"
_PARTS = ("squeeze", "expand1x1", "expand3x3")

# the layers that each trunk of LPIPS gives and their maps, in the order of the heads
HEADS = {
    "alex": {"relu1": 64, "relu2": 192, "relu3": 384, "relu4": 256, "relu5": 256},
    "squeeze": {
        "relu1": 64, "fire3": 128, "fire5": 256, "fire6": 384, "fire7": 384, "fire8": 512,
        "fire9": 512,
    },
    "vgg": {"relu1_2": 64, "relu2_2": 128, "relu3_3": 256, "relu4_3": 512, "relu5_3": 512},
}  # fmt: skip


def heads(arrays: Arrays, *, net: str) -> dict[str, np.ndarray]:
    """The linear layers of LPIPS: lin0.model.1.weight (1,C,1,1), … -> {layer: [C] float32}.

    net: alex, squeeze or vgg. Other arrays of the file are not looked at.
    Raises UserError where one is missing, of another trunk, or negative.
    Source: richzhang/PerceptualSimilarity lpips/weights.
    """
    made = {}
    for index, (layer, channels) in enumerate(HEADS[net].items()):
        name = _HEAD.format(index)
        if name not in arrays or arrays[name].shape != (1, channels, 1, 1):
            held = arrays[name].shape if name in arrays else "not there"
            raise UserError(
                f"the heads are not those of the {net} trunk: {name} is {held} where it has "
                f"{(1, channels, 1, 1)}; name the file of that trunk, weights/v0.1/{net}.pth of "
                "richzhang/PerceptualSimilarity."
            )
        made[layer] = arrays[name].reshape(-1).astype(np.float32)
        if made[layer].min() < 0:
            raise UserError(f"{name} holds negative weights, which no LPIPS head has.")
    return made


def trunk(arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays of a whole LPIPS module, or of a trunk alone, under torchvision's names.

    net.slice2.3.weight of lpips.LPIPS(…).state_dict() -> features.3.weight; heads, the scaling
    layer's constants and torchvision's classifier are left out.
    """
    found = {}
    for name, value in arrays.items():
        sliced = _SLICED.fullmatch(name)
        if sliced:
            found[f"features.{sliced[1]}.{sliced[2]}"] = value
        elif not (name.startswith(("lin", "scaling_layer.")) or re.fullmatch(CLASSIFIER, name)):
            found[name] = value
    return found


def _alexnet_entries(section: Section) -> list[Entry]:
    del section
    return conv_chain((f"features.{i}", f"conv{k}") for k, i in enumerate(_ALEXNET, start=1))


def _squeezenet_entries(section: Section) -> list[Entry]:
    complete(SqueezeNet, section, layout=_SQUEEZENET, input="torchvision")
    pairs = [("features.0", "conv1")]
    for index, place in enumerate(_FIRE_PLACES, start=2):
        pairs += [(f"features.{place}.{part}", f"fire{index}_{part}") for part in _PARTS]
    return conv_chain(pairs)


def _keras_entries(section: Section) -> list[Entry]:
    """Names of the HDF5 file: biases «…_b», kernels numbered in the order of the graph, HWIO."""
    complete(SqueezeNet, section, layout=_KERAS, input="caffe")
    layers = [("conv1", "conv1")]
    for index in range(2, 10):
        theirs = (f"fire{index}/{part}" for part in ("squeeze1x1", *_PARTS[1:]))
        layers += [(a, f"fire{index}_{part}") for a, part in zip(theirs, _PARTS, strict=True)]
    return [
        entry
        for number, (theirs, ours) in enumerate(layers, start=1)
        for entry in hwio_entries(f"{theirs}/uniform{number}", f"{theirs}/{theirs}_b", ours)
    ]


ALEXNET = Layout(
    "torchvision AlexNet",
    "alexnet",
    AlexNet,
    lambda arrays: {},
    _alexnet_entries,
    beside=CLASSIFIER,
)
SQUEEZENET = Layout(
    _SQUEEZENET,
    "squeezenet",
    SqueezeNet,
    lambda arrays: {"input": "torchvision"},
    _squeezenet_entries,
    beside=CLASSIFIER,
)
# a port of the Caffe release: another training than torchvision's
SQUEEZENET_KERAS = Layout(
    _KERAS, "squeezenet", SqueezeNet, lambda arrays: {"input": "caffe"}, _keras_entries
)
LAYOUTS = (ALEXNET, SQUEEZENET, SQUEEZENET_KERAS)
