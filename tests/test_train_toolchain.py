"""A run of an agent goes on with the same bits, its replay too, and the tools are no part of its state."""

import jax
import numpy as np
import pytest
from test_configs import get_config

from jaxsr import build, checkpoint, train

pytestmark = pytest.mark.usefixtures("unoptimised")


@pytest.mark.parametrize("name", ["rl_restore_dqn"])
def test_run_in_two_parts_ends_with_the_same_bits(root, name, tmp_path):
    made = build.experiment(get_config(root, name, "tiny"))
    loop = made.loop._replace(checkpoint_every=2, log_every=1)
    whole = train.train(made._replace(loop=loop._replace(steps=4)), tmp_path / "whole")
    train.train(made._replace(loop=loop._replace(steps=2)), tmp_path / "parts")
    parts = train.train(made._replace(loop=loop._replace(steps=4)), tmp_path / "parts")
    assert int(parts.extra["replay"]["count"]) == 16 and int(parts.extra["updates"]) == 8
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(whole), jax.device_get(parts))
    variables, card = checkpoint.load_run(tmp_path / "parts")
    assert card["network"]["name"] == "toolchain_agent" and set(variables) == {"params"}
