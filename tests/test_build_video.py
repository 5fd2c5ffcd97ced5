"""Deep Video Prior from its config: what it sees and refuses, what it writes, and that it resumes."""

import contextlib
import csv
import itertools

import jax
import numpy as np
import pytest
from PIL import Image
from reference.config_files import config_of
from reference.random_trees import random_like, shapes_of

from jaxsr import build, build_video, evaluate_clips, memory, train
from jaxsr.data.images import read_image
from jaxsr.interchange import convert, layouts_flow
from jaxsr.models.spynet import SPyNet
from jaxsr.types import UserError

pytestmark = pytest.mark.usefixtures("unoptimised")


def config(root, preset="tiny", **changes):
    return config_of(root, "dvp", preset, **changes)


def folder(path, count, *, size=(40, 36), gain=1.0):
    """Frames of noise, all the same but for a gain that alternates."""
    image = np.random.default_rng(0).integers(0, 200, (size[1], size[0], 3))
    path.mkdir()
    for t in range(count):
        level = np.uint8(image * (gain if t % 2 else 1.0))
        Image.fromarray(level).save(path / f"{t:03}.png")
    return str(path)


MISTAKES = [
    ({"clip__input": "photograph:cofee"}, "no photograph 'cofee'"),
    ({"clip__input": "nowhere"}, "there is no clip nowhere"),
    ({"clip__processed": "nowhere"}, "there is no clip nowhere"),
    ({"clip__frame": 2}, "clip.frame is not known .*frames"),
    ({"slide__frames": 1}, "1 windows .*two frames at least"),
    ({"slide__size": 15}, "frames of 15×15 pixels are smaller than the 16"),
    ({"slide__size": 24, "schedule__coarse": True}, "24×24 pixels are smaller than the 32"),
    ({"flicker__name": "gian"}, "flicker.name = 'gian'.*gain"),
    ({"flow__weights": "none.npz"}, "none.npz"),
    ({"networks__gen__name": "skip_net"}, "networks.gen.name = 'skip_net'.*video_unet"),
    ({"networks__gen__outputs": 6}, "outputs is 6: with the loss `competing` it is 6"),
    ({"losses": {}}, "config.losses has nothing to minimise"),
    ({"losses": {"a": {"name": "l3", "weight": 1.0}}}, "losses.a.name = 'l3'"),
    ({"losses": {"a": {"name": "feature_l1", "weight": 1.0}}}, "add a section config.features"),
    ({"losses": {"a": {"name": "l1", "weight": 1.0, "minor": 1}}}, "losses.a.minor is not known"),
    ({"evaluation__name": "restored"}, "evaluation.name = 'restored'"),
    ({"train__epoch": 3}, "train.epoch is not known .*epochs"),
]


@pytest.mark.parametrize("changes, said", MISTAKES, ids=["-".join(c) for c, _ in MISTAKES])
def test_mistakes_are_one_sentence(root, changes, said):
    with pytest.raises(UserError, match=said) as found:
        build.experiment(config(root, **changes))
    assert "\n" not in str(found.value)


def test_the_order_of_frames_follows_the_step_alone():
    clip = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((3, 66, 100, 3), np.uint8)
    order = build_video.ordered(given=clip, processed=clip + 10, epochs=5, coarse=True, first=1)
    seen = list(itertools.islice(order(7, 0, (0, 1)), 15))
    places = [int(batch["frame"][0, 0, 0, 0]) for batch in seen]
    assert places == [0, 0, 0] + 4 * [0, 1, 2]
    shapes = [batch["frame"].shape for batch in seen]
    assert shapes == 9 * [(1, 32, 48, 3)] + 6 * [(1, 64, 96, 3)]  # ⌊4·6/5⌋ - 1 = 3 epochs at half
    assert all((b["processed"] - b["frame"] == 10).all() for b in seen)
    later = next(order(9, 10, (0, 2)))
    np.testing.assert_array_equal(later["frame"], seen[10]["frame"])
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    half = next(
        build_video.ordered(given=pixels, processed=pixels, epochs=9, coarse=True, first=0)(
            0, 1, (0, 1)
        )
    )
    np.testing.assert_array_equal(half["frame"][0], pixels[1, ::2, ::2])


def test_a_run_in_two_parts_ends_with_the_same_bits(root, tmp_path):
    """Both phases of the two modes: the second begins with the fourth step."""
    made = build.experiment(config(root, "irt,tiny"))
    made = made._replace(loop=made.loop._replace(steps=5))
    whole = train.train(made, tmp_path / "whole")
    train.train(made._replace(loop=made.loop._replace(steps=2)), tmp_path / "parts")
    parts = train.train(made, tmp_path / "parts")
    for one, two in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(one, two)


def test_frames_of_a_folder_are_written_with_their_names_and_size(root, tmp_path):
    sources = {
        "clip__input": folder(tmp_path / "in", 3), "clip__processed": folder(tmp_path / "out", 3, gain=0.5),
    }  # fmt: skip
    made = build.experiment(config(root, "irt,tiny", **sources))
    assert made.loop.steps == 12
    train.train(made._replace(loop=made.loop._replace(steps=2)), tmp_path / "run")
    where = tmp_path / "run" / "evaluation"
    held = {}
    for part in ("", "minor", "confidence"):
        files = sorted((where / "step_00000002" / part).glob("*.png"))
        assert [file.name for file in files] == ["000.png", "001.png", "002.png"]
        held[part] = [np.asarray(Image.open(file)) for file in files]
    assert held[""][0].shape == (36, 40, 3) and held["confidence"][0].shape == (36, 40)
    assert set(np.unique(held["confidence"])) <= {0, 255}
    drawn = {"image": np.zeros((1, 36, 40, 3)), "minor": np.ones((1, 36, 40, 3))}
    given, processed = build_video.observed(config(root, "irt,tiny", **sources).to_dict())
    shown = evaluate_clips.made_of(
        lambda batch: {"confidence": drawn["minor"][..., :1]} | drawn, given, processed, truncate=False
    )  # fmt: skip
    assert list(shown) == ["output", "minor", "confidence"]
    assert not shown["output"].any() and (shown["minor"] == 255).all()
    rows = list(csv.DictReader((where / "step_00000002.csv").open(encoding="utf-8")))
    assert len(rows) == 9 and list(rows[0]) == ["frame", "method", "flicker", "fidelity"]
    found = {(r["method"], r["frame"]): r for r in rows}
    assert float(found["input", "001"]["flicker"]) == 0 and found["input", "000"]["flicker"] == ""
    pair = [read_image(tmp_path / "out" / f"00{t}.png") / 255 for t in (0, 1)]
    assert float(found["processed", "001"]["flicker"]) == pytest.approx(
        np.abs(pair[1] - pair[0]).mean(), rel=1e-5
    )
    assert found["processed", "002"]["fidelity"] == "inf"
    table = (where / "step_00000002.md").read_text(encoding="utf-8")
    assert "| processed |" in table and "warping" not in table


def test_the_warping_error_of_the_toy_is_that_of_its_flicker(root, tmp_path):
    """Without motion in the flow's way the input has none, and the processed has its gains."""
    made = build.experiment(config(root))
    means, _ = made.evaluate(lambda batch: {"image": batch["frame"] / 255}, 0, tmp_path)
    assert means["warping"] == means["warping squared"] == 0
    assert means["flicker"] > 0.005 and 10 < means["fidelity"] < 40
    target, _ = made.evaluate(lambda batch: {"image": batch["processed"] / 255}, 0, tmp_path)
    assert target["warping"] > 0.01 and target["fidelity"] == np.inf
    assert target["warping"] == pytest.approx(target["warping short"] + target["warping long"])
    cut = build.experiment(config(root, evaluation__truncate=True))
    lower, _ = cut.evaluate(lambda batch: {"image": (batch["processed"] + 0.9) / 255}, 0, tmp_path)
    assert lower["fidelity"] == np.inf


def test_flow_is_that_of_a_weight_file(root, tmp_path):
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.float32)
    held = random_like(shapes_of(SPyNet(levels=2), image, image), seed=0, gain=0.5)
    layout = layouts_flow.LAYOUTS[0]
    arrays = convert.to_theirs(layout, {"levels": 2}, held)
    np.savez(tmp_path / "spynet.npz", **arrays)
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8)
    flow = build_video.spynet(frames=frames, weights=str(tmp_path / "spynet.npz"))
    pair = (frames[t][None].astype(np.float32) / 255 for t in (1, 0))
    wanted = jax.jit(SPyNet(levels=2).apply)(held, *pair)[0]
    np.testing.assert_allclose(flow(1, 0), wanted, atol=1e-5)
    with pytest.raises(UserError, match="holds a segmenter|holds a prior_net: name the weights"):
        build_video.spynet(frames=frames, weights="pretrained:segmenter")


def test_features_and_the_port_and_a_missing_vgg(root, capsys):
    for preset in ("features,port,tiny", "paper,tiny"):
        made = build.experiment(config(root, preset))
        state, _ = train.shapes(made)
        given = (jax.random.key(0), state, next(train.batches(made, 0)), made.frozen)
        _, metrics = jax.eval_shape(made.algorithm.step, *given)
        assert ("loss/features" in metrics) == ("features" in preset)
        assert "loss/pixel" in metrics
    assert (
        "losses.features is left out: config.features.weights names no file"
        in capsys.readouterr().out
    )


def test_published_values(root):
    """specs: sheet of Deep Video Prior, sections 4 to 6."""
    paper = config(root, "paper")
    adam = paper.optimisers.gen
    assert (adam.rate.peak, adam.b1, adam.b2, adam.eps) == (1e-4, 0.9, 0.999, 1e-8)
    assert paper.networks.gen.features == 32 and paper.schedule.coarse
    assert (paper.train.epochs, paper.train.eval_every, paper.schedule.first) == (25, 5, 0)
    wanted = {"relu1_2": 2.6, "relu2_2": 4.8, "relu3_2": 3.7, "relu4_2": 5.6, "relu5_2": 0.15}
    layers = paper.features.layers.to_dict()
    assert {k: pytest.approx(1 / v) for k, v in wanted.items()} == layers
    both = config(root, "paper,irt")
    assert (both.train.epochs, both.schedule.first, both.networks.gen.outputs) == (50, 5, 6)
    assert list(both.losses) == ["modes"] and "features" not in both


def test_what_does_not_fit_names_smaller_frames(root):
    made = build.experiment(config(root, slide__size=96))
    assert made.smaller(0.25) == "make the window smaller, --config.slide.size=48"
    clip = {"input": "frames", "shrink": 2}
    assert build_video.smaller_frames(clip, 96, 0.3) == "shrink the frames, --config.clip.shrink=4"
    assert build_video.smaller_frames(clip, 96, 0.999).endswith("shrink=3")
    with pytest.raises(UserError, match="clip.start, frames and shrink choose from files"):
        build.experiment(config(root, clip__shrink=2))


def test_a_coarse_beginning_is_refused_where_the_rest_does_not_fit(root, tmp_path, monkeypatch):
    """Before the first step, and not when the whole frames come."""
    made = build.experiment(config(root, schedule__coarse=True))
    (whole,) = made.later
    with contextlib.closing(made.batches(0, 0, (0, 1))) as batches:
        first = next(batches)
    assert whole["frame"].shape[1] == 2 * first["frame"].shape[1]
    seen = []

    def needed(program):
        seen.append(program)
        return 2 * memory.total()

    monkeypatch.setattr(memory, "needed", needed)
    with pytest.raises(UserError, match="make the window smaller"):
        train.train(made, tmp_path / "run")
    (program,) = seen
    shapes = [tuple(each.shape) for each in jax.tree.leaves(program.args_info)]
    assert whole["frame"].shape in shapes and first["frame"].shape not in shapes
