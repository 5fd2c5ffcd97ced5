"""What is watched of a fit, when it ends, and that nothing moves after its end."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsr.algorithms import deep_prior as prior
from jaxsr.algorithms import stopping, wrap
from jaxsr.state import step_key
from jaxsr.types import Network

SHAPE = (1, 4, 6, 3)


def toy():
    """An image that is its own parameters."""

    def init(key, z):
        del z
        return {"params": {"image": 0.5 + 0.1 * jax.random.normal(key, SHAPE)}}

    def apply(variables, z, *, train):
        del train
        return variables["params"]["image"] * z.mean(), {}

    return Network(init, apply)


def method(watches, *, rate=0.05):
    return prior.deep_prior(
        gen=toy(), code=lambda key, batch: jnp.ones(SHAPE), terms={"data": (1.0, prior.data_term(same))},
        fit=prior.fitness(same), settings=prior.Settings(lambda step: 0.0, 0.9, 0.0), watches=watches,
        optimiser=optax.adam(rate),
    )  # fmt: skip


def same(image):
    return image


def batch(**more):
    return {"lq": jax.random.uniform(jax.random.key(7), SHAPE)} | more


def run(made, data, steps):
    state, seen = jax.jit(made.init)(step_key(0, 0), data), []
    step = jax.jit(made.step)
    for number in range(steps):
        before = state
        state, metrics = step(step_key(0, number), state, data, {})
        seen.append((before, state, {name: float(value) for name, value in metrics.items()}))
    return seen


def test_the_variance_is_that_of_its_definition():
    seen = run(method({"variance": stopping.variance(rate=0.1)}), batch(), 6)
    outputs = [np.asarray(before.params["gen"]["image"]) for before, _, _ in seen]
    mean, wanted = outputs[0], 0.0
    for number, output in enumerate(outputs):
        if number:
            wanted = 0.9 * (wanted + 0.1 * np.square(output - mean).mean())
            mean = 0.9 * mean + 0.1 * output
        assert seen[number][2]["variance"] == pytest.approx(wanted, rel=1e-4, abs=1e-12)


def test_what_is_held_out_is_looked_at_and_not_fitted():
    held = (jnp.arange(24).reshape(1, 4, 6, 1) % 3 == 0).astype(jnp.float32)
    data = batch(held=held, mask=1 - held)
    watches = {"held_out": stopping.held_out(rate=1.0, operator=same)}
    seen = run(method(watches), data, 30)
    where = np.broadcast_to(held, SHAPE) > 0
    first, last = (np.asarray(seen[n][0].params["gen"]["image"]) for n in (0, -1))
    np.testing.assert_array_equal(first[where], last[where])
    wanted = np.square(last - data["lq"])[where].mean()
    assert seen[-1][2]["held_out"] == pytest.approx(wanted, rel=1e-5)
    assert (
        np.square(last - data["lq"])[~where].mean()
        < 0.1 * np.square(first - data["lq"])[~where].mean()
    )


def told(values):
    """A method whose metric is values[step], and whose weight and entry of `extra` are the step."""

    def init(key, data):
        from jaxsr.state import State

        zero = jnp.zeros(())
        return State(jnp.int32(0), {"gen": {"at": zero}}, {}, {"average": zero, "code": zero})

    def step(key, state, data, frozen):
        value = jnp.asarray(values)[state.step]
        after = state.replace(
            step=state.step + 1,
            params={"gen": {"at": state.params["gen"]["at"] + 1}},
            extra=state.extra | {"average": state.params["gen"]["at"]},
        )
        return after, {"number": value}

    def predict(key, state, data, frozen):
        return {"image": state.params["gen"]["at"], "average": state.extra["average"]}

    from jaxsr.types import Algorithm

    return Algorithm(init, step, predict)


#        0    1    2    3    4    5    6    7    8    9   10   11
CURVE = [0.1, 9.0, 8.0, 5.0, 6.0, 4.0, 7.0, 7.0, 7.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("start", "patience", "best", "end"),
    [(1, 3, 5, 9), (1, 4, 9, None), (6, 2, 6, 9), (1, 1, 3, 5)],
)
def test_a_fit_ends_when_it_has_waited_and_keeps_its_best(start, patience, best, end):
    made = stopping.patient(
        told(CURVE), metric="number", start=start, patience=patience, kept=("average",)
    )
    seen = run(made, {}, len(CURVE))
    ended = [int(m["ended"]) for _, _, m in seen]
    assert ended == [int(end is not None and n >= end) for n in range(len(CURVE))]
    state = seen[-1][1]
    assert int(state.step) == len(CURVE)
    found = jax.tree.map(float, made.predict(None, state, {}, {}))
    last = len(CURVE) if end is None else end
    assert found["stopped image"] == found["stopped average"] == best
    assert found["image"] == last and found["average"] == last - 1
    assert seen[-1][2]["best step"] == best


def test_members_end_each_by_itself():
    """Each of several fits is frozen where its single run ends, whatever the others do."""
    curves = {"one": CURVE, "two": CURVE[::-1]}
    for name, curve in curves.items():
        made = stopping.patient(
            told(curve), metric="number", start=1, patience=2, kept=("average",)
        )
        alone = run(made, {}, len(CURVE))[-1][1]
        both = wrap.several(
            made,
            members=[
                wrap.Member(name, 0, lambda data: data),
                wrap.Member("other", 1, lambda data: data),
            ],
            placed=wrap.unrolled,
        )
        together = run(both, {}, len(CURVE))[-1][1]
        for part in ("params", "extra"):
            theirs = getattr(together, part)[name]
            assert jax.tree.map(float, theirs) == jax.tree.map(float, getattr(alone, part))
