"""Weight files of PyTorch written without PyTorch."""

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxsr.disk import in_one_move
from jaxsr.interchange.torch_pickle import STORAGES
from jaxsr.types import UserError


def write_torch(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a state_dict as `torch.save` does (zip format), without PyTorch.

    `torch.load(path, weights_only=True)` gives an OrderedDict in the order of `arrays`. The same
    arrays give the same bytes.
    Raises UserError where an array has a type that PyTorch has not, or the file cannot be written.
    Source: the format of torch/serialization.py, PyTorch 1.6 and later.
    """
    kinds = {np.dtype(dtype): name for name, dtype in STORAGES.items() if name[0] != "U"}
    body = [b"\x80\x02", _global("collections", "OrderedDict"), b")R("]
    for index, (name, array) in enumerate(arrays.items()):
        if array.dtype not in kinds:
            raise UserError(f"{name} is {array.dtype}, which a PyTorch file cannot hold.")
        steps = np.cumprod((1, *array.shape[:0:-1]))[::-1] if array.ndim else ()
        body += [
            _text(name), _global("torch._utils", "_rebuild_tensor_v2"), b"((", _text("storage"),
            _global("torch", kinds[array.dtype]), _text(str(index)), _text("cpu"),
            _number(array.size), b"tQ", _number(0), _numbers(array.shape), _numbers(steps), b"\x89",
            _global("collections", "OrderedDict"), b")RtR",
        ]  # fmt: skip
    body.append(b"u.")
    try:
        with in_one_move(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as held:
            for name, content in (
                ("data.pkl", b"".join(body)), ("byteorder", b"little")
            ):  # fmt: skip
                held.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
            for index, array in enumerate(arrays.values()):
                content = np.asarray(array, order="C").tobytes()
                held.writestr(zipfile.ZipInfo(f"archive/data/{index}"), content)
            held.writestr(zipfile.ZipInfo("archive/version"), b"3\n")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): choose another folder, or make room."
        ) from error


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _number(value: int) -> bytes:
    """BININT, or LONG1 above 2^31."""
    value = int(value)
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def _numbers(values: Any) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"
