"""scripts/export_torch.py: files that PyTorch loads strictly, and the way back with the same bits."""

import runpy
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference.random_trees import random_like, shapes_of
from safetensors import safe_open

from jaxsr import build_method, checkpoint
from jaxsr.interchange.files import read_arrays
from jaxsr.models.acd_vgg import ACDVGG96
from jaxsr.models.legacy_srresnet import LegacySRResNet
from jaxsr.state import State

DISCRIMINATOR = dict(size=32, features=4, classes=8, hidden=5)


@pytest.fixture
def script(root, tmp_path, monkeypatch, capsys):
    """Runs a script in tmp_path; gives what it prints, or the error."""

    def run(name, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        try:
            runpy.run_path(str(root / "scripts" / f"{name}.py"), run_name="__main__")
        except SystemExit as stop:
            assert str(stop).startswith(f"{name}: error: ") and "\n" not in str(stop)
            return str(stop)
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_shipped_generator_loads_strictly(script, tmp_path, suffix):
    torch = pytest.importorskip("torch")
    from reference import sftgan_torch

    out = script("export_torch", "pretrained:sftnet", f"sft{suffix}")
    assert "xinntao/SFTGAN SFT_Net, 350 tensors with 1,833,763 numbers" in out
    # the three lines that it prints are run as they are printed
    lines = out.split("in PyTorch:\n")[1].splitlines()
    assert len(lines) == 3
    network = sftgan_torch.SFTNet(False)
    names = {"network": network, "torch": torch}
    exec("\n".join(line.strip() for line in lines), names)
    variables, _ = build_method.weights("pretrained:sftnet")
    bias = network.state_dict()["HR_branch.8.bias"].numpy()
    np.testing.assert_array_equal(bias, variables["params"]["HR_branch_8"]["bias"])
    assert [path.name for path in tmp_path.iterdir()] == [f"sft{suffix}"]


def test_import_and_export_are_inverse(script, tmp_path):
    torch = pytest.importorskip("torch")
    from reference import sftgan_torch

    torch.manual_seed(0)
    theirs = sftgan_torch.ACDVGG(*DISCRIMINATOR.values())
    theirs(torch.rand(2, 3, 32, 32))  # one batch: statistics and counters move
    torch.save({"params": theirs.state_dict()}, tmp_path / "disc.pth")
    script("import_weights", "disc.pth")
    script("export_torch", "disc.safetensors", "back.pth")
    found = torch.load(tmp_path / "back.pth", weights_only=True)
    assert set(found) == set(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value), name
    assert found["feature.3.num_batches_tracked"] == 1
    sftgan_torch.ACDVGG(*DISCRIMINATOR.values()).load_state_dict(found, strict=True)


def test_a_run_is_exported(script, tmp_path):
    network = LegacySRResNet(features=4, blocks=1, scale=2)
    variables = random_like(shapes_of(network, np.zeros((1, 8, 8, 3))), seed=0)
    section = {"name": "legacy_srresnet", "features": 4, "blocks": 1, "scale": 2, "weights": ""}
    config = {"name": "toy", "networks": {"gen": section}}
    state = State(
        step=jnp.int32(3), params={"gen": variables["params"]}, extra={},
        opt={"gen": optax.adam(1e-3).init(variables["params"])},
    )  # fmt: skip
    with checkpoint.manager(tmp_path / "run" / "checkpoints", keep=1) as held:
        checkpoint.save(held, state, {"config": config, "versions": {}})
    out = script("export_torch", "run", "run.safetensors", "--list")
    assert (
        "XPixelGroup/BasicSR@9fd09d4 SRResNet" in out and "  model.0.weight: 4×3×3×3 float32" in out
    )
    with safe_open(tmp_path / "run.safetensors", framework="numpy") as held:
        assert held.metadata() == {"format": "pt"}
    found, _ = read_arrays(tmp_path / "run.safetensors")
    kernel = variables["params"]["model_1"]["sub_0"]["res_2"]["kernel"]
    np.testing.assert_array_equal(found["model.1.sub.0.res.2.weight"], kernel.transpose(3, 2, 0, 1))


def test_counters_belong_to_the_layout_that_they_came_with(script, tmp_path):
    shapes = jax.eval_shape(
        lambda x: ACDVGG96(**DISCRIMINATOR).init(jax.random.key(0), x, train=False),
        jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32),
    )
    variables = random_like(shapes, seed=0)
    card = {"network": {"name": "acd_vgg_96", **DISCRIMINATOR}}
    counts = {"feature.3.num_batches_tracked": 9}
    for layout, expected in (("XPixelGroup/BasicSR ACD_VGG_BN_96", 9), (None, 0)):
        extra = {"layout": layout, "counters": counts} if layout else {"counters": counts}
        checkpoint.save_weights(tmp_path / "a.safetensors", variables, card | extra)
        script("export_torch", "a.safetensors", "a.pth", "--force")
        assert read_arrays(tmp_path / "a.pth")[0]["feature.3.num_batches_tracked"] == expected


def test_mistakes(script, tmp_path):
    assert "must end in .safetensors or .pth" in script(
        "export_torch", "pretrained:sftnet", "a.onnx"
    )
    assert "there are no weights 'pretrained:x'" in script("export_torch", "pretrained:x", "a.pth")
    assert "there is no weight file" in script("export_torch", "none.safetensors", "a.pth")
    said = script("export_torch", "pretrained:segmenter", "a.pth")
    assert "prior_net has no layout of other code" in said
    said = script("export_torch", "pretrained:sftnet", "a.pth", "--layout", "BasicSR MSRResNet")
    assert "is a layout of msrresnet, and this is a sftnet" in said
    said = script("export_torch", "pretrained:sftnet", "a.pth", "--layout", "SFT_Net_torch")
    assert "variant 'torch' and this network 'pytorch'" in said
    (tmp_path / "b.pth").write_bytes(b"precious")
    said = script("export_torch", "pretrained:sftnet", "b.pth/a.pth")
    assert "b.pth/a.pth cannot be written" in said
    said = script("export_torch", "pretrained:sftnet", "b.pth/a.safetensors")
    assert "b.pth/a.safetensors cannot be written (File exists): choose another" in said
    assert "b.pth is there already" in script("export_torch", "pretrained:sftnet", "b.pth")
    assert (tmp_path / "b.pth").read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir()] == ["b.pth"]
