"""Deep priors: one network is fitted to one observation, and what it makes on the way is the result."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxsr import state as states
from jaxsr.algorithms.stopping import Watch, choose
from jaxsr.algorithms.supervised import weighted
from jaxsr.state import State
from jaxsr.types import Algorithm, Batch, Metrics, Network, Tree, UserError

Term = Callable[[jax.Array, Batch, Tree], jax.Array]


class Settings(NamedTuple):
    """How a fit goes on.

    noise: step -> deviation of what is added to the code at that step
    decay: of the running average of the outputs, a ← decay·a + (1 - decay)·f, a = f at first
    fall:  dB by which the fit may fall below that of the last step before the step is taken back; 0: never
    """

    noise: Callable[[jax.Array], jax.Array]
    decay: float
    fall: float


def deep_prior(
    *,
    gen: Network,
    code: Callable[[jax.Array, Batch], jax.Array],
    terms: Mapping[str, tuple[float, Term]],
    fit: Callable[[jax.Array, Batch], jax.Array],
    settings: Settings,
    watches: Mapping[str, Watch],
    optimiser: optax.GradientTransformation,
) -> Algorithm:
    """Minimises Σ_n w_n·term_n(f(z + noise), batch, frozen) over the weights of f, for a fixed code z.

    gen:   f, `gen` in the state: [1,h,w,c] -> [1,H,W,C]
    code:  (key, batch) -> z; kept as extra["code"]
    terms: {name: (weight, function to a scalar)}
    fit:   (image, batch) -> PSNR in dB to what was observed, by which a step is taken back
    watches: numbers of the outputs, metrics by their names, that tell when to stop; extra["watched"]
    A step that is taken back restores weights and optimiser as they were before the last accepted step; the
    average stays, and the step counts. (The reference keeps the moments and does not count it.)
    `predict` gives {"image": f(z), "average"}, both [1,H,W,C]. Metrics: loss, fit, and with a truth `hq` in
    the batch psnr and `psnr average`, of [0, 1] without rounding. Streams: «code», «gen», «noise».
    Source: arXiv:1711.10925; DmitryUlyanov/deep-image-prior 042e0d4.
    """

    def init(key: jax.Array, batch: Batch) -> State:
        z = code(states.stream(key, "code"), batch)
        drawn = gen.init(states.stream(key, "gen"), z)
        state = states.create({"gen": drawn}, {"gen": optimiser})
        image = jnp.zeros_like(gen.apply(drawn, z, train=True)[0])
        extra = {"code": z, "average": image}
        if watches:
            extra["watched"] = {name: watch.start(image) for name, watch in watches.items()}
        if settings.fall:
            # copies: under donation two entries of the state must not share a buffer
            kept = jax.tree.map(jnp.copy, {"params": state.params["gen"], "opt": state.opt["gen"]})
            extra["accepted"] = kept | {"fit": jnp.float32(-jnp.inf)}
        return state.replace(extra=extra)

    def objective(params: Tree, z: jax.Array, batch: Batch, frozen: Tree):
        image, _ = gen.apply({"params": params}, z, train=True)
        total, metrics = weighted(
            {n: (w, fn(image, batch, frozen)) for n, (w, fn) in terms.items()}
        )
        return total, (metrics | {"loss": total}, image)

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        z, average = state.extra["code"], state.extra["average"]
        drawn = jax.random.normal(states.stream(key, "noise"), z.shape, z.dtype)
        noisy = z + settings.noise(state.step) * drawn
        grads, (metrics, image) = jax.grad(objective, has_aux=True)(
            state.params["gen"], noisy, batch, frozen
        )
        decay = jnp.where(state.step == 0, 0.0, settings.decay)
        average = decay * average + (1 - decay) * image
        extra, found, before = state.extra | {"average": average}, fit(image, batch), state
        if watches:
            followed = {
                name: watch.follow(extra["watched"][name], state.step, image, batch)
                for name, watch in watches.items()
            }
            extra["watched"] = {name: remembered for name, (remembered, _) in followed.items()}
            metrics |= {name: value for name, (_, value) in followed.items()}
        state, norms = states.update(state, "gen", grads, optimiser)
        metrics |= norms | {"fit": found}
        if settings.fall:
            last = before.extra["accepted"]
            back = found < last["fit"] - settings.fall
            held = {"params": before.params["gen"], "opt": before.opt["gen"], "fit": found}
            extra["accepted"] = choose(back, last, held)
            state = state.replace(
                params={"gen": choose(back, last["params"], state.params["gen"])},
                opt={"gen": choose(back, last["opt"], state.opt["gen"])},
            )
            metrics["taken back"] = back.astype(jnp.float32)
        state = state.replace(step=state.step + 1, extra=extra)
        if "hq" in batch:
            metrics["psnr"] = psnr(image, batch["hq"])
            metrics["psnr average"] = psnr(average, batch["hq"])
        return state, metrics

    def predict(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> Tree:
        del key, batch, frozen
        image, _ = gen.apply({"params": state.params["gen"]}, state.extra["code"], train=True)
        return {"image": image, "average": state.extra["average"]}

    return Algorithm(init, step, predict)


def psnr(image: jax.Array, truth: jax.Array) -> jax.Array:
    """10·log10(1/mean square error) in dB over all pixels and channels in [0, 1]; at most 120."""
    return -10 * jnp.log10(jnp.square(image - truth).mean() + 1e-12)


def data_term(operator: Callable[[jax.Array], jax.Array]) -> Term:
    """mean(((operator(x) - lq)·mask)²) over all elements, those under the mask too, as in the reference.

    The batch has `lq` and, where pixels are missing, `mask` (1 where known) of its size or one channel.
    """

    def term(image: jax.Array, batch: Batch, frozen: Tree) -> jax.Array:
        del frozen
        return jnp.square(residual(operator, image, batch)).mean()

    return term


def fitness(operator: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array, Batch], jax.Array]:
    """PSNR in dB between operator(x) and `lq`, masked as in `data_term`."""

    def fit(image: jax.Array, batch: Batch) -> jax.Array:
        return -10 * jnp.log10(jnp.square(residual(operator, image, batch)).mean() + 1e-12)

    return fit


def residual(
    operator: Callable[[jax.Array], jax.Array], image: jax.Array, batch: Batch
) -> jax.Array:
    """What an image leaves unexplained of the observation, 0 where nothing is known."""
    made = operator(image)
    if made.shape != batch["lq"].shape:
        raise UserError(
            f"the operator of config.task makes {made.shape}, and {batch['lq'].shape} was observed: they "
            "have to be equal."
        )
    return (made - batch["lq"]) * batch.get("mask", jnp.ones(()))
