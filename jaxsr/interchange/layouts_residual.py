"""Weight layouts of the residual networks without normalisation: MSRResNet, RRDBNet, EDSR, CARN."""

from typing import Any

import numpy as np

from jaxsr.interchange.detect import complete, enlarges, full, kernel
from jaxsr.interchange.layout import Arrays, Entry, Layout, Section, conv_chain, counted
from jaxsr.models.blocks import shuffle_factors
from jaxsr.models.carn import CARN
from jaxsr.models.edsr import EDSR, MEAN
from jaxsr.models.msrresnet import MSRResNet
from jaxsr.models.rrdbnet import RRDBNet
from jaxsr.types import UserError


def _msrresnet_entries(section: Section) -> list[Entry]:
    given = full(MSRResNet, section)
    names = ["conv_first"]
    names += [f"body.{i}.conv{j}" for i in range(given["blocks"]) for j in (1, 2)]
    names += [f"upconv{i}" for i, _ in enumerate(shuffle_factors(given["scale"]), start=1)]
    return conv_chain((name, name.replace(".", "_")) for name in [*names, "conv_hr", "conv_last"])


def _msrresnet(arrays: Arrays) -> dict[str, Any] | None:
    features = kernel(arrays, "conv_first.weight")[0]
    return {
        "features": features,
        "blocks": counted("body.{}.conv1.weight", arrays),
        "scale": enlarges(arrays, "upconv{}", features, start=1, step=1),
    }


_RRDB_NAMES = {
    "new": "conv_first body.{i}.rdb{j}.conv{k} conv_body conv_up1 conv_up2 conv_hr conv_last",
    "esrgan": "conv_first RRDB_trunk.{i}.RDB{j}.conv{k} trunk_conv upconv1 upconv2 HRconv "
    "conv_last",
    "old": "model.0 model.1.sub.{i}.RDB{j}.conv{k}.0 model.1.sub.{n} model.3 model.6 model.8 "
    "model.10",
}


def _rrdbnet(kind: str, name: str) -> Layout:
    """RRDBNet under the names of `kind`; only the new class has the scales 1 and 2."""
    first, block, *ends = _RRDB_NAMES[kind].split()
    scales = {3: 4, 12: 2, 48: 1} if kind == "new" else {3: 4}

    def entries(section: Section) -> list[Entry]:
        fixed = {} if kind == "new" else {"scale": 4}
        given = complete(RRDBNet, section, layout=name, **fixed)
        pairs = [(first, "conv_first")]
        pairs += [
            (block.format(i=i, j=j, k=k), f"body_{i}/rdb{j}/conv{k}")
            for i in range(given["blocks"])
            for j in (1, 2, 3)
            for k in (1, 2, 3, 4, 5)
        ]
        ours = ("conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
        pairs += [(end.format(n=given["blocks"]), to) for end, to in zip(ends, ours, strict=True)]
        return conv_chain(pairs)

    def read(arrays: Arrays) -> dict[str, Any] | None:
        features, inputs, *_ = kernel(arrays, f"{first}.weight")
        grown = block.format(i="{}", j=1, k=1) + ".weight"
        return {
            "features": features,
            "blocks": counted(grown, arrays),
            "growth": kernel(arrays, grown.format(0))[0],
            "scale": scales[inputs],
        }

    return Layout(name, "rrdbnet", RRDBNet, read, entries)


_EDSR_NAMES = {  # head, the two of block {}, trunk end behind {} blocks, up, tail
    "basicsr": "conv_first body.{}.conv1 body.{}.conv2 conv_after_body upsample.{} conv_last",
    "sanghyun": "head.0 body.{}.body.0 body.{}.body.2 body.{} tail.0.{} tail.1",
}


def _edsr(kind: str, name: str) -> Layout:
    """EDSR under the names of `kind`; sanghyun-son's state also holds the two mean shifts."""
    head, first, second, trunk, up, tail = _EDSR_NAMES[kind].split()

    def entries(section: Section) -> list[Entry]:
        given = full(EDSR, section)
        pairs = [(head, "conv_first")]
        for i in range(given["blocks"]):
            pairs += [(first.format(i), f"body_{i}_conv1"), (second.format(i), f"body_{i}_conv2")]
        pairs += [(trunk.format(given["blocks"]), "conv_after_body")]
        pairs += [
            (up.format(2 * i), f"upsample_{i}")
            for i, _ in enumerate(shuffle_factors(given["scale"]))
        ]
        return conv_chain([*pairs, (tail, "conv_last")])

    def constants(section: Section) -> dict[str, np.ndarray]:
        if kind == "basicsr":
            return {}
        return _shifts("{}_mean", np.float32(full(EDSR, section)["rgb_range"]))

    def read(arrays: Arrays) -> dict[str, Any] | None:
        features = kernel(arrays, f"{head}.weight")[0]
        blocks = counted(f"{first}.weight", arrays)
        return {
            "features": features,
            "blocks": blocks,
            "scale": enlarges(arrays, up, features, start=0, step=2),
            # the scale of the residuals is in no tensor: the paper's large network has 0.1
            "residual_scale": 0.1 if (features, blocks) == (256, 32) else 1.0,
            "rgb_range": 255.0 if kind == "basicsr" else _rgb_range(arrays),
        }

    return Layout(name, "edsr", EDSR, read, entries, constants)


def _shifts(pattern: str, levels: np.float32) -> dict[str, np.ndarray]:
    """The 1x1 convolutions that take DIV2K's mean away and add it, on levels 0..`levels`."""
    mean, eye = levels * np.asarray(MEAN, np.float32), np.eye(3, dtype=np.float32)
    return {
        f"{pattern.format(name)}.{leaf}": value
        for name, bias in (("sub", -mean), ("add", mean))
        for leaf, value in (("weight", eye.reshape(3, 3, 1, 1)), ("bias", bias))
    }


def _rgb_range(arrays: Arrays) -> float:
    """What multiplies DIV2K's mean in the shift, 255 where there is none; ValueError for another mean."""
    if "sub_mean.bias" not in arrays:
        return 255.0
    mean, shift = np.asarray(MEAN), -np.asarray(arrays["sub_mean.bias"], np.float64)
    if shift.shape != mean.shape:
        raise ValueError("a mean of another number of channels")
    # float16 keeps three digits of the shift, bfloat16 two, and the range is a whole number
    levels = float(np.round((shift / mean).mean()))
    if levels <= 0 or not np.allclose(shift, levels * mean, rtol=1e-2, atol=0):
        raise ValueError("a mean that is not DIV2K's")
    return levels


_CARN = "nmhkahn/CARN-pytorch Net"
_MULTI = (2, 3, 4)


def _carn_entries(section: Section) -> list[Entry]:
    given = full(CARN, section)
    scales = tuple(given["scales"])
    if scales not in ((), _MULTI):
        raise UserError(f"{_CARN} has one scale, or the three 2, 3 and 4, not {scales}.")
    if given["groups"] != 1 and not given["shared"]:
        raise UserError(f"{_CARN} has groups only in CARN-M, whose units are shared.")
    units = ("b1",) if given["shared"] else ("b1", "b2", "b3")
    layers = (0, 2, 4) if given["shared"] else (0, 2)
    names = ["entry"]
    for i in (1, 2, 3):
        names += [f"b{i}.{unit}.body.{k}" for unit in units for k in layers]
        names += [f"b{i}.c{j}.body.0" for j in (1, 2, 3)]
    names += [f"c{j}.body.0" for j in (1, 2, 3)]
    pairs = [(name, _carn_name(name)) for name in names]
    for scale in scales or (given["scale"],):
        head = f"upsample.up{scale if scales else ''}.body"
        pairs += [
            (f"{head}.{3 * i}", f"up{scale}_{i}") for i, _ in enumerate(shuffle_factors(scale))
        ]
    return conv_chain([*pairs, ("exit", "exit")])


def _carn_name(theirs: str) -> str:
    """b1.b2.body.0 is b1/b2/body_0, and b1.c2.body.0 is b1/c2."""
    path, _, layer = theirs.partition(".body.")
    path = path.replace(".", "/")
    return path if not layer or path.split("/")[-1][0] == "c" else f"{path}/body_{layer}"


def _carn_constants(section: Section) -> dict[str, np.ndarray]:
    del section
    return _shifts("{}_mean.shifter", np.float32(1))


def _carn(arrays: Arrays) -> dict[str, Any] | None:
    """One upsampler is of its scale; of three the section names all, and the user picks one."""
    features = kernel(arrays, "entry.weight")[0]
    section = {
        "features": features,
        "groups": features // kernel(arrays, "b1.b1.body.0.weight")[1],
        "shared": "b1.b1.body.4.weight" in arrays,
    }
    if "upsample.up2.body.0.weight" in arrays:
        section["scales"] = _MULTI
    else:
        section["scale"] = enlarges(arrays, "upsample.up.body.{}", features, start=0, step=3)
    return section


LAYOUTS = (
    Layout("XPixelGroup/BasicSR MSRResNet", "msrresnet", MSRResNet, _msrresnet, _msrresnet_entries),
    _rrdbnet("new", "XPixelGroup/BasicSR RRDBNet"),
    _rrdbnet("esrgan", "xinntao/ESRGAN RRDBNet"),
    _rrdbnet("old", "XPixelGroup/BasicSR@9fd09d4 RRDBNet"),
    _edsr("basicsr", "XPixelGroup/BasicSR EDSR"),
    _edsr("sanghyun", "sanghyun-son/EDSR-PyTorch EDSR"),
    Layout(_CARN, "carn", CARN, _carn, _carn_entries, _carn_constants),
)
