"""Deep priors from their configs: what they see, what they refuse, and that they restore."""

import contextlib
import csv
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image
from reference.config_files import config_of

from jaxsr import build, build_observed, checkpoint, train
from jaxsr.build_method import SCHEDULES, network_module
from jaxsr.data.images import read_image
from jaxsr.types import UserError


def config(root, name, **changes):
    return config_of(root, name, "tiny", **changes)


ACTIVATION = {"name": "activation", "weight": 1.0, "map": 0, "window": 0}
MISTAKES = [
    ("dip_denoise", {"image": "none.png"}, "none.png"),
    ("dip_denoise", {"image": "photograph:astronot"}, "no photograph 'astronot'"),
    ("dip_denoise", {"channels": 1}, "networks.gen.outputs is 3 and config.channels 1"),
    ("dip_denoise", {"task__name": "denoize"}, "task.name = 'denoize'.*denoise"),
    ("dip_denoise", {"code__name": "gird"}, "code.name = 'gird'.*grid"),
    ("dip_denoise", {"crop__multiple": 2048}, "smaller than the 2048"),
    ("dip_restore", {"task__missing": 0.0}, "missing is 0.0"),
    ("dip_inpaint", {"task__mask": "mask.png"}, "mask.png"),
    ("dip_sr", {"task__factor": 5}, "cannot be reduced 5 times"),
    ("dip_sr", {"losses": {"tv": {"name": "tw", "weight": 1.0}}}, "losses.tv.name = 'tw'"),
    ("dip_denoise", {"image": "photograph:coffee,photograph:coffee"}, "two images 'coffee'"),
    ("dip_denoise", {"seeds": (1, 0, 1)}, "has a seed twice"),
    (
        "dip_sr", {"losses": {"tv": {"name": "variation", "weight": 1.0, "pover": 0.5}}},
        "losses.tv.pover is not known .*power",
    ),
    ("dip_denoise", {"losses": {}}, "losses is empty"),
    ("dip_features", {"losses__preimage__name": "featur_l2"}, "preimage.name = 'featur_l2'.*feature_l2"),
    ("dip_features", {"features__layers": {"level9": 1.0}}, "features.layers = 'level9'"),
    ("dip_denoise", {"losses__a": ACTIVATION}, "losses.a needs features: add a section"),
    ("dip_denoise", {"watches": {"varience": {}}}, "watches = 'varience'.*variance"),
    ("dip_denoise", {"watches": {"variance": {"rate": 0.1, "share": 1.0}}}, "variance.share is not known"),
    ("dip_denoise", {"stopping__watch": "variance"}, "stopping.watch = 'variance'"),
    ("dip_compose", {"task__operators": ({"name": "blurr"},)}, r"operators\[0\].name = 'blurr'.*blur"),
    ("dip_compose", {"task__operators": ({"name": "blur"},)}, r"operators\[0\].sigma is missing"),
    ("dip_compose", {"task__missing": 1.0}, "missing is 1.0"),
    ("dip_denoise", {"placement": "maped"}, "placement = 'maped'.*mapped"),
    ("dip_sr", {"evaluation__name": "restoration"}, "evaluation.name = 'restoration'"),
    ("dip_sr", {"task__factor": 0}, "a factor is a whole number from 1 up"),
    ("dip_denoise", {"crop__multiple": 0}, "multiple 0"),
    ("dip_denoise", {"code__channels": 0}, "code.channels is 0: at least 1"),
    ("dip_denoise", {"losses": {"data": {"name": "observed"}}}, "losses.data.weight is missing"),
    ("dip_denoise", {"losses": {"data": {"weight": 1.0}}}, "losses.data.name = ''"),
    ("dip_denoise", {"watches": {"held_out": {"rate": 0.1}}}, "watches.held_out.share is missing"),
    ("dip_compose", {"task__operators": ({"sigma": 1.0},)}, r"operators\[0\].name = ''"),
    ("dip_inpaint", {"task__text": ""}, "the mask hides nothing of these 64×64 pixels"),
    ("dip_features", {"channels": 1, "networks__gen__outputs": 1}, "features looks at colours"),
]  # fmt: skip


@pytest.mark.parametrize(
    "name, changes, said", MISTAKES, ids=[f"{n}-{next(iter(c))}" for n, c, _ in MISTAKES]
)
def test_mistakes_are_one_sentence(root, name, changes, said):
    with pytest.raises(UserError, match=said) as found:
        build.experiment(config(root, name, **changes))
    assert str(found.value).count("\n") == 0


# specs/deep_image_prior.md section 3.2: parameters, rate, steps, noise on the code, its maps or its kind,
# widths, skips, enlargement, reduction
NOISE, WIDE, THIN = 32, (128,) * 5, (4,) * 5
PUBLISHED = [
    ("dip_denoise", "paper", 2_217_831, 0.01, 3000, 1 / 30, NOISE, WIDE, THIN, "bilinear", "stride"),
    ("dip_denoise", "jpeg", 572_827, 0.01, 2400, 1 / 30, 3, (8, 16, 32, 64, 128), (0, 0, 0, 4, 4), "bilinear",
     "stride"),
    ("dip_sr", "paper", 2_217_831, 0.01, 2000, 0.03, NOISE, WIDE, THIN, "bilinear", "stride"),
    ("dip_sr", "paper,x8", 2_217_831, 0.01, 4000, 0.05, NOISE, WIDE, THIN, "bilinear", "stride"),
    ("dip_sr", "effect", 2_184_307, 0.01, 2000, 1 / 30, 3, WIDE, THIN, "bilinear", "stride"),
    ("dip_inpaint", "paper", 3_002_627, 0.01, 6001, 0.03, NOISE, WIDE, WIDE, "nearest", "stride"),
    ("dip_inpaint", "hole", 2_157_955, 0.01, 5001, 0.03, "grid", WIDE, (0,) * 5, "nearest", "stride"),
    ("dip_inpaint", "depth6", 2_996_467, 0.01, 3001, 0.0, 1, (16, 32, 64, 128, 128, 128), (0,) * 6, "nearest",
     "stride"),
    ("dip_inpaint", "depth4", 1_060_339, 0.01, 3001, 0.0, 1, (16, 32, 64, 128), (0,) * 4, "nearest",
     "stride"),
    ("dip_inpaint", "depth2", 59_635, 0.01, 3001, 0.0, 1, (16, 32), (0,) * 2, "nearest", "stride"),
    ("dip_inpaint", "resnet", 158_979, 0.001, 3001, 0.0, 1, None, None, None, None),
    ("dip_inpaint", "unet", 1_616_315, 0.001, 3001, 0.0, 1, None, None, None, None),
    ("dip_restore", "paper", 2_217_573, 0.001, 11_000, 0.03, NOISE, WIDE, THIN, "bilinear", "stride"),
    ("dip_restore", "few", 1_027_379, 0.01, 1000, 0.0, NOISE, (16, 32, 64, 128, 128), (0,) * 5, "bilinear",
     "avg"),
    ("dip_flash", "paper", 2_184_307, 0.1, 601, 0.0, "guide", WIDE, THIN,
     ("nearest", "nearest", "bilinear", "bilinear", "bilinear"), "stride"),
    ("dip_features", "paper", 2_606_763, 0.001, 3100, 0.0, NOISE, (16, 32, 64, 128, 128, 128), (4,) * 6,
     "nearest", "avg"),
    ("dip_features", "paper,heavy", 2_583_123, 0.01, 20_000, (10.0, 2.0, 0.5), 2, (16, 32, 64, 128, 128, 128),
     (4,) * 6, "nearest", "avg"),
    ("dip_features", "paper,activation", 2_948_567, 0.001, 3100, 0.03, NOISE, (16, 32, 64, 128, 128, 128),
     (0, 4, 4, 4, 4, 4), "bilinear", "avg"),
]  # fmt: skip
KERNELS = {  # where they are not 3 everywhere
    "depth6": ((5,) * 6, (3,) * 6), "depth4": ((5,) * 4, (3,) * 4), "depth2": ((5,) * 2, (3,) * 2),
    "paper,activation": ((5, 3, 5, 5, 3, 5), (5, 3, 5, 3, 5, 3)),
} | dict.fromkeys(("paper,heavy", "dip_features paper"), ((7, 7, 5, 5, 3, 3),) * 2)  # fmt: skip


@pytest.mark.parametrize(
    "name, preset, count, rate, steps, noise, code, down, skip, enlarge, reduce", PUBLISHED,
    ids=[f"{name}-{preset}" for name, preset, *_ in PUBLISHED],
)  # fmt: skip
def test_presets_have_the_published_settings(
    root, name, preset, count, rate, steps, noise, code, down, skip, enlarge, reduce
):
    made = config_of(root, name, preset)
    adam = made.optimisers.gen
    assert (adam.name, adam.b1, adam.b2, adam.eps, adam.rate.name) == (
        "adam",
        0.9,
        0.999,
        1e-8,
        "constant",
    )
    assert (adam.rate.peak, made.train.steps) == (rate, steps)
    if isinstance(noise, tuple):
        schedule = SCHEDULES["stages"](values=made.noise["values"], until=made.noise.until)
        found = [float(schedule(step)) for step in (0, 9_999, 10_000, 14_999, 15_000, 19_999)]
        assert found == pytest.approx([value for value in noise for _ in range(2)])
    else:
        assert (made.noise.name, made.noise.peak) == ("constant", pytest.approx(noise))
    channels = {"grid": 2, "guide": 3}.get(code) or made.code.channels
    assert made.code.name == (code if isinstance(code, str) else "noise")
    if made.code.name == "noise":
        assert (made.code.channels, made.code.scale) == (code, 0.1)
    gen = made.networks.gen.to_dict()
    if down:
        scales = len(down)
        wanted = (enlarge,) * scales if isinstance(enlarge, str) else enlarge
        assert (gen["down"], gen["up"], gen["skip"]) == (down, down, skip)
        assert (gen["enlarge"], gen["reduce"]) == (wanted, reduce)
        sizes = KERNELS.get(preset, KERNELS.get(f"{name} {preset}", ((3,) * scales,) * 2))
        assert (gen["down_sizes"], gen["up_sizes"]) == sizes
        assert gen["mix"] != preset.startswith("depth") and gen["activation"] == "leaky_relu"
        zero = name == "dip_features" and "activation" not in preset
        assert gen["pad"] == ("zero" if zero else "reflection") and gen["sigmoid"]
    network = network_module(gen, "networks.gen", dtype=np.float32)
    shape = jax.ShapeDtypeStruct((1, 64, 64, channels), np.float32)
    params = jax.eval_shape(network.init, jax.random.key(0), shape)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count
    falls = name in ("dip_denoise", "dip_restore")
    assert (made.average, made.fall) == (0.99, 5.0 if falls else 0.0)


def test_a_preimage_is_looked_at_in_its_corner(root):
    made = config_of(root, "dip_features", "paper")
    operator, factor = build_observed.operator_of(made.task.to_dict())
    assert factor == 1 and (made.crop.size, made.code.more) == (224, 32)
    assert jax.eval_shape(operator, np.zeros((1, 256, 256, 3))).shape == (1, 224, 224, 3)
    small = config(
        root, "dip_features", task__operators=({"name": "corner", "size": 32},), code__more=8,
        train__steps=1,
    )  # fmt: skip
    experiment = build.experiment(small)
    abstract = train.shapes(experiment)[0]
    assert abstract.extra["astronaut_0"]["average"].shape == (1, 40, 40, 3)


@pytest.mark.usefixtures("unoptimised")
def test_a_penalty_is_weighed_and_logged(root, tmp_path):
    penalty = {"name": "variation", "weight": 1e-3, "power": 0.5}
    made = build.experiment(config(root, "dip_sr", losses__tv=penalty))
    train.train(made, tmp_path / "run")
    log = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, log) if "loss/tv" in row]
    assert len(rows) == 4
    for row in rows:
        assert row["weighted/tv"] == pytest.approx(1e-3 * row["loss/tv"], rel=1e-5)
        assert row["loss"] == pytest.approx(row["loss/data"] + row["weighted/tv"], rel=1e-5)


@pytest.mark.usefixtures("unoptimised")
def test_a_run_in_two_parts_ends_with_the_same_bits(root, tmp_path):
    made = build.experiment(config(root, "dip_denoise"))
    whole = train.train(made, tmp_path / "whole")
    first = made._replace(loop=made.loop._replace(steps=2))
    train.train(first, tmp_path / "parts")
    parts = train.train(made, tmp_path / "parts")
    for one, two in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.usefixtures("unoptimised")
def test_a_small_image_is_denoised_and_written(root, tmp_path):
    """48×48 pixels and three narrow scales: 150 steps win 4.8 dB."""
    small = config(root, "dip_denoise", crop={"size": 48, "multiple": 8, "border": 0})
    with small.unlocked():
        gen = small.networks.gen
        gen.down = gen.up = (16,) * 3
        gen.skip, gen.enlarge = (4,) * 3, ("bilinear",) * 3
        gen.down_sizes = gen.up_sizes = (3,) * 3
        small.code.channels = 16
        small.train.steps, small.train.log_every, small.train.checkpoint_every = 150, 50, 150
    made = build.experiment(small)
    train.train(made, tmp_path / "run")
    folder = tmp_path / "run" / "evaluation"
    rows = csv.DictReader((folder / "step_00000150.csv").open(encoding="utf-8"))
    score = {row["method"]: float(row["psnr"]) for row in rows}
    assert list(score) == ["observed", "last", "average"]
    assert 19.5 < score["observed"] < 21.5
    assert score["last"] > score["observed"] + 3
    for kind in ("last", "average"):
        with Image.open(folder / f"result_astronaut_0_{kind}.png") as image:
            assert image.size == (48, 48)


@pytest.mark.usefixtures("unoptimised")
def test_what_a_text_hides_is_filled_in_from_what_is_seen(root, tmp_path):
    """Narrow scales, 64×64 pixels: after 100 steps the letters are nearer to the truth than black is."""
    small = config(
        root, "dip_inpaint", train__steps=100, train__log_every=50, train__checkpoint_every=100
    )
    train.train(build.experiment(small), tmp_path / "run")
    rows = csv.DictReader((tmp_path / "run" / "evaluation" / "step_00000100.csv").open())
    hole = {row["method"]: float(row["psnr hole"]) for row in rows}
    assert list(hole) == ["observed", "last", "average"]
    assert hole["last"] > hole["observed"] + 5


@pytest.mark.usefixtures("unoptimised")
def test_bfloat16_computes_in_eight_bits_and_learns_in_float32(root, tmp_path):
    runs = {
        precision: train.train(
            build.experiment(config(root, "dip_denoise", precision=precision, train__steps=2)),
            tmp_path / precision,
        )
        for precision in ("float32", "bfloat16")
    }
    kinds = {
        leaf.dtype.name for leaf in jax.tree.leaves((runs["bfloat16"].params, runs["bfloat16"].opt))
    }
    assert kinds == {"float32", "int32"}  # the count of Adam's steps
    full, half = (run.extra["astronaut_0"]["average"] for run in runs.values())
    assert half.dtype == np.float32 and 0 < np.abs(full - half).max() < 0.05


def test_each_of_many_images_and_seeds_is_its_single_run(root, tmp_path):
    """Bit for bit where runs are unrolled; mean and deviation are those of the results."""
    both = {"image": "photograph:astronaut,photograph:coffee", "seeds": (3, 5)}
    together = train.train(build.experiment(config(root, "dip_denoise", **both)), tmp_path / "all")
    assert sorted(together.params) == ["astronaut_3", "astronaut_5", "coffee_3", "coffee_5"]
    single = build.experiment(config(root, "dip_denoise", seed=5))
    alone = train.train(single, tmp_path / "one")
    for part in ("params", "opt", "extra"):
        theirs = getattr(together, part)["astronaut_5"]
        ours = getattr(alone, part)["astronaut_5"]
        for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_array_equal(one, two)

    held = np.load(tmp_path / "all" / "evaluation" / "result_coffee.npz")
    averages = [together.extra[f"coffee_{seed}"]["average"][0] for seed in (3, 5)]
    np.testing.assert_allclose(held["mean"], np.mean(averages, 0), atol=1e-6)
    np.testing.assert_allclose(held["deviation"], np.std(averages, 0, ddof=1), atol=1e-6)
    text = (tmp_path / "all" / "evaluation" / "step_00000004.md").read_text()
    assert "| all | last | " in text and " ± " in text


def test_seeds_shared_out_over_devices_are_their_single_runs(root, tmp_path):
    """Two devices take one seed each, as if the same devices took both.

    Weights and moments have the same bits; of the running average the last bit may differ, since its
    product and sum are fused otherwise.
    """
    found = []
    for place in ("sharded", "unrolled"):
        command = [
            sys.executable, "-m", "jaxsr.main", "--config=configs/dip_denoise.py:tiny",
            "--config.seeds=0,1", f"--config.placement={place}", f"--workdir={tmp_path / place}",
        ]  # fmt: skip
        flags = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
        done = subprocess.run(
            command, cwd=root, env=flags, capture_output=True, text=True, timeout=400
        )
        assert done.returncode == 0, done.stderr
        with checkpoint.reader(tmp_path / place / "checkpoints") as held:
            found.append(checkpoint.restore(held, None)[0])
    for part, tolerance in (("params", 0), ("opt", 0), ("extra", 5e-7)):
        for one, two in zip(*(jax.tree.leaves(each[part]) for each in found), strict=True):
            np.testing.assert_allclose(one, two, rtol=0, atol=tolerance)


@pytest.mark.usefixtures("unoptimised")
def test_a_fit_that_stops_by_itself_is_over(root, tmp_path):
    """It ends before its last step, writes what it kept, and the same command again takes no step."""
    small = config(
        root, "dip_denoise", watches={"variance": {"rate": 0.5}}, train__steps=60, train__log_every=3,
        stopping={"watch": "variance", "start": 2, "patience": 4},
    )  # fmt: skip
    made = build.experiment(small)
    state = train.train(made, tmp_path / "run")
    assert made.ended(state) and int(state.step) < 60 and int(state.step) % 3 == 0
    held = state.extra["astronaut_0"]["stopping"]
    assert 2 <= int(held["step"]) < int(state.step) - 4
    folder = tmp_path / "run" / "evaluation"
    (table,) = folder.glob("step_*.md")
    assert "| astronaut | stopped average | " in table.read_text()
    kept = read_image(folder / "result_astronaut_0_stopped_average.png")
    wanted = np.asarray(held["best"]["extra"]["average"][0])
    assert np.abs(kept / 255 - wanted.clip(0, 1)).max() < 0.51 / 255
    assert read_image(folder / "curves.png").shape == (340, 1680, 3)
    again = train.train(made, tmp_path / "run")
    assert int(again.step) == int(state.step)


@pytest.mark.usefixtures("unoptimised")
def test_a_preimage_gets_the_features_and_an_activation_rises(root, tmp_path):
    excited = {"activation": ACTIVATION}
    for name, losses in (("preimage", None), ("activation", excited)):
        changes = {"train__steps": 30, "train__log_every": 1, "train__checkpoint_every": 30}
        if losses:
            changes["losses"] = losses
        train.train(build.experiment(config(root, "dip_features", **changes)), tmp_path / name)
        log = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        loss = [row["loss"] for row in map(json.loads, log) if "loss" in row]
        assert loss[-1] < loss[0] - 0.2 * abs(loss[0])


def test_pixels_alone_fit_what_is_seen_and_nothing_else(root, tmp_path):
    """Without a prior a pixel that the operator does not see keeps its start."""
    made = config_of(root, "dip_sr", "tiny,no_prior")
    assert made.networks.gen.name == "pixel_image"
    lost = config(
        root, "dip_restore", networks__gen={"name": "pixel_image", "outputs": 3, "start": 0.1},
        noise__peak=0.0, train__steps=100, train__log_every=100, train__checkpoint_every=100,
    )  # fmt: skip
    experiment = build.experiment(lost)
    first = jax.device_get(train.shapes(experiment)[1]().params["astronaut_0"])
    last = train.train(experiment, tmp_path / "run").params["astronaut_0"]
    with contextlib.closing(train.batches(experiment, 0)) as batches:
        known = next(batches)["astronaut/mask"] > 0
    moved = np.asarray(last["gen"]["image"]) != first["gen"]["image"]
    assert not moved[~known].any() and moved[known].mean() > 0.99
