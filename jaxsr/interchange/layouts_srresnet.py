"""Weight layouts of the networks called SRResNet: early BasicSR's, leftthomas', twtygqyy's."""

from typing import Any

import numpy as np

from jaxsr.interchange.detect import complete, enlarges, full, kernel
from jaxsr.interchange.layout import (
    Arrays,
    Entry,
    Layout,
    Section,
    batch_counters,
    conv_chain,
    conv_entries,
    counted,
    norm_entries,
    same,
)
from jaxsr.models.blocks import shuffle_factors
from jaxsr.models.legacy_srresnet import LegacySRResNet
from jaxsr.models.srresnet import SRResNet
from jaxsr.types import UserError


def _legacy_entries(section: Section) -> list[Entry]:
    given = full(LegacySRResNet, section)
    blocks, last = given["blocks"], 2 + 3 * len(shuffle_factors(given["scale"]))
    pairs = [("model.0", "model_0")]
    pairs += [
        (f"model.1.sub.{i}.res.{j}", f"model_1/sub_{i}/res_{j}")
        for i in range(blocks)
        for j in (0, 2)
    ]
    pairs += [(f"model.1.sub.{blocks}", f"model_1/sub_{blocks}")]
    pairs += [(f"model.{k}", f"model_{k}") for k in [*range(2, last + 1, 3), last + 2]]
    return conv_chain(pairs)


def _legacy(arrays: Arrays) -> dict[str, Any] | None:
    features = kernel(arrays, "model.0.weight")[0]
    return {
        "features": features,
        "blocks": counted("model.1.sub.{}.res.0.weight", arrays),
        # the convolution behind the stages, with `features` outputs, ends the chain
        "scale": enlarges(arrays, "model.{}", features, start=2, step=3),
    }


_LEFT = "leftthomas/SRGAN Generator"
_LEFT_OPTIONS = dict(
    norm="batch", activation="prelu", bias="all", head_size=9, tail_size=9, output="tanh"
)


def _slope(theirs: str, ours: str) -> list[Entry]:
    return [Entry(f"{theirs}.weight", f"params/{ours}/slope", same())]


def _left_entries(section: Section) -> list[Entry]:
    given = complete(SRResNet, section, layout=_LEFT, **_LEFT_OPTIONS)
    blocks = given["blocks"]
    if given["scale"] == 3:
        raise UserError(f"{_LEFT} enlarges by 2, 4 or 8, not by 3: choose another layout.")
    made = conv_entries("block1.0", "conv_input") + _slope("block1.1", "act_input")
    for i in range(blocks):
        theirs, ours = f"block{i + 2}", f"residual_{i}"
        for j in (1, 2):
            made += conv_entries(f"{theirs}.conv{j}", f"{ours}_conv{j}")
            made += norm_entries(f"{theirs}.bn{j}", f"{ours}_norm{j}")
            made += _slope(f"{theirs}.prelu", f"{ours}_act") if j == 1 else []
    made += conv_entries(f"block{blocks + 2}.0", "conv_mid")
    made += norm_entries(f"block{blocks + 2}.1", "norm_mid")
    tail, count = f"block{blocks + 3}", len(shuffle_factors(given["scale"]))
    for i in range(count):
        made += conv_entries(f"{tail}.{i}.conv", f"up_{i}_conv")
        made += _slope(f"{tail}.{i}.prelu", f"up_{i}_act")
    return made + conv_entries(f"{tail}.{count}", "conv_output")


def _left_constants(section: Section) -> dict[str, np.ndarray]:
    return batch_counters(_left_entries(section))


def _left(arrays: Arrays) -> dict[str, Any] | None:
    if np.shape(arrays["block1.1.weight"]) != (1,):  # a slope per channel is another class's
        return None
    features = kernel(arrays, "block1.0.weight")[0]
    blocks = next(i for i in range(len(arrays) + 1) if f"block{i + 2}.conv1.weight" not in arrays)
    return {
        "features": features,
        "blocks": blocks,
        "scale": enlarges(arrays, f"block{blocks + 3}.{{}}.conv", features, start=0, step=1),
        **_LEFT_OPTIONS,
    }


_TWTY = "twtygqyy/pytorch-SRResNet _NetG"
_TWTY_OPTIONS = dict(
    scale=4, norm="instance", activation="lrelu", bias="none", head_size=9, tail_size=9,
    output="linear",
)  # fmt: skip


def _twty_entries(section: Section) -> list[Entry]:
    given = complete(SRResNet, section, layout=_TWTY, **_TWTY_OPTIONS)
    made = conv_entries("conv_input", "conv_input", bias=False)
    for i in range(given["blocks"]):
        for j in (1, 2):
            ours = f"residual_{i}"
            made += conv_entries(f"residual.{i}.conv{j}", f"{ours}_conv{j}", bias=False)
            made += _affine(f"residual.{i}.in{j}", f"{ours}_norm{j}")
    made += conv_entries("conv_mid", "conv_mid", bias=False) + _affine("bn_mid", "norm_mid")
    for i in (0, 1):
        made += conv_entries(f"upscale4x.{3 * i}", f"up_{i}_conv", bias=False)
    return made + conv_entries("conv_output", "conv_output", bias=False)


def _affine(theirs: str, ours: str) -> list[Entry]:
    """Scale and bias of an instance normalisation, which has no running statistics."""
    pairs = (("weight", "scale"), ("bias", "bias"))
    return [Entry(f"{theirs}.{a}", f"params/{ours}/{b}", same()) for a, b in pairs]


def _twty(arrays: Arrays) -> dict[str, Any] | None:
    return {
        "features": kernel(arrays, "conv_input.weight")[0],
        "blocks": counted("residual.{}.in1.weight", arrays),
        **_TWTY_OPTIONS,
    }


LAYOUTS = (
    Layout(
        "XPixelGroup/BasicSR@9fd09d4 SRResNet",
        "legacy_srresnet",
        LegacySRResNet,
        _legacy,
        _legacy_entries,
    ),
    Layout(_LEFT, "srresnet", SRResNet, _left, _left_entries, _left_constants),
    Layout(_TWTY, "srresnet", SRResNet, _twty, _twty_entries),
)
