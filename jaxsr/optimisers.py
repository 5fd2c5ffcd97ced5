"""Learning-rate schedules and optimisers, stated in the papers' terms (iterations count from 1)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

Schedule = Callable[[jax.Array], jax.Array]


def constant(*, peak: float) -> Schedule:
    """The same rate for ever."""
    return optax.constant_schedule(peak)


def multistep(*, peak: float, milestones: Sequence[int], factor: float) -> Schedule:
    """peak · factor^(number of milestones reached), where iteration m itself has the lower rate already.

    Source: the scheduler is stepped before the update, as in XPixelGroup/BasicSR codes/train.py (9fd09d4).
    """
    return optax.piecewise_constant_schedule(
        peak, {milestone - 1: factor for milestone in milestones}
    )


def stages(*, values: Sequence[float], until: Sequence[int]) -> Schedule:
    """values[i] before iteration until[i], and the last of them after that: one value more than ends."""
    return optax.join_schedules([optax.constant_schedule(value) for value in values], list(until))


def cosine(*, peak: float, warmup: int, steps: int, final: float) -> Schedule:
    """Linear from 0 to `peak` over `warmup` steps, then half a cosine to `final` at step `steps`."""
    return optax.warmup_cosine_decay_schedule(0.0, peak, warmup, steps, final)


def linear(*, peak: float, steps: int, final: float) -> Schedule:
    """Linear from `peak` to `final` at step `steps`, and `final` from there on."""
    return optax.linear_schedule(peak, final, steps)


def exponential(*, peak: float, half: int, least: float) -> Schedule:
    """max(least, peak · 2^(-step/half)): the rate halves continuously every `half` steps."""
    return optax.exponential_decay(peak, half, 0.5, end_value=least)


def poly(*, peak: float, power: float, steps: int) -> Schedule:
    """peak · (1 − step/steps)^power, and 0 from `steps` on.

    Source: the policy «poly» of Caffe, as Liu et al. 2016 (ParseNet) and DeepLab use it.
    """
    return optax.polynomial_schedule(peak, 0.0, power, steps)


class DelayedState(NamedTuple):
    """Number of updates seen, and the state of the delayed transformation."""

    count: jax.Array
    inner: Any


def delayed(inner: optax.GradientTransformation, *, steps: int) -> optax.GradientTransformation:
    """No update and an untouched inner state for the first `steps` updates, then `inner`.

    A learning rate of zero would be something else: Adam's moments would move.
    """

    def init(params: Any) -> DelayedState:
        return DelayedState(jnp.zeros([], jnp.int32), inner.init(params))

    def update(updates: Any, state: DelayedState, params: Any = None):
        moved, new = inner.update(updates, state.inner, params)
        active = state.count >= steps
        moved = jax.tree.map(lambda u: jnp.where(active, u, jnp.zeros_like(u)), moved)
        kept = jax.tree.map(lambda a, b: jnp.where(active, a, b), new, state.inner)
        return moved, DelayedState(state.count + 1, kept)

    return optax.GradientTransformation(init, update)


def adam(
    *, rate: Schedule, b1: float, b2: float, eps: float, clip: float = 0.0
) -> optax.GradientTransformation:
    """Adam as in its paper: eps outside the root, no weight decay.

    clip: largest global norm of a gradient, to which a longer one is shortened; 0 for none
    """
    made = optax.adam(rate, b1=b1, b2=b2, eps=eps)
    return optax.chain(optax.clip_by_global_norm(clip), made) if clip else made


def momentum(
    *, rate: Schedule, momentum: float, weight_decay: float
) -> optax.GradientTransformation:
    """Gradient descent with momentum: v ← momentum·v + g + weight_decay·θ, θ ← θ − rate·v.

    Every parameter decays, those of normalisations too, as in PyTorch and in Caffe (which has the rate
    inside v: the two differ while it changes, not while it stands).
    """
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(rate, momentum=momentum))


def sgd(
    *, rate: Schedule, momentum: float, weight_decay: float, theta: float
) -> optax.GradientTransformation:
    """Gradient descent with momentum and VDSR's adjustable clipping.

    Every element of the gradient is cut to ±theta/rate, so that no update is larger than theta before
    momentum; then weight_decay·θ is added, as Caffe does.

    Source: Kim et al. 2016 (VDSR), section 3.2; huangzehao/caffe-vdsr.
    """

    def update(updates: Any, count: jax.Array, params: Any = None):
        del params
        bound = theta / rate(count)
        return jax.tree.map(lambda g: jnp.clip(g, -bound, bound), updates), count + 1

    cut = optax.GradientTransformation(lambda params: jnp.zeros([], jnp.int32), update)
    return optax.chain(
        cut, optax.add_decayed_weights(weight_decay), optax.sgd(rate, momentum=momentum)
    )


def grouped_adam(
    *,
    rate: Schedule,
    group_rate: Schedule,
    freeze: int,
    b1: float,
    b2: float,
    eps: float,
    in_group: Callable[[tuple[str, ...]], bool],
) -> optax.GradientTransformation:
    """Adam with two groups of parameters: one with its own rate, the rest frozen at first.

    rate, group_rate: of the rest and of the group; both count every iteration
    freeze:           the rest takes no step, and its moments stay zero, while iteration ≤ freeze
    in_group:         path of a parameter -> whether it is in the group
    """

    def labels(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(
            lambda path, _: "group" if in_group(tuple(str(p.key) for p in path)) else "rest", params
        )

    moments = optax.scale_by_adam(b1=b1, b2=b2, eps=eps)
    return optax.partition(
        {
            "group": optax.chain(moments, optax.scale_by_learning_rate(group_rate)),
            "rest": optax.chain(delayed(moments, steps=freeze), optax.scale_by_learning_rate(rate)),
        },
        labels,
    )
