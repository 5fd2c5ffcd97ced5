"""Swapping the prior: what is forced, how far a change reaches, and the modulation that a prior makes."""

import jax
import numpy as np
import pytest
from reference.random_trees import random_like

from jaxsr.inference import swapping
from jaxsr.models.sftnet import SFTNet
from jaxsr.outdoor import NAMES
from jaxsr.types import UserError


def prior(height=32, width=48):
    seg = np.random.default_rng(0).random((height, width, 8), np.float32)
    return seg / seg.sum(-1, keepdims=True)


def test_a_category_is_forced_everywhere_or_in_a_region():
    seg = prior()
    kept = seg.copy()
    water = np.eye(8, dtype=np.float32)[NAMES.index("water")]
    assert (swapping.forced(seg, "water") == water).all()
    made = swapping.forced(seg, "water", region=(4, 8, 16, 24))
    assert (made[4:16, 8:24] == water).all()
    made[4:16, 8:24] = seg[4:16, 8:24]
    np.testing.assert_array_equal(made, seg)
    np.testing.assert_array_equal(seg, kept)


@pytest.mark.parametrize("region", [(0, 0, 0, 8), (0, 0, 36, 8), (2, 0, 8, 8), (-4, 0, 8, 8)])
def test_regions_that_are_none_are_named(region):
    with pytest.raises(UserError, match="must be top, left, bottom, right in multiples of 4"):
        swapping.forced(prior(), "sky", region=region)


def test_another_category_is_named():
    with pytest.raises(UserError, match="no category 'sea': there are .*water"):
        swapping.forced(prior(), "sea")


def test_how_far_a_difference_reaches():
    change = np.zeros((40, 60, 3))
    region = (10, 10, 20, 20)
    assert swapping.farthest(change, region) == 0
    change[12, 15, 1] = 1
    assert swapping.farthest(change, region) == 0
    for place, far in (((12, 9), 1), ((25, 15), 6), ((12, 59), 40), ((3, 3), 40)):
        change[place][2] = -1
        assert swapping.farthest(change, region) == far


def test_modulations_are_those_of_every_layer():
    """33 pairs of the published depth become 5 with two blocks; a constant prior gives constant maps."""
    module = SFTNet(features=4, blocks=2, condition=4, condition_hidden=8)
    lq = np.random.default_rng(1).random((8, 12, 3), np.float32)
    seg = prior()
    shapes = jax.eval_shape(module.init, jax.random.key(0), lq[None], seg[None])
    variables = random_like(shapes, seed=2)
    found = swapping.modulations(module, variables, lq, seg)
    assert len(found) == 5 and list(found)[-1] == "sft_branch_2"
    for gamma, beta in found.values():
        assert gamma.shape == beta.shape == (8, 12, 4) and not np.array_equal(gamma, beta)
    gamma, _ = swapping.modulations(module, variables, lq, swapping.forced(seg, "sky"))[
        "sft_branch_2"
    ]
    np.testing.assert_allclose(gamma, np.broadcast_to(gamma[:1, :1], gamma.shape), atol=1e-5)
    assert found["sft_branch_2"][0].std((0, 1)).max() > 1e-4
    lively = swapping.liveliest(found["sft_branch_2"][0], 2)
    assert list(lively) == list(np.argsort(-found["sft_branch_2"][0].std((0, 1)))[:2])


@pytest.mark.parametrize(("variant", "gamma"), [("pytorch", 0), ("torch", 1)])
def test_without_modulation_no_prior_is_seen(variant, gamma):
    module = SFTNet(features=4, blocks=1, condition=4, condition_hidden=8, variant=variant)
    lq = np.random.default_rng(1).random((8, 12, 3), np.float32)
    seg = prior()
    shapes = jax.eval_shape(module.init, jax.random.key(0), lq[None], seg[None])
    variables = random_like(shapes, seed=2)
    bare = swapping.unmodulated(variables, variant=variant)
    found = swapping.modulations(module, bare, lq, seg)
    assert all((g == gamma).all() and (b == 0).all() for g, b in found.values())
    run = jax.jit(module.apply)
    sky = swapping.forced(seg, "sky")
    np.testing.assert_array_equal(run(bare, lq[None], seg[None]), run(bare, lq[None], sky[None]))
    assert (
        np.abs(run(variables, lq[None], seg[None]) - run(variables, lq[None], sky[None])).max()
        > 1e-3
    )
