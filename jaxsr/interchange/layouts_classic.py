"""Layouts of SRCNN, FSRCNN and ESPCN weight files.

A `detect` here reads the hyper-parameters off a few shapes and leaves the proof to `fitted`. A
section without `scale` means that the tensors do not tell it: whoever imports the file must say it.
"""

import math
from typing import Any

from jaxsr.interchange.fitting import complete, fitted, hwio_entries, kernel_shape
from jaxsr.interchange.layout import (
    Arrays,
    Entry,
    Layout,
    Move,
    Section,
    conv_entries,
    counted,
    no_constants,
    same,
    transposed_conv,
)
from jaxsr.models.espcn import ESPCN
from jaxsr.models.fsrcnn import FSRCNN
from jaxsr.models.srcnn import SRCNN


def _srcnn_torch_entries(section: Section) -> list[Entry]:
    complete(SRCNN, section, border="zero")
    return [entry for i in (1, 2, 3) for entry in conv_entries(f"conv{i}", f"conv{i}")]


def _srcnn_torch(arrays: Arrays) -> dict[str, Any] | None:
    shapes = [kernel_shape(arrays, f"conv{i}.weight") for i in (1, 2, 3)]
    if None in shapes:
        return None
    section = {
        "kernels": tuple(shape[2] for shape in shapes),
        "features": tuple(shape[0] for shape in shapes[:2]),
        "channels": shapes[0][1],
        "border": "zero",
    }
    if section["kernels"][0] < 9:  # leftthomas/ESPCN has the same names, and starts with 5x5
        return None
    return fitted(arrays, section, SRCNN, _srcnn_torch_entries)


def _srcnn_staged_entries(section: Section) -> list[Entry]:
    complete(SRCNN, section, border="edge")
    names = [f"conv{i}" for i in (1, 2, 3)]
    return [e for n in names for e in hwio_entries(f"{n}/kernel", f"{n}/bias", n)]


def _srcnn_staged(arrays: Arrays) -> dict[str, Any] | None:
    shapes = [kernel_shape(arrays, f"conv{i}/kernel") for i in (1, 2, 3)]
    if None in shapes:
        return None
    section = {
        "kernels": tuple(shape[0] for shape in shapes),
        "features": tuple(shape[3] for shape in shapes[:2]),
        "channels": shapes[0][2],
        "border": "edge",  # the authors' demo repeats the edge before every convolution
    }
    return fitted(arrays, section, SRCNN, _srcnn_staged_entries)


def _matlab_first(size: int) -> Move:
    """(k², O), each column a k x k kernel in column-major order <-> (k,k,1,O)."""
    return Move(
        lambda a: a.reshape(size, size, 1, -1, order="F"),
        lambda a: a.reshape(size * size, -1, order="F"),
    )


def _matlab_middle(size: int) -> Move:
    """(I, k², O) <-> (k,k,I,O), column-major."""
    return Move(
        lambda a: a.reshape(len(a), size, size, -1, order="F").transpose(1, 2, 0, 3),
        lambda a: a.transpose(2, 0, 1, 3).reshape(a.shape[2], size * size, -1, order="F"),
    )


def _matlab_last(size: int) -> Move:
    """(I, k²) <-> (k,k,I,1), column-major."""
    return Move(
        lambda a: a.reshape(len(a), size, size, 1, order="F").transpose(1, 2, 0, 3),
        lambda a: a.transpose(2, 0, 1, 3).reshape(a.shape[2], size * size, order="F"),
    )


def _column() -> Move:
    """(O,1) <-> (O)."""
    return Move(lambda a: a.reshape(-1), lambda a: a.reshape(-1, 1))


def _srcnn_matlab_entries(section: Section) -> list[Entry]:
    section = complete(SRCNN, section, border="edge", channels=1)
    moves = (_matlab_first, _matlab_middle, _matlab_last)
    return [
        entry
        for i, (move, size) in enumerate(zip(moves, section["kernels"], strict=True), start=1)
        for entry in (
            Entry(f"weights_conv{i}", f"params/conv{i}/kernel", move(size)),
            Entry(f"biases_conv{i}", f"params/conv{i}/bias", _column()),
        )
    ]


def _srcnn_matlab(arrays: Arrays) -> dict[str, Any] | None:
    held = [arrays.get(f"weights_conv{i}") for i in (1, 2, 3)]
    if [None if a is None else a.ndim for a in held] != [2, 3, 2]:
        return None
    first, middle, last = (a.shape for a in held)
    section = {
        "kernels": tuple(math.isqrt(area) for area in (first[0], middle[1], last[1])),
        "features": (first[1], middle[2]),
        "channels": 1,
        "border": "edge",
    }
    return fitted(arrays, section, SRCNN, _srcnn_matlab_entries)


def _fsrcnn_torch_entries(section: Section) -> list[Entry]:
    depth = complete(FSRCNN, section, tail="deconv")["depth"]
    layers = [("first_part.0", "first_part.1", "first_part")]
    ours = ["shrink", *(f"map_{i}" for i in range(depth)), "expand"]
    layers += [(f"mid_part.{2 * i}", f"mid_part.{2 * i + 1}", name) for i, name in enumerate(ours)]
    entries = []
    for theirs, act, name in layers:
        entries += conv_entries(theirs, name)
        entries.append(Entry(f"{act}.weight", f"params/{name}_act/slope", same()))
    return [
        *entries,
        Entry("last_part.weight", "params/last_part/kernel", transposed_conv()),
        Entry("last_part.bias", "params/last_part/bias", same()),
    ]


def _fsrcnn_torch(arrays: Arrays) -> dict[str, Any] | None:
    first = kernel_shape(arrays, "first_part.0.weight")
    middle = kernel_shape(arrays, "mid_part.0.weight")
    layers = counted("mid_part.{}.weight", arrays)  # convolutions and slopes
    if first is None or middle is None or layers < 4 or layers % 2:
        return None
    section = {
        "features": first[0],
        "shrink": middle[0],
        "depth": layers // 2 - 2,
        "channels": first[1],
        "tail": "deconv",  # any stride has these shapes
    }
    return fitted(arrays, section, FSRCNN, _fsrcnn_torch_entries)


def _fsrcnn_tensorflow_entries(section: Section) -> list[Entry]:
    depth = complete(FSRCNN, section, tail="shuffle", channels=1)["depth"]
    ours = ["first_part", "shrink", *(f"map_{i}" for i in range(depth)), "expand"]
    entries = []
    for i, name in enumerate(ours, start=1):
        entries += hwio_entries(f"f{i}", f"b{i}", name)
        # relu(x) + alpha·(x - |x|)/2: alpha is the slope
        entries.append(Entry(f"alpha{i}", f"params/{name}_act/slope", same()))
    last = len(ours) + 1
    # one channel: depth-to-space and PyTorch's shuffle order its maps alike
    return [
        *entries,
        Entry(f"f{last}", "params/last_part/conv/kernel", same()),
        Entry(f"b{last}", "params/last_part/bias", same()),
    ]


def _fsrcnn_tensorflow(arrays: Arrays) -> dict[str, Any] | None:
    slopes = sum(name.startswith("alpha") for name in arrays)
    names = ("f1", "f2", f"f{slopes + 1}")
    first, shrink, last = (kernel_shape(arrays, name) for name in names)
    if slopes < 3 or None in (first, shrink, last) or first[2] != 1:
        return None
    section = {
        "scale": math.isqrt(last[3]),
        "features": first[3],
        "shrink": shrink[3],
        "depth": slopes - 3,
        "channels": 1,
        "tail": "shuffle",
    }
    return fitted(arrays, section, FSRCNN, _fsrcnn_tensorflow_entries)


_ESPCN_TENSORFLOW = tuple((f"f{i}", f"b{i}") for i in (1, 2, 3))


def _espcn_torch_entries(section: Section, stems: tuple[str, ...], variant: str) -> list[Entry]:
    complete(ESPCN, section, variant=variant)
    return [e for i, stem in enumerate(stems, start=1) for e in conv_entries(stem, f"conv{i}")]


def _espcn_torch(arrays: Arrays, stems: tuple[str, ...], variant: str) -> dict[str, Any] | None:
    first, last = (kernel_shape(arrays, f"{stems[i]}.weight") for i in (0, -1))
    if first is None or last is None or not 1 <= first[1] <= last[0]:
        return None
    section = {
        "scale": math.isqrt(last[0] // first[1]),
        "variant": variant,
        "channels": first[1],
    }
    entries = lambda s: _espcn_torch_entries(s, stems, variant)
    return fitted(arrays, section, ESPCN, entries)


def _espcn_layout(name: str, variant: str, *stems: str) -> Layout:
    """A PyTorch ESPCN whose convolutions are the modules `stems`."""
    return Layout(
        name=name,
        network="espcn",
        detect=lambda arrays: _espcn_torch(arrays, stems, variant),
        entries=lambda section: _espcn_torch_entries(section, stems, variant),
        constants=no_constants,
    )


def _espcn_tensorflow_entries(section: Section) -> list[Entry]:
    # one channel: depth-to-space and PyTorch's shuffle order its maps alike
    complete(ESPCN, section, variant="tensorflow", channels=1)
    return [
        entry
        for i, (kernel, bias) in enumerate(_ESPCN_TENSORFLOW, start=1)
        for entry in hwio_entries(kernel, bias, f"conv{i}")
    ]


def _espcn_tensorflow(arrays: Arrays) -> dict[str, Any] | None:
    last = kernel_shape(arrays, "f3")
    if last is None:
        return None
    section = {"scale": math.isqrt(last[3]), "variant": "tensorflow", "channels": 1}
    return fitted(arrays, section, ESPCN, _espcn_tensorflow_entries)


SRCNN_PYTORCH = Layout(
    name="yjn870/SRCNN-pytorch SRCNN",
    network="srcnn",
    detect=_srcnn_torch,
    entries=_srcnn_torch_entries,
    constants=no_constants,
)
SRCNN_HWIO = Layout(
    name="SRCNN with kernels HWIO (conv1/kernel)",
    network="srcnn",
    detect=_srcnn_staged,
    entries=_srcnn_staged_entries,
    constants=no_constants,
)
SRCNN_MATLAB = Layout(
    name="SRCNN of the authors' MATLAB demo",
    network="srcnn",
    detect=_srcnn_matlab,
    entries=_srcnn_matlab_entries,
    constants=no_constants,
)
FSRCNN_PYTORCH = Layout(
    name="yjn870/FSRCNN-pytorch FSRCNN",
    network="fsrcnn",
    detect=_fsrcnn_torch,
    entries=_fsrcnn_torch_entries,
    constants=no_constants,
)
FSRCNN_TENSORFLOW = Layout(
    name="Saafke/FSRCNN_Tensorflow frozen graph",
    network="fsrcnn",
    detect=_fsrcnn_tensorflow,
    entries=_fsrcnn_tensorflow_entries,
    constants=no_constants,
)
ESPCN_PYTORCH = _espcn_layout(
    "yjn870/ESPCN-pytorch ESPCN", "paper", "first_part.0", "first_part.2", "last_part.0"
)
# A later revision of these four layers has ReLU and a linear output: no tensor tells them apart
ESPCN_SEED = _espcn_layout("leftthomas/ESPCN Net", "seed", "conv1", "conv2", "conv3", "conv4")
ESPCN_SIGMOID = _espcn_layout(
    "leftthomas/ESPCN Net of three layers", "paper_sigmoid", "conv1", "conv2", "conv3"
)
ESPCN_TENSORFLOW = Layout(
    name="fannymonori/TF-ESPCN frozen graph",
    network="espcn",
    detect=_espcn_tensorflow,
    entries=_espcn_tensorflow_entries,
    constants=no_constants,
)
LAYOUTS = (
    SRCNN_PYTORCH,
    SRCNN_HWIO,
    SRCNN_MATLAB,
    FSRCNN_PYTORCH,
    FSRCNN_TENSORFLOW,
    ESPCN_PYTORCH,
    ESPCN_SEED,
    ESPCN_SIGMOID,
    ESPCN_TENSORFLOW,
)
