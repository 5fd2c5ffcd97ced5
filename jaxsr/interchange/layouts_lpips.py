"""Weight layouts of the LPIPS trunks that are no VGG, and the names of its heads."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxsr.interchange.layout import (
    Arrays,
    Entry,
    Layout,
    Section,
    conv_entries,
    no_constants,
    same,
)
from jaxsr.models.squeezenet import FIRES
from jaxsr.types import UserError

_CLASSIFIER = re.compile(r"classifier\.\d+\.(weight|bias)")
_SLICED = re.compile(r"net\.slice\d+\.(\d+)\.(.+)")
_HEAD = "lin{}.model.1.weight"
_ALEXNET = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
_FIRE_PLACES = (3, 4, 6, 7, 9, 10, 11, 12)  # in torchvision's features
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
        elif not (name.startswith(("lin", "scaling_layer.")) or _CLASSIFIER.fullmatch(name)):
            found[name] = value
    return found


def _detect(
    entries: Callable[[Section], list[Entry]],
    shapes: Callable[[], list[tuple[int, ...]]],
    section: dict[str, Any],
) -> Callable[[Arrays], dict[str, Any] | None]:
    """All names, with or without a classifier's, and all shapes."""

    def detect(arrays: Arrays) -> dict[str, Any] | None:
        table = entries(section)
        held = {name for name in arrays if not _CLASSIFIER.fullmatch(name)}
        if held != {entry.theirs for entry in table}:
            return None
        found = [tuple(arrays[entry.theirs].shape) for entry in table]
        return dict(section) if found == shapes() else None

    return detect


def _alexnet_entries(section: Section) -> list[Entry]:
    del section
    return [
        entry
        for index, place in enumerate(_ALEXNET, start=1)
        for entry in conv_entries(f"features.{place}", f"conv{index}")
    ]


def _alexnet_shapes() -> list[tuple[int, ...]]:
    return [shape for o, i, size in _ALEXNET.values() for shape in ((o, i, size, size), (o,))]


def _squeezenet_entries(section: Section) -> list[Entry]:
    del section
    made = conv_entries("features.0", "conv1")
    for index, place in enumerate(_FIRE_PLACES, start=2):
        for part in _PARTS:
            made += conv_entries(f"features.{place}.{part}", f"fire{index}_{part}")
    return made


def _keras_entries(section: Section) -> list[Entry]:
    """Names of the HDF5 file: biases «…_b», kernels numbered in the order of the graph, HWIO."""
    del section
    layers = [("conv1", "conv1")]
    for index in range(2, 10):
        layers += [
            (f"fire{index}/squeeze1x1", f"fire{index}_squeeze"),
            (f"fire{index}/expand1x1", f"fire{index}_expand1x1"),
            (f"fire{index}/expand3x3", f"fire{index}_expand3x3"),
        ]
    made = []
    for number, (theirs, ours) in enumerate(layers, start=1):
        made.append(Entry(f"{theirs}/uniform{number}", f"params/{ours}/kernel", same()))
        made.append(Entry(f"{theirs}/{theirs}_b", f"params/{ours}/bias", same()))
    return made


def _kernels() -> list[tuple[int, int, int]]:
    """(outputs, inputs, size) of SqueezeNet's convolutions in forward order."""
    made, inputs = [(64, 3, 3)], 64
    for squeezed, expanded in FIRES:
        made += [(squeezed, inputs, 1), (expanded, squeezed, 1), (expanded, squeezed, 3)]
        inputs = 2 * expanded
    return made


def _squeezenet_shapes() -> list[tuple[int, ...]]:
    return [shape for o, i, size in _kernels() for shape in ((o, i, size, size), (o,))]


def _keras_shapes() -> list[tuple[int, ...]]:
    return [shape for o, i, size in _kernels() for shape in ((size, size, i, o), (o,))]


ALEXNET = Layout(
    "torchvision AlexNet",
    "alexnet",
    _detect(_alexnet_entries, _alexnet_shapes, {}),
    _alexnet_entries,
    no_constants,
)
SQUEEZENET = Layout(
    "torchvision SqueezeNet 1.1",
    "squeezenet",
    _detect(_squeezenet_entries, _squeezenet_shapes, {"input": "torchvision"}),
    _squeezenet_entries,
    no_constants,
)
# a port of the Caffe release: another training than torchvision's
SQUEEZENET_KERAS = Layout(
    "DeepCognition/keras-squeezenet SqueezeNet 1.1",
    "squeezenet",
    _detect(_keras_entries, _keras_shapes, {"input": "caffe"}),
    _keras_entries,
    no_constants,
)
LAYOUTS = (ALEXNET, SQUEEZENET, SQUEEZENET_KERAS)
