"""The weights that are shipped: whole, small, with a card, and as good as their cards say."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsr
from jaxsr import build_chain, build_method, evaluate_chains, outdoor, protocols
from jaxsr.algorithms.bank import sorted_blocks
from jaxsr.algorithms.toolchain import Agent, Rules, greedy, rollout
from jaxsr.data.distorted_sets import HELD_OUT, band_set, evaluation_set
from jaxsr.data.images import read_image
from jaxsr.data.sources import labelled, load, photographs
from jaxsr.data.transforms import segmentation_pair
from jaxsr.metrics.segmentation import confusion_matrix, mean_iou, pixel_accuracy
from jaxsr.models.toolchain_agent import zero_carry
from jaxsr.ops.resize import imresize, modcrop

FOLDER = Path(jaxsr.__file__).parent / "pretrained"
NAMES = ("rl_restore_a2c", "rl_restore_tools", "segmenter", "sftnet", "sftnet_psnr")
LIMIT = 8_000_000


def network(name):
    """(variables, function of (variables, *inputs)) of a shipped network."""
    variables, card = build_method.weights(f"pretrained:{name}")
    module = build_method.network_module(card["network"], name, dtype=jnp.float32)
    return variables, jax.jit(lambda v, *inputs: module.apply(v, *inputs, train=False))


def test_every_shipped_file_is_listed_here_with_a_card():
    assert {path.stem for path in FOLDER.glob("*.safetensors")} == set(NAMES)
    for name in NAMES:
        assert (FOLDER / f"{name}.safetensors").stat().st_size < LIMIT
        card = (FOLDER / f"{name}.md").read_text()
        for word in ("Network", "Data", "Config", "seed", "steps", "Hardware", "hours", "Scores"):
            assert word in card, f"{name}: {word}"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("rl_restore_a2c", 87_914),
        ("rl_restore_tools", 436_068),
        ("segmenter", 1_422_224),
        ("sftnet", 1_833_763),
        ("sftnet_psnr", 1_554_499),
    ],
)
def test_shipped_network_has_its_parameters_and_they_are_finite(name, parameters):
    variables, _ = build_method.weights(f"pretrained:{name}")
    leaves = jax.tree.leaves(variables["params"])
    assert sum(leaf.size for leaf in leaves) == parameters
    assert all(np.isfinite(leaf).all() for leaf in leaves)


def test_parent_reaches_its_floor_on_set5(shared):
    """PSNR-Y, pipeline A, ×4: bicubic has 28.4177 (evaluation sheet); the floor is 30.0 dB."""
    variables, apply = network("sftnet_psnr")
    found = []
    for path in sorted((shared / "sr_benchmarks" / "Set5" / "HR").glob("*.png")):
        truth = modcrop(read_image(path), 4)
        lq = imresize(truth, 1 / 4, border="clamp", round_passes=True)
        restored = apply(variables, lq[None].astype(np.float32) / 255)[0]
        found.append(protocols.score(protocols.PROTOCOLS["classic"], restored, truth, 4))
    assert len(found) == 5
    mean = np.mean([scores["psnr"] for scores in found])
    assert mean >= 30.0
    printed = re.search(r"\| sftnet_psnr \| +([\d.]+)", (FOLDER / "sftnet_psnr.md").read_text())
    # the card was written on another day, perhaps another processor: float32 convolutions differ
    assert mean == pytest.approx(float(printed.group(1)), abs=2e-3)


def test_denoising_tools_have_the_gains_of_their_card_on_their_own_bands():
    """A box in another order would lose several dB of them."""
    box = build_chain.box(["pretrained:rl_restore_tools"])
    photos = load(photographs(names=HELD_OUT))
    for tool, wanted in ((4, 1.02), (5, 4.37), (6, 7.12), (7, 7.41)):
        pairs = band_set(tool, photos, count=24)
        lq, hq = (evaluate_chains.unit(side) for side in (pairs.lq, pairs.hq))
        made = box.functions[tool](box.weights[f"tool{tool + 1:02d}"], lq)
        gain = evaluate_chains.psnr(np.asarray(made), hq) - evaluate_chains.psnr(lq, hq)
        # the JPEG library of another machine may change single pixels of the patches
        assert gain.mean() == pytest.approx(wanted, abs=0.05), box.names[tool]


def test_the_agent_looks_at_its_image_and_beats_the_best_constant_chain():
    """6-6-12 is the best of all constant chains on the three fixed sets (scripts/compare_policies.py)."""
    box = build_chain.box(["pretrained:rl_restore_tools"])
    apply, variables = build_chain.agent("pretrained:rl_restore_a2c", tools=12)
    rules = Rules(steps=3, allow_stop=True, min_steps=0, abort_below_input=False)
    bank, agent = sorted_blocks(box.functions, block=1), Agent(apply, zero_carry)
    pairs = evaluation_set("moderate", load(photographs(names=HELD_OUT)), count=24)
    lq, hq = (jnp.asarray(evaluate_chains.unit(side)) for side in (pairs.lq, pairs.hq))
    found = jax.jit(
        lambda v, w: rollout(
            jax.random.key(0), agent, v, greedy, rules, bank, w, lq, hq, tools=12
        )
    )(variables, box.weights)  # fmt: skip
    gain = float((found.psnr[-1] - found.psnr[0]).mean())
    assert len({tuple(chain) for chain in np.asarray(found.actions).T}) > 3
    card = (FOLDER / "rl_restore_a2c.md").read_text()
    printed = re.search(r"\| +[\d.]+ \| +[\d.]+ \| +([\d.]+) \|", card)
    # the JPEG library of another machine may change single pixels of the patches
    assert gain == pytest.approx(float(printed.group(1)), abs=0.05)

    constant = lq
    for tool in (5, 5, 11):
        constant = box.functions[tool](box.weights[f"tool{tool + 1:02d}"], constant)
    best = evaluate_chains.psnr(np.asarray(constant), hq) - evaluate_chains.psnr(lq, hq)
    assert gain > best.mean() + 0.1


def test_sftnet_uses_its_prior():
    """Sky or building over the whole image gives another texture, and neither is the parent's."""
    variables, apply = network("sftnet")
    lq = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
    one_hot = np.eye(8, dtype=np.float32)
    results = [
        np.asarray(apply(variables, lq, np.broadcast_to(one_hot[k], (1, 64, 64, 8))))
        for k in (outdoor.NAMES.index("sky"), outdoor.NAMES.index("building"))
    ]
    assert np.abs(results[0] - results[1]).mean() > 1e-4


@pytest.mark.slow
def test_segmenter_beats_the_majority_class_by_far(shared):
    variables, apply = network("segmenter")
    folder = shared / "msrc_v2"
    held_out = load(
        labelled(folder / "images", folder / "labels", include="msrc_v2_test"),
        class_table="msrc_v2",
    )
    total = np.zeros((8, 8), np.int64)
    for sample in held_out:
        pair = segmentation_pair(sample, scale=4, multiple=16)
        found = np.asarray(apply(variables, pair["lq"][None]))[0].argmax(-1)
        total += confusion_matrix(found, pair["label"], classes=8)
    majority = total.sum(1).max() / total.sum()
    assert pixel_accuracy(total) > 0.70 and majority < 0.30
    assert mean_iou(total) > 0.45
