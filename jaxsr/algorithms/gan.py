"""Adversarial training: a generator with content losses, and a discriminator, one update each a step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxsr import state as states
from jaxsr.algorithms.supervised import Loss, weighted
from jaxsr.state import State
from jaxsr.types import Algorithm, Batch, Metrics, Network, Tree

# (output for real, output for fake, batch) -> values that are averaged
Rule = Callable[[Any, Any, Batch], jax.Array]


def gan(
    *,
    gen: Network,
    disc: Network,
    inputs: Sequence[str],
    losses: Mapping[str, tuple[float, Loss]],
    gen_rules: Mapping[str, tuple[float, Rule]],
    disc_rules: Mapping[str, tuple[float, Rule]],
    optimisers: Mapping[str, optax.GradientTransformation],
    logit: Callable[[Any], jax.Array],
) -> Algorithm:
    """Alternating updates of a generator G and a discriminator D, one of each in a step.

    G minimises Σ w·mean(content(ŷ)) + Σ w·mean(rule(D(y), D(ŷ))) on the current D. D then minimises
    Σ w·mean(rule(D(y), D(ŷ))) with the ŷ made before the update of G, and no gradient into ŷ. Real and
    fake go through D separately, so each has its own batch statistics; the running statistics move in the
    D update only, real first, then fake.

    gen, disc:  networks; D takes an image and may return any tree
    inputs:     names of the batch entries that G takes, in order; the truth is `hq`
    losses:     content losses {name: (weight, function of (ŷ, batch, frozen))}
    gen_rules:  adversarial losses of G {name: (weight, rule)}; D(y) comes without gradient
    disc_rules: losses of D {name: (weight, rule)}
    optimisers: {"gen": …, "disc": …}
    logit:      takes the real/fake output out of D's tree, for the metrics `D(real)` and `D(fake)`

    Source: order and detachment as in XPixelGroup/BasicSR codes/models/SFTGAN_ACD_model.py (9420896).
    """

    def generate(params: Tree, state: State, batch: Batch, *, train: bool):
        held = states.variables(state, "gen") | {"params": params}
        return gen.apply(held, *(batch[name] for name in inputs), train=train)

    def judge(params: Tree, stats: Tree, images: jax.Array):
        held = {"params": params} | ({"batch_stats": stats} if stats else {})
        return disc.apply(held, images, train=True)

    def init(key: jax.Array, batch: Batch) -> State:
        networks = {
            "gen": gen.init(states.stream(key, "gen"), *(batch[name] for name in inputs)),
            "disc": disc.init(states.stream(key, "disc"), batch["hq"]),
        }
        return states.create(networks, dict(optimisers))

    def gen_objective(params: Tree, state: State, batch: Batch, frozen: Tree):
        fake, gen_stats = generate(params, state, batch, train=True)
        stats = states.variables(state, "disc").get("batch_stats", {})
        judged_real, _ = judge(state.params["disc"], stats, batch["hq"])
        judged_fake, _ = judge(state.params["disc"], stats, fake)
        judged_real = jax.lax.stop_gradient(judged_real)
        content = {n: (w, jnp.mean(fn(fake, batch, frozen))) for n, (w, fn) in losses.items()}
        rules = {
            n: (w, jnp.mean(rule(judged_real, judged_fake, batch)))
            for n, (w, rule) in gen_rules.items()
        }
        total, metrics = weighted(content | rules)
        return total, (metrics | {"loss/gen": total}, fake, gen_stats)

    def disc_objective(params: Tree, stats: Tree, fake: jax.Array, batch: Batch):
        judged_real, stats = judge(params, stats, batch["hq"])
        judged_fake, stats = judge(params, stats, fake)
        total, metrics = weighted(
            {
                n: (w, jnp.mean(rule(judged_real, judged_fake, batch)))
                for n, (w, rule) in disc_rules.items()
            }
        )
        metrics |= {
            "loss/disc": total,
            "D(real)": jnp.mean(logit(judged_real)),
            "D(fake)": jnp.mean(logit(judged_fake)),
        }
        return total, (metrics, stats)

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        del key  # nothing is drawn here; a degradation wrapper draws from its own stream
        gen_grads, (gen_metrics, fake, gen_stats) = jax.grad(gen_objective, has_aux=True)(
            state.params["gen"], state, batch, frozen
        )
        disc_grads, (disc_metrics, disc_stats) = jax.grad(disc_objective, has_aux=True)(
            state.params["disc"],
            states.variables(state, "disc").get("batch_stats", {}),
            jax.lax.stop_gradient(fake),
            batch,
        )
        state, gen_norms = states.update(state, "gen", gen_grads, optimisers["gen"])
        state, disc_norms = states.update(state, "disc", disc_grads, optimisers["disc"])
        moved = {name: held for name, held in (("gen", gen_stats), ("disc", disc_stats)) if held}
        if moved:
            state = state.replace(extra=state.extra | {"batch_stats": moved})
        metrics = gen_metrics | disc_metrics | gen_norms | disc_norms
        return state.replace(step=state.step + 1), metrics

    def predict(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> jax.Array:
        del key, frozen
        return generate(state.params["gen"], state, batch, train=False)[0]

    return Algorithm(init, step, predict)
