"""scripts/out_of_category.py with a small network: what it writes, what it calls forced, its sentences."""

import csv
import importlib
import json

import jax
import numpy as np
import pytest
from reference.random_trees import random_like

from jaxsr import checkpoint
from jaxsr.data.images import read_image
from jaxsr.models.legacy_srresnet import LegacySRResNet
from jaxsr.models.sftnet import SFTNet
from jaxsr.outdoor import NAMES

SIZES = {"features": 4, "blocks": 1, "condition": 4, "condition_hidden": 8}


@pytest.fixture(scope="module")
def script(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "scripts"))
        yield importlib.import_module("out_of_category")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """--weights and --parent, small ones with random weights."""
    folder = tmp_path_factory.mktemp("weights")
    lq, seg = np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 32, 32, 8), np.float32)
    nets = {
        "weights": (SFTNet(**SIZES), (lq, seg), {"name": "sftnet", "variant": "pytorch"} | SIZES),
        "parent": (
            LegacySRResNet(features=4, blocks=1),
            (lq,),
            {"name": "legacy_srresnet", "features": 4, "blocks": 1, "scale": 4},
        ),
    }
    made = []
    for name, (module, inputs, section) in nets.items():
        drawn = random_like(jax.eval_shape(module.init, jax.random.key(0), *inputs), seed=1)
        checkpoint.save_weights(folder / f"{name}.safetensors", drawn, {"network": section})
        made += [f"--{name}", str(folder / f"{name}.safetensors")]
    return made


def test_scores_shares_and_sheet_of_small_crops(script, given, tmp_path):
    out = tmp_path / "out"
    some = ["--images", "astronaut", "retina", "--crop", "64", "--out", str(out)]
    assert script.main([*given, *some]) == 0
    scores = list(csv.DictReader((out / "scores.csv").open()))
    assert [row["method"] for row in scores] == 2 * list(script.METHODS)
    for row in scores:
        assert float(row["psnr_y"]) > 0 and -1 <= float(row["ssim_y"]) <= 1
        assert 0 < float(row["trunk_distance"]) < 4
    # with random weights a prior makes a difference, and so does the modulation
    assert len({row["psnr_y"] for row in scores[:5]}) == 5
    shares = list(csv.DictReader((out / "shares.csv").open()))
    assert [row["image"] for row in shares] == ["astronaut", "retina"]
    for row in shares:
        for kind in ("p", "share"):
            assert sum(float(row[f"{kind} {name}"]) for name in NAMES) == pytest.approx(1, abs=1e-4)
        assert 0 < float(row["mean change"]) <= float(row["largest change"])
    held = json.loads((out / "out_of_category.json").read_text())
    assert held["settings"]["sure"] == 0.5 and len(held["scores"]) == 10
    text = (out / "out_of_category.md").read_text()
    assert "at least 0.5 on at least 5 % of the image" in text and "| retina |" in text
    assert "| bicubic " in text and "| background " in text
    assert read_image(out / "out_of_category.png").shape[0] > 2 * 288


def test_forced_is_a_category_that_is_sure_of_enough_pixels(script):
    seg = np.zeros((10, 10, 8), np.float32)
    seg[..., 0] = 1
    seg[:1, :, :] = 0
    seg[:1, :, NAMES.index("plant")] = 1
    seg[1, :3] = np.float32([0.55, 0.45, 0, 0, 0, 0, 0, 0])
    found = script.shares_of(seg, sure=0.5, limit=0.1)
    assert found["forced"] == "plant 10.0 %"
    assert found["share background"] == pytest.approx(0.9) and found["share sky"] == 0
    assert found["p sky"] == pytest.approx(0.0135)
    assert script.shares_of(seg, sure=0.5, limit=0.11)["forced"] == ""
    assert script.shares_of(seg, sure=0.4, limit=0.0)["forced"] == "plant 10.0 %, sky 3.0 %"


def test_what_is_wrong_is_one_sentence(script, given, tmp_path, capsys):
    cases = (
        (["--weights", "pretrained:sftnet_psnr"], "holds a legacy_srresnet: name an SFT-Net"),
        (["--parent", given[1]], "takes a prior itself: name one without"),
        (
            ["--prior", "pretrained:sftnet_psnr"],
            "not a segmenter (outdoor_scene_seg or prior_net)",
        ),
        (["--images", "astronout"], "did you mean 'astronaut'"),
        (["--lpips", "a", "b", "c"], "a file, or those of the trunk and of the heads"),
        (["--lpips", "none.pth"], "there is no weight file none.pth"),
    )
    for change, words in cases:
        rest = [*given, "--images", "astronaut", "--crop", "64", "--out", str(tmp_path / "out")]
        assert script.main([*rest, *change]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1, error
    assert not (tmp_path / "out").exists()
