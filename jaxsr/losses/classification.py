"""Cross-entropy with an ignored label."""

import jax
import jax.numpy as jnp


def cross_entropy(logits: jax.Array, labels: jax.Array, *, ignore: int) -> jax.Array:
    """Mean of -log softmax(logits)[label] over the labels that are not `ignore`: a scalar.

    sum_i m_i (logsumexp(z_i) - z_i[t_i]) / max(sum_i m_i, 1), m_i = (t_i != ignore).
    The reduction is part of the definition (unlike in the other losses): how many labels count
    is known only here, and a batch in which none does gives 0 and no gradient, not 0/0.

    logits [B,C] or [B,H,W,C] float, labels integers of shape logits.shape[:-1], 0..C-1 or
    `ignore` (which may lie outside). Any other label gives NaN rather than a silent clamp.
    ValueError on unfitting shapes or labels that are not integers.
    Source: arXiv:1804.02815 section 3.3 with the background ignored; torch cross_entropy.
    """
    if labels.shape != logits.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"labels must be integers {logits.shape[:-1]} for logits {logits.shape}, "
            f"not {labels.dtype} {labels.shape}."
        )
    classes = logits.shape[-1]
    counted = labels != ignore
    # an unsigned label cannot be negative, a signed one must not wrap to the last class
    known = (labels >= 0) & (labels < classes)
    index = jnp.where(counted & known, labels, 0).astype(jnp.int32)
    scores = jax.nn.log_softmax(logits.astype(jnp.float32))
    values = -jnp.take_along_axis(scores, index[..., None], axis=-1)[..., 0]
    values = jnp.where(known, values, jnp.nan)
    total = jnp.sum(jnp.where(counted, values, 0.0))
    return total / jnp.maximum(jnp.sum(counted), 1)
