"""Checkpoints: the same bits back, damage and mismatch named, folders of other runs refused."""

import contextlib
import json
import os
import shutil
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsr import checkpoint, optimisers
from jaxsr.state import State
from jaxsr.types import UserError

# orbax leaves reads behind when one of them fails; what they raise later is not ours
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONFIG = {"name": "toy", "networks": {"gen": {"name": "net", "width": 4}}}
NOTES = {"config": CONFIG, "versions": {"jax": "0"}}


def state(step, *, width=4, names=("kernel", "half")):
    """A state with every kind of leaf; every value is drawn, so that equal bits say something."""
    kinds = {"kernel": jnp.float32, "half": jnp.bfloat16, "further": jnp.float32}
    params = {"conv": {name: jnp.zeros((3, 3, width), kinds[name]) for name in names}}
    adam = optimisers.adam(rate=lambda count: 1e-3, b1=0.9, b2=0.999, eps=1e-8)
    moving = optax.MultiSteps(adam, every_k_schedule=2).gradient_transformation()
    extra = {"batch_stats": {"gen": {"mean": jnp.zeros(width)}}, "count": jnp.zeros(2, jnp.int32)}
    blank = State(
        step=jnp.int32(0), params={"gen": params}, opt={"gen": moving.init(params)}, extra=extra
    )
    rng = np.random.default_rng(step)
    drawn = jax.tree.map(
        lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape) * 1000, leaf.dtype), blank
    )
    return drawn.replace(step=jnp.int32(step))


def target(**options):
    return jax.eval_shape(lambda: state(0, **options))


def saved(folder, steps=(1, 2), keep=2):
    """A work folder with checkpoints of some steps."""
    with checkpoint.manager(folder / "checkpoints", keep=keep) as held:
        for step in steps:
            checkpoint.save(held, state(step), NOTES)
    return folder / "checkpoints"


def assert_same(a, b):
    """The same containers, types and bits."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), y in zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape, path
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes(), path


def test_restores_the_bits_the_types_of_optax_and_the_notes(tmp_path):
    folder = saved(tmp_path)
    with checkpoint.manager(folder, keep=2) as held:
        found, notes = checkpoint.restore(held, target())
        assert checkpoint.read_notes(held) == NOTES
    assert notes == NOTES
    assert_same(found, state(2))
    assert isinstance(found, State) and isinstance(found.opt["gen"], optax.MultiStepsState)
    dtypes = {str(leaf.dtype) for leaf in jax.tree.leaves(found)}
    assert {"bfloat16", "float32", "int32"} <= dtypes


def test_keeps_the_latest_and_the_first_of_two_saves_of_one_step(tmp_path):
    folder = saved(tmp_path, steps=(1, 2, 3))
    with checkpoint.manager(folder, keep=2) as held:
        assert sorted(held.all_steps()) == [2, 3]
        checkpoint.save(held, state(5).replace(step=jnp.int32(3)), NOTES)
        assert_same(checkpoint.restore(held, target())[0], state(3))


def test_an_empty_folder_holds_nothing(tmp_path):
    with checkpoint.manager(tmp_path / "checkpoints", keep=2) as held:
        assert checkpoint.restore(held, target()) is None
        assert checkpoint.read_notes(held) is None


@pytest.mark.parametrize(
    "other",
    [{"width": 8}, {"names": ("kernel",)}, {"names": ("kernel", "half", "further")}],
    ids=["another size", "a tensor less", "a tensor more"],
)
def test_a_checkpoint_of_another_network_is_refused(tmp_path, other):
    folder = saved(tmp_path)
    with checkpoint.manager(folder, keep=2) as held:
        with pytest.raises(UserError, match="another network") as caught:
            checkpoint.restore(held, target(**other))
    assert str(folder / "2") in str(caught.value) and "\n" not in str(caught.value)


def biggest(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "truncated": lambda step: truncate(biggest(step)),
    "emptied": lambda step: biggest(step).write_bytes(b""),
    "without metadata": lambda step: (step / "state" / "_METADATA").unlink(),
    "without state": lambda step: shutil.rmtree(step / "state"),
    "notes truncated": lambda step: truncate(step / "notes" / "metadata"),
    "without notes": lambda step: shutil.rmtree(step / "notes"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_still_serves(tmp_path, damage):
    folder = saved(tmp_path)
    damage(folder / "2")
    with checkpoint.manager(folder, keep=2) as held:
        with pytest.raises(UserError, match="cannot be read") as caught:
            checkpoint.restore(held, target())
    with pytest.raises(UserError, match="cannot be read") as again:
        checkpoint.load_run(tmp_path)
    for message in (str(caught.value), str(again.value)):
        assert str(folder / "2") in message and "Remove that folder" in message
        assert "\n" not in message and len(message) < 600
    shutil.rmtree(folder / "2")
    with checkpoint.manager(folder, keep=2) as held:
        found, _ = checkpoint.restore(held, target())
    assert_same(found, state(1))


def test_damaged_notes_are_named(tmp_path):
    folder = saved(tmp_path)
    truncate(folder / "2" / "notes" / "metadata")
    with checkpoint.manager(folder, keep=2) as held:
        with pytest.raises(UserError, match=str(folder / "2")):
            checkpoint.read_notes(held)


def test_an_unfinished_save_is_ignored_removed_by_a_writer_and_left_by_a_reader(tmp_path):
    folder = saved(tmp_path)
    unfinished = folder / "7.orbax-checkpoint-tmp"  # the name that orbax gives it
    (unfinished / "state").mkdir(parents=True)
    with checkpoint.reader(folder) as held:
        assert held.latest_step() == 2
    assert checkpoint.load_run(tmp_path)[1]["step"] == 2
    assert unfinished.exists(), "a run may be writing it at this moment"
    with checkpoint.manager(folder, keep=2) as held:
        assert_same(checkpoint.restore(held, target())[0], state(2))
    assert not unfinished.exists()


def test_a_disk_that_refuses_is_one_sentence(tmp_path):
    """In the two types in which orbax reports it."""

    def refusing(error):
        def refuse(*_, **__):
            raise error

        return SimpleNamespace(directory=tmp_path, all_steps=lambda: [], save=refuse)

    # as seen on a full tmpfs, orbax 0.12.8
    full = 'RESOURCE_EXHAUSTED: Error writing local file "/x/_sharding": No space left on device'
    for error in (ValueError(full), OSError(28, "No space left on device")):
        with pytest.raises(UserError, match="free some space") as caught:
            checkpoint.save(refusing(error), state(2), NOTES)
        assert str(tmp_path) in str(caught.value)
    with pytest.raises(ValueError, match="a mistake of ours"):
        checkpoint.save(refusing(ValueError("a mistake of ours")), state(2), NOTES)


@contextlib.contextmanager
def refused(*words):
    with pytest.raises(UserError) as caught:
        yield
    for word in words:
        assert word in str(caught.value)


def test_config_is_written_into_a_new_folder_and_the_same_one_passes(tmp_path):
    config = CONFIG | {"scale": 4, "pairs": ((1, 2), (3, 4)), "rate": 1e-4, "ema": 0.0}
    checkpoint.check_config(tmp_path / "a" / "run", config)
    held = json.loads((tmp_path / "a" / "run" / "config.json").read_text())
    assert held["networks"]["gen"]["width"] == 4 and held["pairs"] == [[1, 2], [3, 4]]
    checkpoint.check_config(tmp_path / "a" / "run", config)
    with refused("pairs ([[1, 2], [3, 4]] there, [[1, 2], [3, 5]] now)", "--workdir"):
        checkpoint.check_config(tmp_path / "a" / "run", config | {"pairs": ((1, 2), (3, 5))})


def test_differing_keys_are_named_with_both_values(tmp_path):
    checkpoint.check_config(tmp_path, CONFIG | {"scale": 4, "old": True})
    other = {"name": "toy", "networks": {"gen": {"name": "net", "width": 8}}, "scale": 2}
    with refused(
        "networks.gen.width (4 there, 8 now)", "scale (4 there, 2 now)",
        "old (True there, None now)", "Use the old values",
    ):  # fmt: skip
        checkpoint.check_config(tmp_path, other)


@pytest.mark.parametrize(
    "key", ["train.steps", "train.best", "evaluation.shown", "data.root", "data.workers"]
)
def test_keys_that_only_watch_may_change(tmp_path, key):
    part, name = key.split(".")
    checkpoint.check_config(tmp_path, CONFIG | {part: {name: 1}})
    checkpoint.check_config(tmp_path, CONFIG | {part: {name: 2}})
    with refused("data.batch (None there, 3 now)"):
        checkpoint.check_config(tmp_path, CONFIG | {"data": {"batch": 3}})


def test_folders_that_are_not_this_run_s(tmp_path):
    checkpoint.check_config(tmp_path / "run", CONFIG)
    with refused("the experiment 'toy', not 'other'", "--workdir"):
        checkpoint.check_config(tmp_path / "run", CONFIG | {"name": "other"})
    for text in ('{"name": "to', "[1, 2]"):
        (tmp_path / "run" / "config.json").write_text(text)
        with refused("config.json", "not a config in JSON", "--workdir"):
            checkpoint.check_config(tmp_path / "run", CONFIG)
    (tmp_path / "run" / "config.json").unlink()
    checkpoint.check_config(tmp_path / "run", CONFIG)
    (tmp_path / "foreign" / "checkpoints").mkdir(parents=True)
    with refused("no config.json", "--workdir"):
        checkpoint.check_config(tmp_path / "foreign", CONFIG)


def test_a_folder_that_cannot_be_written(tmp_path):
    """Below a regular file, which stops the superuser too."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with refused(f"{path} cannot be written", "--workdir"):
            checkpoint.check_config(path, CONFIG)
    with refused("cannot be written (Not a directory)", "--workdir"):
        checkpoint.manager(tmp_path / "file" / "run", keep=1)


def test_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.md"
    checkpoint.write_text(path, "first\n")
    assert [p.name for p in tmp_path.iterdir()] == ["a.md"]

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write_text(path, "second\n")
    assert path.read_text() == "first\n"
    monkeypatch.undo()
    checkpoint.write_text(path, "true ↓\n")
    assert path.read_bytes() == "true ↓\n".encode(), "UTF-8 whatever the locale"
    assert [p.name for p in tmp_path.iterdir()] == ["a.md"]


def test_flatten():
    nested = {"a": {"b": 1, "c": {"d": (2, 3)}}, "e": None}
    assert checkpoint.flatten(nested) == {"a.b": 1, "a.c.d": (2, 3), "e": None}


def test_provenance_names_the_revision_and_does_without_git(monkeypatch):
    held = checkpoint.provenance()
    assert {"jax", "flax", "optax", "orbax-checkpoint", "numpy", "git", "device"} <= held.keys()
    assert held["jax"] == jax.__version__
    monkeypatch.setenv("PATH", "")
    assert checkpoint.provenance()["git"] == "unknown"
