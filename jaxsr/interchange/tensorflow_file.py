"""TensorFlow V2 checkpoints read without TensorFlow: NAME.index and NAME.data-00000-of-0000N."""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxsr.interchange.damage import reason
from jaxsr.types import UserError

_DTYPES = {
    1: np.float32, 2: np.float64, 3: np.int32, 4: np.uint8, 5: np.int16, 6: np.int8, 9: np.int64,
    10: np.bool_, 19: np.float16,
}  # fmt: skip
_FOOTER = 48  # bytes: two block handles, padded, and the magic number
_MAGIC = 0xDB4775248B80FB57
_RAW, _SNAPPY = 0, 1
_ENTRY = 64  # bytes that an entry of the index takes in memory beside its words


def read_checkpoint(index: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of a checkpoint by their names, and the names of entries that hold no numbers.

    index: the file NAME.index; the data files lie beside it. Checksums are not verified.
    Raises UserError where a file is missing, damaged, compressed, big-endian, or a tensor is stored
    in slices.
    Source: the table format of LevelDB (doc/table_format.md), TensorFlow's tensor_bundle.proto:
    entries {1 dtype, 2 shape, 3 shard, 4 offset, 5 size, 7 slices}.
    """
    try:
        table = dict(_table(index.read_bytes()))
        header = _fields(table.pop(b""))
        if header.get(2, 0):
            raise UserError(f"{index} was written on a big-endian machine, which is not read.")
        shards = int(header.get(1, 1))
        arrays, others, data, left = {}, [], {}, {}
        for name, entry in table.items():
            fields = _fields(entry)
            if 7 in fields:
                raise UserError(
                    f"{index}: {name.decode()} is stored in slices: save it from one device."
                )
            if fields.get(1, 1) not in _DTYPES:
                others.append(name.decode())
                continue
            shard = fields.get(3, 0)
            if shard not in data:
                path = index.with_name(f"{index.stem}.data-{shard:05d}-of-{shards:05d}")
                if not path.is_file():
                    raise UserError(f"{index} needs {path.name} beside it: fetch that too.")
                data[shard] = path.read_bytes()
                left[shard] = len(data[shard])
            left[shard] -= fields.get(5, 0)
            if left[shard] < 0:
                raise ValueError("an entry that does not fit its data file")
            arrays[name.decode()] = _array(fields, data[shard])
    except UserError:
        raise
    except Exception as error:  # a damaged file can raise anything in struct and numpy
        raise UserError(
            f"{index} is not a whole TensorFlow checkpoint ({reason(error)}): fetch it again."
        ) from error
    return arrays, others


def _array(fields: dict, data: bytes) -> np.ndarray:
    """One tensor of a data file."""
    dtype = np.dtype(_DTYPES[fields.get(1, 1)]).newbyteorder("<")
    shape = [_fields(size).get(1, 0) for size in _repeated(fields.get(2, b""), 2)]
    start, length = fields.get(4, 0), fields.get(5, 0)
    if start + length > len(data) or length != int(np.prod(shape, dtype=object)) * dtype.itemsize:
        raise ValueError("an entry that does not fit its data file")
    held = np.frombuffer(data[start : start + length], dtype).reshape(shape)
    return held.astype(dtype.newbyteorder("="))


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a LevelDB table: an index block, whose values are handles of blocks."""
    footer = data[-_FOOTER:]
    if len(footer) < _FOOTER or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("no table ends here")
    place = 0
    for _ in range(2):  # the handle of the block of filters, of which there are none
        _, place = _varint(footer, place)
    left = [64 * len(data) + 2**16]
    for _, handle in _block(data, *_handle(footer, place), left):
        yield from _block(data, *_handle(handle, 0), left)


def _handle(data: bytes, place: int) -> tuple[int, int]:
    offset, place = _varint(data, place)
    return offset, _varint(data, place)[0]


def _block(data: bytes, offset: int, size: int, left: list[int]) -> Iterator[tuple[bytes, bytes]]:
    """The entries of one block; a key shares its beginning with the key before it.

    left: bytes that all blocks may still come to; keys that grow by what they share, and a block
          that is named many times, make much of a small file
    """
    kind = data[offset + size]
    if kind != _RAW:
        name = "Snappy" if kind == _SNAPPY else f"code {kind}"
        raise UserError(
            f"the index of this checkpoint is compressed ({name}), which is not read: save it again "
            "with TensorFlow's Saver."
        )
    block = data[offset : offset + size]
    restarts = struct.unpack("<I", block[-4:])[0]
    end, place, key = size - 4 - 4 * restarts, 0, b""
    left[0] -= size
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        left[0] -= _ENTRY + min(shared, len(key)) + own + length
        if left[0] < 0:
            raise ValueError("its index unpacks to too much")
        key = key[:shared] + block[place : place + own]
        place += own
        yield key, block[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first; and the place behind it."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number without an end")


def _wire(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of a protobuf message."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        if tag & 7 == 0:
            value, place = _varint(data, place)
        else:
            if tag & 7 == 2:
                length, place = _varint(data, place)
            else:
                length = {1: 8, 5: 4}[tag & 7]
            value, place = data[place : place + length], place + length
        yield tag >> 3, value


def _fields(data: bytes) -> dict:
    """The last value of each field."""
    return dict(_wire(data))


def _repeated(data: bytes, number: int) -> list[bytes]:
    return [value for field, value in _wire(data) if field == number]
