"""Layouts of VDSR and DnCNN weight files.

A section without `scale` means that the tensors do not tell it: whoever imports the file must say it.
"""

from typing import Any

import numpy as np

from jaxsr.interchange.detect import complete, kernel
from jaxsr.interchange.layout import (
    Arrays,
    Entry,
    Layout,
    Section,
    batch_counters,
    conv_entries,
    counted,
    hwio_entries,
    norm_entries,
)
from jaxsr.models.dncnn import DnCNN
from jaxsr.models.vdsr import VDSR


def _vdsr_torch_entries(section: Section) -> list[Entry]:
    section = complete(VDSR, section)
    bias = section["bias"]
    entries = conv_entries("input", "input", bias=bias)
    for i in range(section["depth"] - 2):
        entries += conv_entries(f"residual_layer.{i}.conv", f"residual_layer_{i}", bias=bias)
    return entries + conv_entries("output", "output", bias=bias)


def _vdsr_torch(arrays: Arrays) -> dict[str, Any] | None:
    first = kernel(arrays, "input.weight")
    return {
        "depth": counted("residual_layer.{}.conv.weight", arrays) + 2,
        "features": first[0],
        "channels": first[1],
        "bias": "input.bias" in arrays,
    }


def _vdsr_hwio_entries(section: Section) -> list[Entry]:
    section = complete(VDSR, section, bias=True)
    hidden = [f"residual_layer_{i}" for i in range(section["depth"] - 2)]
    ours = ["input", *hidden, "output"]
    return [
        entry
        for i, name in enumerate(ours)
        for entry in hwio_entries(f"conv{i}/kernel", f"conv{i}/bias", name)
    ]


def _vdsr_hwio(arrays: Arrays) -> dict[str, Any] | None:
    first, depth = kernel(arrays, "conv0/kernel"), counted("conv{}/kernel", arrays)
    return {"depth": depth, "features": first[3], "channels": first[2], "bias": True}


def _places(section: Section) -> list[int]:
    """Places of the convolutions in a flat list [conv, ReLU, conv, (BN,) ReLU, ..., conv]."""
    step = 3 if section["batch_norm"] else 2
    return [0, *(2 + step * i for i in range(section["depth"] - 1))]


def _dncnn_layout(name: str, prefix: str, *, batch_norm: bool, bias: str) -> Layout:
    """A PyTorch DnCNN whose layers are the sequence `prefix`; `bias` as in models.dncnn."""

    def entries(section: Section) -> list[Entry]:
        required = dict(batch_norm=batch_norm, bias=bias, residual=True)
        places = _places(complete(DnCNN, section, **required))
        table = []
        for i, place in enumerate(places):
            table += conv_entries(f"{prefix}.{place}", f"conv_{i}", bias=bias == "all" or i == 0)
            if batch_norm and 0 < i < len(places) - 1:
                table += norm_entries(f"{prefix}.{place + 1}", f"norm_{i}")
        return table

    def constants(section: Section) -> dict[str, np.ndarray]:
        return batch_counters(entries(section))

    def read(arrays: Arrays) -> dict[str, Any] | None:
        first = kernel(arrays, f"{prefix}.0.weight")
        depth = sum(array.ndim == 4 for array in arrays.values())
        # IRCNN has the names and shapes of seven merged layers, and dilations no tensor shows
        if depth == 7 and not batch_norm:
            return None
        section = {"depth": depth, "features": first[0], "channels": first[1]}
        return section | {"batch_norm": batch_norm, "bias": bias}

    return Layout(name, "dncnn", DnCNN, read, entries, constants)


def _dncnn_hwio_entries(section: Section) -> list[Entry]:
    section = complete(DnCNN, section, batch_norm=False, bias="all", residual=True)
    # only the even places of MatConvNet's list have weights, the odd ones are ReLUs
    names = [f"layer{2 * i:02}" for i in range(section["depth"])]
    return [
        entry
        for i, name in enumerate(names)
        for entry in hwio_entries(f"{name}/kernel", f"{name}/bias", f"conv_{i}")
    ]


def _dncnn_hwio(arrays: Arrays) -> dict[str, Any] | None:
    first, depth = kernel(arrays, "layer00/kernel"), len(arrays) // 2
    if depth == 7:  # IRCNN, see above
        return None
    section = {"depth": depth, "features": first[3], "channels": first[2]}
    return section | {"batch_norm": False, "bias": "all"}


VDSR_PYTORCH = Layout("twtygqyy/pytorch-vdsr Net", "vdsr", VDSR, _vdsr_torch, _vdsr_torch_entries)
VDSR_HWIO = Layout(
    "huangzehao/caffe-vdsr (conv0/kernel)", "vdsr", VDSR, _vdsr_hwio, _vdsr_hwio_entries
)
DNCNN_KAIR = _dncnn_layout("cszn/KAIR DnCNN merged", "model", batch_norm=False, bias="all")
DNCNN_KAIR_NORM = _dncnn_layout("cszn/KAIR DnCNN", "model", batch_norm=True, bias="all")
DNCNN_PYTORCH = _dncnn_layout("cszn/DnCNN PyTorch DnCNN", "dncnn", batch_norm=True, bias="first")
DNCNN_MATCONVNET = Layout(
    "cszn/DnCNN MatConvNet (layer00/kernel)", "dncnn", DnCNN, _dncnn_hwio, _dncnn_hwio_entries
)
LAYOUTS = (
    VDSR_PYTORCH,
    VDSR_HWIO,
    DNCNN_KAIR,
    DNCNN_KAIR_NORM,
    DNCNN_PYTORCH,
    DNCNN_MATCONVNET,
)
