"""The order of the two updates, what each may see, and the batch statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from algorithms import toys

from jaxsr.algorithms.gan import gan
from jaxsr.losses import adversarial
from jaxsr.losses.pixel import l1
from jaxsr.state import step_key, variables

KEY = step_key(0, 0)
GEN, DISC = toys.affine(), toys.critic()


def make(rate=0.1, weight=0.5):
    return gan(
        gen=GEN, disc=DISC, inputs=("lq",),
        losses={"pixel": (1.0, lambda out, batch, frozen: l1(out, batch["hq"]))},
        gen_rules={"adversarial": (weight, lambda r, f, b: adversarial.gen_vanilla(r["gan"], f["gan"]))},
        disc_rules={"adversarial_disc": (1.0, lambda r, f, b: adversarial.disc_vanilla(r["gan"], f["gan"]))},
        optimisers={"gen": optax.sgd(rate), "disc": optax.sgd(rate)},
        logit=lambda out: out["gan"],
    )  # fmt: skip


def by_hand(state, batch, rate=0.1, weight=0.5):
    """One step written out: G on the old D, then D on the sample of the old G."""
    disc = variables(state, "disc")

    def gen_loss(params):
        fake, _ = GEN.apply({"params": params}, batch["lq"], train=True)
        judged, _ = DISC.apply(disc, fake, train=True)
        return jnp.abs(fake - batch["hq"]).mean() + weight * jax.nn.softplus(-judged["gan"]).mean()

    def disc_loss(params):
        fake, _ = GEN.apply({"params": state.params["gen"]}, batch["lq"], train=True)
        real, _ = DISC.apply(disc | {"params": params}, batch["hq"], train=True)
        judged, _ = DISC.apply(disc | {"params": params}, fake, train=True)
        return jax.nn.softplus(-real["gan"]).mean() + jax.nn.softplus(judged["gan"]).mean()

    move = lambda p, g: p - rate * g  # noqa: E731
    return (
        jax.tree.map(move, state.params["gen"], jax.grad(gen_loss)(state.params["gen"])),
        jax.tree.map(move, state.params["disc"], jax.grad(disc_loss)(state.params["disc"])),
    )


def test_one_step_is_g_on_the_old_d_then_d_on_the_old_sample():
    method, batch = make(), toys.batch()
    state = method.init(KEY, batch)
    gen, disc = by_hand(state, batch)
    new, metrics = jax.jit(method.step)(KEY, state, batch, {})
    # the same float32 operations, fused differently under jit
    for got, want in zip(
        jax.tree.leaves(new.params), jax.tree.leaves({"disc": disc, "gen": gen}), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-7)
    assert {
        "D(real)",
        "D(fake)",
        "loss/gen",
        "loss/disc",
        "grad_norm/gen",
        "grad_norm/disc",
    } <= metrics.keys()
    assert int(new.step) == 1


def test_running_statistics_move_real_first_then_fake():
    method, batch = make(), toys.batch()
    state = method.init(KEY, batch)
    new, metrics = method.step(KEY, state, batch, {})
    expected = 0.5 * (0.5 * 0.0 + 0.5 * metrics["D(real)"]) + 0.5 * metrics["D(fake)"]
    np.testing.assert_allclose(new.extra["batch_stats"]["disc"]["mean"], expected, rtol=1e-5)


def test_discriminator_learns_to_tell_a_fixed_generator():
    method, batch = make(weight=0.0), toys.batch()
    state = method.init(KEY, batch)
    fixed = state.params["gen"]
    for _ in range(200):
        state, metrics = jax.jit(method.step)(KEY, state, batch, {})
        state = state.replace(params=state.params | {"gen": fixed})
    assert float(metrics["D(real)"]) > float(metrics["D(fake)"]) + 0.1
