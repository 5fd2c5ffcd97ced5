"""Warping error on clips whose motion is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.metrics.warping import pair_error, visible


def shifted(step):
    """Two windows of one picture, the second `step` pixels further to the right, and the flows."""
    picture = np.random.default_rng(0).uniform(size=(24, 40, 3)).astype(np.float32)
    forward = np.broadcast_to(np.float32([-step, 0]), (24, 32, 2))
    return picture[:, :32], picture[:, step : step + 32], forward, -forward


@pytest.mark.parametrize("power", [1, 2])
def test_a_moved_picture_has_no_error_where_it_is_seen(power):
    one, two, forward, backward = shifted(3)
    seen = visible(jnp.asarray(forward), jnp.asarray(backward))
    assert (
        seen[:, 3:].all() and not seen[:, :3].any()
    )  # the left columns have left the second window
    assert float(pair_error(one, two, forward, seen, power=power)) == 0
    blind = jnp.ones_like(seen)
    assert float(pair_error(one, two, forward, blind, power=power)) > 0.01


def test_flicker_raises_the_error_as_its_gain():
    one, two, forward, backward = shifted(2)
    seen = visible(jnp.asarray(forward), jnp.asarray(backward))
    gains = (1.0, 0.95, 0.8, 0.5)
    found = [float(pair_error(one, g * two, forward, seen, power=1)) for g in gains]
    mean = one[:, 2:].mean()
    np.testing.assert_allclose(found, [(1 - g) * mean for g in gains], atol=1e-6)
    squared = float(pair_error(one, 0.8 * two, forward, seen, power=2))
    assert squared == pytest.approx(0.04 * np.square(one[:, 2:]).mean(), rel=1e-4)


def test_what_is_seen_of_an_object_that_moves():
    """A block moves 6 pixels to the right over a still ground, which it uncovers and covers."""
    flow = np.zeros((16, 32, 2), np.float32)
    forward, backward = flow.copy(), flow.copy()
    forward[4:12, 8:16, 0] = 6
    backward[4:12, 14:22, 0] = -6
    seen = np.asarray(jax.jit(visible)(forward, backward))
    assert seen[5:11, 9:14].all()  # the block itself, found at its new place
    assert not seen[5:11, 17:21].any()  # ground that it covers next: the way back leads elsewhere
    assert not seen[4:12, 15].any() and not seen[3, 8:16].any()  # edges of the motion
    assert seen[:, 24:].all() and seen[:2].all()


def test_a_pair_that_shares_nothing_is_compared_everywhere():
    one, two, forward, _ = shifted(3)
    nothing, everything = jnp.zeros((24, 32), bool), jnp.ones((24, 32), bool)
    assert pair_error(one, two, forward, nothing, power=1) == pair_error(
        one, two, forward, everything, power=1
    )
    with pytest.raises(ValueError, match="cannot be compared"):
        pair_error(one, two[:, :-1], forward, everything, power=1)
