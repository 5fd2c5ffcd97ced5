"""Layouts of SRCNN, FSRCNN and ESPCN weight files.

A section without `scale` means that the tensors do not tell it: whoever imports the file must say it.
"""

import math
from typing import Any

from jaxsr.interchange.detect import complete, kernel
from jaxsr.interchange.layout import (
    Arrays,
    Entry,
    Layout,
    Move,
    Section,
    conv_chain,
    conv_entries,
    counted,
    hwio_entries,
    same,
    transposed_conv,
)
from jaxsr.models.espcn import ESPCN
from jaxsr.models.fsrcnn import FSRCNN
from jaxsr.models.srcnn import SRCNN


def _srcnn_torch_entries(section: Section) -> list[Entry]:
    complete(SRCNN, section, border="zero")
    return conv_chain((f"conv{i}", f"conv{i}") for i in (1, 2, 3))


def _srcnn_torch(arrays: Arrays) -> dict[str, Any] | None:
    shapes = [kernel(arrays, f"conv{i}.weight") for i in (1, 2, 3)]
    if shapes[0][2] < 9:  # leftthomas/ESPCN has the same names, and starts with 5x5
        return None
    return {
        "kernels": tuple(shape[2] for shape in shapes),
        "features": tuple(shape[0] for shape in shapes[:2]),
        "channels": shapes[0][1],
        "border": "zero",
    }


def _srcnn_hwio_entries(section: Section) -> list[Entry]:
    complete(SRCNN, section, border="edge")
    names = [f"conv{i}" for i in (1, 2, 3)]
    return [e for n in names for e in hwio_entries(f"{n}/kernel", f"{n}/bias", n)]


def _srcnn_hwio(arrays: Arrays) -> dict[str, Any] | None:
    shapes = [kernel(arrays, f"conv{i}/kernel") for i in (1, 2, 3)]
    return {
        "kernels": tuple(shape[0] for shape in shapes),
        "features": tuple(shape[3] for shape in shapes[:2]),
        "channels": shapes[0][2],
        "border": "edge",  # the authors' demo repeats the edge before every convolution
    }


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
    first, middle, last = (arrays[f"weights_conv{i}"].shape for i in (1, 2, 3))
    return {
        "kernels": tuple(math.isqrt(area) for area in (first[0], middle[1], last[1])),
        "features": (first[1], middle[2]),
        "channels": 1,
        "border": "edge",
    }


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
    first = kernel(arrays, "first_part.0.weight")
    layers = counted("mid_part.{}.weight", arrays)  # convolutions and slopes
    return {
        "features": first[0],
        "shrink": kernel(arrays, "mid_part.0.weight")[0],
        "depth": layers // 2 - 2,
        "channels": first[1],
        "tail": "deconv",  # any stride has these shapes
    }


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
    first, shrink, last = (kernel(arrays, name) for name in ("f1", "f2", f"f{slopes + 1}"))
    return {
        "scale": math.isqrt(last[3]),
        "features": first[3],
        "shrink": shrink[3],
        "depth": slopes - 3,
        "channels": 1,
        "tail": "shuffle",
    }


def _espcn_torch(name: str, variant: str, *stems: str) -> Layout:
    """A PyTorch ESPCN whose convolutions are the modules `stems`."""

    def read(arrays: Arrays) -> dict[str, Any] | None:
        first, last = (kernel(arrays, f"{stems[i]}.weight") for i in (0, -1))
        return {
            "scale": math.isqrt(last[0] // first[1]),
            "variant": variant,
            "channels": first[1],
        }

    def entries(section: Section) -> list[Entry]:
        complete(ESPCN, section, variant=variant)
        return conv_chain((stem, f"conv{i}") for i, stem in enumerate(stems, start=1))

    return Layout(name, "espcn", ESPCN, read, entries)


def _espcn_tensorflow_entries(section: Section) -> list[Entry]:
    # one channel: depth-to-space and PyTorch's shuffle order its maps alike
    complete(ESPCN, section, variant="tensorflow", channels=1)
    return [entry for i in (1, 2, 3) for entry in hwio_entries(f"f{i}", f"b{i}", f"conv{i}")]


def _espcn_tensorflow(arrays: Arrays) -> dict[str, Any] | None:
    scale = math.isqrt(kernel(arrays, "f3")[3])
    return {"scale": scale, "variant": "tensorflow", "channels": 1}


SRCNN_PYTORCH = Layout(
    "yjn870/SRCNN-pytorch SRCNN", "srcnn", SRCNN, _srcnn_torch, _srcnn_torch_entries
)
SRCNN_HWIO = Layout(
    "SRCNN with kernels HWIO (conv1/kernel)", "srcnn", SRCNN, _srcnn_hwio, _srcnn_hwio_entries
)
SRCNN_MATLAB = Layout(
    "SRCNN of the authors' MATLAB demo", "srcnn", SRCNN, _srcnn_matlab, _srcnn_matlab_entries
)
FSRCNN_PYTORCH = Layout(
    "yjn870/FSRCNN-pytorch FSRCNN", "fsrcnn", FSRCNN, _fsrcnn_torch, _fsrcnn_torch_entries
)
FSRCNN_TENSORFLOW = Layout(
    "Saafke/FSRCNN_Tensorflow frozen graph",
    "fsrcnn",
    FSRCNN,
    _fsrcnn_tensorflow,
    _fsrcnn_tensorflow_entries,
)
ESPCN_PYTORCH = _espcn_torch(
    "yjn870/ESPCN-pytorch ESPCN", "paper", "first_part.0", "first_part.2", "last_part.0"
)
# A later revision of these four layers has ReLU and a linear output: no tensor tells them apart
ESPCN_SEED = _espcn_torch("leftthomas/ESPCN Net", "seed", "conv1", "conv2", "conv3", "conv4")
ESPCN_SIGMOID = _espcn_torch(
    "leftthomas/ESPCN Net of three layers", "paper_sigmoid", "conv1", "conv2", "conv3"
)
ESPCN_TENSORFLOW = Layout(
    "fannymonori/TF-ESPCN frozen graph",
    "espcn",
    ESPCN,
    _espcn_tensorflow,
    _espcn_tensorflow_entries,
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
