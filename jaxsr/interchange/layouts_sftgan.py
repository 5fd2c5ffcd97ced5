"""Weight layouts of SFT-GAN: the generator in both variants, the segmenter, the discriminator."""

import re
from typing import Any

import numpy as np

from jaxsr.interchange.detect import counters, fits, full, require
from jaxsr.interchange.layout import (
    Arrays,
    Entry,
    Layout,
    Move,
    Section,
    conv_entries,
    counted,
    linear,
    linear_after_flatten,
    no_constants,
    norm_entries,
    same,
)
from jaxsr.models.acd_vgg import ACDVGG96
from jaxsr.models.outdoor_scene_seg import OutdoorSceneSeg
from jaxsr.models.sftnet import SFTNet

_CONVOLUTIONS = {"pytorch": (0, 3, 6, 8), "torch": (1, 4, 6, 8)}  # of HR_branch


def _shape(arrays: Arrays, name: str) -> tuple[int, ...]:
    """The shape of an array, () where there is none."""
    return arrays[name].shape if name in arrays else ()


def _pairs(names: list[str]) -> list[Entry]:
    """Convolutions whose names are ours with dots before digits as underscores, depth by depth."""
    made = []
    for name in names:
        ours = re.sub(r"\.(\d+)", r"_\1", name).replace(".", "/")
        made += conv_entries(name, ours)
    return made


def _sftnet(variant: str, name: str) -> Layout:
    """The layout of one variant; its places in HR_branch tell it from the other."""

    def entries(section: Section) -> list[Entry]:
        given = full(SFTNet, section)
        require(name, given, variant=variant)
        blocks = given["blocks"]

        def layer(place):
            return [f"{place}.SFT_{t}_conv{i}" for t in ("scale", "shift") for i in (0, 1)]

        names = ["conv0"]
        for i in range(blocks):
            for half in (0, 1):
                names += layer(f"sft_branch.{i}.sft{half}") + [f"sft_branch.{i}.conv{half}"]
        names += layer(f"sft_branch.{blocks}") + [f"sft_branch.{blocks + 1}"]
        names += [f"HR_branch.{i}" for i in _CONVOLUTIONS[variant]]
        return _pairs(names + [f"CondNet.{i}" for i in (0, 2, 4, 6, 8)])

    def detect(arrays: Arrays) -> dict[str, Any] | None:
        first = _shape(arrays, "conv0.weight")
        condition = _shape(arrays, "CondNet.0.weight")
        last = _shape(arrays, "CondNet.8.weight")
        if first[1:] != (3, 3, 3) or condition[2:] != (4, 4) or last[1:] != (condition[0], 1, 1):
            return None
        section = {
            "variant": variant,
            "features": first[0],
            "blocks": counted("sft_branch.{}.conv0.weight", arrays),
            "condition": last[0],
            "condition_hidden": condition[0],
            "classes": condition[1],
        }
        up = (4 if variant == "pytorch" else 1) * first[0]
        place = _CONVOLUTIONS[variant][0]
        shapes = {
            f"HR_branch.{place}.weight": (up, first[0], 3, 3),
            "HR_branch.8.weight": (3, first[0], 3, 3),
            f"sft_branch.{section['blocks']}.SFT_scale_conv1.weight": (first[0], last[0], 1, 1),
        }
        if any(_shape(arrays, key) != shape for key, shape in shapes.items()):
            return None
        return section if fits(arrays, entries(section)) else None

    return Layout(name, "sftnet", detect, entries, no_constants)


# the segmenter


def grouped_transposed_conv() -> Move:
    """Transposed convolution of PyTorch, one group a channel: (C,1,kh,kw) <-> (kh,kw,1,C) flipped."""
    return Move(
        lambda a: a[:, :, ::-1, ::-1].transpose(2, 3, 1, 0),
        lambda a: a.transpose(3, 2, 0, 1)[:, :, ::-1, ::-1],
    )


def _segmenter_entries(section: Section) -> list[Entry]:
    given = full(OutdoorSceneSeg, section)
    made, place = [], 10

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
    return counters(_segmenter_entries(section))


def _segmenter(arrays: Arrays) -> dict[str, Any] | None:
    first, last = _shape(arrays, "feature.0.weight"), _shape(arrays, "deconv.weight")
    blocks = counted("feature.{}.res.0.weight", _from_ten(arrays))
    starts = [i for i in range(blocks) if f"feature.{i + 10}.proj.0.weight" in arrays]
    if first[1:] != (3, 3, 3) or last[1:] != (1, 16, 16) or len(starts) != 4 or starts[0]:
        return None
    ends = [*starts[1:], blocks]
    section = {
        "features": first[0],
        "blocks": tuple(end - start for start, end in zip(starts, ends, strict=True)),
        "classes": last[0],
    }
    head = f"feature.{10 + blocks + 4}.weight"
    if _shape(arrays, head) != (last[0], 8 * first[0], 1, 1):
        return None
    fitting = fits(arrays, _segmenter_entries(section), _segmenter_constants(section))
    return section if fitting else None


def _from_ten(arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays of the bottlenecks with the numbers of the places counted from 0."""
    found = {}
    for name, array in arrays.items():
        match = re.fullmatch(r"feature\.(\d+)\.(res\.0\.weight)", name)
        if match and int(match[1]) >= 10:
            found[f"feature.{int(match[1]) - 10}.{match[2]}"] = array
    return found


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
    return counters(_discriminator_entries(section))


def _discriminator(arrays: Arrays) -> dict[str, Any] | None:
    first, hidden = _shape(arrays, "feature.0.weight"), _shape(arrays, "gan.0.weight")
    classes = _shape(arrays, "cls.2.weight")
    if first[1:] != (3, 3, 3) or len(hidden) != 2 or len(classes) != 2:
        return None
    side = int((hidden[1] / (8 * first[0])) ** 0.5)
    section = {
        "size": 16 * side, "features": first[0], "classes": classes[0], "hidden": hidden[0],
    }  # fmt: skip
    if side * side * 8 * first[0] != hidden[1] or classes[1] != hidden[0]:
        return None
    fitting = fits(arrays, _discriminator_entries(section), _discriminator_constants(section))
    return section if fitting else None


LAYOUTS = (
    _sftnet("pytorch", "xinntao/SFTGAN SFT_Net"),
    _sftnet("torch", "xinntao/SFTGAN SFT_Net_torch"),
    Layout(
        "xinntao/SFTGAN OutdoorSceneSeg", "outdoor_scene_seg", _segmenter, _segmenter_entries,
        _segmenter_constants,
    ),
    Layout(
        "XPixelGroup/BasicSR ACD_VGG_BN_96", "acd_vgg_96", _discriminator, _discriminator_entries,
        _discriminator_constants,
    ),
)  # fmt: skip
