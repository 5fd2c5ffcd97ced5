"""configs/outdoor_scene_seg.py: what moves, what a run leaves and is good for, and mistakes in the data."""

import contextlib
import csv
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.random_trees import random_like, shapes_of
from safetensors.numpy import save_file

from jaxsr import build, build_method, build_restorer, devices, train
from jaxsr.data.images import read_image, write_png
from jaxsr.interchange import convert
from jaxsr.sections import rest
from jaxsr.state import step_key
from jaxsr.types import UserError

pytestmark = pytest.mark.usefixtures("unoptimised")


def photographs(folder, *, names, seed):
    """Images whose colour tells the class: sky above, grass below, a strip of void between."""
    rng = np.random.default_rng(seed)
    for name in names:
        labels = np.full((72, 80), 255, np.uint8)
        labels[:32], labels[40:] = 1, 3
        image = rng.integers(0, 60, (72, 80, 3), np.uint8)
        image[:36, :, 2] += 180
        image[36:, :, 1] += 120
        write_png(folder / "img" / f"{name}.png", image)
        write_png(folder / "anno" / f"{name}.png", labels)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The layout of the paper preset, with three photographs and one."""
    root = tmp_path_factory.mktemp("data")
    photographs(root / "OutdoorSeg", names=("a", "b", "c"), seed=0)
    photographs(root / "OST300", names=("OST_001",), seed=1)
    return root


def shrunken(root, data):
    """The paper preset with the network, the crops and the steps of the tiny one."""
    get = runpy.run_path(str(root / "configs" / "outdoor_scene_seg.py"))["get_config"]
    config, small = get("paper"), get("tiny")
    with config.unlocked():
        config.networks, config.train = small.networks, small.train
        config.data.root, config.data.workers = str(data), 0
        config.data.batch, config.data.transform.size = 2, 64
        config.optimisers.gen.rate.steps = 40
        # what moves shall have a gradient
        config.optimisers.gen.weight_decay = 0.0
    return config


@pytest.fixture(scope="module")
def begun(root, data):
    """The state before the first step, the jitted step, the first batch."""
    made = build.experiment(shrunken(root, data))
    place = made.place
    with contextlib.closing(train.batches(made, 0)) as batches:
        batch = devices.put(next(batches), place)
    return train.shapes(made)[1](), jax.jit(made.algorithm.step), batch


@pytest.fixture(scope="module")
def run(root, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train.train(build.experiment(shrunken(root, data)), folder)
    return folder


def test_the_loss_falls_and_gradients_move_every_tensor(begun):
    state, step, batch = begun
    before = jax.device_get((state.params, state.extra))
    losses = []
    for index in range(25):
        state, metrics = step(step_key(0, index), state, batch, {})
        losses.append(float(metrics["loss"]))
    assert losses[0] > 1.5 and np.mean(losses[-3:]) < 0.6 * losses[0]
    after = jax.device_get((state.params, state.extra))
    still = [
        jax.tree_util.keystr(path)
        for (path, a), b in zip(
            jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True
        )
        if np.array_equal(a, b)
    ]
    assert not still and set(after[1]) == {"batch_stats"}


def test_dropout_draws_anew_with_each_key(begun):
    state, step, batch = begun
    losses = [float(step(step_key(0, n), state, batch, {})[1]["loss"]) for n in (0, 0, 1, 2, 3)]
    assert losses[0] == losses[1] and len(set(losses)) > 2


def test_a_run_is_scored_and_is_the_segmenter_of_sftgan(run):
    rows = list(csv.DictReader((run / "evaluation" / "step_00000002.csv").open()))
    assert [row["image"] for row in rows] == ["OST_001"]
    assert 0 <= float(rows[0]["pixel_accuracy"]) <= 1
    table = (run / "evaluation" / "step_00000002.md").read_text()
    assert "mean_iou" in table and "majority 0.5000" in table
    assert read_image(run / "evaluation" / "step_00000002.png").shape[1] > 400

    made = build_restorer.restorer("pretrained:sftnet", prior=str(run))
    lq = np.random.default_rng(0).random((12, 10, 3)).astype(np.float32)
    maps = made.prior(lq)
    assert maps.shape == (48, 40, 8) and abs(int(maps.sum(-1).max()) - 255) <= 4
    # training SFT-GAN asks for the same maps, of the high resolution
    section = {"name": "outdoor_scene_seg", "features": 2, "blocks": (1, 1, 1, 1), "classes": 8}
    of_training = build.segmenter(section | {"weights": str(run)})
    assert of_training(np.zeros((48, 40, 3), np.uint8)).shape == (48, 40, 8)
    with pytest.raises(UserError, match="config.prior.weights = .* do not fit OutdoorSceneSeg"):
        build.segmenter(section | {"features": 3, "weights": str(run)})
    with pytest.raises(UserError, match="config.prior.weights is empty"):
        build.segmenter(section | {"weights": ""})


def test_the_released_layout_goes_in_and_training_goes_on(root, data, run, tmp_path):
    variables, card = build_method.weights(str(run))
    section = rest(card["network"], "name", "weights", "parent")
    layout = convert.of_network("outdoor_scene_seg", section, variables)
    path = tmp_path / "segmentation_OST_bic.safetensors"
    save_file(convert.to_theirs(layout, section, variables), path)
    config = shrunken(root, data)
    with config.unlocked():
        config.networks.gen.weights = str(path)
    state = train.shapes(build.experiment(config))[1]()
    for kind, held in (("params", state.params), ("batch_stats", state.extra["batch_stats"])):
        jax.tree.map(np.testing.assert_array_equal, held["gen"], variables[kind])
    # it is also the prior of a restorer as it is
    assert build_restorer.prior_function(str(path))(np.zeros((4, 4, 3), np.uint8)).shape[-1] == 8
    with config.unlocked():
        config.networks.gen.features = 3
    with pytest.raises(UserError, match="does not fit the network of the config"):
        train.shapes(build.experiment(config))


def test_segmenters_of_other_classes_are_no_prior(tmp_path):
    section = {"features": 2, "blocks": (1, 1, 1, 1), "classes": 3}
    module = build_method.network_module(
        section | {"name": "outdoor_scene_seg"}, "x", dtype=jnp.float32
    )
    variables = random_like(shapes_of(module, np.zeros((1, 8, 8, 3))), seed=0)
    layout = convert.of_network("outdoor_scene_seg", section, variables)
    save_file(convert.to_theirs(layout, section, variables), tmp_path / "three.safetensors")
    with pytest.raises(UserError, match="3 classes, prior maps have 8"):
        build_restorer.prior_function(str(tmp_path / "three.safetensors"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f, a: write_png(f, np.where(a == 3, 9, a).astype(np.uint8)), "has the value 9"),
        (lambda f, a: write_png(f, a[:-1]), "is 80x71 and its image 80x72"),
        (lambda f, a: f.unlink(), "the image 'b' lacks a partner"),
        (lambda f, a: write_png(f, np.stack([a] * 3, -1)), r"1 of 3 images cannot be read \(b\)"),
    ],
    ids=["value", "size", "missing", "colours"],
)
def test_wrong_annotations_are_one_sentence(root, tmp_path, spoil, words):
    photographs(tmp_path / "OutdoorSeg", names=("a", "b", "c"), seed=0)
    photographs(tmp_path / "OST300", names=("OST_001",), seed=1)
    file = tmp_path / "OutdoorSeg" / "anno" / "b.png"
    spoil(file, read_image(file)[..., 0])
    config = shrunken(root, tmp_path)
    with pytest.raises(UserError, match=words) as caught:
        build.experiment(config)
    assert "\n" not in str(caught.value)


def test_a_crop_off_the_grid_is_one_sentence(root, data):
    config = shrunken(root, data)
    with config.unlocked():
        config.data.transform.size = 60
    with pytest.raises(UserError, match="multiples of 8, not 60×60: choose such a crop"):
        train.shapes(build.experiment(config))
