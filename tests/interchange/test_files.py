"""Weight files of every kind: what is opened, what is said, what is refused."""

import collections

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io
from safetensors.numpy import save_file

from jaxsr import checkpoint
from jaxsr.interchange.files import read_arrays
from jaxsr.interchange.torch_write import write_torch
from jaxsr.types import UserError


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "conv.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "conv.bias": rng.standard_normal(4).astype(np.float32),
    }


def assert_same(found, held):
    assert list(found) == list(held)
    for name, value in held.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


WRITERS = {
    "a.safetensors": lambda path, held: save_file(held, path),
    "a.npz": lambda path, held: np.savez(path, **held),
    "b.npz": lambda path, held: np.savez_compressed(path, **held),
    "a.pth": lambda path, held: write_torch(path, held),
}


@pytest.mark.parametrize("name", WRITERS)
def test_formats(tmp_path, name):
    WRITERS[name](tmp_path / name, arrays())
    found, notes = read_arrays(tmp_path / name)
    assert_same({n: found[n] for n in arrays()}, arrays())
    assert notes["dtypes"] == {"float32": 2} and notes["wrapper"] == notes["prefix"] == ""
    # the content decides where the name has been changed
    moved = (tmp_path / name).rename(tmp_path / "weights.pth.tar")
    found, again = read_arrays(moved)
    assert set(found) == set(arrays()) and again["format"] == notes["format"]


def test_only_some(tmp_path):
    for name in ("a.safetensors", "a.npz"):
        WRITERS[name](tmp_path / name, arrays())
        found, _ = read_arrays(tmp_path / name, only=["conv.bias", "other"])
        assert list(found) == ["conv.bias"]


def boxed(torch, box, path):
    """`box` with arrays as tensors, as PyTorch saves it."""

    def tensors(value):
        if isinstance(value, dict):
            return {name: tensors(inner) for name, inner in value.items()}
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    torch.save(tensors(box), path)
    return path


@pytest.mark.parametrize(
    "box, wrapper",
    [
        ({"params_ema": 1, "params": 2}, "params_ema"),
        ({"params": 1}, "params"),
        (
            {"epoch": 3, "state_dict": 1, "optimizer": {"state": {0: {"step": np.ones(1)}}}},
            "state_dict",
        ),
        ({"model_state_dict": 1, "loss": np.ones(())}, "model_state_dict"),
        ({"epoch": 1, "model": 1}, "model"),
        ({"net": 1, "acc": 0.5}, "net"),
        ({"state_dict": {"params": 1}}, "state_dict.params"),
        ({"weights_of_mine": 1}, "weights_of_mine"),
    ],
)
def test_wrappers_are_opened(torch, tmp_path, box, wrapper):
    def fill(value):
        if isinstance(value, dict):
            return {name: fill(inner) for name, inner in value.items()}
        return arrays(value) if isinstance(value, int) and value in (1, 2) else value

    box = {"epoch": 3, **fill({k: v for k, v in box.items() if k != "epoch"})}
    found, notes = read_arrays(boxed(torch, box, tmp_path / "a.pth"))
    assert notes["wrapper"] == wrapper
    assert_same(found, arrays(1))


def test_a_wrapper_can_be_named(torch, tmp_path):
    box = {"params_ema": arrays(1), "params": arrays(2), "gan": arrays(3)}
    path = boxed(torch, box, tmp_path / "a.pth")
    assert read_arrays(path)[1]["beside"] == ["params"]
    for key, seed in (("params", 2), ("gan", 3)):
        assert_same(read_arrays(path, wrapper=key)[0], arrays(seed))
    with pytest.raises(UserError, match="holds nothing under 'other'"):
        read_arrays(path, wrapper="other")
    path = boxed(torch, {"G": arrays(1), "D": arrays(2)}, tmp_path / "b.pth")
    with pytest.raises(
        UserError, match="several sets of weights, G, D: choose one with --key of scripts/import"
    ):
        read_arrays(path)
    assert_same(read_arrays(path, wrapper="D")[0], arrays(2))


def test_prefixes(tmp_path):
    held = {f"module.{name}": value for name, value in arrays().items()}
    write_torch(tmp_path / "a.pth", held)
    found, notes = read_arrays(tmp_path / "a.pth")
    assert notes["prefix"] == "module."
    assert_same(found, arrays())
    # only where all names have it
    write_torch(tmp_path / "b.pth", held | {"step": np.zeros(1)})
    assert set(read_arrays(tmp_path / "b.pth")[0]) == {*held, "step"}
    both = {
        f"{p}.{n}": v for s, p in enumerate(("generator", "disc")) for n, v in arrays(s).items()
    }
    np.savez(tmp_path / "c.npz", **both)
    assert set(read_arrays(tmp_path / "c.npz")[0]) == set(both)
    found, notes = read_arrays(tmp_path / "c.npz", wrapper="generator")
    assert notes["prefix"] == "generator."
    assert_same(found, arrays(0))


@pytest.mark.filterwarnings("ignore")  # torch warns that the source of a class may change
def test_data_parallel_in_half_precision(torch, tmp_path):
    network = torch.nn.Sequential(collections.OrderedDict(conv=torch.nn.Conv2d(3, 4, 3))).half()
    wrapped = torch.nn.DataParallel(network)
    for box in ({"state_dict": wrapped.state_dict()}, {"model": wrapped}):
        torch.save(box, tmp_path / "a.pth")
        found, notes = read_arrays(tmp_path / "a.pth")
        assert notes["prefix"] == "module." and notes["dtypes"] == {"float16": 2}
        assert_same(found, {n: v.numpy() for n, v in network.state_dict().items()})


def test_bfloat16(torch, tmp_path):
    from safetensors.torch import save_file as save

    held = {"w": torch.randn(3, 2).bfloat16()}
    save(held, tmp_path / "a.safetensors")
    torch.save(held, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        found, notes = read_arrays(tmp_path / name)
        assert notes["dtypes"] == {"bfloat16": 1} and found["w"].dtype == jnp.bfloat16
        np.testing.assert_array_equal(found["w"].astype(np.float32), held["w"].float().numpy())


def test_matlab_arrays_structures_and_cells(tmp_path):
    layers = np.empty(2, object)
    layers[:] = [np.ones((2, 3)), np.zeros((1, 1))]
    held = {"w": np.arange(6.0).reshape(2, 3), "s": {"a": np.ones((1, 2), np.float32), "t": "text"}}
    scipy.io.savemat(tmp_path / "a.mat", held | {"c": layers})
    found, notes = read_arrays(tmp_path / "a.mat")
    assert notes["format"] == "MATLAB 5"
    shapes = {name: value.shape for name, value in found.items()}
    assert shapes == {"w": (2, 3), "s.a": (1, 2), "c{0}": (2, 3), "c{1}": (1, 1)}
    np.testing.assert_array_equal(found["w"], held["w"])


def test_the_staged_matlab_and_torch_files(shared):
    """The originals against the copies that were made of them with other readers."""
    for folder, name, suffix in (
        ("lapsrn", "MSLapSRN_D5R8", ".mat"), ("lpips_lin", "v0.1_alex", ".pth"),
        ("lpips_lin", "v0.0_squeeze", ".pth"),
    ):  # fmt: skip
        found, _ = read_arrays(shared / "weights" / folder / f"{name}{suffix}")
        with np.load(shared / "weights" / folder / f"{name}.npz") as held:
            assert set(found) == set(held.files)
            for key in held.files:
                assert found[key].dtype == held[key].dtype
                np.testing.assert_array_equal(found[key], held[key], err_msg=key)


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz", "b.npz", "a.pth", "a.mat", "a.index"])
@pytest.mark.parametrize("content", [b"", b"not a weight file at all", b"\x80\x02}q\x00", "cut"])
def test_broken_files(tmp_path, name, content):
    path = tmp_path / name
    if content == "cut":
        if name == "a.index":
            path.write_bytes(bytes(100))  # really cut ones are in test_tensorflow_file.py
        elif name == "a.mat":
            scipy.io.savemat(path, {"w": np.ones((40, 40))})
        else:
            WRITERS[name](path, arrays())
        content = path.read_bytes()[:-60]
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_arrays(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 400 + len(str(path))


@pytest.mark.parametrize("value, word", [(np.nan, "NaN"), (np.inf, "infinite")])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_numbers_that_are_none_are_named(tmp_path, value, word, dtype):
    held = {name: array.astype(dtype) for name, array in arrays().items()}
    held["conv.bias"][2] = value
    for name, write in WRITERS.items():
        write(tmp_path / name, held)
        with pytest.raises(UserError, match=f"conv.bias holds numbers that are {word}"):
            read_arrays(tmp_path / name)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "a.pth").touch()

    def closed(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", closed)
    with pytest.raises(UserError, match="a.pth cannot be read .Permission denied."):
        read_arrays(tmp_path / "a.pth")


def test_other_files(tmp_path):
    with pytest.raises(UserError, match="there is no weight file .*none.pth"):
        read_arrays(tmp_path / "none.pth")
    with pytest.raises(UserError, match="there is no weight file"):
        read_arrays(tmp_path)
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(UserError, match="is not a weight file that is read here: it must be"):
        read_arrays(tmp_path / "a.txt")
    (tmp_path / "b.mat").write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(200))
    (tmp_path / "c.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    for name in ("b.mat", "c.h5"):
        with pytest.raises(UserError, match="is a MATLAB 7.3 or HDF5 file"):
            read_arrays(tmp_path / name)
    np.savez(tmp_path / "d.npz", w=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="it holds Python objects"):
        read_arrays(tmp_path / "d.npz")
    checkpoint.save_weights(tmp_path / "e.safetensors", {"params": arrays()}, {"network": {}})
    with pytest.raises(UserError, match="is a weight file of jaxsr already"):
        read_arrays(tmp_path / "e.safetensors")
    write_torch(tmp_path / "f.pth", {})
    with pytest.raises(UserError, match="holds no arrays"):
        read_arrays(tmp_path / "f.pth")
