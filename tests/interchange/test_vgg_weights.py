"""VGG19 weight files: both containers, both namings, and every way to be unfit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxsr.interchange.torch_write import write_torch
from jaxsr.interchange.vgg import load_vgg19
from jaxsr.models.vgg import VGG19
from jaxsr.types import UserError

SHAPES = {"conv1_1": (64, 3), "conv1_2": (64, 64), "conv2_1": (128, 64)}
INDEX = {"conv1_1": 0, "conv1_2": 2, "conv2_1": 5}  # torchvision's vgg19().features


def arrays(naming):
    rng = np.random.default_rng(0)
    out = {}
    for name, (o, i) in SHAPES.items():
        prefix = f"features.{INDEX[name]}" if naming == "torchvision" else name
        out[f"{prefix}.weight"] = rng.standard_normal((o, i, 3, 3)).astype(np.float32)
        out[f"{prefix}.bias"] = rng.standard_normal(o).astype(np.float32)
    return out


def write(path, held):
    writers = {".safetensors": save_file, ".pth": lambda held, path: write_torch(path, held)}
    writers.get(path.suffix, lambda held, path: np.savez(path, **held))(held, path)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth"])
@pytest.mark.parametrize("naming", ["torchvision", "layers"])
def test_loads(tmp_path, suffix, naming):
    held = arrays(naming)
    extra = {"classifier.0.weight": np.zeros((2, 2), np.float32)}
    path = write(tmp_path / f"vgg{suffix}", held | extra)
    params = load_vgg19(path, layer="relu2_1")
    assert list(params) == list(SHAPES)
    weights, biases = list(held.values())[0::2], list(held.values())[1::2]
    for (name, layer), weight, bias in zip(params.items(), weights, biases, strict=True):
        assert layer["kernel"].dtype == layer["bias"].dtype == np.float32
        np.testing.assert_array_equal(layer["kernel"][2, 0, 1], weight[:, 1, 2, 0], err_msg=name)
        np.testing.assert_array_equal(layer["bias"], bias)
    shapes = jax.eval_shape(
        VGG19(layers=("relu2_1",)).init, jax.random.key(0), jnp.zeros((1, 8, 8, 3))
    )["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda s: s.shape, shapes)
    assert list(load_vgg19(path, layer="pool1")) == ["conv1_1", "conv1_2"]


def test_half_precision_becomes_float32(tmp_path):
    held = {name: value.astype(np.float16) for name, value in arrays("layers").items()}
    params = load_vgg19(write(tmp_path / "vgg.safetensors", held), layer="conv1_1")
    assert params["conv1_1"]["kernel"].dtype == np.float32


def test_missing_file_tells_how_to_make_one(tmp_path):
    with pytest.raises(UserError) as error:
        load_vgg19(tmp_path / "none.safetensors")
    message = str(error.value)
    assert "There is no VGG19 weight file" in message and "none.safetensors" in message
    compile(message.split(":\n", 1)[1].replace("\n  ", "\n").strip(), "recipe", "exec")


def test_missing_layers_are_named(tmp_path):
    path = write(tmp_path / "vgg.npz", arrays("layers"))
    with pytest.raises(UserError, match="lacks the VGG19 layers conv2_2, conv3_1; choose a layer"):
        load_vgg19(path, layer="conv3_1")
    held = arrays("torchvision")
    del held["features.2.bias"]
    with pytest.raises(UserError, match="lacks the VGG19 layers conv1_2;"):
        load_vgg19(write(tmp_path / "vgg.safetensors", held), layer="conv2_1")


@pytest.mark.parametrize("change", ["transposed", "narrow", "bias"])
def test_wrong_shapes_are_named(tmp_path, change):
    held = arrays("layers")
    if change == "bias":
        held["conv2_1.bias"] = held["conv2_1.bias"][:-1]
    else:
        weight = held["conv2_1.weight"]
        held["conv2_1.weight"] = weight.transpose(2, 3, 1, 0) if change[0] == "t" else weight[:, :9]
    path = write(tmp_path / "vgg.npz", held)
    with pytest.raises(UserError, match=r"conv2_1 has shapes .* where VGG19 has \(128, 64, 3, 3\)"):
        load_vgg19(path, layer="conv2_1")
    load_vgg19(path, layer="conv1_2")  # the fault lies deeper


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a weight file at all", "cut"])
def test_broken_files(tmp_path, suffix, content):
    path = write(tmp_path / f"vgg{suffix}", arrays("layers"))
    path.write_bytes(path.read_bytes()[:100_000] if content == "cut" else content)
    with pytest.raises(UserError, match="cannot be read as VGG19 weights"):
        load_vgg19(path, layer="conv1_1")


def test_pickled_objects_are_refused(tmp_path):
    held = arrays("layers") | {"conv1_1.weight": np.array([{"a": 1}], dtype=object)}
    path = tmp_path / "vgg.npz"
    np.savez(path, **held)
    with pytest.raises(UserError, match="cannot be read"):
        load_vgg19(path, layer="conv1_1")


def test_other_suffixes_and_unknown_layers(tmp_path):
    path = tmp_path / "vgg19.txt"
    path.write_bytes(b"x")
    with pytest.raises(UserError, match="cannot be read as VGG19 weights: .* must be .safetensors"):
        load_vgg19(path)
    with pytest.raises(ValueError, match="layer must be one of conv1_1, relu1_1"):
        load_vgg19(path, layer="conv6_1")


def test_the_shared_file(shared):
    params = load_vgg19(
        shared / "weights" / "vgg19_torchvision_head" / "VGGMOD.npz", layer="conv3_1"
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 555_328
    # the first numbers of torchvision's vgg19().features[0].weight, four digits as PyTorch prints
    # them: the row weight[0, 0, 0] of the first filter, and the one below it
    np.testing.assert_allclose(
        params["conv1_1"]["kernel"][:2, :, 0, 0],
        [[-0.0535, -0.0493, -0.0679], [0.0153, 0.0451, 0.0021]],
        atol=5e-5,
    )
