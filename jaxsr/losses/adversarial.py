"""Adversarial families, each a pair gen_*(real, fake), disc_*(real, fake).

`real` = c(y) and `fake` = c(G(x)) are the logits of the discriminator on real and on generated
images, of one shape: [B,1] or a map [B,h,w,1]. Every function gives one value per logit, same
shape; the loss is their mean. The term of `real` and the term of `fake` are added, so the mean of
disc_vanilla is mean softplus(-r) + mean softplus(f). Generators other than the relativistic one
do not look at `real`; they take it so that all families are called alike. All raise ValueError on
unequal shapes.
"""

import jax
import jax.numpy as jnp

from jaxsr.losses.checks import check_same_shape


def disc_vanilla(real: jax.Array, fake: jax.Array) -> jax.Array:
    """softplus(-r) + softplus(f): binary cross-entropy with logits, real 1, fake 0.

    Source: Goodfellow et al. 2014, eq. 1.
    """
    check_same_shape(real, fake)
    return jax.nn.softplus(-real) + jax.nn.softplus(fake)


def gen_vanilla(real: jax.Array, fake: jax.Array) -> jax.Array:
    """softplus(-f) = -log D(G(x)), the non-saturating form. Source: SRGAN, eq. 6."""
    check_same_shape(real, fake)
    return jax.nn.softplus(-fake)


def disc_lsgan(real: jax.Array, fake: jax.Array) -> jax.Array:
    """(r - 1)^2 + f^2, without the factor 1/2 of the paper. Source: Mao et al. 2017; BasicSR."""
    check_same_shape(real, fake)
    return jnp.square(real - 1) + jnp.square(fake)


def gen_lsgan(real: jax.Array, fake: jax.Array) -> jax.Array:
    """(f - 1)^2, without the factor 1/2 of the paper. Source: Mao et al. 2017; BasicSR."""
    check_same_shape(real, fake)
    return jnp.square(fake - 1)


def disc_wgan(real: jax.Array, fake: jax.Array) -> jax.Array:
    """-r + f; the caller keeps the critic Lipschitz. Source: Arjovsky et al. 2017, eq. 2."""
    check_same_shape(real, fake)
    return fake - real


def gen_wgan(real: jax.Array, fake: jax.Array) -> jax.Array:
    """-f. Source: Arjovsky et al. 2017, eq. 2."""
    check_same_shape(real, fake)
    return -fake


def disc_hinge(real: jax.Array, fake: jax.Array) -> jax.Array:
    """relu(1 - r) + relu(1 + f). Source: Lim and Ye 2017; Miyato et al. 2018, eq. 16."""
    check_same_shape(real, fake)
    return jax.nn.relu(1 - real) + jax.nn.relu(1 + fake)


def gen_hinge(real: jax.Array, fake: jax.Array) -> jax.Array:
    """-f. Source: Lim and Ye 2017; Miyato et al. 2018, eq. 17."""
    check_same_shape(real, fake)
    return -fake


def disc_ragan(real: jax.Array, fake: jax.Array, *, detach_mean: bool = True) -> jax.Array:
    """1/2 [softplus(-(r - mean f)) + softplus(f - mean r)], means over all logits of the batch.

    `detach_mean` lets no gradient through the two means (current BasicSR and mmagic); False is
    the older code of ESRGAN. The value is the same.
    Source: ESRGAN, arXiv:1809.00219, eq. 1; the factor 1/2 is BasicSR's.
    """
    check_same_shape(real, fake)
    mean_real, mean_fake = jnp.mean(real), jnp.mean(fake)
    if detach_mean:
        mean_real, mean_fake = jax.lax.stop_gradient((mean_real, mean_fake))
    return 0.5 * (jax.nn.softplus(mean_fake - real) + jax.nn.softplus(fake - mean_real))


def gen_ragan(real: jax.Array, fake: jax.Array) -> jax.Array:
    """1/2 [softplus(r - mean f) + softplus(-(f - mean r))], means over all logits of the batch.

    `real` is detached; the gradient flows through `fake` and through its mean.
    Source: ESRGAN, arXiv:1809.00219, eq. 2; the factor 1/2 and the detachment are BasicSR's.
    """
    check_same_shape(real, fake)
    real = jax.lax.stop_gradient(real)
    return 0.5 * (jax.nn.softplus(real - jnp.mean(fake)) + jax.nn.softplus(jnp.mean(real) - fake))
