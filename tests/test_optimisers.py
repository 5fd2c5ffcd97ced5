"""Schedules and the two parameter groups of SFT-Net, at the iterations where they change."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsr import optimisers


@pytest.mark.parametrize(
    (
        "iteration",
        "expected",
    ),  # specs: halved at 50k, 100k, 150k, 200k; the scheduler is stepped first
    [
        (1, 1e-4),
        (49_999, 1e-4),
        (50_000, 5e-5),
        (99_999, 5e-5),
        (100_000, 2.5e-5),
        (600_000, 6.25e-6),
    ],
)
def test_multistep_changes_at_the_published_iterations(iteration, expected):
    rate = optimisers.multistep(
        peak=1e-4, milestones=(50_000, 100_000, 150_000, 200_000), factor=0.5
    )
    assert float(rate(jnp.asarray(iteration - 1))) == pytest.approx(expected, rel=1e-6)


def test_cosine_warms_up_peaks_and_ends():
    rate = optimisers.cosine(peak=1.0, warmup=10, steps=110, final=0.01)
    values = [float(rate(n)) for n in (0, 5, 10, 60, 110, 500)]
    assert values == pytest.approx([0.0, 0.5, 1.0, 0.505, 0.01, 0.01], abs=1e-6)


def tree():
    return {"conv0": {"kernel": jnp.ones(3)}, "CondNet_0": {"kernel": jnp.ones(3)}}


def make(freeze):
    return optimisers.grouped_adam(
        rate=optax.constant_schedule(0.1), group_rate=optax.constant_schedule(0.5), freeze=freeze,
        b1=0.9, b2=0.999, eps=1e-8, in_group=lambda path: "Cond" in path[0],
    )  # fmt: skip


def run(mover, steps):
    params, opt = tree(), mover.init(tree())
    step = jax.jit(lambda p, o: mover.update({k: {"kernel": jnp.full(3, 2.0)} for k in p}, o, p))
    for _ in range(steps):
        updates, opt = step(params, opt)
        params = optax.apply_updates(params, updates)
    return params, opt


def test_rest_is_frozen_up_to_the_iteration_and_moves_at_the_next():
    frozen, _ = run(make(3), 3)
    np.testing.assert_array_equal(frozen["conv0"]["kernel"], np.ones(3, np.float32))
    assert float(frozen["CondNet_0"]["kernel"][0]) < 1 - 3 * 0.4
    moved, _ = run(make(3), 4)
    # Adam's first step is its rate: the moments and their count start only now. 1e-6: float32 of 1 - 0.1
    np.testing.assert_allclose(moved["conv0"]["kernel"], 0.9, atol=1e-6)


def test_moments_of_the_frozen_group_stay_untouched():
    _, opt = run(make(5), 4)
    rest = opt.inner_states["rest"].inner_state[0]
    assert int(rest.count) == 4 and int(rest.inner.count) == 0
    assert all(float(jnp.abs(leaf).sum()) == 0 for leaf in jax.tree.leaves(rest.inner.mu))
