"""Weight layouts of the VGG-style discriminators: BasicSR's new and old one, leftthomas'."""

import itertools
import math
from typing import Any

import numpy as np

from jaxsr.interchange.detect import complete, kernel
from jaxsr.interchange.layout import (
    Arrays,
    Entry,
    Layout,
    Move,
    Section,
    batch_counters,
    conv_entries,
    linear,
    linear_after_flatten,
    norm_entries,
    same,
)
from jaxsr.models.disc_vgg import VGGDiscriminator
from jaxsr.types import UserError

# each class: the options of ours that are fixed in it; the names of its convolution, normalisation
# (both given stage {i}, place {j} and, in a Sequential, place of the convolution {n}), dense layers;
# the sides that the map behind its stages may have
_KINDS = {
    "XPixelGroup/BasicSR VGGStyleDiscriminator": (
        dict(down_size=4, hidden=100, bias=False, pool=False),
        ("conv{i}_{j}", "bn{i}_{j}", "linear1", "linear2"),
        (4,),
    ),
    "XPixelGroup/BasicSR@9fd09d4 Discriminator_VGG": (
        dict(down_size=4, hidden=100, bias=True, pool=False, start="kaiming"),
        ("features.{n}", "features.{m}", "classifier.0", "classifier.2"),
        (3, 4),
    ),
    "leftthomas/SRGAN Discriminator": (
        dict(down_size=3, hidden=1024, bias=True, pool=True, stages=4),
        ("net.{n}", "net.{m}", "net.24", "net.26"),
        (),
    ),
}


def _pointwise() -> Move:
    """A 1x1 convolution behind the mean over space (O,I,1,1) <-> the dense layer (I,O)."""
    return Move(lambda a: a[:, :, 0, 0].T, lambda a: a.T[:, :, None, None])


def _layout(name: str) -> Layout:
    fixed, names, sides = _KINDS[name]
    conv_name, norm_name, *dense_names = names
    # how the weights start is no property of a trained file
    shape_of = {key: value for key, value in fixed.items() if key != "start"}

    def place(pattern: str, stage: int, second: int) -> str:
        # a Sequential: convolution, LeakyReLU, then threes of convolution, normalisation, LeakyReLU
        index = 3 * (2 * stage + second) - 1 if stage or second else 0
        return pattern.format(i=stage, j=second, n=index, m=index + 1)

    def entries(section: Section) -> list[Entry]:
        given = complete(VGGDiscriminator, section, layout=name, **shape_of)
        made = []
        for stage in range(given["stages"]):
            for second in (0, 1):
                first = not stage and not second
                theirs, ours = place(conv_name, stage, second), f"conv{stage}_{second}"
                made += conv_entries(theirs, ours, bias=first or given["bias"])
                if not first:
                    made += norm_entries(place(norm_name, stage, second), f"bn{stage}_{second}")
        side = given["size"] // 2 ** given["stages"]
        if sides and side not in sides:
            raise UserError(
                f"{name} takes no images of {given['size']} pixels in {given['stages']} stages: choose "
                "another layout."
            )
        maps = given["features"] * min(2 ** (given["stages"] - 1), 8)
        flat = linear_after_flatten(channels=maps, height=side, width=side)
        moves = (_pointwise(), _pointwise()) if given["pool"] else (flat, linear())
        for theirs, ours, move in zip(dense_names, ("linear1", "linear2"), moves, strict=True):
            made += [Entry(f"{theirs}.weight", f"params/{ours}/kernel", move)]
            made += [Entry(f"{theirs}.bias", f"params/{ours}/bias", same())]
        return made

    def constants(section: Section) -> dict[str, np.ndarray]:
        return batch_counters(entries(section))

    def read(arrays: Arrays) -> dict[str, Any] | None:
        features = kernel(arrays, f"{place(conv_name, 0, 0)}.weight")[0]
        section = {"features": features, **fixed}
        if fixed["pool"]:
            return section
        # by the normalisations: in a Sequential the dense layers may have the next numbers
        ends = (f"{place(norm_name, stage, 1)}.weight" for stage in itertools.count())
        stages = next(stage for stage, end in enumerate(ends) if end not in arrays)
        maps = features * min(2 ** (stages - 1), 8)
        side = math.isqrt(arrays[f"{dense_names[0]}.weight"].shape[1] // maps)
        return section | {"stages": stages, "size": side * 2**stages}

    return Layout(name, "vgg_discriminator", VGGDiscriminator, read, entries, constants)


LAYOUTS = tuple(_layout(name) for name in _KINDS)
