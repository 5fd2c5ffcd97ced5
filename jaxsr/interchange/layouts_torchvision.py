"""Weight layouts of torchvision's VGG16 and VGG19, and of VGG19 under the names of its layers."""

import re
from typing import Any

import flax.linen as nn

from jaxsr.interchange.layout import Arrays, Entry, Layout, Section, conv_chain
from jaxsr.models.vgg import VGG16 as VGG16Network
from jaxsr.models.vgg import VGG19 as VGG19Network
from jaxsr.models.vgg import layer_names

_DEPTHS = {"vgg16": 16, "vgg19": 19}
CLASSIFIER = r"classifier\.\d+\.(weight|bias)"
_SHARED = 7  # convolutions, up to conv3_3, whose places are the same in both


def places(network: str) -> dict[str, int]:
    """{'conv1_1': 0, 'conv1_2': 2, …}: the places of the convolutions in torchvision's `features`.

    Each is followed by its ReLU, each block by its pooling. network: vgg16 or vgg19
    """
    names = layer_names(depth=_DEPTHS[network])
    return {name: place for place, name in enumerate(names) if name.startswith("conv")}


def deepest_conv(layers: Any) -> str:
    """The last convolution that the named layers need: «conv5_4» of («relu2_2», «conv5_4»).

    A pooling needs all of its block, so it comes without a number: «pool3» gives «conv3».
    """
    names = [re.sub("relu|pool", "conv", name) for name in layers]
    return max(names, key=lambda name: (*map(int, re.findall(r"\d+", name)), 99)[:2])


def _vgg(
    network: str, module: type[nn.Module], name: str, *, numbered: bool, least: int = 1
) -> Layout:
    """The layout of `network`; its arrays are named after torchvision's places, or after layers.

    A file may end behind any convolution from the number `least` on.
    """
    convolutions = places(network)

    def theirs(layer: str) -> str:
        return f"features.{convolutions[layer]}" if numbered else layer

    def entries(section: Section) -> list[Entry]:
        layers = section.get("layers", ())
        last = deepest_conv(layers) if layers else list(convolutions)[-1]
        # a pooling has no number, and needs its whole block
        kept = [x for x in convolutions if x <= last or ("_" not in last and x[:5] == last)]
        return conv_chain((theirs(layer), layer) for layer in kept)

    def read(arrays: Arrays) -> dict[str, Any] | None:
        held = [layer for layer in convolutions if f"{theirs(layer)}.weight" in arrays]
        return {"layers": (held[-1],)} if len(held) >= least else None

    return Layout(name, network, module, read, entries, beside=CLASSIFIER)


VGG19 = _vgg("vgg19", VGG19Network, "torchvision VGG19", numbered=True)
VGG19_LAYERS = _vgg("vgg19", VGG19Network, "VGG19 by the names of its layers", numbered=False)
# a head that ends before both part says nothing of which it is: it is taken for VGG19's
VGG16 = _vgg("vgg16", VGG16Network, "torchvision VGG16", numbered=True, least=_SHARED + 1)
LAYOUTS = (VGG19, VGG19_LAYERS, VGG16)
