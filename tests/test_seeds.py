"""Several seeds in one program: each is its single run, whatever the algorithm."""

import csv
import re

import jax
import numpy as np
import pytest
from test_configs import get_config
from test_train import arrays

from jaxsr import build, checkpoint, devices, train
from jaxsr.algorithms import wrap
from jaxsr.build_method import weights
from jaxsr.seeds import placing
from jaxsr.state import step_key
from jaxsr.types import UserError

SEEDS = (3, 7)


def experiment(root, name, *, seeds, seed=0, placement="auto", steps=2):
    config = get_config(root, name, "tiny")
    with config.unlocked():
        config.seeds, config.seed, config.placement = seeds, seed, placement
    made = build.experiment(config)
    return made._replace(
        loop=made.loop._replace(
            steps=steps, eval_every=1, checkpoint_every=steps, log_every=1, best=""
        )
    )


@pytest.fixture(scope="module")
def both(root, tmp_path_factory):
    """A run of two seeds and its work folder."""
    workdir = tmp_path_factory.mktemp("seeds") / "run"
    state = train.train(experiment(root, "sftnet_psnr", seeds=SEEDS), workdir)
    return state, workdir


def test_each_seed_has_the_bits_of_its_single_run(both, root, tmp_path):
    state, workdir = both
    alone = train.train(experiment(root, "sftnet_psnr", seeds=(), seed=7), tmp_path / "single")
    member = wrap.Member("7", 7, dict)
    ours, theirs = (jax.tree.leaves(s) for s in (wrap.own(state, member), alone))
    assert len(ours) == len(theirs) > 20
    for one, two in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, two)
    read = lambda folder: (folder / "step_00000002.csv").read_text()  # noqa: E731
    assert read(workdir / "evaluation" / "seed_7") == read(tmp_path / "single" / "evaluation")


def test_seeds_differ_and_their_table_has_mean_and_deviation(both):
    _, workdir = both
    folder = workdir / "evaluation"
    rows = list(csv.DictReader((folder / "step_00000002.csv").open()))
    assert [row["seed"] for row in rows] == ["3", "7"]
    values = [float(row["psnr_y"]) for row in rows]
    assert values[0] != values[1]
    text = (folder / "step_00000002.md").read_text()
    assert f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}" in text
    assert (folder / "step_00000002.png").stat().st_size > 5000


def test_a_run_of_several_seeds_goes_on_with_the_same_bits(both, root, tmp_path):
    _, workdir = both
    train.train(experiment(root, "sftnet_psnr", seeds=SEEDS, steps=1), tmp_path / "run")
    train.train(experiment(root, "sftnet_psnr", seeds=SEEDS, steps=2), tmp_path / "run")
    one, two = arrays(workdir), arrays(tmp_path / "run")
    assert all(one[name].tobytes() == two[name].tobytes() for name in one | two)


def test_the_weights_of_one_seed_are_named_by_it(both):
    state, workdir = both
    for source, name in ((str(workdir), "3"), (f"{workdir}:7", "7")):
        held, card = weights(source)
        assert card["network"]["name"] == "legacy_srresnet"
        for one, two in zip(
            jax.tree.leaves(held["params"]), jax.tree.leaves(state.extra[name]["ema"]), strict=True
        ):
            np.testing.assert_array_equal(one, two)
    with pytest.raises(UserError, match="has no run '8': it has 3, 7"):
        weights(f"{workdir}:8")


SLOW = ("sftnet", "rl_restore_dqn", "rl_restore_joint")


@pytest.mark.parametrize(
    "name", ["rl_restore_a2c", "dvp", *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)]
)
def test_every_algorithm_takes_several_seeds(root, name):
    """A step of two seeds, against the step of the second alone."""
    made, alone = (
        experiment(root, name, seeds=seeds, seed=7, placement="unrolled") for seeds in (SEEDS, ())
    )
    states = []
    for each in (made, alone):
        batches = train.batches(each, 0)
        batch = devices.put(next(batches), each.place)
        batches.close()
        state = train.shapes(each)[1]()
        states.append(
            jax.jit(each.algorithm.step)(step_key(each.seed, 0), state, batch, each.frozen)[0]
        )
    own = wrap.own(states[0], wrap.Member("7", 7, dict))
    for one, two in zip(jax.tree.leaves(own), jax.tree.leaves(states[1]), strict=True):
        np.testing.assert_array_equal(one, two)


def test_mistakes_are_one_sentence(root):
    with pytest.raises(UserError, match=r"config.seeds \(3, 3\) has a seed twice"):
        experiment(root, "sftnet_psnr", seeds=(3, 3))
    with pytest.raises(
        UserError, match="config.placement = 'spread': it must be one of auto, mapped, sharded"
    ):
        experiment(root, "sftnet_psnr", seeds=SEEDS, placement="spread")
    with pytest.raises(
        UserError, match="2 runs of several sizes cannot be split .* take 'unrolled'"
    ):
        placing("mapped", 2, alike=False, split=False)


def test_memory_that_is_missing_is_said_of_seeds_too(root):
    made = experiment(root, "sftnet_psnr", seeds=SEEDS)
    assert re.search("config.data.batch.*fewer seeds", made.smaller(0.5))
    assert checkpoint.flatten(made.config)["seeds"] == SEEDS
