"""Every shipped config: its presets load and are locked, it takes one step, and its program is small."""

import contextlib
import runpy

import jax
import numpy as np
import pytest
from PIL import Image

from jaxsr import build, devices, train
from jaxsr.data.tables import read_names
from jaxsr.state import step_key
from jaxsr.types import UserError

pytestmark = pytest.mark.usefixtures("unoptimised")

NAMES = (
    "dip_compose",
    "dip_denoise",
    "dip_features",
    "dip_flash",
    "dip_impedance",
    "dip_inpaint",
    "dip_restore",
    "dip_sr",
    "dvp",
    "outdoor_scene_seg",
    "rl_restore_a2c",
    "rl_restore_dqn",
    "rl_restore_joint",
    "rl_restore_reinforce",
    "rl_restore_tools",
    "segmenter",
    "sftnet",
    "sftnet_psnr",
)
TEXT_LIMIT = 5_000_000  # architecture: the lowered program of a step carries no weights


def get_config(root, name, preset):
    return runpy.run_path(str(root / "configs" / f"{name}.py"))["get_config"](preset)


def labelled_photographs(folder):
    """A small stand-in for msrc_v2 with its folders, class values and held-out names."""
    (folder / "msrc_v2" / "images").mkdir(parents=True)
    (folder / "msrc_v2" / "labels").mkdir()
    rng = np.random.default_rng(0)
    for name in [*read_names("msrc_v2_test"), "1_10_s", "2_11_s"]:
        image = rng.integers(0, 255, (32, 48, 3), np.uint8)
        Image.fromarray(image).save(folder / "msrc_v2" / "images" / f"{name}.png")
        labels = rng.integers(0, 24, (32, 48), np.uint8)
        Image.fromarray(labels).save(folder / "msrc_v2" / "labels" / f"{name}.png")


def test_every_config_is_listed_here(root):
    assert {path.stem for path in (root / "configs").glob("*.py")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_presets_are_locked_and_an_unknown_one_is_named(root, name):
    for preset in ("", "paper", "tiny"):
        config = get_config(root, name, preset)
        assert config.is_locked and config.name == name
        with pytest.raises((AttributeError, KeyError)):
            config.train.stepz = 1
    with pytest.raises(ValueError, match=f"no preset 'papr': configs/{name}.py has .*paper"):
        get_config(root, name, "papr")


def tiny(root, name, folder):
    config = get_config(root, name, "tiny")
    if name in ("outdoor_scene_seg", "segmenter"):
        labelled_photographs(folder)
        config.data.root = str(folder)
    return build.experiment(config)


@pytest.mark.parametrize("name", NAMES)
def test_shrunken_run_moves_every_network_and_evaluates(root, name, tmp_path):
    """Two steps, since a rate that warms up from zero moves nothing in the first."""
    made = tiny(root, name, tmp_path)
    made = made._replace(loop=made.loop._replace(steps=2, checkpoint_every=2, log_every=1))
    _, fresh = train.shapes(made)
    before = jax.device_get(fresh().params)
    state = train.train(made, tmp_path / "run")
    for network, params in state.params.items():
        moved = [
            not np.array_equal(a, b)
            for a, b in zip(jax.tree.leaves(before[network]), jax.tree.leaves(params), strict=True)
        ]
        assert any(moved), network
    assert (tmp_path / "run" / "evaluation" / "step_00000002.png").exists()


def test_one_tool_alone_is_trained_by_the_same_config(root, tmp_path):
    config = get_config(root, "rl_restore_tools", "tool08,tiny")
    assert config.networks.gen.name == "tool_large" and tuple(config.data.bands) == (8,)
    made = build.experiment(config)
    made = made._replace(loop=made.loop._replace(steps=1, checkpoint_every=1, log_every=1))
    train.train(made, tmp_path / "run")
    table = (tmp_path / "run" / "evaluation" / "step_00000001.md").read_text()
    assert "| denoise σ 37.5–50 |" in table and table.count("\n| deblur") == 0
    assert get_config(root, "rl_restore_tools", "tool08,paper").data.batch == 64
    with pytest.raises(ValueError, match="no preset 'tool13'"):
        get_config(root, "rl_restore_tools", "tool13")
    with config.unlocked():
        config.data.bands = (13,)
    with pytest.raises(UserError, match="config.data.bands has 13: the tools are numbered 1 to 12"):
        build.experiment(config)


SLOW = ("concat", "compositional_joined")


@pytest.mark.parametrize(
    "preset", ["film", "compositional", *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)]
)
def test_conditions_of_sftnet_differ_in_the_generator_alone(root, preset):
    ours, theirs = (
        get_config(root, "sftnet", p).to_dict() for p in (f"shipped,{preset}", "shipped")
    )
    assert ours.pop("name") == f"sftnet_{preset}" and theirs.pop("name") == "sftnet"
    gen, sft = ours["networks"].pop("gen"), theirs["networks"].pop("gen")
    assert gen["parent"] == sft["parent"] and gen["blocks"] == sft["blocks"]
    freeze = [each["optimisers"]["gen"].pop("freeze") for each in (ours, theirs)]
    assert freeze == ([0, 100] if "compositional" in preset else [100, 100])
    assert ours == theirs
    made = build.experiment(get_config(root, "sftnet", f"tiny,{preset}"))
    place = made.place
    with contextlib.closing(train.batches(made, 0)) as batches:
        batch = devices.put(next(batches), place)
    state = train.shapes(made)[1]()
    before = jax.device_get(state.params["gen"])
    state, metrics = jax.jit(made.algorithm.step)(step_key(0, 0), state, batch, made.frozen)
    assert all(np.isfinite(value) for value in metrics.values())
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, state.params["gen"])
    # the first steps are for what is new: all of it where nothing is
    assert any(jax.tree.leaves(moved))
    assert moved["conv0" if preset == "film" else "model_0"]["kernel"] == (freeze[0] == 0)


@pytest.mark.parametrize(
    ("name", "preset", "metric"),
    [
        ("rl_restore_a2c", "all_action", "regret"),
        ("rl_restore_a2c", "privileged", "param_norm/critic"),
        ("rl_restore_a2c", "no_stop", "stops"),
        ("rl_restore_dqn", "no_stop", "stops"),
        ("rl_restore_reinforce", "no_baseline", "gain"),
        ("rl_restore_reinforce", "batch_mean", "gain"),
    ],
)
def test_variants_of_the_agents_take_a_step(root, name, preset, metric):
    made = build.experiment(get_config(root, name, f"tiny,{preset}"))
    place = made.place
    with contextlib.closing(train.batches(made, 0)) as batches:
        batch = devices.put(next(batches), place)
    state = train.shapes(made)[1]()
    _, metrics = jax.jit(made.algorithm.step)(step_key(0, 0), state, batch, made.frozen)
    assert all(np.isfinite(value) for value in metrics.values())
    assert metric in metrics
    if preset == "no_stop":
        assert float(metrics["stops"]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_lowered_program_carries_no_weights(root, name, tmp_path):
    """At full width, which is where closed-over weights would show."""
    config = get_config(root, name, "tiny")
    full = get_config(root, name, "paper" if name == "outdoor_scene_seg" else "")
    with config.unlocked():
        config.networks = full.networks
        if name == "sftnet":
            config.data.transform.size = 96
    if name in ("outdoor_scene_seg", "segmenter"):
        labelled_photographs(tmp_path)
        config.data.root = str(tmp_path)
    made = build.experiment(config)
    place = made.place
    state, _ = train.shapes(made)
    batches = train.batches(made, 0)
    batch = devices.put(next(batches), place)
    batches.close()
    lowered = jax.jit(made.algorithm.step).lower(step_key(0, 0), state, batch, made.frozen)
    assert len(lowered.as_text()) < TEXT_LIMIT


def test_paper_preset_of_sftnet_reads_the_layout_of_ost(root, tmp_path, capsys):
    """Categories from the paths, stored maps, and DIV2K's sub-images as background by a draw."""
    rng = np.random.default_rng(0)
    for place, names in (
        ("OST/train", ("animal_1", "sky/2")),
        ("OST/val", ("OST_001",)),
        ("DIV2K_train_HR_sub", ("0801_s001",)),
    ):  # fmt: skip
        for name in names:
            maps = tmp_path / place / "bicseg" / f"{name}.npy"
            image = tmp_path / place / ("img" if "OST" in place else "") / f"{name}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (100, 120, 3), np.uint8)).save(image)
            if "OST" in place:
                maps.parent.mkdir(parents=True, exist_ok=True)
                np.save(maps, np.full((96, 120, 8), 0.125, np.float16))
    config, paper = get_config(root, "sftnet", "tiny"), get_config(root, "sftnet", "paper")
    assert paper.data.mixing == "drawn" and config.data.mixing == "interleaved"
    with config.unlocked():
        config.data = paper.data
        config.data.root, config.data.batch = str(tmp_path), 40
        config.data.transform.size = 32
        config.evaluation.pair = paper.evaluation.pair
    made = build.experiment(config)
    assert "2 images: sky 1, animal 1" in capsys.readouterr().out
    with contextlib.closing(train.batches(made, 0)) as batches:
        batch = next(batches)
    assert set(batch["label"]) == {0, 5, 7}  # background, sky, animal
    background = batch["seg"][..., 0].min((1, 2)) == 1
    np.testing.assert_array_equal(background, batch["label"] == 0)
    with contextlib.closing(train.batches(build.experiment(config), 1)) as batches:
        again = next(batches)
    with contextlib.closing(train.batches(made, 0)) as batches:
        next(batches)
        resumed = next(batches)
    assert all(np.array_equal(again[key], resumed[key]) for key in resumed)
    with config.unlocked():
        config.data.mixing = "dran"
    with pytest.raises(UserError, match="config.data.mixing = 'dran' .did you mean 'drawn'"):
        build.experiment(config)


def test_pairs_preset_of_the_parent_takes_the_low_resolutions_of_the_folders(root, tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "valid"):
        for name in ("0001", "0002"):
            hq = tmp_path / f"DIV2K_{part}_HR" / f"{name}.png"
            lq = tmp_path / f"DIV2K_{part}_LR_bicubic" / "X4" / f"{name}x4.png"
            for path, size in ((hq, (64, 96)), (lq, (16, 24))):
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)).save(path)
    config = get_config(root, "sftnet_psnr", "tiny,pairs")
    with config.unlocked():
        config.data.root = str(tmp_path)
    made = build.experiment(config)
    with contextlib.closing(train.batches(made, 0)) as batches:
        batch = next(batches)
    assert batch["hq"].shape == (2, 32, 32, 3) and batch["lq"].shape == (2, 8, 8, 3)
    state, _ = train.shapes(made)
    # traced alone: `lq` comes from the batch, where other presets make it on the device
    _, metrics = jax.eval_shape(made.algorithm.step, step_key(0, 0), state, batch, made.frozen)
    assert "loss/pixel" in metrics or "loss" in metrics
    assert get_config(root, "sftnet_psnr", "paper,pairs").data.transform.size == 128


def test_paper_preset_of_sftnet_has_every_published_value(root):
    """specs: sheet of SFT-GAN, sections 4 to 6."""
    config = get_config(root, "sftnet", "paper")
    gen, disc = config.optimisers.gen, config.optimisers.disc
    assert (gen.b1, gen.b2, gen.eps) == (disc.b1, disc.b2, disc.eps) == (0.9, 0.999, 1e-8)
    assert (gen.rate.peak, gen.group_rate.peak, disc.rate.peak) == (1e-4, 5e-4, 1e-4)
    for rate in (gen.rate, gen.group_rate, disc.rate):
        assert tuple(rate.milestones) == (50_000, 100_000, 150_000, 200_000) and rate.factor == 0.5
    assert gen.freeze == 20_000 and config.train.steps == 600_000
    assert config.data.batch == 16 and config.data.transform.size == 96
    assert tuple(config.data.transform.ratios) == (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
    assert {n: s.weight for n, s in config.data.train.items()} == {"ost": 0.9, "div2k": 0.1}
    assert config.losses.to_dict() == {"perceptual": {"name": "feature_l1", "weight": 1.0}}
    assert config.adversarial.weight == config.classification.weight == 5e-3
    assert config.features.name == "vgg19" and config.features.layers.to_dict() == {"conv5_4": 1.0}
    assert not config.ema and config.train.eval_every == 2000
    widths = config.networks.gen
    assert (widths.features, widths.blocks, widths.condition, widths.condition_hidden) == (
        64,
        16,
        32,
        128,
    )


def test_paper_preset_of_the_published_segmenter(root):
    """specs: sheet of SFT-GAN, sections 3.1 and 3.4."""
    config = get_config(root, "outdoor_scene_seg", "paper")
    gen, mover = config.networks.gen, config.optimisers.gen
    assert (gen.features, tuple(gen.blocks), gen.classes) == (64, (3, 4, 23, 3), 8)
    assert (mover.name, mover.momentum, mover.weight_decay) == ("momentum", 0.9, 5e-4)
    assert (mover.rate.name, mover.rate.power) == ("poly", 0.9)
    assert mover.rate.steps == config.train.steps == 30_000
    assert config.losses.segmentation.ignore == 255 and config.data.transform.degrade_share == 1.0
    assert config.data.transform.scale == config.evaluation.pair.scale == 4
    assert config.data.transform.size % 8 == 0 and config.evaluation.pair.multiple == 8


def test_outdoor_preset_of_sftnet_wants_the_weights_of_the_published_segmenter(root):
    config = get_config(root, "sftnet", "tiny,outdoor")
    with pytest.raises(UserError, match="config.prior.weights is empty"):
        build.experiment(config)
