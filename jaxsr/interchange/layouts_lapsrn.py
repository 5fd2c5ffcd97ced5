"""Layouts of LapSRN, MS-LapSRN and IDN weight files.

A section without `scale` means that the tensors do not tell it: whoever imports the file must say it.
"""

from typing import Any

from jaxsr.interchange.detect import complete, kernel
from jaxsr.interchange.layout import (
    Arrays,
    Entry,
    Layout,
    Section,
    conv,
    hwio_entries,
    matconvnet_transposed_conv,
    same,
    transposed_conv,
)
from jaxsr.models.idn import IDN
from jaxsr.models.lapsrn import LapSRN, MSLapSRN


def _conv(name: str) -> list[Entry]:
    """A MatConvNet convolution: name_f (HWIO), name_b."""
    return hwio_entries(f"{name}_f", f"{name}_b", name)


def _enlargement(name: str) -> list[Entry]:
    """A MatConvNet transposed convolution with its bias: name_f (H,W,out,in), name_b."""
    return [*_image(name), Entry(f"{name}_b", f"params/{name}/bias", same())]


def _image(name: str) -> list[Entry]:
    """A MatConvNet transposed convolution without bias."""
    return [Entry(f"{name}_f", f"params/{name}/kernel", matconvnet_transposed_conv())]


def _lapsrn_entries(section: Section) -> list[Entry]:
    section = complete(LapSRN, section)
    levels = section["scale"].bit_length() - 1
    entries = _conv("input_conv")
    for level in (f"level{i}" for i in range(levels, 0, -1)):
        for i in range(1, section["depth"] + 1):
            entries += _conv(f"{level}_conv{i}")
        entries += _enlargement(f"{level}_upconv") + _conv(f"{level}_residual_conv")
    return entries + [e for i in range(levels, 0, -1) for e in _image(f"level{i}_img_up")]


def _lapsrn(arrays: Arrays) -> dict[str, Any] | None:
    first = kernel(arrays, "input_conv_f")
    levels = sum(name.endswith("_img_up_f") for name in arrays)
    depth = sum(name.startswith("level1_conv") and name.endswith("_f") for name in arrays)
    return {"scale": 2**levels, "depth": depth, "features": first[3], "channels": first[2]}


def _mslapsrn_entries(section: Section) -> list[Entry]:
    section = complete(MSLapSRN, section)
    entries = _conv("input_conv")
    for i in range(1, section["depth"] + 1):
        entries += _conv(f"conv{i}")
    return [*entries, *_enlargement("upconv"), *_image("img_up"), *_conv("residual_conv")]


def _mslapsrn(arrays: Arrays) -> dict[str, Any] | None:
    first = kernel(arrays, "input_conv_f")
    depth = sum(name.startswith("conv") and name.endswith("_f") for name in arrays)
    # neither the scale nor the recursions leave a trace: one set of weights serves them all
    return {"depth": depth, "features": first[3], "channels": first[2]}


def _idn_names() -> list[str]:
    """Caffe's layers in the order of the file; ours have the same names."""
    names = ["conv1", "conv2"]
    for block in range(1, 5):
        names += [f"conv{block + 2}_{i}" for i in range(1, 7)] + [f"down{block}"]
    return names


def _idn_entries(section: Section) -> list[Entry]:
    del section
    table = [(name, conv()) for name in _idn_names()] + [("upsample", transposed_conv())]
    return [
        entry
        for name, move in table
        for entry in (
            Entry(f"{name}.0", f"params/{name}/kernel", move),
            Entry(f"{name}.1", f"params/{name}/bias", same()),
        )
    ]


def _idn(arrays: Arrays) -> dict[str, Any] | None:
    first = kernel(arrays, "conv1.0")
    # the transposed convolution has the same shape at every stride
    return {"features": first[0], "channels": first[1]}


LAPSRN_MATCONVNET = Layout("phoenix104104/LapSRN", "lapsrn", LapSRN, _lapsrn, _lapsrn_entries)
MSLAPSRN_MATCONVNET = Layout(
    "phoenix104104/LapSRN MSLapSRN", "mslapsrn", MSLapSRN, _mslapsrn, _mslapsrn_entries
)
IDN_CAFFE = Layout("Zheng222/IDN-Caffe", "idn", IDN, _idn, _idn_entries)
LAYOUTS = (LAPSRN_MATCONVNET, MSLAPSRN_MATCONVNET, IDN_CAFFE)
