"""Weight layouts of SFT-GAN: the generator in both variants, the segmenter, the discriminator."""

import itertools
import math
import re
from typing import Any

import numpy as np

from jaxsr.interchange.detect import complete, full, kernel
from jaxsr.interchange.layout import (
    Arrays,
    Entry,
    Layout,
    Move,
    Section,
    batch_counters,
    conv_chain,
    conv_entries,
    counted,
    linear,
    linear_after_flatten,
    norm_entries,
    same,
)
from jaxsr.models.acd_vgg import ACDVGG96
from jaxsr.models.outdoor_scene_seg import OutdoorSceneSeg
from jaxsr.models.sftnet import SFTNet

_CONVOLUTIONS = {"pytorch": (0, 3, 6, 8), "torch": (1, 4, 6, 8)}  # of HR_branch
_FIRST = 10  # place of the segmenter's first block in `feature`


def _ours(theirs: str) -> str:
    """Our names are theirs with the dots before digits as underscores, depth by depth."""
    return re.sub(r"\.(\d+)", r"_\1", theirs).replace(".", "/")


def _sftnet(variant: str, name: str) -> Layout:
    """The layout of one variant; its places in HR_branch tell it from the other."""

    def entries(section: Section) -> list[Entry]:
        blocks = complete(SFTNet, section, layout=name, variant=variant)["blocks"]

        def layer(place):
            return [f"{place}.SFT_{t}_conv{i}" for t in ("scale", "shift") for i in (0, 1)]

        names = ["conv0"]
        for i in range(blocks):
            for half in (0, 1):
                names += layer(f"sft_branch.{i}.sft{half}") + [f"sft_branch.{i}.conv{half}"]
        names += layer(f"sft_branch.{blocks}") + [f"sft_branch.{blocks + 1}"]
        names += [f"HR_branch.{i}" for i in _CONVOLUTIONS[variant]]
        names += [f"CondNet.{i}" for i in (0, 2, 4, 6, 8)]
        return conv_chain((name, _ours(name)) for name in names)

    def read(arrays: Arrays) -> dict[str, Any] | None:
        hidden, classes, *_ = kernel(arrays, "CondNet.0.weight")
        return {
            "variant": variant,
            "features": kernel(arrays, "conv0.weight")[0],
            "blocks": counted("sft_branch.{}.conv0.weight", arrays),
            "condition": kernel(arrays, "CondNet.8.weight")[0],
            "condition_hidden": hidden,
            "classes": classes,
        }

    return Layout(name, "sftnet", SFTNet, read, entries)


# the segmenter


def grouped_transposed_conv() -> Move:
    """Transposed convolution of PyTorch, one group a channel: (C,1,kh,kw) <-> (kh,kw,1,C) flipped."""
    return Move(
        lambda a: a[:, :, ::-1, ::-1].transpose(2, 3, 1, 0),
        lambda a: a.transpose(3, 2, 0, 1)[:, :, ::-1, ::-1],
    )


def _segmenter_entries(section: Section) -> list[Entry]:
    given = full(OutdoorSceneSeg, section)
    made, place = [], _FIRST

    def unit(theirs, ours, index):
        norm = norm_entries(f"{theirs}.{index + 1}", f"{ours}_{index + 1}")
        return conv_entries(f"{theirs}.{index}", f"{ours}_{index}", bias=False) + norm

    for index in (0, 3, 6):
        made += unit("feature", "feature", index)
    for count in given["blocks"]:
        for i in range(count):
            theirs, ours = f"feature.{place}", f"feature_{place}"
            for index in (0, 3, 6):
                made += unit(f"{theirs}.res", f"{ours}/res", index)
            if i == 0:
                made += unit(f"{theirs}.proj", f"{ours}/proj", 0)
            place += 1
    made += unit("feature", "feature", place)
    made += conv_entries(f"feature.{place + 4}", f"feature_{place + 4}")
    return made + [Entry("deconv.weight", "params/deconv/kernel", grouped_transposed_conv())]


def _segmenter_constants(section: Section) -> dict[str, np.ndarray]:
    return batch_counters(_segmenter_entries(section))


def _segmenter(arrays: Arrays) -> dict[str, Any] | None:
    places = (
        place for place in itertools.count(_FIRST) if f"feature.{place}.res.0.weight" not in arrays
    )
    end = next(places)
    # the first block of each stage has other inputs than outputs, and a projection
    starts = [i for i in range(_FIRST, end) if f"feature.{i}.proj.0.weight" in arrays]
    return {
        "features": kernel(arrays, "feature.0.weight")[0],
        "blocks": tuple(b - a for a, b in itertools.pairwise([*starts, end])),
        "classes": kernel(arrays, "deconv.weight")[0],
    }


# the discriminator


def _discriminator_entries(section: Section) -> list[Entry]:
    given = full(ACDVGG96, section)
    made = conv_entries("feature.0", "feature_0")
    for index in range(2, 22, 3):
        made += conv_entries(f"feature.{index}", f"feature_{index}")
        made += norm_entries(f"feature.{index + 1}", f"feature_{index + 1}")
    side = given["size"] // 16
    flat = linear_after_flatten(channels=8 * given["features"], height=side, width=side)
    for head in ("gan", "cls"):
        for index, move in ((0, flat), (2, linear())):
            made += [
                Entry(f"{head}.{index}.weight", f"params/{head}_{index}/kernel", move),
                Entry(f"{head}.{index}.bias", f"params/{head}_{index}/bias", same()),
            ]
    return made


def _discriminator_constants(section: Section) -> dict[str, np.ndarray]:
    return batch_counters(_discriminator_entries(section))


def _discriminator(arrays: Arrays) -> dict[str, Any] | None:
    features = kernel(arrays, "feature.0.weight")[0]
    hidden, inputs = arrays["gan.0.weight"].shape
    return {
        "size": 16 * math.isqrt(inputs // (8 * features)),
        "features": features,
        "classes": arrays["cls.2.weight"].shape[0],
        "hidden": hidden,
    }


LAYOUTS = (
    _sftnet("pytorch", "xinntao/SFTGAN SFT_Net"),
    _sftnet("torch", "xinntao/SFTGAN SFT_Net_torch"),
    Layout(
        "xinntao/SFTGAN OutdoorSceneSeg",
        "outdoor_scene_seg",
        OutdoorSceneSeg,
        _segmenter,
        _segmenter_entries,
        _segmenter_constants,
    ),
    Layout(
        "XPixelGroup/BasicSR ACD_VGG_BN_96",
        "acd_vgg_96",
        ACDVGG96,
        _discriminator,
        _discriminator_entries,
        _discriminator_constants,
    ),
)
