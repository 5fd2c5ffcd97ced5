"""MATLAB 5 files (save -v7 and older), read with bounds at every step: scipy's reader can crash."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxsr.interchange.damage import reason
from jaxsr.types import UserError

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STORED = {
    1: np.int8, 2: np.uint8, 3: np.int16, 4: np.uint16, 5: np.int32, 6: np.uint32, 7: np.float32,
    9: np.float64, 12: np.int64, 13: np.uint64,
}  # fmt: skip
_TEXT = {1: "latin1", 2: "latin1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}
_CELL, _STRUCT, _OBJECT, _CHAR = 1, 2, 3, 4
_NUMERIC = {
    6: np.float64, 7: np.float32, 8: np.int8, 9: np.uint8, 10: np.int16, 11: np.uint16,
    12: np.int32, 13: np.uint32, 14: np.int64, 15: np.uint64,
}  # fmt: skip
_DEPTH = 32


def read_matlab(path: Path) -> dict[str, Any]:
    """The variables of a file: arrays, texts (str), cells (lists), structures (dicts of fields).

    Numbers have MATLAB's class and axes; cells and arrays of structures are flat, columns first; an
    array of one structure is that structure. What is of another class (sparse, function) is None.
    Raises UserError where the file is damaged, big-endian, or unpacks to more than it can hold.
    Source: MathWorks, MAT-File Format, Level 5.
    """
    try:
        data = path.read_bytes()
        if data[126:128] == b"MI":
            raise UserError(f"{path} was written on a big-endian machine: save it again.")
        if data[126:128] != b"IM":
            raise ValueError("no header of MATLAB 5")
        found = {}
        left = [64 * len(data) + 2**24]
        for kind, body in _elements(memoryview(data)[_HEADER:], padded=False):
            if kind == _COMPRESSED:
                unpacker = zlib.decompressobj()
                # one more than there may be: 0 would be without a limit
                body = memoryview(unpacker.decompress(body, left[0] + 1))
                if not unpacker.eof:
                    raise ValueError("a part is cut short, or unpacks to too much")
                _take(left, len(body))
                kind, body = next(_elements(body))
            if kind == _MATRIX:
                name, value = _matrix(body, left, depth=0)
                found[name] = value
    except UserError:
        raise
    except Exception as error:  # a damaged file can raise anything in struct, zlib and numpy
        raise UserError(
            f"{path} is not a whole MATLAB 5 file ({reason(error)}): fetch it again."
        ) from error
    return found


def _elements(data: memoryview, *, padded: bool = True) -> Iterator[tuple[int, memoryview]]:
    """Types and contents of the elements one behind the other; inside a matrix they fill 8 bytes."""
    place = 0
    while place < len(data):
        kind, size = struct.unpack_from("<II", data, place)
        if kind >> 16:  # four bytes or fewer lie in the tag itself
            kind, size, start, place = kind & 0xFFFF, kind >> 16, place + 4, place + 8
        else:
            start, place = place + 8, place + 8 + size
            if padded or kind != _COMPRESSED:
                place += -size % 8
        if start + size > len(data):
            raise ValueError("it ends within an array")
        yield kind, data[start : start + size]


def _take(left: list[int], size: int) -> None:
    left[0] -= size
    if left[0] < 0:
        raise ValueError("it unpacks to too much")


def _numbers(element: tuple[int, memoryview]) -> np.ndarray:
    kind, body = element
    return np.frombuffer(body, np.dtype(_STORED[kind]).newbyteorder("<"))


def _matrix(body: memoryview, left: list[int], *, depth: int) -> tuple[str, Any]:
    """Name and value of one array of any class. `left`: bytes that all of them may still take."""
    if depth > _DEPTH:
        raise ValueError(f"cells nested more than {_DEPTH} deep")
    if not body:
        return "", None  # an element of a cell that was never set
    parts = _elements(body)
    kind = int(_numbers(next(parts))[0]) & 0xFF
    if kind not in (*_NUMERIC, _CELL, _STRUCT, _OBJECT, _CHAR):
        return "", None
    shape = tuple(int(n) for n in _numbers(next(parts)))
    if min(shape, default=0) < 0:
        raise ValueError("an array with a negative size")
    name = bytes(next(parts)[1]).decode("latin1")
    if kind in _NUMERIC:
        stored = _numbers(next(parts))
        _take(left, stored.size * np.dtype(_NUMERIC[kind]).itemsize)
        return name, stored.astype(_NUMERIC[kind]).reshape(shape, order="F")
    if kind == _CHAR:
        code, text = next(parts, (1, b""))
        return name, bytes(text).decode(_TEXT[code])
    if kind == _CELL:
        return name, [_matrix(inner, left, depth=depth + 1)[1] for _, inner in parts]
    if kind == _OBJECT:
        next(parts)  # the name of its class
    length = int(_numbers(next(parts))[0])
    names = bytes(next(parts)[1])
    fields = [
        names[i : i + length].split(b"\0")[0].decode("latin1") for i in range(0, len(names), length)
    ]
    values = [_matrix(inner, left, depth=depth + 1)[1] for _, inner in parts]
    rows = [
        dict(zip(fields, values[i : i + len(fields)], strict=True))
        for i in range(0, len(values), max(1, len(fields)))
    ]
    return name, rows[0] if len(rows) == 1 else rows
