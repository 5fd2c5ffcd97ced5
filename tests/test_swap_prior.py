"""scripts/swap_prior.py with a small network: its pages, its figures, its sentences."""

import csv
import importlib

import jax
import numpy as np
import pytest
from reference.random_trees import random_like

from jaxsr import checkpoint
from jaxsr.data.images import read_image
from jaxsr.models.sftnet import SFTNet

SIZES = {"features": 4, "blocks": 2, "condition": 4, "condition_hidden": 8}


@pytest.fixture(scope="module")
def script(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "scripts"))
        yield importlib.import_module("swap_prior")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    module = SFTNet(**SIZES)
    images = np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 32, 32, 8), np.float32)
    drawn = random_like(jax.eval_shape(module.init, jax.random.key(0), *images), seed=1)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    card = {"name": "sftnet", "variant": "pytorch", "classes": 8} | SIZES
    checkpoint.save_weights(path, drawn, {"network": card})
    return path


def test_every_category_changes_the_region_and_what_it_reaches(script, weights, tmp_path):
    out = tmp_path / "out"
    given = ["--weights", str(weights), "--images", "china", "--crop", "96", "--out", str(out)]
    layers = ["--layers", "sft_branch_0/sft0", "sft_branch_2", "--maps", "2"]
    assert script.main([*given, *layers]) == 0
    rows = list(csv.DictReader((out / "swap.csv").open()))
    assert [row["category"] for row in rows] == 2 * list(script.CATEGORIES)
    assert {row["swap"] for row in rows[:8]} == {"whole"}
    for row in rows[8:]:
        assert row["swap"] == "region" and 0 < float(row["inside"])
        assert float(row["outside"]) < float(row["inside"]) and 0 < int(row["reach"]) <= 32
    assert "| water | " in (out / "swap.md").read_text()
    for name in ("swap", "differences", "region", "region_differences", "modulation"):
        assert read_image(out / f"{name}.png").shape[1] > 600


def test_mistakes_are_one_sentence(script, weights, tmp_path, capsys):
    cases = (
        (["--weights", "pretrained:sftnet_psnr"], "holds a legacy_srresnet: name an SFT-Net"),
        (["--images", "chine"], "chine"),
        (["--region", "0", "0", "6", "8"], "multiples of 4"),
        (["--layers", "sft_branch_9"], "there is no such layer, but sft_branch_0"),
    )
    for given, words in cases:
        rest = ["--weights", str(weights), "--images", "china", "--crop", "64"]
        assert script.main([*rest, *given, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
