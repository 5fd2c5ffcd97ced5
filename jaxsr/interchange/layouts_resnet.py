"""The weight layout of a ResNet with a deep stem, trained on ImageNet: where SFT-GAN's segmenter starts."""

from typing import Any

import numpy as np

from jaxsr.interchange.detect import full, kernel
from jaxsr.interchange.layout import (
    Arrays,
    Entry,
    Layout,
    Section,
    batch_counters,
    conv_entries,
    counted,
    norm_entries,
)
from jaxsr.models.outdoor_scene_seg import OutdoorBackbone

CLASSIFIER = r"fc\.(weight|bias)"
_STEM = (0, 3, 6)  # places of its convolutions in the segmenter
_FIRST = 10  # place of the first block there
# Of the first convolution: variance of its output over the power of its kernel. Levels of 0..255 have a
# variance of some 3,000, units of 1, so that the median over kernels is far from this on either side.
_BETWEEN = 30.0


def _entries(section: Section) -> list[Entry]:
    made: list[Entry] = []

    def unit(conv: str, norm: str, ours: str, index: int) -> list[Entry]:
        held = conv_entries(conv, f"{ours}_{index}", bias=False)
        return held + norm_entries(norm, f"{ours}_{index + 1}")

    for number, place in enumerate(_STEM, start=1):
        made += unit(f"conv{number}", f"bn{number}", "feature", place)
    place = _FIRST
    for stage, count in enumerate(full(OutdoorBackbone, section)["blocks"], start=1):
        for i in range(count):
            theirs, ours = f"layer{stage}.{i}", f"feature_{place}"
            for number, index in enumerate((0, 3, 6), start=1):
                made += unit(f"{theirs}.conv{number}", f"{theirs}.bn{number}", f"{ours}/res", index)
            if i == 0:
                made += unit(f"{theirs}.downsample.0", f"{theirs}.downsample.1", f"{ours}/proj", 0)
            place += 1
    return made


def _constants(section: Section) -> dict[str, np.ndarray]:
    return batch_counters(_entries(section))


def _read(arrays: Arrays) -> dict[str, Any] | None:
    return {
        "features": kernel(arrays, "conv1.weight")[0],
        "blocks": tuple(counted(f"layer{n}.{{}}.conv1.weight", arrays) for n in (1, 2, 3, 4)),
        "input": trained_on(arrays["conv1.weight"], arrays["bn1.running_var"]),
    }


def trained_on(weight: np.ndarray, variance: np.ndarray) -> str:
    """`bgr_levels` or `rgb_unit`: what images the first convolution was trained on.

    weight [O,3,3,3] and variance [O], the running one of the normalisation behind it. Files do not
    say it: only the scale is measured, and the order of colours goes with it by the custom of Caffe
    and of torchvision. Kernels of 0 say levels.
    """
    power = np.square(np.asarray(weight, np.float64)).reshape(len(weight), -1).sum(1)
    used = power > 0
    if not used.any():
        return "bgr_levels"
    ratio = np.median(np.asarray(variance, np.float64)[used] / power[used])
    return "rgb_unit" if ratio < _BETWEEN else "bgr_levels"


LAYOUTS = (
    Layout(
        "CSAILVision/semantic-segmentation-pytorch ResNet",
        "outdoor_backbone",
        OutdoorBackbone,
        _read,
        _entries,
        _constants,
        beside=CLASSIFIER,
    ),
)
