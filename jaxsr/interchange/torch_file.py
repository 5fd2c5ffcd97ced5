"""Weight files of PyTorch read without PyTorch; nothing in them is executed."""

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxsr.interchange.inert_pickle import Global, Record, load, refused
from jaxsr.types import UserError

_MAGIC = 0x1950A86A20F9469CFC6C  # of the format before PyTorch 1.6
STORAGES = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32,
    "ShortStorage": np.int16, "CharStorage": np.int8, "ByteStorage": np.uint8,
    "BoolStorage": np.bool_, "UntypedStorage": np.uint8,
}  # fmt: skip
_DTYPES = {
    "float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": jnp.bfloat16,
    "int64": np.int64, "int32": np.int32, "int16": np.int16, "int8": np.int8, "uint8": np.uint8,
    "bool": np.bool_, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
}  # fmt: skip
_DEPTH = 64  # of nested modules and dicts; the deepest network here has 8
_NODES = 1_000_000


class Storage(NamedTuple):
    """A run of numbers in the file: its key there, its type, the elements that are used."""

    key: str
    dtype: Any
    start: int
    size: int


class Tensor(NamedTuple):
    """A view of a storage, all in elements."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: Any


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
        budget = [_NODES, 4 * len(data) + 2**22]
        tree = _leaves(held, found, budget, depth=0)
    except UserError as error:
        raise UserError(f"{path} is refused: {error}") from error
    except Exception as error:  # a damaged file can raise anything in zipfile, pickletools, numpy
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(
            f"{path} is not a whole PyTorch file ({reason}): fetch it again."
        ) from error
    if isinstance(tree, np.ndarray):
        tree = {"tensor": tree}
    return tree or {}, kind


def _calls(dtype_of: Any) -> dict[str, Any]:
    """The calls that a pickle of weights needs, as functions of plain values."""

    def tensor(storage, offset, size, stride, *rest):
        return Tensor(storage, offset, tuple(size), tuple(stride), storage.dtype)

    def tensor_v3(storage, offset, size, stride, grad, hooks, dtype, *rest):
        return Tensor(storage, offset, tuple(size), tuple(stride), dtype_of(dtype))

    def from_type(function, kind, arguments, state):
        if not isinstance(function, Global) or ".".join(function) not in tensors:
            raise refused(function)
        return tensors[".".join(function)](*arguments)

    tensors = {
        "torch._utils._rebuild_tensor": tensor,
        "torch._utils._rebuild_tensor_v2": tensor,
        "torch._utils._rebuild_tensor_v3": tensor_v3,
        "torch._utils._rebuild_parameter": lambda data, *rest: data,
        "torch._utils._rebuild_parameter_with_state": lambda data, *rest: data,
        # modules that PyTorch before 0.4 saved whole
        "torch.nn.parameter.Parameter": lambda data, *rest: data,
        "torch.autograd.variable.Variable": lambda data, *rest: data,
    }
    nothing = dict.fromkeys(
        (
            "torch.device", "numpy.dtype", "numpy.core.multiarray.scalar",
            "numpy._core.multiarray.scalar", "numpy.core.multiarray._reconstruct",
            "numpy._core.multiarray._reconstruct", "_codecs.encode", "builtins.set", "__builtin__.set",
        ),
        lambda *arguments: None,
    )  # fmt: skip
    dicts = dict.fromkeys(
        ("collections.OrderedDict", "collections.defaultdict", "collections.Counter"), _ordered
    )
    objects = dict.fromkeys(
        ("copy_reg._reconstructor", "copyreg._reconstructor"), lambda kind, *rest: Record(kind, {})
    )
    return tensors | nothing | dicts | objects | {
        "torch.Size": lambda *sizes: tuple(*sizes),
        "torch._tensor._rebuild_from_type_v2": from_type,
    }  # fmt: skip


def _ordered(*arguments: Any) -> dict[Any, Any]:
    """An OrderedDict; Python 2 gives its pairs as an argument, Python 3 sets them afterwards."""
    pairs = arguments[-1] if arguments else ()
    if isinstance(pairs, dict):
        return dict(pairs)
    if not isinstance(pairs, list):
        return {}
    if any(not isinstance(pair[0], str) for pair in pairs):
        raise TypeError("a key of a dict is no name")
    return {pair[0]: pair[1] for pair in pairs}


def _dtype(name: Any) -> Any:
    if not isinstance(name, Global) or name.module != "torch" or name.name not in _DTYPES:
        raise ValueError("a tensor has a type that is not known")
    return _DTYPES[name.name]


def _persistent(identity: Any) -> Any:
    """A storage of PyTorch's persistent ids; of a module's class with its source, the class."""
    if identity[0] == "module":
        return identity[1]
    if identity[0] != "storage" or not isinstance(identity[1], Global):
        raise ValueError("an id that is no storage")
    _, kind, key, _, size, *view = identity
    if kind.name not in STORAGES:
        raise ValueError(f"a storage of type {kind.name[:40]!r}")
    start = 0
    if view and view[0] is not None:
        _, start, size = view[0]
    if not (
        isinstance(key, str)
        and isinstance(start, int)
        and isinstance(size, int)
        and start >= 0
        and size >= 0
    ):
        raise ValueError("a storage whose name or size is none")
    return Storage(key, STORAGES[kind.name], start, size)


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
        obj = load(io.BytesIO(held.read(pickles[0])), calls=_calls(_dtype), persistent=_persistent)
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

    def persistent(identity):
        storage = _persistent(identity)
        if isinstance(storage, Storage):
            types[storage.key] = storage.dtype
        return storage

    calls = _calls(_dtype)
    first = load(file, calls=calls, persistent=persistent)
    if first != _MAGIC:
        # a pickle of something else: what it wants to call was looked at, and nothing more
        raise ValueError("it does not begin as torch.save does")
    load(file, calls=calls, persistent=persistent)
    system = load(file, calls=calls, persistent=persistent)
    if not system.get("little_endian", True):
        raise UserError("it was written by a big-endian machine: save it again on a usual one.")
    obj = load(file, calls=calls, persistent=persistent)
    found = {}
    for key in load(file, calls=calls, persistent=persistent):
        if not isinstance(key, str):
            raise ValueError("a storage whose name is none")
        (count,) = struct.unpack("<q", file.read(8))
        length = count * np.dtype(types[key]).itemsize
        if not 0 <= length <= len(data) - file.tell():
            raise ValueError("it ends within a storage")
        found[key] = np.frombuffer(file.read(length), np.uint8)
    return obj, found


def _leaves(value: Any, found: Mapping[str, np.ndarray], budget: list[int], *, depth: int) -> Any:
    """Nested dicts of arrays; None for what holds no tensor. `budget`: nodes and elements left."""
    budget[0] -= 1
    if depth > _DEPTH or budget[0] < 0:
        raise UserError(f"its objects are nested more than {_DEPTH} deep or are too many.")
    if isinstance(value, Tensor):
        return _array(value, found, budget)
    if isinstance(value, Record):
        return _module(value, found, budget, depth=depth)
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return None
    made = {
        str(name): _leaves(inner, found, budget, depth=depth + 1) for name, inner in value.items()
    }
    made = {name: inner for name, inner in made.items() if inner is not None}
    return made or None


def _module(value: Record, found: Any, budget: list[int], *, depth: int) -> dict[str, Any] | None:
    """Parameters and buffers of a module that was saved whole, under dotted names."""
    made: dict[str, Any] = {}
    for part in ("_parameters", "_buffers", "_modules"):
        inner = _leaves(value.state.get(part), found, budget, depth=depth + 1) or {}
        for name, held in inner.items():
            if isinstance(held, dict):
                made |= {f"{name}.{below}": array for below, array in held.items()}
            else:
                made[name] = held
    return made or None


def _array(tensor: Tensor, found: Mapping[str, np.ndarray], budget: list[int]) -> np.ndarray:
    """The numbers of a tensor, after a look at all bounds; a copy where they do not lie in order."""
    storage, size, stride = tensor.storage, tensor.size, tensor.stride
    numbers = (tensor.offset, *size, *stride)
    if len(size) != len(stride) or len(size) > 16 or any(
        not isinstance(n, int) or not 0 <= n < 2**48 for n in numbers
    ):  # fmt: skip
        raise ValueError("a tensor whose shape is not one")
    unit = np.dtype(storage.dtype).itemsize
    raw = found[storage.key][storage.start * unit : (storage.start + storage.size) * unit]
    if raw.size != storage.size * unit:
        raise ValueError(f"storage {storage.key[:20]!r} is shorter than it says")
    flat = raw.view(tensor.dtype)
    count = int(np.prod(size, dtype=object))
    # zero strides make much of little: the file may not stand for more than it holds
    budget[1] -= count
    if budget[1] < 0:
        raise UserError("its tensors are larger than their storages.")
    if count == 0:
        return np.zeros(size, tensor.dtype)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(size, stride))
    if last >= flat.size:
        raise ValueError("a tensor reaches beyond its storage")
    steps = [step * flat.itemsize for step in stride]
    held = np.lib.stride_tricks.as_strided(flat[tensor.offset :], size, steps)
    return np.asarray(held, order="C")
