"""Adversarial families: golden values, symmetries, and where gradients go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.losses import adversarial as adv

LN2 = np.log(2.0)
R, F = jnp.array([[1.5], [-0.5], [0.25]]), jnp.array([[-1.0], [2.0], [0.5]])
FAMILIES = ["vanilla", "lsgan", "wgan", "hinge", "ragan"]


def pair(family):
    return getattr(adv, f"gen_{family}"), getattr(adv, f"disc_{family}")


def softplus(x):
    return np.log1p(np.exp(np.asarray(x, np.float64)))


# At logits 0: values of the formulas of the evaluation sheet, section 5.
@pytest.mark.parametrize(
    "family, gen, disc",
    [
        ("vanilla", LN2, 2 * LN2),
        ("lsgan", 1.0, 1.0),
        ("wgan", 0.0, 0.0),
        ("hinge", 0.0, 2.0),
        ("ragan", LN2, LN2),
    ],
)
def test_an_undecided_discriminator(family, gen, disc):
    zero = jnp.zeros((4, 1))
    for function, value in zip(pair(family), (gen, disc)):
        out = function(zero, zero)
        assert out.shape == (4, 1)
        np.testing.assert_allclose(out, value, rtol=1e-6)  # float32


def test_values_per_example():
    r, f = np.asarray(R, np.float64), np.asarray(F, np.float64)
    expected = {
        "vanilla": (softplus(-f), softplus(-r) + softplus(f)),
        "lsgan": ((f - 1) ** 2, (r - 1) ** 2 + f**2),
        "wgan": (-f, f - r),
        "hinge": (-f, np.maximum(1 - r, 0) + np.maximum(1 + f, 0)),
        "ragan": (
            (softplus(r - f.mean()) + softplus(r.mean() - f)) / 2,
            (softplus(f.mean() - r) + softplus(f - r.mean())) / 2,
        ),
    }
    for family, values in expected.items():
        for function, value in zip(pair(family), values):
            np.testing.assert_allclose(function(R, F), value, rtol=1e-6, err_msg=family)


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes(family):
    for function in pair(family):
        assert function(jnp.ones((2, 3, 3, 1)), jnp.ones((2, 3, 3, 1))).shape == (2, 3, 3, 1)
        with pytest.raises(ValueError, match="one shape"):
            function(jnp.ones((2, 1)), jnp.ones((1, 1)))


@pytest.mark.parametrize("family", FAMILIES)
def test_directions(family):
    """Descending the discriminator's loss raises r and lowers f; the generator's raises f."""
    gen, disc = pair(family)
    half = jnp.full((4, 1), 0.5)  # at 0 the least-squares loss has no slope for f
    dr, df = jax.grad(lambda r, f: disc(r, f).mean(), argnums=(0, 1))(half, half)
    assert (dr < 0).all() and (df > 0).all()
    gr, gf = jax.grad(lambda r, f: gen(r, f).mean(), argnums=(0, 1))(half, half)
    assert (gr == 0).all() and (gf < 0).all()


def test_vanilla_does_not_overflow():
    far = jnp.array([[200.0], [-200.0]])
    np.testing.assert_allclose(adv.gen_vanilla(far, far), [[0], [200]], atol=1e-30)
    np.testing.assert_allclose(adv.disc_vanilla(far, far), [[200], [200]])


def test_relativistic_symmetries():
    """Swapping real and fake swaps the two expressions; a common offset of the logits is unseen."""
    np.testing.assert_allclose(adv.gen_ragan(R, F), adv.disc_ragan(F, R), rtol=1e-6)
    for function in pair("ragan"):
        np.testing.assert_allclose(function(R + 3, F + 3), function(R, F), rtol=1e-5)
        constant = jnp.full((3, 1), 0.7)
        np.testing.assert_allclose(function(constant, constant), LN2, rtol=1e-6)


def test_relativistic_detachment():
    """The value is the same; the gradients are those of the formula with the means held or not."""
    held, free = (
        lambda r, f, d=d: adv.disc_ragan(r, f, detach_mean=d).mean() for d in (True, False)
    )
    np.testing.assert_array_equal(held(R, F), free(R, F))
    default = jax.grad(lambda r, f: adv.disc_ragan(r, f).mean(), (0, 1))(R, F)
    np.testing.assert_array_equal(default, jax.grad(held, (0, 1))(R, F))
    r, f = np.asarray(R, np.float64), np.asarray(F, np.float64)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    n, a, b = len(r), sigmoid(f.mean() - r), sigmoid(f - r.mean())
    direct = -a / (2 * n), b / (2 * n)
    for ours, theirs in zip(jax.grad(held, (0, 1))(R, F), direct):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    through = direct[0] - b.mean() / (2 * n), direct[1] + a.mean() / (2 * n)
    for ours, theirs in zip(jax.grad(free, (0, 1))(R, F), through):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    # the generator's gradient runs through mean f
    ours = jax.grad(lambda f: adv.gen_ragan(R, f).mean())(F)
    expected = -(sigmoid(r.mean() - f) + sigmoid(r - f.mean()).mean()) / (2 * n)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
