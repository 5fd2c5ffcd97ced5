"""PyTorch files without PyTorch: against PyTorch itself, and against files that mean harm."""

import collections
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from jaxsr.interchange import inert_pickle
from jaxsr.interchange.torch_file import read_torch
from jaxsr.interchange.torch_write import write_torch
from jaxsr.types import UserError


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def numbers(value):
    """A tensor as numpy; bfloat16, which numpy has not, as the float32 of the same numbers."""
    return (value.float() if "bfloat16" in str(value.dtype) else value).numpy()


def assert_same(found, state):
    assert list(found) == list(state)
    for name, value in state.items():
        assert found[name].shape == tuple(value.shape), name
        assert str(found[name].dtype) == str(value.dtype).removeprefix("torch."), name
        np.testing.assert_array_equal(found[name].astype(numbers(value).dtype), numbers(value))


@pytest.mark.parametrize("zipped", [True, False])
def test_every_type_and_view(torch, tmp_path, zipped):
    torch.manual_seed(0)
    whole = torch.randn(6, 5, 4)
    names = (
        "float32",
        "float64",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
    )
    state = collections.OrderedDict({n: (9 * whole).to(getattr(torch, n)) for n in names})
    state |= {
        "bool": whole > 0, "scalar": torch.tensor(7), "empty": torch.zeros(0, 3),
        "turned": whole.permute(2, 0, 1), "part": whole[1:, ::2, 1:3], "again": whole,
        "repeated": torch.arange(3.0).expand(5, 3), "parameter": torch.nn.Parameter(whole[0]),
    }  # fmt: skip
    path = tmp_path / "a.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    found, kind = read_torch(path)
    assert kind == ("PyTorch zip" if zipped else "PyTorch before 1.6")
    assert_same(found, {name: value.detach() for name, value in state.items()})


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_with_other_things_in_them(torch, tmp_path, zipped):
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(2, 2, 5, 5)).sum().backward()
    optimiser.step()
    held = {
        "epoch": 3, "best": np.float64(2.5), "state_dict": network.state_dict(), "none": None,
        "optimizer": optimiser.state_dict(), "sizes": torch.Size([1, 2]), "names": {"a", "b"},
        "device": torch.device("cpu"), "counts": collections.defaultdict(list, a=[1]), "raw": b"x",
    }  # fmt: skip
    torch.save(held, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    found, _ = read_torch(tmp_path / "a.pth")
    assert set(found) == {"state_dict", "optimizer"}
    assert_same(found["state_dict"], network.state_dict())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore")  # torch warns that the source of a class may change
def test_a_module_saved_whole_gives_its_parameters_and_buffers(torch, tmp_path, zipped):
    inner = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.PReLU())
    network = torch.nn.Sequential(inner, torch.nn.Conv2d(3, 1, 1, bias=False))
    held = {"epoch": 1, "model": network}
    torch.save(held, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    found, _ = read_torch(tmp_path / "a.pth")
    state = network.state_dict()
    assert set(found["model"]) == set(state)
    assert_same({name: found["model"][name] for name in state}, state)


# files made by hand, without torch

TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK%ctQK%c(%st(%stNNtR"
)


def tensor(size, stride, *, stored=6, offset=0):
    """A pickled tensor over storage «0» of `stored` float32."""
    many = [b"".join(b"J" + struct.pack("<i", n) for n in each) for each in (size, stride)]
    return TENSOR % (stored, offset, *many)


def entry(value, name=b"w"):
    return b"\x80\x02}X" + struct.pack("<I", len(name)) + name + value + b"s."


def zipped(path, body, *, data=None, extra=(), compression=zipfile.ZIP_STORED):
    data = np.arange(6, dtype=np.float32).tobytes() if data is None else data
    with zipfile.ZipFile(path, "w", compression) as held:
        held.writestr("archive/data.pkl", body)
        held.writestr("archive/data/0", data)
        for name, content in extra:
            held.writestr(name, content)
    return path


def legacy(path, body):
    system = {"protocol_version": 1001, "little_endian": True}
    parts = [pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, system)]
    stored = struct.pack("<q", 6) + np.arange(6, dtype=np.float32).tobytes()
    path.write_bytes(b"".join(parts) + body + pickle.dumps(["0"], 2) + stored)
    return path


def plain(path, body):
    path.write_bytes(body)
    return path


@pytest.mark.parametrize("container", [zipped, legacy])
def test_the_containers_of_these_tests_are_readable(tmp_path, container):
    found, _ = read_torch(container(tmp_path / "a.pth", entry(tensor((2, 3), (3, 1)))))
    np.testing.assert_array_equal(found["w"], np.arange(6).reshape(2, 3))
    found, _ = read_torch(container(tmp_path / "b.pth", entry(tensor((2, 2), (1, 3), offset=1))))
    np.testing.assert_array_equal(found["w"], [[1, 4], [2, 5]])
    # a parameter as PyTorch before 0.4 pickled it in a whole module
    old = b"ctorch.nn.parameter\nParameter\n(" + tensor((6,), (1,)) + b"tR(\x89\x89Ntb"
    found, _ = read_torch(container(tmp_path / "c.pth", entry(old)))
    np.testing.assert_array_equal(found["w"], np.arange(6))


def test_a_module_of_python_2(tmp_path):
    """As PyTorch 0.2 under Python 2 saved one whole: its class comes with its source."""
    word = lambda text: b"U" + bytes([len(text)]) + text
    kind = (
        b"(" + word(b"module") + b"c__main__\nNet\n" + word(b"net.py") + word(b"import os") + b"tQ"
    )
    weight = b"ctorch.nn.parameter\nParameter\n(" + tensor((2, 3), (3, 1)) + b"tR(\x89\x89Ntb"
    pairs = b"ccollections\nOrderedDict\n(]](" + word(b"weight") + weight + b"eatR"
    inner = kind + b")\x81}" + word(b"_parameters") + pairs + b"sb"
    modules = b"ccollections\nOrderedDict\n(]](" + word(b"conv") + inner + b"eatR"
    body = entry(kind + b")\x81}" + word(b"_modules") + modules + b"sb", b"model")
    found, _ = read_torch(legacy(tmp_path / "a.pth", body))
    assert list(found["model"]) == ["conv.weight"]
    np.testing.assert_array_equal(found["model"]["conv.weight"], np.arange(6).reshape(2, 3))


class Trap:
    """Makes a folder where it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def traps(mark):
    """Pickles that would run something, by what they call."""
    made = f"__import__('os').mkdir({str(mark)!r})"
    command = f"mkdir {mark}"
    text = b"X" + struct.pack("<I", len(command)) + command.encode()
    nested = {"state_dict": {"a": [1, (2, Trap(exec, made))]}}
    return {
        "posix.system": pickle.dumps(Trap(os.system, command), 4),
        "builtins.eval": pickle.dumps({"w": Trap(eval, made)}, 2).replace(b"__builtin__", b"builtins"),
        "builtins.exec": pickle.dumps(nested, 4),
        "posix.mkdir": pickle.dumps(collections.OrderedDict(w=Trap(os.mkdir, str(mark))), 0),
        # the opcodes INST and OBJ, which call without REDUCE
        "os.system": b"\x80\x02(" + text + b"ios\nsystem\n.",
        "subprocess.Popen": b"\x80\x02(csubprocess\nPopen\n" + text + b"o.",
        # the name is put together on the stack
        "os.popen": b"\x80\x04\x8c\x02os\x8c\x05popen\x93" + text + b"\x85R.",
        # a harmless call around a harmful one
        "os.execv": b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nexecv\nN)NtR.",
        "an object of its own": b"\x80\x02}" + text + b"\x85R.",
    }  # fmt: skip


NAMES = list(traps(""))


@pytest.mark.parametrize("container", [plain, zipped, legacy])
@pytest.mark.parametrize("name", NAMES)
def test_a_pickle_that_would_run_a_command_is_refused_and_not_run(tmp_path, container, name):
    mark = tmp_path / "mark"
    path = container(tmp_path / "a.pth", traps(mark)[name])
    with pytest.raises(UserError, match="a.pth is refused: .*nothing was run") as caught:
        read_torch(path)
    assert name in str(caught.value) and "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("name", NAMES[:5])
def test_the_traps_would_have_run(tmp_path, name):
    pickle.loads(traps(tmp_path / "mark")[name])
    assert (tmp_path / "mark").exists()


def test_objects_are_records_and_their_setstate_is_not_called(tmp_path):
    body = b"\x80\x02cantigravity\nFlyer\n)\x81}X\x01\x00\x00\x00aK\x01sb."
    found = inert_pickle.load(io.BytesIO(body), calls={}, persistent=lambda identity: None)
    assert found == inert_pickle.Record(("antigravity", "Flyer"), {"a": 1})


@pytest.mark.parametrize(
    "value, message",
    [
        (tensor((2, 3), (3, 1), stored=7), "is shorter than it says"),
        (tensor((2, 3), (4, 1)), "reaches beyond its storage"),
        (tensor((2, 3), (3, 1), offset=1), "reaches beyond its storage"),
        (tensor((2, -3), (3, 1)), "whose shape is not one"),
        (tensor((2, 3), (-3, 1)), "whose shape is not one"),
        (tensor((2, 3), (1,)), "whose shape is not one"),
        (tensor((2**30, 2**30), (0, 0)), "larger than their storages"),
        (tensor((1,) * 17, (1,) * 17), "whose shape is not one"),
        (tensor((6,), (1,)).replace(b"FloatStorage", b"QInt8Storage"), "storage of type"),
        (tensor((6,), (1,)).replace(b"\x000X", b"\x009X"), "9"),
    ],
)
def test_tensors_out_of_bounds(tmp_path, value, message):
    with pytest.raises(UserError, match=message):
        read_torch(zipped(tmp_path / "a.pth", entry(value)))


def test_every_truncation_is_refused(tmp_path):
    for container in (zipped, legacy):
        whole = container(tmp_path / "a.pth", entry(tensor((2, 3), (3, 1)))).read_bytes()
        for length in (*range(0, 60, 7), len(whole) // 2, len(whole) - 8, len(whole) - 1):
            path = plain(tmp_path / "b.pth", whole[:length])
            with pytest.raises(UserError, match="b.pth is not a whole PyTorch file"):
                read_torch(path)


def test_damage_inside_a_zip_is_noticed_by_its_checksum(tmp_path):
    data = zipped(tmp_path / "a.pth", entry(tensor((6,), (1,)))).read_bytes()
    place = data.index(np.float32(5).tobytes())
    path = plain(tmp_path / "a.pth", data[:place] + b"\x01" + data[place + 1 :])
    with pytest.raises(UserError, match="not a whole PyTorch file .*CRC"):
        read_torch(path)


def test_zips_that_are_not_weights(tmp_path):
    body = entry(tensor((6,), (1,)))
    extra = [("archive/constants.pkl", b"x")]
    with pytest.raises(UserError, match="TorchScript program: save the state_dict"):
        read_torch(zipped(tmp_path / "a.pth", body, extra=extra))
    with pytest.raises(UserError, match="are compressed"):
        read_torch(zipped(tmp_path / "a.pth", body, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(UserError, match="big-endian"):
        read_torch(zipped(tmp_path / "a.pth", body, extra=[("archive/byteorder", b"big")]))
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as held:
        held.writestr("readme", b"hello")
    with pytest.raises(UserError, match="has no data.pkl"):
        read_torch(tmp_path / "a.pth")


def test_a_zip_that_declares_more_than_it_has(tmp_path):
    data = zipped(tmp_path / "a.pth", entry(tensor((6,), (1,)))).read_bytes()
    size = struct.pack("<I", 24)
    # both sizes of the storage in the central directory, which zipfile goes by
    place = data.rindex(size + size)
    huge = struct.pack("<I", 0x7FFFFFF0)
    path = plain(tmp_path / "a.pth", data[:place] + huge * 2 + data[place + 8 :])
    with pytest.raises(UserError, match="entries are larger than the file"):
        read_torch(path)


def test_nesting_and_cycles_end(tmp_path):
    deep = b"\x80\x02" + b"}X\x01\x00\x00\x00a" * 100 + b"N" + b"s" * 100 + b"."
    cycle = b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."
    # a list that holds the list before it twice, 60 times over: 2^60 leaves in a small file
    twice = b"\x80\x02]" + b"".join(
        b"q" + bytes([i]) + b"]q" + bytes([i + 1]) + b"(h" + bytes([i]) + b"h" + bytes([i]) + b"e"
        for i in range(0, 120, 2)
    ) + b"."  # fmt: skip
    for body in (deep, cycle, twice):
        with pytest.raises(UserError, match="nested more than 64 deep or are too many"):
            read_torch(zipped(tmp_path / "a.pth", body))


def test_nothing_is_computed_of_tuples_nested_in_themselves(tmp_path):
    """Their hash, their text and their comparison would take 2^60 steps."""
    deep = b"N" + b"q\x00h\x00\x86" * 60
    as_key = b"\x80\x02}" + deep + b"Ns."
    as_class = b"\x80\x04" + deep + b"\x8c\x01a\x93."
    # the argument of the call is a tuple of one list of one pair
    as_pair = b"\x80\x02ccollections\nOrderedDict\n]" + deep + b"N\x86a\x85R."
    storage = tensor((6,), (1,)).replace(b"X\x01\x00\x00\x000X", deep + b"X")
    words = {
        "a key of a dict is neither": as_key,
        "names a class by what is not a name": as_class,
        "a key of a dict is no name": as_pair,
        "a storage whose name or size is none": entry(storage),
    }
    for word, body in words.items():
        with pytest.raises(UserError, match=word):
            read_torch(zipped(tmp_path / "a.pth", body))
    data = legacy(tmp_path / "a.pth", entry(tensor((6,), (1,)))).read_bytes()
    names = pickle.dumps(["0"], 2)
    assert data.count(names) == 1
    plain(tmp_path / "a.pth", data.replace(names, b"\x80\x02](" + deep + b"e."))
    with pytest.raises(UserError, match="a storage whose name is none"):
        read_torch(tmp_path / "a.pth")


def test_damaged_bytes_never_do_more_than_raise_a_user_error(tmp_path):
    rng = np.random.default_rng(0)
    for container in (zipped, legacy):
        whole = container(tmp_path / "a.pth", entry(tensor((2, 3), (3, 1)))).read_bytes()
        for _ in range(300):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), rng.integers(1, 4)):
                data[place] = rng.integers(0, 256)
            try:
                read_torch(plain(tmp_path / "b.pth", bytes(data)))
            except UserError as error:
                assert "\n" not in str(error)


# writing


def state():
    rng = np.random.default_rng(0)
    drawn = 9 * rng.standard_normal((3, 2, 5, 4))
    names = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
    made = {f"layer.{name}": drawn.astype(name) for name in names}
    made |= {"scalar": np.asarray(7), "empty": np.zeros((0, 3), np.float32)}
    return made | {"turned": drawn.astype(np.float32).transpose(3, 1, 0, 2), "ü": np.arange(3.0)}


def test_torch_reads_what_is_written(torch, tmp_path):
    held = state()
    write_torch(tmp_path / "a.pth", held)
    found = torch.load(tmp_path / "a.pth", weights_only=True)
    assert isinstance(found, collections.OrderedDict) and list(found) == list(held)
    for name, value in held.items():
        assert found[name].is_contiguous() and not found[name].requires_grad
        assert (found[name].numpy().dtype, found[name].shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(found[name].numpy(), value)
    network = torch.nn.Linear(3, 2)
    write_torch(tmp_path / "b.pth", {n: v.numpy() for n, v in network.state_dict().items()})
    network.load_state_dict(torch.load(tmp_path / "b.pth", weights_only=True), strict=True)


def test_what_is_written_is_read_back_and_is_always_the_same(tmp_path):
    for name in ("a.pth", "b.pth"):
        write_torch(tmp_path / name, state())
    found, _ = read_torch(tmp_path / "a.pth")
    assert list(found) == list(state())
    for name, value in state().items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pth", "b.pth"]


def test_what_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="w is complex128, which a PyTorch file cannot hold"):
        write_torch(tmp_path / "a.pth", {"w": np.ones(1, complex)})
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/a.pth cannot be written"):
        write_torch(tmp_path / "file" / "a.pth", {})
    (tmp_path / "file").unlink()
    write_torch(tmp_path / "a.pth", {})
    before = (tmp_path / "a.pth").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        write_torch(tmp_path / "a.pth", state())
    assert (tmp_path / "a.pth").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]
