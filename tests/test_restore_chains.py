"""scripts/restore.py with an agent and its tools: both ways to choose, and what it does not take."""

import json

import numpy as np
import pytest
from PIL import Image
from reference import chain_weights
from reference.restore_command import command


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chains")
    tool = chain_weights.tool(folder / "tool.safetensors")
    agent = chain_weights.agent(folder / "agent.safetensors")
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (70, 90, 3), np.uint8)).save(folder / "a.png")
    Image.fromarray(rng.integers(0, 255, (40, 90, 3), np.uint8)).save(folder / "small.png")

    def run(*words, out="out"):
        return command(root).main(
            [str(folder / "a.png"), "--weights", agent, "--out", str(folder / out), *words]
        )

    return run, folder, agent, tool


def test_both_ways_give_the_chain_where_all_patches_agree(made):
    """By region equals by majority when every patch takes the same chain."""
    run, folder, _, tool = made
    report = folder / "report.jsonl"
    assert run("--tools", tool, "--report", str(report)) == 0
    (line,) = [json.loads(text) for text in report.read_text().splitlines()]
    assert line["notes"] == ["chain: 1 tool 1, 1 tool 1, 1 tool 1"]
    assert run("--tools", tool, "--chain", "regions", "--stride", "20", out="regions") == 0
    first, second = (
        np.asarray(Image.open(folder / name / "a_x1.png")).astype(int)
        for name in ("out", "regions")
    )
    assert first.shape == (70, 90, 3) and np.abs(first - second).max() <= 1
    assert (first != np.asarray(Image.open(folder / "a.png"))).any()
    assert run("--tools", tool, "--steps", "1", out="one") == 0
    assert (np.asarray(Image.open(folder / "one" / "a_x1.png")) != first).any()


def test_mistakes(made, root, capsys):
    run, folder, agent, tool = made
    for words, said in (
        (("--tools", str(folder / "none")), "there is no weight file"),
        ((), "restores no images without its tools: name them, as --tools does"),
        (("--tools", tool, tool), "an agent for 1 tools and stop, and the box has 2"),
        (("--tools", tool, "--self-ensemble"), "are not for an agent"),
        (("--tools", tool, "--scale", "2"), "has scale 1: leave out --scale 2"),
    ):
        assert run(*words, out="none") == 2
        assert said in capsys.readouterr().err
    status = command(root).main(
        [str(folder / "small.png"), "--weights", agent, "--tools", tool, "--out", str(folder / "s")]
    )
    assert status == 1 and "smaller than the 63×63" in capsys.readouterr().err
