"""RL-Restore's released tools and agent, turned upright, against the stored results of its own graphs."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from jaxsr import build_chain
from jaxsr.inference.chains import by_majority, by_region
from jaxsr.interchange import convert
from jaxsr.interchange.files import read_arrays
from jaxsr.models.toolchain_agent import ToolchainAgent, zero_carry

SETS = {"mild": 24.7102, "moderate": 24.7579, "severe": 23.4171}


@pytest.fixture(scope="module")
def oracle(shared):
    folder = shared / "rl_restore"
    if not (folder / "expected.json").is_file():
        pytest.skip("no released weights of RL-Restore in the reference data")
    return folder, json.loads((folder / "expected.json").read_text())


@pytest.fixture(scope="module")
def released(oracle):
    folder, _ = oracle
    return build_chain.chooser(str(folder / "agent.npz"), (str(folder / "tools.npz"),))


def read(path):
    return np.asarray(Image.open(path).convert("RGB"), np.float32) / 255


def psnr(a, b):
    return 10 * np.log10(1 / (np.square(a.astype(float) - b.astype(float)).mean() + 1e-10))


def walk(chooser, image):
    """(actions, scores, images) of three greedy steps on one patch."""
    carry, previous, found = chooser.carry(1), np.zeros((1, 12), np.float32), []
    for _ in range(3):
        scores, carry = chooser.decide(image[None], previous, carry)
        action = int(np.argmax(scores[0]))
        if action < 12:
            image = chooser.bank(image[None], np.array([action]))[0]
            previous = np.eye(12, dtype=np.float32)[[action]]
        found.append((action, np.asarray(scores[0]), image))
        if action == 12:
            break
    return zip(*found, strict=True)


@pytest.mark.parametrize("severity", SETS)
def test_chains_of_the_patches(oracle, released, severity):
    folder, expected = oracle
    outputs = np.load(folder / "expected_outputs.npz")
    ends = []
    for index, entry in enumerate(expected["datasets"][severity]["images"]):
        image, truth = (read(folder / "test" / entry[name]) for name in ("input", "target"))
        actions, scores, images = walk(released, image)
        wanted = entry["actions"][: len(actions)]
        assert list(actions) == wanted
        assert all(action == 12 for action in entry["actions"][len(actions) :])
        steps = [psnr(each, truth) for each in images]
        np.testing.assert_allclose(steps, entry["psnr_per_step"][: len(steps)], atol=1e-4)
        valid = entry["q_steps_valid"]
        np.testing.assert_allclose(scores[:valid], entry["q_per_step"][:valid], atol=1e-3)
        # the stored pixels are of the reference's swapped images
        swapped = outputs[f"{severity}/{index}"].transpose(1, 0, 2)
        np.testing.assert_allclose(images[-1], swapped, atol=1e-5)
        ends.append(steps[-1])
    assert np.mean(ends) == pytest.approx(SETS[severity], abs=1e-4)


@pytest.mark.parametrize("severity", SETS)
def test_every_tool_alone(oracle, released, severity):
    folder, expected = oracle
    for entry in expected["datasets"][severity]["images"]:
        image, truth = (read(folder / "test" / entry[name]) for name in ("input", "target"))
        found = [psnr(released.bank(image[None], np.array([tool]))[0], truth) for tool in range(12)]
        np.testing.assert_allclose(found, entry["single_tool_psnr"], atol=1e-4)


@pytest.mark.parametrize("name", ["1.jpg", "2.jpg", "3.jpg", "4.jpg"])
def test_photographs_by_majority(oracle, released, name):
    folder, expected = oracle
    image, entry = read(folder / "test" / "mine" / name), expected["mine"][name]
    # the reference's own path feeds upright images to weights of swapped ones: swapped to ours
    for seen, wanted in (
        (image, entry["transposed_input"]),
        (image.transpose(1, 0, 2), entry),
    ):
        steps = by_majority(released, np.ascontiguousarray(seen), steps=3)
        assert [step.action for step in steps] == wanted["actions"]
        total = sum(wanted["votes_per_step"][0])
        for step, votes in zip(steps, wanted["votes_per_step"], strict=True):
            np.testing.assert_allclose(step.votes * total, votes, atol=1e-6)
        assert steps[-1].image.mean() == pytest.approx(wanted["output_mean"], abs=2e-6)
        assert steps[-1].image.std() == pytest.approx(wanted["output_std"], abs=2e-6)


def test_weights_as_they_are_need_swapped_images(oracle, released):
    """The other way round: the reference's layout of the arrays, which is not upright."""
    folder, expected = oracle
    arrays, _ = read_arrays(folder / "agent.npz")
    layout, section, _ = convert.identify(arrays)
    plain = {"params": {}}
    for entry in layout.entries(section):
        *path, leaf = entry.ours.split("/")
        place = plain
        for part in path:
            place = place.setdefault(part, {})
        place[leaf] = arrays[entry.theirs]
    module, upright = ToolchainAgent(**section), convert.to_ours(layout, section, arrays)
    run = jax.jit(
        lambda v, x: module.apply(v, x[None, None], np.zeros((1, 1, 12)), zero_carry(1))[0]
    )
    entry = expected["datasets"]["mild"]["images"][0]
    image = read(folder / "test" / entry["input"])
    ours = run(upright, image)["logits"][0, 0]
    theirs = run(plain, image.transpose(1, 0, 2))["logits"][0, 0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(run(plain, image)["logits"][0, 0] - ours).max() > 0.05


def test_regions_of_a_photograph(oracle, released):
    """Where all patches choose as the majority did, region by region is the whole image's result."""
    folder, _ = oracle
    image = read(folder / "test" / "mine" / "1.jpg")[:100, :100]
    found, chosen = by_region(released, image, steps=1, stride=37)
    tools = {int(a) for a in chosen.ravel()}
    made = [image if tool == 12 else released.tools[tool](image) for tool in sorted(tools)]
    assert (found >= np.min(made, 0) - 1e-5).all() and (found <= np.max(made, 0) + 1e-5).all()
    corner = chosen[0, 0, 0]
    alone = image if corner == 12 else released.tools[corner](image)
    np.testing.assert_allclose(found[:30, :30], alone[:30, :30], atol=1e-5)
