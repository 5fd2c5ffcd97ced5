"""Several processes and devices: one run, whatever the number of either."""

import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from test_train import arrays

from jaxsr import devices, processes
from jaxsr.main import deterministic
from jaxsr.types import UserError

QUICK = (
    "--config=configs/sftnet_psnr.py:tiny", "--config.data.batch=4", "--config.train.log_every=2",
    "--config.train.checkpoint_every=2", "--config.train.eval_every=4",
)  # fmt: skip


def started(root, workdir, *extra, devices, process=""):
    flags = f"--xla_force_host_platform_device_count={devices}"
    given = [f"--distributed={process}"] if process else []
    return subprocess.Popen(
        [sys.executable, "-m", "jaxsr.main", f"--workdir={workdir}", *QUICK, *extra, *given],
        cwd=root, env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finished(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def pair(root, workdir, *extra):
    """Two processes of two devices; what each of them says."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    both = [
        started(root, workdir, *extra, devices=2, process=f"localhost:{port},2,{index}")
        for index in (0, 1)
    ]
    return [finished(each) for each in both]


def test_two_processes_of_two_devices_are_one_of_four_and_any_number_goes_on(root, tmp_path):
    """The sums over devices have another order: some roundings in four steps of Adam."""
    one, two = tmp_path / "one", tmp_path / "two"
    finished(started(root, one, "--config.train.steps=4", devices=4))
    said = pair(root, two, "--config.train.steps=2")
    assert "step 2/2" in said[0] and "step 2/2" not in said[1], "the first alone reports"
    # stopped after two steps; one process with one device goes on
    assert "resuming from step 2" in finished(
        started(root, two, "--config.train.steps=4", devices=1)
    )
    ours, theirs = arrays(one), arrays(two)
    assert ours.keys() == theirs.keys() and len(ours) > 50
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], atol=2e-6, err_msg=name)
    tables = [(each / "evaluation" / "step_00000004.csv").exists() for each in (one, two)]
    assert all(tables)


@pytest.mark.slow
def test_seeds_on_groups_of_devices_are_those_on_one(root, tmp_path):
    """Two seeds, each on two of four devices, which split its batch; also where each has a process."""
    given = ("--config.train.steps=4", "--config.seeds=3,7")
    finished(started(root, tmp_path / "one", *given, devices=1))
    finished(started(root, tmp_path / "four", *given, "--config.placement=sharded", devices=4))
    pair(root, tmp_path / "pair", *given, "--config.placement=sharded")
    ours = arrays(tmp_path / "one")
    for name in ("four", "pair"):
        theirs = arrays(tmp_path / name)
        assert ours.keys() == theirs.keys() and len(ours) > 50
        for key, value in ours.items():
            np.testing.assert_allclose(value, theirs[key], atol=2e-6, err_msg=f"{name} {key}")


def test_mistakes_are_one_sentence():
    with pytest.raises(UserError, match="--distributed=yes: write auto, or address:port"):
        processes.join("yes")
    with pytest.raises(UserError, match="numbered from 0, so the last of 2 is 1"):
        processes.join("localhost:99,2,2")


def test_one_process_agrees_with_itself():
    assert processes.is_first() and processes.told(2.5) == 2.5
    assert processes.any_of(True) and not processes.any_of(False)
    place = devices.placement(seeds=1, split=True)
    assert devices.share(place) == (0, 1)
    tree = {"a": jax.device_put(np.arange(3.0), place.everywhere)}
    np.testing.assert_array_equal(devices.here(tree)["a"], np.arange(3.0))


def test_deterministic_surroundings_keep_what_is_set():
    found = deterministic({"XLA_FLAGS": "--xla_force_host_platform_device_count=2"})
    assert found["XLA_FLAGS"].startswith("--xla_force_host_platform_device_count=2 --xla_gpu_det")
    assert found["JAX_DEFAULT_MATMUL_PRECISION"] == "highest"
    assert deterministic({})["XLA_FLAGS"].startswith("--xla_gpu_deterministic_ops=true")
