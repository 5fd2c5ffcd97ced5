"""Wrappers change what they say and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms import toys

from jaxsr.algorithms import wrap
from jaxsr.algorithms.supervised import supervised
from jaxsr.degradations.bicubic import bicubic
from jaxsr.devices import placement
from jaxsr.losses.pixel import l2
from jaxsr.state import step_key, stream

KEY = step_key(0, 0)


def make(optimiser=None):
    return supervised(
        network=toys.affine(), inputs=("lq",), optimiser=optimiser or optax.adam(0.1),
        losses={"pixel": (2.0, lambda out, batch, frozen: l2(out, batch["hq"]))},
        finish=lambda x: x,
    )  # fmt: skip


def test_supervised_descends_and_reports_loss_and_weight():
    method, batch = make(), toys.batch()
    state = method.init(KEY, batch)
    first = last = None
    for _ in range(50):
        state, metrics = jax.jit(method.step)(KEY, state, batch, {})
        first = metrics if first is None else first
        last = metrics
    assert float(last["loss"]) < 0.2 * float(first["loss"])
    assert float(first["weighted/pixel"]) == pytest.approx(2 * float(first["loss/pixel"]), rel=1e-6)
    assert int(state.step) == 50
    assert {"grad_norm/gen", "param_norm/gen"} <= first.keys()


def test_ema_is_the_formula_and_what_predict_uses():
    plain, batch = make(), toys.batch()
    method = wrap.ema(plain, decay=0.9)
    before = method.init(KEY, batch)
    after, _ = method.step(KEY, before, batch, {})
    expected = jax.tree.map(
        lambda a, b: 0.9 * a + 0.1 * b, before.params["gen"], after.params["gen"]
    )
    for got, want in zip(
        jax.tree.leaves(after.extra["ema"]), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-6)  # one float32 rounding apart
    swapped = after.replace(params={"gen": after.extra["ema"]})
    np.testing.assert_array_equal(
        method.predict(KEY, after, batch, {}), plain.predict(KEY, swapped, batch, {})
    )
    assert (
        float(
            jnp.abs(
                method.predict(KEY, after, batch, {}) - plain.predict(KEY, after, batch, {})
            ).max()
        )
        > 0
    )


def test_accumulated_step_equals_the_step_on_the_whole_batch():
    batch = toys.batch(8)
    whole = make()
    parts = wrap.accumulate(
        make(optax.MultiSteps(optax.adam(0.1), every_k_schedule=4).gradient_transformation()),
        parts=4,
    )
    a, b = whole.init(KEY, batch), parts.init(KEY, batch)
    for _ in range(3):
        a, metrics_a = whole.step(KEY, a, batch, {})
        b, metrics_b = parts.step(KEY, b, batch, {})
    assert int(b.step) == 3
    # means of four parts against one mean: float32 rounding, enlarged by Adam's division
    for x, y in zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)
    assert float(metrics_a["loss"]) == pytest.approx(float(metrics_b["loss"]), rel=1e-5)


def test_degrade_makes_lq_of_the_cut_region_and_leaves_a_given_lq():
    seen = {}

    def spy(out, batch, frozen):
        seen.update(batch)
        return l2(out, batch["lq"])

    inner = supervised(
        network=toys.affine(), inputs=("lq",), optimiser=optax.sgd(0.1), finish=lambda x: x,
        losses={"pixel": (1.0, spy)},
    )  # fmt: skip
    halve = lambda key, hq: bicubic(key, hq, scale=4, border="mirror", quantise=False)  # noqa: E731
    method = wrap.degrade(inner, degradation=halve, margin=16, scale=4)
    hq = jax.random.uniform(jax.random.key(1), (2, 64, 64, 3))
    state = method.init(KEY, {"hq": hq})
    with jax.disable_jit():
        method.step(KEY, state, {"hq": hq}, {})
    assert seen["hq"].shape == (2, 32, 32, 3) and seen["lq"].shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(seen["hq"], hq[:, 16:48, 16:48])
    np.testing.assert_array_equal(seen["lq"], halve(KEY, hq)[:, 4:12, 4:12])
    given = {"lq": hq[:, ::4, ::4], "hq": hq}
    np.testing.assert_array_equal(
        method.predict(KEY, state, given, {}), inner.predict(KEY, state, given, {})
    )


def test_degradation_draws_from_its_own_stream_of_the_step_key():
    noise = lambda key, hq: hq + jax.random.normal(key, hq.shape)  # noqa: E731
    method = wrap.degrade(make(), degradation=noise, margin=0, scale=1)
    batch = {"hq": toys.batch()["hq"]}
    state = method.init(KEY, batch)
    losses = [float(method.step(step_key(0, n), state, batch, {})[1]["loss"]) for n in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


PLACED = {
    "unrolled": wrap.unrolled,
    "mapped": wrap.mapped,
    "sharded": wrap.sharded(placement(seeds=1, split=False).batch.mesh),
}


@pytest.mark.parametrize("name", PLACED)
def test_several_seeds_are_their_single_runs(name):
    plain, batch = make(), toys.batch()
    members = [wrap.Member(f"seed{k}", k, lambda batch: batch) for k in (4, 9)]
    method = wrap.several(plain, members=members, placed=PLACED[name])
    state, step = method.init(KEY, batch), jax.jit(method.step)
    for _ in range(3):
        state, metrics = step(KEY, state, batch, {})
    predicted = method.predict(KEY, state, batch, {})
    for member in members:
        alone = plain.init(stream(step_key(member.seed, 0), "init"), batch)
        for number in range(3):
            alone, single = jax.jit(plain.step)(step_key(member.seed, number), alone, batch, {})
        for part in ("params", "opt"):
            ours, theirs = getattr(alone, part), getattr(state, part)[member.name]
            for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
                if name == "mapped":  # products of matrices are summed in another order
                    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)
                else:
                    np.testing.assert_array_equal(one, two)
        assert float(metrics[f"{member.name}/loss"]) == pytest.approx(
            float(single["loss"]), rel=1e-5
        )
        np.testing.assert_allclose(
            predicted[member.name], plain.predict(KEY, alone, batch, {}), atol=1e-6
        )
    mean = np.mean([float(metrics[f"{member.name}/loss"]) for member in members])
    assert float(metrics["loss"]) == pytest.approx(mean, rel=1e-6)
    assert int(state.step) == 3
