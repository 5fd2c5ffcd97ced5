"""Weight layouts of torchvision's VGG16 and VGG19, and of VGG19 under the names of its layers."""

import re
from typing import Any

from jaxsr.interchange.layout import Arrays, Entry, Layout, Section, conv_entries, no_constants

_COUNTS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)
_CLASSIFIER = re.compile(r"classifier\.\d+\.(weight|bias)")
_SHARED = 7  # convolutions, up to conv3_3, whose places are the same in both


def places(network: str) -> dict[str, int]:
    """{'conv1_1': 0, 'conv1_2': 2, …}: the places of the convolutions in torchvision's `features`.

    Each is followed by its ReLU, each block by its pooling. network: vgg16 or vgg19
    """
    found, place = {}, 0
    for block, count in enumerate(_COUNTS[network], start=1):
        for index in range(1, count + 1):
            found[f"conv{block}_{index}"] = place
            place += 2
        place += 1
    return found


def deepest_conv(layers: Any) -> str:
    """The last convolution that the named layers need: «conv5_4» of («relu2_2», «conv5_4»).

    A pooling needs all of its block, so it comes without a number: «pool3» gives «conv3».
    """
    names = [re.sub("relu|pool", "conv", name) for name in layers]
    return max(names, key=lambda name: (*map(int, re.findall(r"\d+", name)), 99)[:2])


def _vgg(network: str, name: str, *, numbered: bool) -> Layout:
    """The layout of `network`; its arrays are named after torchvision's places, or after layers."""

    def entries(section: Section) -> list[Entry]:
        found = places(network)
        layers = section.get("layers", ())
        last = deepest_conv(layers) if layers else list(found)[-1]
        made = []
        for layer, place in found.items():
            if int(layer[4]) > int(last[4]) or ("_" in last and layer > last):
                break
            made += conv_entries(f"features.{place}" if numbered else layer, layer)
        return made

    def detect(arrays: Arrays) -> dict[str, Any] | None:
        held = {key: value for key, value in arrays.items() if not _CLASSIFIER.fullmatch(key)}
        convolutions = list(places(network))
        count = len(held) // 2
        # a head that ends before both part says nothing of which it is: it is taken for VGG19's
        shortest = _SHARED if network == "vgg16" else 0
        if not shortest < count <= len(convolutions) or len(held) % 2:
            return None
        section = {"layers": (convolutions[count - 1],)}
        inputs = 3
        for index, entry in enumerate(entries(section)):
            width = _WIDTHS[int(convolutions[index // 2][4]) - 1]
            shape = (width,) if index % 2 else (width, inputs, 3, 3)
            if entry.theirs not in held or held[entry.theirs].shape != shape:
                return None
            inputs = width
        return section

    return Layout(name, network, detect, entries, no_constants)


VGG19 = _vgg("vgg19", "torchvision VGG19", numbered=True)
VGG19_LAYERS = _vgg("vgg19", "VGG19 by the names of its layers", numbered=False)
VGG16 = _vgg("vgg16", "torchvision VGG16", numbered=True)
LAYOUTS = (VGG19, VGG19_LAYERS, VGG16)
