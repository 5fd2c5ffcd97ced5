"""Mistakes in the configs of RL-Restore, each told in one sentence before any image is read."""

import runpy

import jax
import pytest
from reference import chain_weights

from jaxsr import build, build_toolchain, checkpoint
from jaxsr.models.toolbox import PUBLISHED, Toolbox
from jaxsr.types import UserError


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """A whole box, one that lacks a tool, and a single tool, with random weights."""
    folder = tmp_path_factory.mktemp("boxes")
    held = Toolbox().init(jax.random.key(0), jax.numpy.zeros((12, 24, 24, 3)))["params"]
    card = {"network": {"name": "toolbox", "families": PUBLISHED}}
    gap = {name: tree for name, tree in held.items() if name != "tool12"}
    checkpoint.save_weights(folder / "box.safetensors", {"params": held}, card)
    checkpoint.save_weights(folder / "gap.safetensors", {"params": gap}, card)
    single = {"network": {"name": "tool_small"}}
    checkpoint.save_weights(folder / "one.safetensors", {"params": held["tool01"]}, single)
    chain_weights.agent(folder / "agent.safetensors", tools=12)
    return folder


def config(root, boxes, name, *sources):
    made = runpy.run_path(str(root / "configs" / f"{name}.py"))["get_config"]("tiny")
    made.unlock()
    made.toolbox.sources = tuple(str(boxes / f"{source}.safetensors") for source in sources)
    if name == "rl_restore_joint":
        made.agent.source = str(boxes / "agent.safetensors")
    return made


CASES = [
    ("rl_restore_a2c", ("gap",), {}, "gap.safetensors.*tool12"),
    ("rl_restore_a2c", ("none",), {}, "there is no weight file .*none.safetensors"),
    ("rl_restore_a2c", ("box", "one"), {}, "agent.tools is 12, .* are 13: .* set it to 13"),
    ("rl_restore_dqn", ("box",), {"networks.agent.tools": 11}, "is 11, .* are 12"),
    (
        "rl_restore_a2c", ("box",), {"data.transform.severities": ("sever",)},
        "sever.*mild, moderate.*severe",
    ),
    ("rl_restore_a2c", ("box",), {"evaluation.severities": ("heavy",)}, "heavy.*mild, moderate"),
    (
        "rl_restore_dqn", ("box",), {"replay.episodes": 10**9},
        r"replay of 1000000000 episodes takes .* GiB, .* lower config.replay.episodes to \d+",
    ),
    ("rl_restore_dqn", ("box",), {"replay.warm": 9}, "holds 8 episodes, is warm with 9"),
    ("rl_restore_a2c", ("box",), {"environment.steps": 0}, "has 0 steps"),
    ("rl_restore_a2c", ("box",), {"environment.min_steps": 4}, "has 3 steps, 4 of them before"),
    ("rl_restore_a2c", ("box",), {"toolbox.bank": "block"}, "did you mean 'blocks'"),
    ("rl_restore_a2c", ("box",), {"policy.all_action": True}, "all results of the tools"),
    (
        "rl_restore_a2c", ("box",), {"policy.estimator.name": "ga"},
        "policy.estimator.name = 'ga' .*'gae'",
    ),
    ("rl_restore_a2c", ("box",), {"data.transform.size": 32}, "63 pixels, not 32"),
    ("rl_restore_joint", ("box",), {"agent.source": ""}, "agent.source is empty: name the agent"),
    ("rl_restore_joint", ("box", "one"), {}, "agent for 12 tools .* the box has 13"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sources", "changes", "said"), CASES)
def test_mistakes_are_one_sentence(root, boxes, name, sources, changes, said):
    made = config(root, boxes, name, *sources)
    for key, value in changes.items():
        *path, last = key.split(".")
        section = made
        for part in path:
            section = section[part]
        section[last] = value
    with pytest.raises(UserError, match=said) as raised:
        build.experiment(made)
    assert "\n" not in str(raised.value)


def test_more_tools_are_named_in_the_config(root, boxes):
    """A single tool joins the box, and the agent has an action more."""
    made = config(root, boxes, "rl_restore_a2c", "box", "one")
    made.networks.agent.tools = 13
    experiment = build.experiment(made)
    assert list(experiment.frozen["tools"])[-1] == "tool13"


def test_memory_of_a_replay_is_counted_with_its_copy():
    # 10 episodes of 3 images of 2² pixels, 3 channels, 2 bytes, twice
    build_toolchain.check_memory(10, 3, 2, 10 * 3 * 4 * 3 * 2 * 2)
    with pytest.raises(UserError, match="lower config.replay.episodes to 9"):
        build_toolchain.check_memory(10, 3, 2, 10 * 3 * 4 * 3 * 2 * 2 - 1)
