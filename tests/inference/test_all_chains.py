"""The table of all chains: each entry is that chain; the policies that are read from it."""

import itertools

import jax.numpy as jnp
import numpy as np

from jaxsr.algorithms import toolchain
from jaxsr.evaluate_chains import chain_text, psnr
from jaxsr.inference import all_chains

TOOLS = (lambda p, x: x + p, lambda p, x: x * p)
WEIGHTS = {"tool01": jnp.float32(0.1), "tool02": jnp.float32(0.8)}


def table(count=5, steps=3):
    rng = np.random.default_rng(0)
    lq, hq = rng.uniform(size=(2, count, 4, 4, 3)).astype(np.float32)
    calls = []
    made = all_chains.score_all(
        TOOLS,
        WEIGHTS,
        lq,
        hq,
        steps=steps,
        score=toolchain.psnr,
        report=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    return made, lq, hq, calls


def test_every_entry_is_the_score_of_its_chain():
    made, lq, hq, calls = table()
    assert made.shape == (3, 3, 3, 5) and calls[-1] == (7, 7)
    for actions in itertools.product(range(3), repeat=3):
        images, stopped = lq, False
        for action in actions:
            stopped |= action == 2
            if not stopped:
                images = np.asarray(TOOLS[action](list(WEIGHTS.values())[action], images))
        np.testing.assert_allclose(made[actions], psnr(images, hq), atol=1e-4)


def test_policies_are_ordered_as_what_they_know():
    made, *_ = table(40)
    found = all_chains.references(made, lambda actions: chain_text(actions, 2))
    mean = {name: each.psnr.mean() for name, each in found.items()}
    assert mean["random"] < mean["best constant"] <= mean["best chain"]
    assert (found["best chain"].psnr >= found["greedy oracle"].psnr).all()
    # the oracle may always stop
    assert (found["greedy oracle"].psnr >= found["input"].psnr).all()
    np.testing.assert_allclose(found["random"].psnr, made.reshape(27, -1).mean(0))
    best = max(itertools.product(range(3), repeat=3), key=lambda chain: made[chain].mean())
    assert found["best constant"].chain == chain_text(best, 2)
    np.testing.assert_array_equal(found["best constant"].psnr, made[best])


def test_the_oracle_takes_the_best_next_step_and_not_the_best_chain():
    """One patch: tool 1 helps at once, tool 2 only when it is taken twice."""
    made = np.full((3, 3, 1), 10.0)
    made[0], made[0, 0] = 12.0, 11.0
    made[1, 2], made[1, 0], made[1, 1] = 9.0, 9.0, 20.0
    found = all_chains.references(made, lambda actions: chain_text(actions, 2))
    assert found["greedy oracle"].psnr == 12 and found["best chain"].psnr == 20
    assert found["best constant"].chain == "2-2"


def test_chosen_reads_each_patch_at_its_own_chain():
    made, *_ = table()
    actions = np.array([[0, 1, 2, 0, 1], [1, 1, 0, 2, 0], [2, 0, 1, 1, 1]])
    wanted = [made[(*actions[:, n], n)] for n in range(5)]
    np.testing.assert_array_equal(all_chains.chosen(made, actions), wanted)
