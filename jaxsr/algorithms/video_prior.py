"""Deep Video Prior: one network is fitted to one clip, frame by frame, from the given to the processed."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from jaxsr import state as states
from jaxsr.algorithms.deep_prior import psnr
from jaxsr.algorithms.supervised import weighted
from jaxsr.state import State
from jaxsr.types import Algorithm, Batch, Metrics, Network, Tree

Term = Callable[[jax.Array, Batch, jax.Array, Tree], jax.Array]
Images = dict[str, jax.Array]


def video_prior(
    *,
    gen: Network,
    terms: Mapping[str, tuple[float, Term]],
    finish: Callable[[jax.Array, Batch], Images],
    multiple: int,
    optimiser: optax.GradientTransformation,
) -> Algorithm:
    """Minimises Σ_n w_n·term_n(g(I), batch, step, frozen) over the weights of g, a frame at a time.

    gen:      g, `gen` in the state: frame [1,h,w,3] -> [1,h,w,3] or, for two modes, [1,h,w,6]
    terms:    {name: (weight, function to a scalar)}
    finish:   (g(I), batch) -> {"image", …}: `single` or `two_modes`
    multiple: of the sides, to which `predict` enlarges a frame by repeating its border; cut off again

    The batch has `frame` I and `processed` P, uint8 [1,h,w,3], those of the step; both become floats in
    [0, 1] here. `predict` gives what `finish` does. Metrics: loss, fit (PSNR in dB of the image to P) and,
    with two modes, `main`, the share of pixels that the main image wins.
    Source: arXiv:2010.11838; ChenyangLEI/deep-video-prior cb8920a.
    """

    def init(key: jax.Array, batch: Batch) -> State:
        drawn = gen.init(states.stream(key, "gen"), unit(batch)["frame"])
        return states.create({"gen": drawn}, {"gen": optimiser})

    def objective(params: Tree, step: jax.Array, batch: Batch, frozen: Tree):
        output, _ = gen.apply({"params": params}, batch["frame"], train=True)
        total, metrics = weighted(
            {n: (w, fn(output, batch, step, frozen)) for n, (w, fn) in terms.items()}
        )
        return total, (metrics | {"loss": total}, finish(output, batch))

    def step(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> tuple[State, Metrics]:
        del key  # nothing is drawn
        batch = unit(batch)
        grads, (metrics, made) = jax.grad(objective, has_aux=True)(
            state.params["gen"], state.step, batch, frozen
        )
        state, norms = states.update(state, "gen", grads, optimiser)
        metrics |= norms | {"fit": psnr(made["image"], batch["processed"])}
        if "confidence" in made:
            metrics["main"] = made["confidence"].mean()
        return state.replace(step=state.step + 1), metrics

    def predict(key: jax.Array, state: State, batch: Batch, frozen: Tree) -> Images:
        del key, frozen
        batch = unit(batch)
        height, width = batch["frame"].shape[1:3]
        ends = [(0, 0), (0, -height % multiple), (0, -width % multiple), (0, 0)]
        large = jnp.pad(batch["frame"], ends, mode="edge")
        output, _ = gen.apply({"params": state.params["gen"]}, large, train=False)
        return finish(output[:, :height, :width], batch)

    return Algorithm(init, step, predict)


def unit(batch: Batch) -> Images:
    """uint8 images as float32 in [0, 1]."""
    return {name: image.astype(jnp.float32) / 255 for name, image in batch.items()}


def single(output: jax.Array, batch: Batch) -> Images:
    """The output is the image."""
    del batch
    return {"image": output}


def two_modes(output: jax.Array, batch: Batch) -> Images:
    """The main and the minor image, and the confidence [B,h,w,1]: 1 where the main one fits P better."""
    main, minor = jnp.split(output, 2, axis=-1)
    return {"image": main, "minor": minor, "confidence": confidence(main, minor, batch)}


def confidence(main: jax.Array, minor: jax.Array, batch: Batch) -> jax.Array:
    """C = 1 where d_main < d_minor, else 0, also on ties: [B,h,w,1]; no gradient flows through it.

    d_k = max over the channels of |O_k - P| / (I + 0.1), all [B,h,w,3].
    Source: ChenyangLEI/deep-video-prior cb8920a, main_IRT.py.
    """
    far = [
        (jnp.abs(image - batch["processed"]) / (batch["frame"] + 0.1)).max(-1, keepdims=True)
        for image in (main, minor)
    ]
    return jax.lax.stop_gradient((far[0] < far[1]).astype(jnp.float32))


def comparing(distance: Callable[[jax.Array, jax.Array], jax.Array]) -> Term:
    """mean distance(O, P) of the (main) image over all elements."""

    def term(output: jax.Array, batch: Batch, step: jax.Array, frozen: Tree) -> jax.Array:
        del step, frozen
        return distance(output[..., :3], batch["processed"]).mean()

    return term


def resembling(value: Callable[[Tree, jax.Array, jax.Array], jax.Array]) -> Term:
    """The distance of the (main) image to P in features; value: (frozen["features"], image, P) -> scalar."""

    def term(output: jax.Array, batch: Batch, step: jax.Array, frozen: Tree) -> jax.Array:
        del step
        return value(frozen["features"], output[..., :3], batch["processed"])

    return term


def competing(*, until: int, minor: float) -> Term:
    """Iteratively reweighted training: the main and the minor image compete for every pixel.

    mean(|O_main - P|·C) + mean(|O_minor - P|·(1 - C)), both means over all elements, C of `confidence`;
    up to step `until`: mean|O_main - P| + minor · mean|O_minor - P|, the same for every pixel.
    Source: arXiv:2010.11838; ChenyangLEI/deep-video-prior cb8920a, main_IRT.py (minor 0.9).
    """

    def term(output: jax.Array, batch: Batch, step: jax.Array, frozen: Tree) -> jax.Array:
        del frozen
        made = two_modes(output, batch)
        gap_main, gap_minor = (jnp.abs(made[k] - batch["processed"]) for k in ("image", "minor"))
        share = made["confidence"]
        first = gap_main.mean() + minor * gap_minor.mean()
        later = (gap_main * share).mean() + (gap_minor * (1 - share)).mean()
        return jnp.where(step < until, first, later)

    return term


def half_epochs(epochs: int) -> int:
    """How many of the first epochs see frames at half size: those below ⌊4 (E + 1) / 5⌋, counted from 1.

    19 of 25, 39 of 50. Source: ChenyangLEI/deep-video-prior cb8920a, dvp_video_consistency.py.
    """
    return max((epochs + 1) * 4 // 5 - 1, 0)
