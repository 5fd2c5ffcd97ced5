"""Chains on images of any size: votes, and regions that meet without seams."""

import numpy as np
import pytest
from scipy.ndimage import correlate

from jaxsr.inference.chains import Chooser, by_majority, by_region
from jaxsr.types import UserError

SIDE, KERNEL = 12, np.array([[1, 2, 1], [0, 3, 2], [1, 0, 1]], float) / 11


def smooth(image):
    """Zeros beyond the edge, as a padded convolution sees it; not symmetric."""
    return correlate(image, KERNEL[..., None], mode="constant").astype(np.float32)


def darken(image):
    return (0.5 * smooth(image)).astype(np.float32)


TOOLS = (smooth, darken)


def bank(images, actions):
    choices = (*TOOLS, lambda image: image)
    return np.stack([choices[a](image) for image, a in zip(images, actions, strict=True)])


def chooser(score, seen=None):
    """score(patch, previous, step) -> action; what the agent is shown is appended to `seen`."""

    def decide(images, previous, carry):
        if seen is not None:
            seen.append((np.array(images), np.array(previous)))
        actions = [score(i, p, int(c)) for i, p, c in zip(images, previous, carry[0], strict=True)]
        return np.eye(3, dtype=np.float32)[actions], (np.asarray(carry[0]) + 1,)

    return Chooser(
        decide, lambda b: (np.zeros(b, np.int32),), bank, TOOLS, ("smooth", "darken"), SIDE, 1
    )


def picture(h, w, seed=0):
    return np.random.default_rng(seed).random((h, w, 3)).astype(np.float32)


def test_the_majority_chooses_for_the_whole_image_and_a_tie_takes_the_lowest():
    image = picture(26, 40)
    image[:, :12] += 10  # one column of patches of three: 2 votes of 6
    found = by_majority(chooser(lambda p, *_: 1 if p.mean() > 5 else 0), image, steps=1)
    assert [step.action for step in found] == [0]
    np.testing.assert_allclose(found[0].votes, [4 / 6, 2 / 6, 0])
    np.testing.assert_array_equal(found[0].image, smooth(image))
    tie = by_majority(chooser(lambda p, *_: 2 if p.mean() > 5 else 1), image[:, :24], steps=1)
    assert tie[0].action == 1 and tie[0].votes[2] == 0.5


def test_stop_ends_the_chain_and_the_agent_sees_the_last_tool_of_all():
    seen = []
    image = picture(13, 25)  # one row and column of pixels have no vote
    found = by_majority(chooser(lambda p, last, t: (1, 2, 0)[t], seen), image, steps=3)
    assert [step.action for step in found] == [1, 2]
    np.testing.assert_array_equal(found[-1].image, darken(image))
    np.testing.assert_array_equal(seen[0][0][1], image[:12, 12:24])
    np.testing.assert_array_equal(seen[0][1][:2], np.zeros((2, 2)))
    np.testing.assert_array_equal(seen[1][1][:2], [[0, 1], [0, 1]])


@pytest.mark.parametrize("shape", [(12, 12), (12, 31), (40, 17), (37, 50)])
def test_regions_that_choose_alike_give_the_whole_image_under_that_chain(shape):
    image = picture(*shape)
    found, chains = by_region(chooser(lambda p, last, t: (0, 1, 2)[t]), image, steps=3, stride=7)
    # float32 sums of weights; each patch went through the tools with its surroundings
    np.testing.assert_allclose(found, darken(smooth(image)), atol=1e-6)
    assert chains.shape == (-(-(shape[0] - 12) // 7) + 1, -(-(shape[1] - 12) // 7) + 1, 3)
    assert (chains == [0, 1, 2]).all()


def test_each_region_gets_its_own_chain_and_between_them_it_is_a_mixture():
    image = picture(24, 60)
    image[:, 30:] += 4
    pick = chooser(lambda p, last, t: (1 if p.mean() > 2.5 else 0) if t == 0 else 2)
    found, chains = by_region(pick, image, steps=2, stride=6)
    a, b = smooth(image), darken(image)
    np.testing.assert_allclose(found[:, :18], a[:, :18], atol=1e-6)
    np.testing.assert_allclose(found[:, 48:], b[:, 48:], atol=1e-6)
    low, high = np.minimum(a, b) - 1e-5, np.maximum(a, b) + 1e-5
    assert ((found >= low) & (found <= high)).all()
    assert set(chains[..., 0].ravel()) == {0, 1} and (chains[..., 1] == 2).all()
    # no jump from column to column in the share of each: the weights fall towards an edge
    share = ((found - b) / (a - b)).mean((0, 2))
    assert np.abs(np.diff(share)).max() < 0.35


def test_stop_latches_for_each_region():
    image = picture(12, 24)
    image[:, :12] += 5
    pick = chooser(lambda p, last, t: 2 if p.mean() > 2 and t == 0 else 0)
    found, chains = by_region(pick, image, steps=2, stride=12)
    np.testing.assert_array_equal(chains[0], [[2, 2], [0, 0]])
    np.testing.assert_allclose(found[:, :12], image[:, :12], atol=1e-6)


def test_more_patches_than_go_through_a_network_together():
    image = picture(60, 60)
    found = by_majority(chooser(lambda p, *_: 0), image, steps=1)
    np.testing.assert_array_equal(found[0].votes, [1, 0, 0])
    blended, chains = by_region(chooser(lambda p, *_: 0), image, steps=1, stride=6)
    assert chains.shape[:2] == (9, 9)
    np.testing.assert_allclose(blended, smooth(image), atol=1e-6)


def test_what_cannot_be_done_is_said():
    pick = chooser(lambda *_: 0)
    with pytest.raises(UserError, match="the image of 30×11 pixels is smaller than the 12×12"):
        by_majority(pick, picture(11, 30), steps=1)
    for stride in (0, 13):
        with pytest.raises(UserError, match=f"a stride of {stride} pixels leaves gaps"):
            by_region(pick, picture(30, 30), steps=1, stride=stride)
