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


def test_linear_and_exponential_rates():
    falling = optimisers.linear(peak=1.0, steps=10, final=0.2)
    assert [float(falling(n)) for n in (0, 5, 10, 99)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    halving = optimisers.exponential(peak=1e-4, half=1000, least=2.5e-5)
    values = [float(halving(n)) for n in (0, 500, 1000, 2000, 9000)]
    assert values == pytest.approx([1e-4, 1e-4 / 2**0.5, 5e-5, 2.5e-5, 2.5e-5], rel=1e-5)


def test_adam_shortens_a_long_gradient_and_leaves_a_short_one():
    long, short = {"w": jnp.array([30.0, 40.0])}, {"w": jnp.array([0.3, 0.4])}
    # eps far above the moments: the update is proportional to the gradient
    made = optimisers.adam(rate=lambda n: 1.0, b1=0.0, b2=0.0, eps=1e6, clip=1.0)
    for given, norm in ((long, 1.0), (short, 0.5)):
        moved, _ = made.update(given, made.init(given))
        np.testing.assert_allclose(np.linalg.norm(moved["w"]) * 1e6, norm, rtol=1e-3)


def test_sgd_cuts_every_element_to_theta_over_the_rate_before_momentum_and_decay():
    rate = optimisers.multistep(peak=0.1, milestones=(2,), factor=0.1)
    made = optimisers.sgd(rate=rate, momentum=0.9, weight_decay=0.5, theta=0.02)
    params, grads = {"w": jnp.array([1.0, 1.0])}, {"w": jnp.array([7.0, -0.05])}
    state = made.init(params)
    first, state = made.update(grads, state, params)
    # ±0.2 at the rate 0.1, then + 0.5·θ, times -0.1
    np.testing.assert_allclose(first["w"], [-0.07, -0.045], rtol=1e-6)
    second, _ = made.update(grads, state, params)
    # ±2 at the rate 0.01: gradient + decay [2.5, 0.45], momentum 0.9·[0.7, 0.45] on top
    np.testing.assert_allclose(second["w"], [-0.01 * 3.13, -0.01 * 0.855], rtol=1e-5)


def test_poly_falls_to_nothing_at_its_last_step():
    rate = optimisers.poly(peak=0.01, power=0.9, steps=30_000)
    values = [float(rate(n)) for n in (0, 15_000, 29_999, 30_000, 40_000)]
    # 0.5^0.9 = 0.535887, (1/30,000)^0.9 = 9.3466e-5
    assert values == pytest.approx([0.01, 5.35887e-3, 9.3466e-7, 0.0, 0.0], rel=1e-3, abs=1e-12)


def test_momentum_sums_gradient_and_decay():
    made = optimisers.momentum(rate=lambda n: 0.1, momentum=0.9, weight_decay=0.5)
    params, grads = {"w": jnp.array([2.0])}, {"w": jnp.array([3.0])}
    first, state = made.update(grads, made.init(params), params)
    second, _ = made.update(grads, state, params)
    # v = 3 + 0.5·2, then 0.9·4 + 4
    assert float(first["w"][0]) == pytest.approx(-0.4)
    assert float(second["w"][0]) == pytest.approx(-0.76)
