"""Weight files of every kind that is understood, as arrays under their names. Nothing is executed."""

import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from jaxsr.interchange.damage import reason
from jaxsr.interchange.matlab_file import read_matlab
from jaxsr.interchange.tensorflow_file import read_checkpoint
from jaxsr.interchange.torch_file import read_torch
from jaxsr.types import UserError

# looked for in this order; the averaged weights are what a paper's figures were made with
_WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net")
_PARALLEL = "module."
_KINDS = ".safetensors, .npz, .pth, .pt, .mat or .index (a TensorFlow checkpoint)"
_LETTERS = 2**24  # of all names together


def read_arrays(
    path: str | Path, *, wrapper: str = "", only: Collection[str] = ()
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a weight file in the types that it holds, and notes on what was found.

    Wrappers are opened: params_ema before params, then state_dict, model_state_dict, model, net;
    «module.» of DataParallel is taken off where all names begin with it. `wrapper` names
    another («params»), or a prefix of the names, of which the others are then left out
    («generator»). `only`: these names alone are read (.safetensors and .npz), as many as there are.

    notes: format, wrapper and prefix («» where there was none), beside (other wrappers that could
           be named), dtypes {name: arrays}, skipped (entries that are no real numbers)
    Raises UserError where the file is missing, damaged, of a kind that is not read, wants to run
    something, stands for much more than its size, holds nothing, or holds a number that is NaN or
    infinite.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no weight file {path}: check the name.")
    try:
        tree, kind, skipped = _read(path, only)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): look at its rights.") from error
    tree, opened, beside = _unwrap(tree, wrapper, path)
    arrays = _flat(tree, path)
    skipped = [*skipped, *(name for name, value in arrays.items() if not _is_real(value))]
    arrays = {name: value for name, value in arrays.items() if _is_real(value)}
    prefix = _PARALLEL if arrays and all(name.startswith(_PARALLEL) for name in arrays) else ""
    arrays = {name.removeprefix(prefix): value for name, value in arrays.items()}
    if wrapper and wrapper not in opened:
        arrays = {
            name.removeprefix(f"{wrapper}."): value
            for name, value in arrays.items()
            if name.startswith(f"{wrapper}.")
        }
        prefix += f"{wrapper}."
        if not arrays:
            raise UserError(
                f"{path} holds nothing under {wrapper!r}: leave out --key, or name another."
            )
    if not arrays and not only:
        raise UserError(f"{path} holds no arrays: name a file with weights.")
    _check_finite(arrays, path)
    notes = {
        "format": kind, "wrapper": ".".join(opened), "prefix": prefix, "beside": beside, "skipped": skipped,
        "dtypes": dict(Counter(str(value.dtype) for value in arrays.values())),
    }  # fmt: skip
    return arrays, notes


def _read(path: Path, only: Collection[str]) -> tuple[dict[str, Any], str, list[str]]:
    """The tree of a file, the name of its format, and the names that hold no numbers.

    The first bytes decide, and the suffix where they say nothing: files get renamed.
    """
    with path.open("rb") as file:
        head = file.read(128)
    if path.suffix == ".index":
        arrays, others = read_checkpoint(path)
        return dict(arrays), "TensorFlow checkpoint", others
    if path.suffix == ".safetensors" or head[8:9] == b"{":  # behind the length of its header
        return *_safetensors(path, only), []
    if head.startswith(b"\x89HDF") or b"MATLAB 7.3" in head:
        raise UserError(
            f"{path} is a MATLAB 7.3 or HDF5 file, which is not read: save it from MATLAB with -v7."
        )
    if head.startswith(b"MATLAB 5.0") or path.suffix == ".mat":
        return *_matlab(path), []
    if path.suffix == ".npz" or (head.startswith(b"PK") and _is_npz(path)):
        return *_numpy(path, only), []
    if head.startswith((b"PK\x03\x04", b"\x80")) or path.suffix in (".pth", ".pt", ".pkl", ".tar"):
        return *read_torch(path), []
    raise UserError(f"{path} is not a weight file that is read here: it must be {_KINDS}.")


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as held:
            return any(name.endswith(".npy") for name in held.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):  # damaged: read_torch says so
        return False


def _safetensors(path: Path, only: Collection[str]) -> tuple[dict[str, Any], str]:
    try:
        with safe_open(path, framework="numpy") as file:
            if "card" in (file.metadata() or {}):
                raise UserError(f"{path} is a weight file of jaxsr already: use it as it is.")
            names = [name for name in file.keys() if not only or name in only]
            return {name: file.get_tensor(name) for name in names}, "safetensors"
    except (SafetensorError, OSError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{path} is not a whole safetensors file ({reason(error)}): fetch it again."
        ) from error


def _numpy(path: Path, only: Collection[str]) -> tuple[dict[str, Any], str]:
    try:
        with zipfile.ZipFile(path) as file:
            unpacked = sum(info.file_size for info in file.infolist())
        if unpacked > 64 * path.stat().st_size + 2**24:
            raise ValueError("it unpacks to too much")
        with np.load(path, allow_pickle=False) as file:
            names = [name for name in file.files if not only or name in only]
            return {name: file[name] for name in names}, "NumPy npz"
    except Exception as error:  # a damaged one can raise anything in zipfile and numpy
        words = "it holds Python objects" if "allow_pickle" in str(error) else reason(error)
        raise UserError(f"{path} is not a whole .npz file of arrays ({words}).") from error


def _matlab(path: Path) -> tuple[dict[str, Any], str]:
    """Numbers under dotted names, «a.b» a field and «a{0}» an element; MatConvNet's parameters."""
    held = read_matlab(path)
    net = held.get("net")
    rows = net.get("params") if isinstance(net, dict) else None
    if isinstance(rows, list) and all(map(_is_parameter, rows)):
        return {row["name"]: _restored(row["value"]) for row in rows}, "MatConvNet DagNN"
    arrays = {name: value for name, value in _flat(held, path).items() if value.size}
    return arrays, "MATLAB 5"


def _is_parameter(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("name"), str)
        and isinstance(row.get("value"), np.ndarray)
    )


def _restored(value: np.ndarray) -> np.ndarray:
    """A parameter of MatConvNet with its axes: MATLAB drops the last ones of length 1.

    A matrix with a side of 1 is a bias, everything else a kernel (height, width, in, out).
    """
    if value.ndim == 2 and 1 in value.shape:
        return value.ravel()
    return value.reshape(value.shape + (1,) * (4 - value.ndim))


def _unwrap(
    tree: Mapping[str, Any], key: str, path: Path
) -> tuple[Mapping[str, Any], list[str], list[str]]:
    """The state_dict in a tree, the wrappers that were opened, and those that lay beside them."""
    opened, beside = [], []
    while True:
        inner = [name for name, value in tree.items() if isinstance(value, Mapping)]
        known = [name for name in dict.fromkeys((key, *_WRAPPERS)) if name in inner]
        if not known and len(inner) == len(tree) == 1:
            known = inner  # one box in another
        if not known:
            break
        opened.append(known[0])
        beside += known[1:]
        tree = tree[known[0]]
    if len(tree) > 1 and len(inner) == len(tree) and not key:
        raise UserError(
            f"{path} holds several sets of weights, {', '.join(list(tree)[:6])}: choose one with "
            "--key of scripts/import_weights.py."
        )
    return tree, opened, beside


def _flat(tree: Mapping[str, Any], path: Path) -> dict[str, np.ndarray]:
    """The arrays of nested dicts and lists under dotted names; UserError where two have one name."""
    arrays: dict[str, np.ndarray] = {}
    left = _LETTERS
    for name, value in _named(tree, ""):
        left -= len(name)
        if name in arrays or left < 0:
            wrong = "two arrays of one name" if left >= 0 else "names that are too long"
            raise UserError(f"{path} holds {wrong}: it is no weight file of any known code.")
        arrays[name] = value
    return arrays


def _named(value: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(value, Mapping):
        for field, inner in value.items():
            yield from _named(inner, f"{name}.{field}" if name else field)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _named(inner, f"{name}{{{index}}}")
    elif isinstance(value, np.ndarray):
        yield name, value


def _is_real(value: np.ndarray) -> bool:
    """Whether an array holds numbers or truths: no text, no records, no complex numbers."""
    kinds = (jnp.floating, jnp.integer, jnp.bool_)  # bfloat16 is none of NumPy's
    return any(jnp.issubdtype(value.dtype, kind) for kind in kinds)


def _check_finite(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    for name, value in arrays.items():
        if not jnp.issubdtype(value.dtype, jnp.floating):
            continue
        with np.errstate(over="ignore"):  # what float32 cannot hold counts as infinite
            held = value.astype(np.float32)
        if not np.isfinite(held).all():
            wrong = "NaN" if np.isnan(held).any() else "infinite"
            raise UserError(f"{path}: {name} holds numbers that are {wrong}: fetch the file again.")
