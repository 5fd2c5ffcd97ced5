"""Returns and advantages of whole chains, time first: from rewards to what a policy gradient weighs with."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

# (rewards, discounts, values, weights), each [t,b] -> (advantages, targets of the values), each [t,b]
Estimator = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def returns(rewards: jax.Array, discounts: jax.Array) -> jax.Array:
    """G_t = r_t + d_t·G_{t+1}, with nothing after the end: [t,b] -> [t,b].

    discounts: d_t, γ where the chain goes on after step t and 0 where it ends
    """
    return generalised_advantages(rewards, discounts, jnp.zeros_like(rewards), decay=1.0)


def generalised_advantages(
    rewards: jax.Array, discounts: jax.Array, values: jax.Array, *, decay: float
) -> jax.Array:
    """A_t = δ_t + d_t·λ·A_{t+1} with δ_t = r_t + d_t·V_{t+1} - V_t; V after the last step is 0.

    rewards, discounts, values: [t,b]; decay: λ, 1 gives the return less the value, 0 the error of one
    step. Source: Schulman et al., arXiv:1506.02438, eq. 16.
    """
    following = jnp.concatenate([values[1:], jnp.zeros_like(values[:1])])
    errors = rewards + discounts * following - values
    found, after = [], jnp.zeros_like(values[0])
    for time in reversed(range(len(errors))):
        after = errors[time] + discounts[time] * decay * after
        found.append(after)
    return jnp.stack(found[::-1])


def gae(*, decay: float, normalise: bool) -> Estimator:
    """A2C: `generalised_advantages`; the value learns A_t + V_t. normalise: mean 0, deviation 1."""

    def estimate(rewards, discounts, values, weights):
        found = generalised_advantages(rewards, discounts, values, decay=decay)
        return (_normal(found, weights) if normalise else found), found + values

    return estimate


def reinforce(*, baseline: str, normalise: bool) -> Estimator:
    """REINFORCE: G_t - b_t; the value, where there is one, learns G_t.

    baseline: `none`, `batch` (the mean return of the chains that are alive at step t) or `value`
    Raises ValueError for another baseline. Source: Williams 1992.
    """
    if baseline not in ("none", "batch", "value"):
        raise ValueError(f"a baseline is none, batch or value, not {baseline!r}.")

    def estimate(rewards, discounts, values, weights):
        gained = returns(rewards, discounts)
        total = jnp.maximum(weights.sum(1, keepdims=True), 1.0)
        mean = (weights * gained).sum(1, keepdims=True) / total
        less = {"none": jnp.zeros_like(gained), "batch": mean, "value": values}[baseline]
        found = gained - less
        return (_normal(found, weights) if normalise else found), gained

    return estimate


def entropy(log_probs: jax.Array) -> jax.Array:
    """-Σ_a π·log π of log-probabilities [..., a]; what may not be taken adds nothing."""
    chance = jnp.exp(log_probs)
    return -jnp.where(chance > 0, chance * log_probs, 0.0).sum(-1)


def weighted_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Σ w·v / Σ w; 0 where all weights are 0."""
    return (weights * values).sum() / jnp.maximum(weights.sum(), 1.0)


def _normal(values: jax.Array, weights: jax.Array) -> jax.Array:
    mean = weighted_mean(values, weights)
    spread = jnp.sqrt(weighted_mean(jnp.square(values - mean), weights))
    return (values - mean) / (spread + 1e-8)
