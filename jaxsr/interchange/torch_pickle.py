"""The words that pickles of PyTorch use: storages, tensors, and the calls that make them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxsr.interchange.inert_pickle import Global, Record, refused

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
_AXES = 16


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


def calls() -> dict[str, Callable[..., Any]]:
    """The calls that a pickle of weights needs, as functions of plain values."""

    def tensor(storage, offset, size, stride, *rest):
        return _view(storage, offset, size, stride, storage.dtype)

    def tensor_v3(storage, offset, size, stride, grad, hooks, dtype, *rest):
        return _view(storage, offset, size, stride, _dtype(dtype))

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


def _view(storage: Storage, offset: int, size: Any, stride: Any, dtype: Any) -> Tensor:
    """A tensor whose axes have been counted before they are copied."""
    if max(len(size), len(stride)) > _AXES:
        raise ValueError("a tensor whose shape is not one")
    return Tensor(storage, offset, tuple(size), tuple(stride), dtype)


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


def persistent(identity: Any) -> Any:
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
