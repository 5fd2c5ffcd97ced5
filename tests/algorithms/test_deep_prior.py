"""Deep priors: what a step moves, what is taken back, and what an observation does not see."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsr.algorithms import deep_prior as prior
from jaxsr.state import step_key
from jaxsr.types import Network, UserError

SHAPE = (1, 4, 6, 3)


def toy():
    """An image that is its own parameters, times the mean of the code."""

    def init(key, z):
        del z
        return {"params": {"image": 0.5 + 0.1 * jax.random.normal(key, SHAPE)}}

    def apply(variables, z, *, train):
        assert train
        return variables["params"]["image"] * z.mean(), {}

    return Network(init, apply)


def ones(key, batch):
    del key, batch
    return jnp.ones(SHAPE)


def method(
    *, noise=0.0, fall=0.0, rate=0.05, decay=0.9, operator=lambda image: image, extra=(), watches=()
):  # fmt: skip
    settings = prior.Settings(noise=lambda step: noise, decay=decay, fall=fall)
    terms = {"data": (1.0, prior.data_term(operator))} | dict(extra)
    return prior.deep_prior(
        gen=toy(), code=ones, terms=terms, fit=prior.fitness(operator), settings=settings,
        watches=dict(watches),
        optimiser=optax.adam(rate),
    )  # fmt: skip


def batch(**more):
    lq = jax.random.uniform(jax.random.key(7), SHAPE)
    return {"lq": lq} | more


def run(made, data, steps):
    state, seen = made.init(step_key(0, 0), data), []
    step = jax.jit(made.step)
    for number in range(steps):
        state, metrics = step(step_key(0, number), state, data, {})
        seen.append((state, {name: float(value) for name, value in metrics.items()}))
    return seen


def test_the_fit_rises_and_the_average_is_that_of_the_outputs():
    data = batch()
    made = method()
    seen = run(made, data, 60)
    assert seen[-1][1]["fit"] > seen[0][1]["fit"] + 15
    assert "psnr" not in seen[0][1]
    start = made.init(step_key(0, 0), data).params["gen"]["image"]
    average = start
    for before, _ in seen[:9]:
        average = 0.9 * average + 0.1 * before.params["gen"]["image"]
    np.testing.assert_allclose(seen[9][0].extra["average"], average, rtol=1e-5)
    found = made.predict(step_key(0, 0), seen[-1][0], data, {})
    np.testing.assert_array_equal(found["image"], seen[-1][0].params["gen"]["image"])
    np.testing.assert_array_equal(found["average"], seen[-1][0].extra["average"])


def test_with_a_truth_both_results_are_scored_against_it():
    data = batch(hq=jnp.full(SHAPE, 0.25))
    seen = run(method(), data, 3)
    before = seen[1][0].params["gen"]["image"]
    wanted = -10 * np.log10(np.square(np.asarray(before) - 0.25).mean())
    assert abs(seen[2][1]["psnr"] - wanted) < 1e-3
    assert seen[2][1]["psnr average"] != seen[2][1]["psnr"]


def test_what_is_masked_plays_no_part():
    mask = (jax.random.uniform(jax.random.key(3), (1, 4, 6, 1)) > 0.5).astype(jnp.float32)
    data = batch(mask=mask)
    other = data | {"lq": data["lq"] + 5.0 * (1 - mask)}
    one, two = (run(method(), each, 5)[-1] for each in (data, other))
    np.testing.assert_array_equal(one[0].params["gen"]["image"], two[0].params["gen"]["image"])
    assert one[1] == two[1]
    # and the mean is over all pixels, the hidden ones too
    start = method().init(step_key(0, 0), data).params["gen"]["image"]
    wanted = float(jnp.square((start - data["lq"]) * mask).mean())
    assert abs(run(method(), data, 1)[0][1]["loss/data"] - wanted) < 1e-6


def test_a_fall_of_the_fit_is_taken_back_with_the_moments():
    data, made = batch(), method(fall=5.0)
    held = run(made, data, 30)[-1][0]
    pushed = held.replace(params={"gen": {"image": held.params["gen"]["image"] + 0.3}})
    step = jax.jit(made.step)
    after, metrics = step(step_key(0, 30), pushed, data, {})
    assert float(metrics["taken back"]) == 1 and int(after.step) == 31
    accepted = held.extra["accepted"]
    np.testing.assert_array_equal(after.params["gen"]["image"], accepted["params"]["image"])
    for ours, theirs in zip(
        jax.tree.leaves(after.opt["gen"]), jax.tree.leaves(accepted["opt"]), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    again, metrics = step(step_key(0, 31), after, data, {})
    assert float(metrics["taken back"]) == 0
    assert float(metrics["fit"]) > float(accepted["fit"]) - 5
    assert "accepted" not in method().init(step_key(0, 0), data).extra
    assert int(again.step) == 32


def test_noise_is_drawn_anew_at_every_step_and_the_last_image_has_none():
    data, made = batch(), method(noise=0.5, rate=0.0)
    seen = run(made, data, 3)
    losses = [metrics["loss"] for _, metrics in seen]
    assert len(set(losses)) == 3
    assert [metrics["loss"] for _, metrics in run(made, data, 3)] == losses
    found = made.predict(step_key(0, 9), seen[-1][0], data, {})["image"]
    np.testing.assert_array_equal(found, seen[-1][0].params["gen"]["image"])


def test_further_terms_have_their_weights_and_the_operator_its_say():
    def down(image):
        return image[:, ::2, ::2]

    data = {"lq": batch()["lq"][:, ::2, ::2]}
    plain = run(method(operator=down), data, 1)[0][1]
    term = ("size", (3.0, lambda image, batch, frozen: image.sum()))
    more = run(method(operator=down, extra=[term]), data, 1)[0][1]
    np.testing.assert_allclose(more["loss"], plain["loss"] + 3 * more["loss/size"], rtol=1e-6)
    with pytest.raises(UserError, match="the operator of config.task makes .*was observed"):
        run(method(), data, 1)
