"""Weight files of PyTorch read without PyTorch; nothing in them is executed."""

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxsr.interchange.damage import reason
from jaxsr.interchange.inert_pickle import Record, load
from jaxsr.interchange.torch_pickle import Storage, Tensor, calls, persistent
from jaxsr.types import UserError

_MAGIC = 0x1950A86A20F9469CFC6C  # of the format before PyTorch 1.6
_DEPTH = 64  # of nested modules and dicts; the deepest network here has 8
# what all objects of a file may come to together, and the sentence where it is more
_OBJECTS = 1_000_000
_LETTERS = 2**24
_TOO_MUCH = {
    "objects": f"its objects are nested more than {_DEPTH} deep or are too many.",
    "letters": "the names of its tensors are too long.",
    "bytes": "its tensors are larger than their storages.",
}


def read_torch(path: Path) -> tuple[dict[str, Any], str]:
    """What a .pth or .pt file holds, as nested dicts with numpy arrays at the leaves, and its format.

    Both formats: zip (PyTorch >= 1.6) and the sequence of pickles before it. Everything that is
    neither a tensor nor a container is left out. A module that was saved whole gives its parameters
    and buffers under their dotted names.
    Raises UserError where the file is damaged, holds a program (TorchScript) or asks for a call.
    Source: the formats of torch/serialization.py; pickles through inert_pickle.
    """
    try:
        data = path.read_bytes()
        if data[:4] == b"PK\x03\x04":
            held, found = _read_zip(data)
            kind = "PyTorch zip"
        else:
            held, found = _read_legacy(data)
            kind = "PyTorch before 1.6"
        # tensors may share numbers, but a small file may not stand for much
        left = {"objects": _OBJECTS, "letters": _LETTERS, "bytes": 4 * len(data) + 2**24}
        tree = _leaves(held, found, left, depth=0)
    except UserError as error:
        raise UserError(f"{path} is refused: {error}") from error
    except Exception as error:  # a damaged file can raise anything in zipfile, pickletools, numpy
        raise UserError(
            f"{path} is not a whole PyTorch file ({reason(error)}): fetch it again."
        ) from error
    if isinstance(tree, np.ndarray):
        tree = {"tensor": tree}
    return tree or {}, kind


def _read_zip(data: bytes) -> tuple[Any, Mapping[str, np.ndarray]]:
    """The object and the bytes of each storage of a file of PyTorch >= 1.6."""
    with zipfile.ZipFile(io.BytesIO(data)) as held:
        entries = {info.filename: info for info in held.infolist()}
        pickles = [name for name in entries if name.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise ValueError("it has no data.pkl")
        folder = pickles[0].split("/")[0]
        if f"{folder}/constants.pkl" in entries:
            raise UserError(
                "it is a TorchScript program: save the state_dict() of the module instead."
            )
        if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
            raise UserError(
                "its entries are compressed, which PyTorch never does: fetch the original."
            )
        if sum(info.file_size for info in entries.values()) > len(data):
            raise ValueError("its entries are larger than the file")
        order = f"{folder}/byteorder"
        if order in entries and held.read(order).strip() != b"little":
            raise UserError("it was written by a big-endian machine: save it again on a usual one.")
        obj = load(io.BytesIO(held.read(pickles[0])), calls=calls(), persistent=persistent)
        prefix = f"{folder}/data/"
        found = {
            name.removeprefix(prefix): np.frombuffer(held.read(name), np.uint8)
            for name in entries
            if name.startswith(prefix)
        }
    return obj, found


def _read_legacy(data: bytes) -> tuple[Any, Mapping[str, np.ndarray]]:
    """The object and the bytes of each storage of a file of PyTorch before 1.6."""
    if data[257:262] == b"ustar":
        raise UserError(
            "it is a tar file of PyTorch before 0.1.10: save it again with a later one."
        )
    file, types = io.BytesIO(data), {}

    def noted(identity: Any) -> Any:
        storage = persistent(identity)
        if isinstance(storage, Storage):
            types[storage.key] = storage.dtype
        return storage

    words = dict(calls=calls(), persistent=noted)
    first = load(file, **words)
    if first != _MAGIC:
        # a pickle of something else: what it wants to call was looked at, and nothing more
        raise ValueError("it does not begin as torch.save does")
    load(file, **words)
    system = load(file, **words)
    if not system.get("little_endian", True):
        raise UserError("it was written by a big-endian machine: save it again on a usual one.")
    obj = load(file, **words)
    found = {}
    for key in load(file, **words):
        if not isinstance(key, str):
            raise ValueError("a storage whose name is none")
        (count,) = struct.unpack("<q", file.read(8))
        length = count * np.dtype(types[key]).itemsize
        if not 0 <= length <= len(data) - file.tell():
            raise ValueError("it ends within a storage")
        found[key] = np.frombuffer(file.read(length), np.uint8)
    return obj, found


def _leaves(
    value: Any, found: Mapping[str, np.ndarray], left: dict[str, int], *, depth: int
) -> Any:
    """Nested dicts of arrays; None for what holds no tensor. `left`: see _TOO_MUCH."""
    if depth > _DEPTH:
        raise UserError(_TOO_MUCH["objects"])
    _take(left, "objects", 1)
    if isinstance(value, Tensor):
        return _array(value, found, left)
    if isinstance(value, Record):
        return _module(value, found, left, depth=depth)
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return None
    made: dict[str, Any] = {}
    for key, inner in value.items():
        held = _leaves(inner, found, left, depth=depth + 1)
        if held is not None:
            _put(made, str(key), held, left)
    return made or None


def _module(
    value: Record, found: Mapping[str, np.ndarray], left: dict[str, int], *, depth: int
) -> dict[str, Any] | None:
    """Parameters and buffers of a module that was saved whole, under dotted names."""
    made: dict[str, Any] = {}
    for part in ("_parameters", "_buffers", "_modules"):
        inner = _leaves(value.state.get(part), found, left, depth=depth + 1) or {}
        for name, held in inner.items():
            if isinstance(held, dict):
                for below, array in held.items():
                    _put(made, f"{name}.{below}", array, left)
            else:
                _put(made, name, held, left)
    return made or None


def _put(made: dict[str, Any], name: str, held: Any, left: dict[str, int]) -> None:
    _take(left, "letters", len(name))
    if name in made:
        raise ValueError(f"two tensors of the name {name[:60]!r}")
    made[name] = held


def _take(left: dict[str, int], what: str, amount: int) -> None:
    left[what] -= amount
    if left[what] < 0:
        raise UserError(_TOO_MUCH[what])


def _array(tensor: Tensor, found: Mapping[str, np.ndarray], left: dict[str, int]) -> np.ndarray:
    """The numbers of a tensor, after a look at all bounds; a copy where they do not lie in order."""
    storage, size, stride = tensor.storage, tensor.size, tensor.stride
    numbers = (tensor.offset, *size, *stride)
    if len(size) != len(stride) or any(
        not isinstance(n, int) or not 0 <= n < 2**48 for n in numbers
    ):
        raise ValueError("a tensor whose shape is not one")
    unit = np.dtype(storage.dtype).itemsize
    raw = found[storage.key][storage.start * unit : (storage.start + storage.size) * unit]
    if raw.size != storage.size * unit:
        raise ValueError(f"storage {storage.key[:20]!r} is shorter than it says")
    flat = raw.view(tensor.dtype)
    count = int(np.prod(size, dtype=object))
    _take(left, "bytes", count * flat.itemsize)
    if count == 0:
        return np.zeros(size, tensor.dtype)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(size, stride))
    if last >= flat.size:
        raise ValueError("a tensor reaches beyond its storage")
    steps = [step * flat.itemsize for step in stride]
    held = np.lib.stride_tricks.as_strided(flat[tensor.offset :], size, steps)
    return np.asarray(held, order="C")
