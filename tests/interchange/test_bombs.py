"""Small weight files that stand for much: refused in one sentence, soon, and in little memory."""

import struct
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxsr.interchange import convert, inert_pickle
from jaxsr.interchange.files import read_arrays
from jaxsr.types import UserError

# each of these files would take gigabytes or minutes if it were believed
MEBIBYTES = 200
SECONDS = 20


@pytest.fixture(autouse=True)
def little():
    """Bounds of memory and time for every test here; a machine under load is slower by some."""
    tracemalloc.start()
    begun = time.monotonic()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEBIBYTES * 2**20, f"{peak / 2**20:.0f} MiB"
    assert time.monotonic() - begun < SECONDS


def refused(path, match):
    tracemalloc.reset_peak()  # making the file may have taken more
    with pytest.raises(UserError, match=match) as caught:
        read_arrays(path)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500 + len(str(path))


# pickles


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


def torch_file(path, body, *, stored=6):
    with zipfile.ZipFile(path, "w") as held:
        held.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
        held.writestr("archive/data/0", np.ones(stored, np.float32).tobytes())
    return path


def tensor(size=b"K\x06\x85", stride=b"K\x01\x85"):
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00" + size + stride + b"NNtR"
    )


MANY = 20_000
NUMBERS = b"".join(b"K\x01" for _ in range(2000))
PAIRS = b"(" + b"".join(text(b"%d" % i) + b"N" for i in range(1000)) + b"u"


@pytest.mark.parametrize(
    "body",
    [
        # one dict of 1000 entries, and 20,000 times an OrderedDict of it
        b"}" + PAIRS + b"q\x000ccollections\nOrderedDict\nq\x010]" + b"h\x01h\x00\x85Ra" * MANY,
        # the same as the state of objects
        b"}" + PAIRS + b"q\x000cnet\nLayer\nq\x010]" + b"h\x01)\x81h\x00ba" * MANY,
        # a list of 2000 numbers as the size of 20,000 tensors, and as arguments
        b"](" + NUMBERS + b"eq\x000]" + (b"ctorch\nSize\nh\x00\x85Ra") * MANY,
        b"(" + NUMBERS + b"tq\x000]" + (b"ctorch\ndevice\nh\x00Ra") * MANY,
    ],
    ids=["dicts", "states", "sizes", "arguments"],
)
def test_a_value_that_is_copied_over_and_over(tmp_path, body):
    refused(torch_file(tmp_path / "a.pth", body), "more parts than any weights")


def test_a_pickle_of_very_many_objects(tmp_path, monkeypatch):
    body = b"](" + b"}" * 40_000 + b"e"
    with pytest.raises(UserError, match="holds no arrays"):
        read_arrays(torch_file(tmp_path / "a.pth", body))
    monkeypatch.setattr(inert_pickle, "_STEPS", 40_000)
    refused(tmp_path / "a.pth", "more parts than any weights")


def test_axes_are_counted_before_they_are_copied(tmp_path):
    body = b"](" + NUMBERS + b"eq\x000}" + text(b"w") + tensor(b"h\x00", b"h\x00") + b"s"
    refused(torch_file(tmp_path / "a.pth", body), "whose shape is not one")


def test_a_long_name_over_many_tensors(tmp_path):
    word = b"n" * 2**20
    inner = (
        tensor() + b"q\x000}(" + b"".join(text(b"%d" % i) + b"h\x00" for i in range(2000)) + b"u"
    )
    beside = text(b"w") + tensor()
    body = b"}(" + text(word) + inner + beside + b"u"
    refused(torch_file(tmp_path / "a.pth", body), "names that are too long")
    # in a module that was saved whole the names are put together earlier
    children = b"}" + text(b"_modules") + b"}" + text(word) + b"cnet\nNet\n)\x81}"
    module = b"cnet\nNet\n)\x81" + children + text(b"_parameters") + inner + b"sbssb"
    refused(torch_file(tmp_path / "b.pth", module), "names of its tensors are too long")


def test_a_tensor_of_one_number_and_a_huge_shape(tmp_path):
    """Steps of 0 repeat what is there; so do many tensors of one storage."""
    huge = tensor(b"J" + struct.pack("<i", 2**28) + b"\x85", b"K\x00\x85")
    refused(
        torch_file(tmp_path / "a.pth", b"}" + text(b"w") + huge + b"s"),
        "larger than their storages",
    )
    wide = tensor(b"J" + struct.pack("<i", 2**20) + b"\x85", b"K\x00\x85") + b"q\x000"
    many = b"}(" + b"".join(text(b"%d" % i) + b"h\x00" for i in range(1000)) + b"u"
    refused(torch_file(tmp_path / "b.pth", wide + many), "larger than their storages")


def test_two_tensors_of_one_name(tmp_path):
    twice = b"}(K\x01" + tensor() + text(b"1") + tensor() + b"u"
    refused(torch_file(tmp_path / "a.pth", twice), "two tensors of the name '1'")
    inner = b"}" + text(b"b") + tensor() + b"s"
    dotted = b"}(" + text(b"a.b") + tensor() + text(b"a") + inner + b"u"
    refused(torch_file(tmp_path / "b.pth", dotted), "two arrays of one name")


def test_lists_in_lists_very_deep(tmp_path):
    body = b"]" * 300_000 + b"a" * 299_999
    refused(torch_file(tmp_path / "a.pth", body), "nested more than 64 deep")


# archives of NumPy


def test_an_archive_that_unpacks_to_much(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as held:
        head = b"\x93NUMPY\x01\x00v\x00"
        shape = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**26},), }}"
        with held.open("w.npy", "w") as file:
            file.write(head + shape.ljust(117).encode() + b"\n")
            for _ in range(256):
                file.write(bytes(2**20))
    assert (tmp_path / "a.npz").stat().st_size < 2**19
    refused(tmp_path / "a.npz", "unpacks to too much")


def test_a_message_that_quotes_the_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as held:
        held.writestr("w" * 60_000 + ".npy", b"x")
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[:40] + b"v" + data[41:])  # zipfile quotes both names
    refused(tmp_path / "a.npz", "not a whole .npz file")


def test_arrays_that_are_no_numbers(tmp_path):
    rows = np.zeros(2, [("a", "f4"), ("b", "i4")])
    others = {"text": np.array("x"), "rows": rows, "wave": np.ones(2, complex)}
    np.savez(tmp_path / "a.npz", w=np.ones(3, np.float32), **others)
    found, notes = read_arrays(tmp_path / "a.npz")
    assert list(found) == ["w"] and sorted(notes["skipped"]) == sorted(others)
    np.savez(tmp_path / "b.npz", **others)
    refused(tmp_path / "b.npz", "holds no arrays")


# checkpoints of TensorFlow


def varint(value):
    made = b""
    while value > 127:
        made, value = made + bytes([value & 127 | 128]), value >> 7
    return made + bytes([value])


def index_file(path, body, *, handles=1):
    """An index of one block of entries, which its index names `handles` times."""
    end = struct.pack("<II", 0, 1)
    table = body + end + b"\0crc."
    handle = varint(0) + varint(len(body) + 8)
    index = b"".join(b"\0\1" + varint(len(handle)) + b"z" + handle for _ in range(handles)) + end
    footer = b"\0\0" + varint(len(table)) + varint(len(index))
    magic = struct.pack("<Q", 0xDB4775248B80FB57)
    path.write_bytes(table + index + b"\0crc." + footer.ljust(40, b"\0") + magic)
    return path


def test_keys_that_grow_by_what_they_share(tmp_path):
    body = b"".join(varint(i) + b"\1\0" + b"k" for i in range(30_000))
    refused(index_file(tmp_path / "a.index", body), "unpacks to too much")


def test_a_block_that_is_named_many_times(tmp_path):
    body = b"\0\0\0" * 50_000
    refused(index_file(tmp_path / "a.index", body, handles=5_000), "unpacks to too much")


def test_entries_over_the_same_data(tmp_path):
    size = 4 * 2**20
    (tmp_path / "a.data-00000-of-00001").write_bytes(bytes(size))
    shape = b"\x12\x05\x08" + varint(size // 4)
    entry = b"\x08\x01\x12" + varint(len(shape)) + shape + b"\x28" + varint(size)
    names = [b"", *(b"%04d" % i for i in range(2000))]
    values = [b"", *([entry] * 2000)]
    body = b"".join(
        b"\0" + varint(len(n)) + varint(len(v)) + n + v for n, v in zip(names, values, strict=True)
    )
    refused(index_file(tmp_path / "a.index", body), "does not fit its data file")


# MATLAB


def element(kind, body):
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


def matrix(kind, *parts, dims=(1, 1), name=b"w"):
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack("<ii", *dims))
    return element(14, head + element(1, name) + b"".join(parts))


def matlab_file(path, *parts):
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + b"".join(parts))
    return path


def packed(body):
    """A compressed element, which is not padded."""
    body = zlib.compress(body, 9)
    return struct.pack("<II", 15, len(body)) + body


def test_what_is_left_may_be_nothing(tmp_path):
    """To zlib a limit of 0 is none."""
    size, head = 2**20, matrix(6, element(9, bytes(8)))
    parts = packed(head + bytes(64 * size + 2**24 - len(head))), packed(bytes(2**28))
    behind = size - 128 - 8 - sum(map(len, parts))
    path = matlab_file(tmp_path / "a.mat", *parts, element(2, bytes(behind)))
    assert size <= path.stat().st_size < size + 8
    refused(path, "unpacks to too much")


def test_bytes_that_become_doubles(tmp_path):
    part = packed(matrix(6, element(2, bytes(2**24)), dims=(1, 2**24)))
    refused(matlab_file(tmp_path / "a.mat", part), "unpacks to too much")


def test_a_long_name_over_many_elements(tmp_path):
    one = matrix(6, element(9, bytes(8)), name=b"")
    cells = matrix(1, *([one] * 2000), dims=(1, 2000), name=b"n" * 2**20)
    refused(matlab_file(tmp_path / "a.mat", cells), "names that are too long")


def test_a_net_that_is_none_of_matconvnet(tmp_path):
    import scipy.io

    for params in (np.array([1.0]), np.array([({"x": 1},), (2,)], [("name", object)])):
        scipy.io.savemat(tmp_path / "a.mat", {"net": {"params": params}, "w": np.ones((2, 2))})
        found, notes = read_arrays(tmp_path / "a.mat")
        assert notes["format"] == "MATLAB 5" and "w" in found


# what the layouts make of arrays


def test_widths_that_would_make_a_huge_network():
    """Two small matrices claim a middle layer of 10^12 weights."""
    held = {
        "weights_conv1": np.zeros((1, 10**6), np.float32),
        "weights_conv2": np.zeros((1, 1, 10**6), np.float32),
        "weights_conv3": np.zeros((1, 1), np.float32),
        **{f"biases_conv{i}": np.zeros((1, 1), np.float32) for i in (1, 2, 3)},
    }
    with pytest.raises(UserError, match="biases_conv1 is .* 1,000,000 numbers"):
        convert.identify(held)


def test_many_arrays_of_one_kind_of_name():
    held = {
        f"model.{2 * i}.{leaf}": np.zeros((3, 3, 3, 3)[: 4 if leaf == "weight" else 1], np.float32)
        for i in range(300)
        for leaf in ("weight", "bias")
    }
    with pytest.raises(UserError, match="model.0.bias is"):
        convert.identify(held | {"model.0.weight": np.zeros((4, 3, 3, 3), np.float32)})


def test_a_network_of_very_many_layers_is_not_traced():
    held = {
        f"conv{i}/{leaf}": np.zeros((3, 3, 1, 1) if leaf == "kernel" else 1, np.float32)
        for i in range(20_000)
        for leaf in ("kernel", "bias")
    }
    with pytest.raises(UserError, match="of no known layout"):
        convert.identify(held)


def test_names_of_any_length_make_a_short_sentence():
    with pytest.raises(UserError, match="of no known layout") as caught:
        convert.identify({f"{i}" + "n" * 10_000: np.zeros(2) for i in range(50)})
    assert len(str(caught.value)) < 1000


def test_shapes_that_overflow(tmp_path):
    save_file({"w": np.zeros(3, np.float32)}, tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    for shape in (b"[9]", b"[99999999999999999999]"):
        data = whole[8:].replace(b"[3]", shape)
        header = len(data) - 12
        (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", header) + data)
        refused(tmp_path / "a.safetensors", "is not a whole safetensors file")
