"""TensorFlow V2 checkpoints, written here by hand after the format's description."""

import struct

import numpy as np
import pytest

from jaxsr.interchange.files import read_arrays
from jaxsr.interchange.tensorflow_file import read_checkpoint
from jaxsr.types import UserError

RNG = np.random.default_rng(0)
# names as in RL-Restore's agent; they share beginnings, which the table stores once
ARRAYS = {
    "prediction/l1/biases": RNG.standard_normal(4).astype(np.float32),
    "prediction/l1/w": RNG.standard_normal((3, 3, 2, 4)).astype(np.float32),
    "prediction/l2/w": RNG.standard_normal((1, 1, 4, 2)),
    "step/step": np.asarray(1_050_000, np.int32),
    "z/empty": np.zeros((0, 3), np.float32),
    "z/flags": np.array([True, False]),
}
CODES = {"float32": 1, "float64": 2, "int32": 3, "bool": 10}


def varint(value):
    made = b""
    while value > 127:
        made, value = made + bytes([value & 127 | 128]), value >> 7
    return made + bytes([value])


def field(number, value):
    """A protobuf field: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries, *, kind=0):
    """A block of LevelDB: keys without what they share with the key before, one restart point."""
    body, before = b"", b""
    for key, value in entries:
        shared = next(
            (i for i, (a, b) in enumerate(zip(key, before)) if a != b), min(len(key), len(before))
        )
        body += (
            varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        )
        before = key
    body += struct.pack("<II", 0, 1)
    return body, body + bytes([kind]) + b"crc."


def write(folder, *, shards=1, kind=0, big=0, extra=()):
    """NAME.index with two data blocks and NAME.data-…; arrays go to the shards in turn."""
    data = [b"" for _ in range(shards)]
    entries = [(b"", field(1, shards) + field(2, big))]
    for i, (name, array) in enumerate(ARRAYS.items()):
        shape = b"".join(field(2, field(1, n)) for n in array.shape)
        entry = field(1, CODES[str(array.dtype)]) + field(2, shape) + field(3, i % shards)
        entry += field(4, len(data[i % shards])) + field(5, array.nbytes)
        entry += varint(6 << 3 | 5) + b"crc!"  # fixed32
        data[i % shards] += array.tobytes()
        entries.append((name.encode(), entry))
    entries = sorted(entries + list(extra))
    table, handles = b"", []
    for part in (entries[:3], entries[3:]):
        body, stored = block(part, kind=kind)
        handles.append((part[-1][0] + b"~", varint(len(table)) + varint(len(body))))
        table += stored
    body, stored = block(handles)
    index = varint(len(table)) + varint(len(body))
    footer = (varint(0) + varint(0) + index).ljust(40, b"\0")
    path = folder / "model.index"
    path.write_bytes(table + stored + footer + struct.pack("<Q", 0xDB4775248B80FB57))
    for i, content in enumerate(data):
        (folder / f"model.data-{i:05d}-of-{shards:05d}").write_bytes(content)
    return path


@pytest.mark.parametrize("shards", [1, 3])
def test_arrays_come_back(tmp_path, shards):
    text = (b"_CHECKPOINTABLE_OBJECT_GRAPH", field(1, 7) + field(5, 12))
    found, others = read_checkpoint(write(tmp_path, shards=shards, extra=[text]))
    assert others == ["_CHECKPOINTABLE_OBJECT_GRAPH"]
    assert list(found) == sorted(ARRAYS)
    for name, value in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(found[name], value)


def test_through_the_general_reader(tmp_path):
    found, notes = read_arrays(write(tmp_path))
    assert set(found) == set(ARRAYS)
    assert notes["format"] == "TensorFlow checkpoint"
    assert notes["dtypes"] == {"float32": 3, "float64": 1, "int32": 1, "bool": 1}


def test_what_is_not_read_is_said(tmp_path):
    with pytest.raises(UserError, match=r"compressed \(Snappy\)"):
        read_checkpoint(write(tmp_path, kind=1))
    with pytest.raises(UserError, match="big-endian"):
        read_checkpoint(write(tmp_path, big=1))
    sliced = (b"a", field(1, 1) + field(7, b"x"))
    with pytest.raises(UserError, match="a is stored in slices"):
        read_checkpoint(write(tmp_path, extra=[sliced]))
    path = write(tmp_path)
    (tmp_path / "model.data-00000-of-00001").unlink()
    with pytest.raises(UserError, match="needs model.data-00000-of-00001 beside it"):
        read_checkpoint(path)


def test_damaged_files(tmp_path):
    path = write(tmp_path)
    whole = path.read_bytes()
    for length in (0, 10, 47, 48, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="model.index is not a whole TensorFlow checkpoint"):
            read_checkpoint(path)
    path = write(tmp_path)
    data = tmp_path / "model.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(UserError, match="does not fit its data file"):
        read_checkpoint(path)
    text = (b"a", field(1, 1) + field(2, field(2, field(1, 2**40))) + field(5, 4))
    with pytest.raises(UserError, match="does not fit its data file"):
        read_checkpoint(write(tmp_path, extra=[text]))
