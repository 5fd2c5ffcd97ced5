"""scripts/import_weights.py: what it says, what it writes, what it refuses."""

import hashlib
import os
import pickle
import runpy
import sys

import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of

from jaxsr import build_method, checkpoint
from jaxsr.interchange import convert
from jaxsr.interchange.torch_write import write_torch

SECTION = {"features": 4, "blocks": 2, "scale": 4}
LAYOUT = "XPixelGroup/BasicSR MSRResNet"


@pytest.fixture(scope="module")
def made():
    """(variables, arrays of the reference)."""
    module = build_method.NETWORKS["msrresnet"](**SECTION)
    variables = random_like(shapes_of(module, np.zeros((1, 8, 8, 3))), seed=0)
    return variables, convert.to_theirs(convert.find(LAYOUT), SECTION, variables)


@pytest.fixture
def script(root, tmp_path, monkeypatch, capsys):
    """Runs the script in tmp_path; gives what it prints, or the error."""

    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["import_weights.py", *map(str, arguments)])
        try:
            runpy.run_path(str(root / "scripts" / "import_weights.py"), run_name="__main__")
        except SystemExit as stop:
            assert str(stop).startswith("import_weights: error: ") and "\n" not in str(stop)
            return str(stop)
        return capsys.readouterr().out

    return run


def test_a_file_is_described_and_converted(script, tmp_path, made):
    variables, arrays = made
    path = tmp_path / "net.pth"
    write_torch(path, {f"module.{name}": value for name, value in arrays.items()})
    out = script(path)
    numbers = sum(value.size for value in arrays.values())
    for words in (
        "net.pth, PyTorch zip; took off 'module.'", f"{len(arrays)} with {numbers:,} numbers, float32",
        f"{LAYOUT} -> msrresnet", "scale:        ×4", "features 4, blocks 2",
        f"parameters:   {numbers:,}", "unused:       none", "missing:      none", "net.safetensors",
    ):  # fmt: skip
        assert words in out, words
    held, card = checkpoint.load_weights(tmp_path / "net.safetensors")
    assert card == {
        "network": {"name": "msrresnet", **SECTION}, "layout": LAYOUT, "counters": {},
        "source": {"file": "net.pth", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
    }  # fmt: skip
    for name, layer in variables["params"].items():
        for leaf, value in layer.items():
            np.testing.assert_array_equal(held["params"][name][leaf], value)
    text = (tmp_path / "net.md").read_text()
    assert "# net\n" in text and card["source"]["sha256"] in text and LAYOUT in text
    build_method.weights(str(tmp_path / "net.safetensors"))
    # nothing is overwritten unasked
    assert "net.safetensors is there already" in script(path)
    assert "written" in script(path, "--force")
    assert "other.safetensors" in script(path, "--out", "other.safetensors")


def test_half_precision_and_a_wrapper(script, tmp_path, made):
    torch = pytest.importorskip("torch")
    half = {name: torch.from_numpy(value).half() for name, value in made[1].items()}
    torch.save({"params_ema": half, "params": half}, tmp_path / "net.pth.tar")
    out = script("net.pth.tar")
    assert "opened params_ema; beside it: params (--key)" in out
    assert f"float16 ({len(half)})" in out and "the written file is float32" in out
    held, _ = checkpoint.load_weights(tmp_path / "net.safetensors")
    bias = held["params"]["conv_first"]["bias"]
    assert bias.dtype == np.float32
    np.testing.assert_array_equal(bias, half["conv_first.bias"].float().numpy())


def test_scale(script, tmp_path, made, shared):
    write_torch(tmp_path / "net.pth", made[1])
    assert "the weights enlarge ×4, not ×2 as --scale says" in script("net.pth", "--scale", 2)
    # the staged SRCNN for ×3 does not say that it is
    path = shared / "weights" / "srcnn" / "SRCNN_915_x3.mat"
    said = script(path, "--list")
    assert "not told by the weights: name it with --scale (images enlarged before: 1)" in said
    # which is no advice for a network that enlarges by itself
    said = script(shared / "weights" / "idn" / "IDN_x4.npz", "--list")
    assert "not told by the weights: name it with --scale\n" in said
    assert "×3, as --scale says" in script(path, "--scale", 3)
    held, card = checkpoint.load_weights(tmp_path / "SRCNN_915_x3.safetensors")
    assert card["network"]["scale"] == 3 and card["network"]["kernels"] == [9, 1, 5]
    assert held["params"]["conv1"]["kernel"].shape == (9, 9, 1, 64)


def test_a_scale_of_0_is_refused_with_the_options(root, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["import_weights.py", "net.pth", "--scale", "0"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(root / "scripts" / "import_weights.py"), run_name="__main__")
    assert stop.value.code == 2 and "--scale: '0' is no whole number" in capsys.readouterr().err


def test_a_text_beside_is_not_overwritten_unasked(script, tmp_path, made):
    write_torch(tmp_path / "net.pth", made[1])
    (tmp_path / "net.md").write_text("mine")
    assert "net.md is there already" in script("net.pth")
    assert (tmp_path / "net.md").read_text() == "mine"
    assert not (tmp_path / "net.safetensors").exists()


def test_listing_writes_nothing(script, tmp_path, made):
    write_torch(tmp_path / "net.pth", made[1])
    out = script("net.pth", "--list")
    assert "  conv_first.weight: 4×3×3×3 float32" in out and LAYOUT in out
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_plain_arrays(script, tmp_path):
    """Those of no network that is known: under their names, unchanged."""
    path = tmp_path / "theirs.npz"
    rng = np.random.default_rng(0)
    np.savez(path, **{"a/w": rng.normal(size=(3, 2)).astype(np.float32), "step": np.int32(7)})
    assert "of no known layout" in script(path) and "--arrays" in script(path)
    assert "written" in script(path, "--arrays", "out.npz")
    with np.load(path) as held, np.load(tmp_path / "out.npz") as found:
        assert set(held.files) == set(found.files)
        for name in held.files:
            assert held[name].dtype == found[name].dtype
            np.testing.assert_array_equal(held[name], found[name])
    assert "out.npz is there already" in script(path, "--arrays", "out.npz")
    assert "written" in script(path, "--arrays", "new/out.npz")
    assert "a.bin must end in .npz" in script(path, "--arrays", "a.bin")
    said = script(path, "--arrays", "out.npz/a.npz")
    assert "error: out.npz/a.npz cannot be written (File exists)" in said


def test_plain_arrays_keep_their_type_and_that_is_not_denied(script, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.float64([1.5]))
    assert "float32" not in script("a.npz", "--arrays", "b.npz")
    with np.load(tmp_path / "b.npz") as held:
        assert held["x"].dtype == np.float64


def test_mistakes(script, tmp_path, made):
    arrays = made[1]
    assert "there is no weight file none.pth" in script("none.pth")
    write_torch(tmp_path / "net.pth", arrays)
    assert "there is no layout 'Nothing'" in script("net.pth", "--layout", "Nothing")
    assert "must end in .safetensors" in script("net.pth", "--out", "a.npz")
    assert "holds nothing under 'params'" in script("net.pth", "--key", "params")
    wrong = arrays | {"body.0.conv1.weight": np.zeros((4, 3, 3, 3), np.float32)}
    write_torch(tmp_path / "wrong.pth", wrong)
    said = script("wrong.pth")
    assert (
        "body_0_conv1/kernel is (3, 3, 3, 4) in the file" in said or "body.0.conv1.weight" in said
    )
    nan = arrays | {"conv_last.bias": np.float32([0, np.nan, 0])}
    write_torch(tmp_path / "nan.pth", nan)
    assert "conv_last.bias holds numbers that are NaN" in script("nan.pth")
    np.savez(tmp_path / "net.safetensors.npz", **arrays)
    (tmp_path / "cut.pth").write_bytes((tmp_path / "net.pth").read_bytes()[:1000])
    assert "cut.pth is not a whole PyTorch file" in script("cut.pth")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".npz"] + [".pth"] * 4


def test_a_network_of_features_needs_no_conversion(script, shared):
    said = script(shared / "weights" / "vgg19_torchvision_head" / "VGGMOD.npz")
    assert "VGG19 by the names of its layers, whose features" in said


class Trap:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"mkdir {self.mark}",)


def test_a_pickle_that_would_run_a_command(script, tmp_path):
    (tmp_path / "bad.pth").write_bytes(pickle.dumps({"state_dict": Trap(tmp_path / "mark")}))
    said = script("bad.pth")
    assert "bad.pth is refused: the pickle in it wants to call 'posix.system'" in said
    assert "nothing was run" in said
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pth"]
