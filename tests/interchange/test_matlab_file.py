"""MATLAB 5 files against scipy's reader and writer, and damaged ones, at which scipy's crashes."""

import struct
import zlib

import numpy as np
import pytest
import scipy.io

from jaxsr.interchange.matlab_file import read_matlab
from jaxsr.types import UserError

TYPES = (
    "float64 float32 int8 uint8 int16 uint16 int32 uint32 int64 uint64".split()
)  # every numeric class of MATLAB


def held():
    drawn = 50 * np.random.default_rng(0).random((3, 4, 2))
    cell = np.empty((1, 3), object)
    cell[0, :] = [np.eye(2), "in a cell", np.zeros((1, 1))]
    return {
        **{name: drawn.astype(name) for name in TYPES},
        "scalar": 7.0, "row": np.arange(5.0), "empty": np.zeros((0, 3)), "text": "müsli",
        "cell": cell, "one": {"a": np.ones((2, 2)), "b": {"c": "deep"}},
        "many": np.array([(1.0, "x"), (2.0, "y")], [("n", object), ("t", object)]),
    }  # fmt: skip


@pytest.mark.parametrize("compressed", [False, True])
def test_what_scipy_writes(tmp_path, compressed):
    scipy.io.savemat(tmp_path / "a.mat", held(), do_compression=compressed)
    found = read_matlab(tmp_path / "a.mat")
    assert set(found) == set(held())
    for name in TYPES:
        assert found[name].dtype == name
        np.testing.assert_array_equal(found[name], held()[name])
    assert found["scalar"].shape == (1, 1) and found["row"].shape == (1, 5)
    assert found["empty"].shape == (0, 3) and found["text"] == "müsli"
    np.testing.assert_array_equal(found["cell"][0], np.eye(2))
    assert found["cell"][1] == "in a cell" and len(found["cell"]) == 3
    np.testing.assert_array_equal(found["one"]["a"], np.ones((2, 2)))
    assert found["one"]["b"] == {"c": "deep"}
    assert [(row["n"].item(), row["t"]) for row in found["many"]] == [(1, "x"), (2, "y")]


def test_what_matlab_wrote(shared):
    for path in sorted((shared / "weights" / "srcnn").glob("*.mat")):
        found, theirs = read_matlab(path), scipy.io.loadmat(path)
        assert set(found) == {name for name in theirs if name[0] != "_"}
        for name, value in found.items():
            assert value.dtype == theirs[name].dtype
            np.testing.assert_array_equal(value, theirs[name])


def test_truncation_and_other_files(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"w": np.ones((9, 9)), "v": np.ones(3)})
    whole = (tmp_path / "a.mat").read_bytes()
    for length in (0, 100, 128 + 4, 300, len(whole) - 8, len(whole) - 1):
        (tmp_path / "a.mat").write_bytes(whole[:length])
        with pytest.raises(UserError, match="a.mat is not a whole MATLAB 5 file"):
            read_matlab(tmp_path / "a.mat")
    (tmp_path / "a.mat").write_bytes(whole[:126] + b"MI" + whole[128:])
    with pytest.raises(UserError, match="big-endian"):
        read_matlab(tmp_path / "a.mat")


def element(kind, body):
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


def matrix(kind, *parts, dims=(1, 1)):
    body = element(6, struct.pack("<II", kind, 0)) + element(
        5, struct.pack(f"<{len(dims)}i", *dims)
    )
    return element(14, body + element(1, b"w") + b"".join(parts))


def write(path, body):
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + body)
    return path


def test_elements_by_hand(tmp_path):
    # a double of MATLAB may be stored in bytes
    path = write(tmp_path / "a.mat", matrix(6, element(2, bytes([1, 2, 3, 4])), dims=(2, 2)))
    found = read_matlab(path)["w"]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[1, 3], [2, 4]])
    # four bytes or fewer in the tag itself
    small = struct.pack("<HH", 2, 2) + bytes([5, 6, 0, 0])
    np.testing.assert_array_equal(
        read_matlab(write(path, matrix(9, small, dims=(1, 2))))["w"], [[5, 6]]
    )


def test_bombs_and_nests(tmp_path):
    path = tmp_path / "a.mat"
    bomb = zlib.compress(bytes(2**26))
    with pytest.raises(UserError, match="unpacks to too much"):
        read_matlab(write(path, struct.pack("<II", 15, len(bomb)) + bomb))
    part = zlib.compress(bytes(10**7))  # each by itself would pass
    with pytest.raises(UserError, match="unpacks to too much"):
        read_matlab(write(path, (struct.pack("<II", 15, len(part)) + part) * 3))
    read_matlab(write(path, struct.pack("<II", 15, len(part)) + part))
    nest = matrix(6, element(9, bytes(8)))
    for _ in range(40):
        nest = matrix(1, nest)
    with pytest.raises(UserError, match="nested more than 32 deep"):
        read_matlab(write(path, nest))
    for dims in ((2**31 - 1, 2**31 - 1), (-1, 3), (2, 3)):
        with pytest.raises(UserError, match="not a whole MATLAB 5 file"):
            read_matlab(write(path, matrix(6, element(9, bytes(8)), dims=dims)))


def test_damaged_bytes_never_do_more_than_raise_a_user_error(tmp_path):
    rng = np.random.default_rng(0)
    scipy.io.savemat(tmp_path / "a.mat", {n: v for n, v in held().items() if n not in TYPES})
    whole = (tmp_path / "a.mat").read_bytes()
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(128, len(data), 3):
            data[place] = rng.integers(0, 256)
        (tmp_path / "a.mat").write_bytes(bytes(data))
        try:
            read_matlab(tmp_path / "a.mat")
        except UserError as error:
            assert "\n" not in str(error)
