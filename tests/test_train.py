"""The loop: the same bits again, after a kill, on more devices; clean stops; numbers that are not finite."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr import build, checkpoint, devices, train
from jaxsr.types import UserError

CONFIG = "configs/sftnet.py:tiny"
# biases of D in front of batch normalisation: their gradient is rounding, which Adam turns into steps
DEAD_BIAS = r"disc.*feature_(2|5|8|11|14|17|20)\'.*bias"
# for runs that are compared with the same program: compiled in half the time
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def command(workdir, *extra):
    return [
        sys.executable, "-m", "jaxsr.main", f"--config={CONFIG}", f"--workdir={workdir}",
        "--config.train.steps=12", "--config.train.log_every=3", "--config.train.checkpoint_every=3",
        "--config.train.eval_every=6", *extra,
    ]  # fmt: skip


def run(root, workdir, *extra, devices=1, surroundings=QUICK):
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.run(
        command(workdir, *extra), cwd=root, env=os.environ | surroundings | {"XLA_FLAGS": flags},
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip


def arrays(workdir) -> dict[str, np.ndarray]:
    """Every array of the last checkpoint, by path."""
    with checkpoint.reader(Path(workdir) / "checkpoints") as held:
        state, _ = checkpoint.restore(held, None)
    flat, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(value) for path, value in flat}


def same_bits(a, b):
    assert a.keys() == b.keys()
    return all(a[name].tobytes() == b[name].tobytes() for name in a)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, root):
    """An uninterrupted run."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    done = run(root, workdir)
    assert done.returncode == 0, done.stderr
    return workdir, done


def test_run_leaves_what_it_promises(whole):
    workdir, done = whole
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if "loss/gen" in row]
    assert steps == [3, 6, 9, 12]
    first = rows[0]
    for name in ("perceptual", "pixel", "adversarial", "classification"):
        assert {f"loss/{name}", f"weighted/{name}"} <= first.keys()
    assert {
        "D(real)",
        "D(fake)",
        "grad_norm/gen",
        "param_norm/disc",
        "seconds_per_step",
    } <= first.keys()
    assert (workdir / "evaluation" / "step_00000012.png").stat().st_size > 1000
    assert "protocol" in (workdir / "evaluation" / "step_00000012.csv").read_text().splitlines()[0]
    assert list((workdir / "tensorboard").glob("events*"))
    assert json.loads((workdir / "config.json").read_text())["name"] == "sftnet"
    assert "step 12/12 (100 %)" in done.stdout and "left 0:00" in done.stdout
    with checkpoint.manager(workdir / "checkpoints", keep=2) as held:
        notes = checkpoint.read_notes(held)
    assert {"git", "jax", "flax", "device"} <= notes["versions"].keys()
    assert notes["config"]["networks"]["gen"]["features"] == 8


def test_run_killed_at_any_moment_and_resumed_ends_with_the_same_bits(whole, tmp_path, root):
    """SIGKILL twice: as soon as a save is under way, and between two saves."""
    workdir = tmp_path / "killed"

    def saving():
        return bool(list(workdir.glob("checkpoints/*orbax-checkpoint-tmp*")))

    def between():
        log = workdir / "metrics.jsonl"
        return log.exists() and len(log.read_text().splitlines()) >= 4

    for moment in (saving, between):
        process = subprocess.Popen(
            command(workdir), cwd=root, env=os.environ | QUICK, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 300
        while not moment() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = run(root, workdir)
    assert done.returncode == 0, done.stderr
    assert same_bits(arrays(whole[0]), arrays(workdir))
    kept = [
        json.loads(line)["step"] for line in (workdir / "metrics.jsonl").read_text().splitlines()
    ]
    assert kept == sorted(kept) and kept.count(12) == 2, "one row of losses, one of the evaluation"


def test_terminated_run_saves_exits_cleanly_and_goes_on_with_the_same_bits(whole, tmp_path, root):
    workdir = tmp_path / "stopped"
    process = subprocess.Popen(
        command(workdir), cwd=root, env=os.environ | QUICK, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (workdir / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and "Traceback" not in err
    assert "SIGTERM: saved at step" in out
    assert run(root, workdir).returncode == 0
    assert same_bits(arrays(whole[0]), arrays(workdir))


def test_four_devices_agree_with_one(whole, tmp_path, root):
    """The batch of 4 split over 4 virtual devices."""
    extra = ("--config.data.batch=4", "--config.train.steps=6")
    one, four = tmp_path / "one", tmp_path / "four"
    for workdir, count in ((one, 1), (four, 4)):
        done = run(root, workdir, *extra, devices=count, surroundings={})
        assert done.returncode == 0, done.stderr
    a, b = arrays(one), arrays(four)
    # the sums of a mean over 4 parts have another order; seen: 3e-6 after 6 steps of Adam
    names = [name for name in a if "params" in name and not re.search(DEAD_BIAS, name)]
    assert len(names) > 50
    for name in names:
        np.testing.assert_allclose(a[name], b[name], atol=2e-5, err_msg=name)
    done = run(root, tmp_path / "three", devices=3)
    assert done.returncode == 2 and "cannot be split over 3 devices" in done.stderr


def experiment(root, *, steps=6, preset="configs/sftnet_psnr.py", change=lambda config: None):
    import runpy

    config = runpy.run_path(str(root / preset))["get_config"]("tiny")
    config.unlock()
    config.train.steps = steps
    change(config)
    return build.experiment(config)


def test_each_function_is_compiled_once_a_run(root, tmp_path):
    made, traced = experiment(root), []

    def counting(name, function):
        def counted(*args):
            traced.append(name)
            return function(*args)

        return counted

    algorithm = made.algorithm._replace(
        step=counting("step", made.algorithm.step),
        predict=counting("predict", made.algorithm.predict),
    )
    train.train(made._replace(algorithm=algorithm), tmp_path / "run")
    assert traced.count("step") == 1
    assert traced.count("predict") == 1, "three evaluations of one size"


def test_several_steps_in_one_call_change_no_bit_and_no_row(root, tmp_path):
    """Calls of 2, and single steps before a row: without the states between they differ."""

    def trained(workdir, per_call):
        def change(config):
            config.train.log_every = config.train.checkpoint_every = 3
            config.train.steps_per_call = per_call

        train.train(experiment(root, preset="configs/dip_denoise.py", change=change), workdir)
        rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
        for row in rows:
            row.pop("seconds_per_step", None)
        return rows

    single = trained(tmp_path / "single", 1)
    assert trained(tmp_path / "several", 2) == single
    assert [row["step"] for row in single] == [3, 6, 6]
    assert same_bits(arrays(tmp_path / "single"), arrays(tmp_path / "several"))


def test_a_call_ends_where_something_is_due():
    loop = train.Loop(20, 6, 0, 9, keep=1, best="", best_mode="max", steps_per_call=4)
    done, counts = 0, []
    while done < loop.steps:
        counts.append(train.at_once(done, loop))
        done += counts[-1]
    assert counts == [4, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1]  # due: 6, 9, 12, 18, 20
    with pytest.raises(UserError, match=r"train\.steps_per_call is 0: take at least 1"):
        train.at_once(0, loop._replace(steps_per_call=0))


def test_nonfinite_loss_stops_names_the_step_and_keeps_the_last_finite_checkpoint(root, tmp_path):
    made = experiment(root, steps=8)

    def poisoned(key, state, batch, frozen):
        new, metrics = made.algorithm.step(key, state, batch, frozen)
        bad = jnp.where(state.step == 4, jnp.nan, 0.0)
        params = jax.tree.map(lambda x: x + bad, new.params)
        return new.replace(params=params), metrics | {"loss/pixel": metrics["loss/pixel"] + bad}

    with pytest.raises(UserError, match=r"step 5: loss/pixel is not finite") as caught:
        train.train(
            made._replace(algorithm=made.algorithm._replace(step=poisoned)), tmp_path / "run"
        )
    dumped = np.load(tmp_path / "run" / "nonfinite_step_5.npz")
    assert "nonfinite_step_5.npz" in str(caught.value) and "step 4 is kept" in str(caught.value)
    batches = train.batches(made, 4)
    np.testing.assert_array_equal(dumped["hq"], next(batches)["hq"])
    batches.close()
    kept = arrays(tmp_path / "run")
    assert int(kept["['step']"]) == 4
    assert all(np.isfinite(value).all() for value in kept.values())


def test_bfloat16_compute_keeps_float32_parameters_and_learns(root, tmp_path):
    made = experiment(root, steps=2, change=lambda c: c.update({"precision": "bfloat16"}))
    state = train.train(made, tmp_path / "run")
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}
    full = experiment(root, steps=2)
    place = made.place
    batch = devices.put(next(train.batches(made, 0)), place)
    key = jax.random.key(0)
    a, b = (m.algorithm.predict(key, state, batch, {}) for m in (made, full))
    assert a.dtype == jnp.float32
    difference = float(jnp.abs(a - b).max())
    assert 0 < difference < 0.05, "8 bits of mantissa, a few layers"


def test_best_checkpoint_follows_the_named_metric(root, tmp_path):
    made = experiment(root, steps=6)
    scores = iter([1.0, 3.0, 2.0])

    def scored(predict, step, folder):
        made.evaluate(predict, step, folder)
        return {"psnr_y": next(scores)}, np.zeros((4, 4, 3), np.uint8)

    train.train(made._replace(evaluate=scored), tmp_path / "run")
    with checkpoint.manager(tmp_path / "run" / "best", keep=1) as best:
        assert best.latest_step() == 4
        assert checkpoint.read_notes(best)["value"] == 3.0
