"""Layouts of LapSRN, MS-LapSRN and IDN weight files.

A `detect` here reads the hyper-parameters off a few shapes and leaves the proof to `fitted`. A
section without `scale` means that the tensors do not tell it: whoever imports the file must say it.
"""

from typing import Any

from jaxsr.interchange.fitting import complete, fitted, hwio_entries, kernel_shape
from jaxsr.interchange.layout import (
    Arrays,
    Entry,
    Layout,
    Section,
    conv,
    matconvnet_transposed_conv,
    no_constants,
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
    first = kernel_shape(arrays, "input_conv_f")
    levels = sum(name.endswith("_img_up_f") for name in arrays)
    if first is None or levels not in (1, 2, 3):
        return None
    depth = sum(name.startswith("level1_conv") and name.endswith("_f") for name in arrays)
    section = {"scale": 2**levels, "depth": depth, "features": first[3], "channels": first[2]}
    return fitted(arrays, section, LapSRN, _lapsrn_entries)


def _mslapsrn_entries(section: Section) -> list[Entry]:
    section = complete(MSLapSRN, section)
    entries = _conv("input_conv")
    for i in range(1, section["depth"] + 1):
        entries += _conv(f"conv{i}")
    return [*entries, *_enlargement("upconv"), *_image("img_up"), *_conv("residual_conv")]


def _mslapsrn(arrays: Arrays) -> dict[str, Any] | None:
    first = kernel_shape(arrays, "input_conv_f")
    if first is None or "upconv_f" not in arrays:
        return None
    depth = sum(name.startswith("conv") and name.endswith("_f") for name in arrays)
    # neither the scale nor the recursions leave a trace: one set of weights serves them all
    section = {"depth": depth, "features": first[3], "channels": first[2]}
    return fitted(arrays, section, MSLapSRN, _mslapsrn_entries)


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
    first = kernel_shape(arrays, "conv1.0")
    if first is None or first[0] % 16:
        return None
    # the transposed convolution has the same shape at every stride
    section = {"features": first[0], "channels": first[1]}
    return fitted(arrays, section, IDN, _idn_entries)


LAPSRN_MATCONVNET = Layout(
    name="phoenix104104/LapSRN",
    network="lapsrn",
    detect=_lapsrn,
    entries=_lapsrn_entries,
    constants=no_constants,
)
MSLAPSRN_MATCONVNET = Layout(
    name="phoenix104104/LapSRN MSLapSRN",
    network="mslapsrn",
    detect=_mslapsrn,
    entries=_mslapsrn_entries,
    constants=no_constants,
)
IDN_CAFFE = Layout(
    name="Zheng222/IDN-Caffe",
    network="idn",
    detect=_idn,
    entries=_idn_entries,
    constants=no_constants,
)
LAYOUTS = (LAPSRN_MATCONVNET, MSLAPSRN_MATCONVNET, IDN_CAFFE)
