"""The convolution with an own weight gradient: XLA's forward to the bit, XLA's gradients to rounding."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxsr.ops.convolution import (
    LAYOUT,
    conv_with_own_gradients,
    everywhere,
    weight_gradient,
    where_faster,
)

CONV = conv_with_own_gradients(treats=everywhere)
MIXED = conv_with_own_gradients(treats=where_faster)

# sums of n products of normal numbers in two orders differ by less than 6e-8·n; here n < 2,000
ATOL = 2e-4


def drawn(*shapes, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [jax.random.normal(key, shape, dtype) for key, shape in zip(keys, shapes, strict=True)]


def plain(x, kernel, *, pads, **options):
    return lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=LAYOUT, **options)


def own(x, kernel, *, pads, **options):
    return CONV(x, kernel, (1, 1), pads, dimension_numbers=LAYOUT, **options)


def close(ours, theirs, atol=ATOL):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float32), np.asarray(b, np.float32), atol=atol)


def loss(conv, x, kernel):
    return jnp.sum(jnp.sin(conv(x, kernel)))


# either one is shifted, with few channels and with many
@pytest.mark.parametrize(("inputs", "outputs"), [(9, 3), (9, 8), (9, 20), (3, 5)])
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (5, 5), (9, 9), (3, 1)])
def test_products_are_the_weight_gradient(size, inputs, outputs):
    x, kernel = drawn((2, 11, 12, inputs), (*size, inputs, outputs))
    pads = ((2, 1), (0, 3))
    y, back = jax.vjp(functools.partial(plain, x, pads=pads), kernel)
    (gradient,) = drawn(y.shape)
    ours = weight_gradient(x, gradient, size=size, padding=pads, precision=None)
    close(ours, back(gradient)[0])


@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("pads", ["SAME", "VALID", ((3, 0), (1, 2))])
def test_forward_bits_and_both_gradients_are_those_of_xla(size, pads):
    x, kernel = drawn((2, 10, 12, 9), (size, size, 9, 3))
    both = [functools.partial(conv, pads=pads) for conv in (own, plain)]
    ours, theirs = (jax.jit(conv)(x, kernel) for conv in both)
    np.testing.assert_array_equal(ours, theirs)
    of_ours, of_theirs = (
        jax.jit(jax.grad(functools.partial(loss, c), (0, 1)))(x, kernel) for c in both
    )
    close(of_ours, of_theirs)
    assert not np.array_equal(of_ours[1], of_theirs[1]), "XLA's own rule was used"


def test_gradients_agree_under_vmap_a_loop_checkpoint_a_second_use_and_a_second_derivative():
    x, kernel = drawn((3, 2, 8, 8, 5), (3, 3, 3, 5, 4))

    def several(conv):
        return jax.vmap(jax.grad(functools.partial(loss, conv), (0, 1)))(x, kernel)

    def looped(conv):
        def value(x, kernel):
            return jnp.sum(lax.map(lambda each: jnp.sin(conv(*each)), (x, kernel)))

        return jax.grad(value, (0, 1))(x, kernel)

    def twice(conv):
        """One kernel used at both ends of a recomputed part."""

        def value(x, kernel):
            y = jax.checkpoint(conv)(x, kernel)
            return loss(conv, jnp.concatenate([y, y[..., :1]], -1), kernel)

        return jax.grad(value, (0, 1))(x[0], kernel[0])

    def penalty(conv):
        """Of a critic: a gradient in the weights of a gradient in the image."""

        def value(kernel):
            return jnp.sum(jnp.square(jax.grad(functools.partial(loss, conv))(x[0], kernel)))

        return jax.grad(value)(kernel[0])

    for made in (several, looped, twice, penalty):
        ours, theirs = (
            jax.jit(made, static_argnums=0)(functools.partial(c, pads="SAME")) for c in (own, plain)
        )
        close(ours, theirs)


def test_bfloat16_keeps_its_type_and_sums_in_float32():
    x, kernel = drawn((1, 16, 16, 8), (3, 3, 8, 3), dtype=jnp.bfloat16)
    conv = functools.partial(own, pads="SAME")
    made = jax.grad(lambda k: conv(x, k).astype(jnp.float32).sum())(kernel)
    assert made.dtype == jnp.bfloat16
    exact = jax.grad(lambda k: plain(x.astype(jnp.float32), k, pads="SAME").sum())(
        kernel.astype(jnp.float32)
    )
    np.testing.assert_allclose(np.float32(made), exact, rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"strides": (2, 2)},
        {"kernel_dilation": (2, 2)},
        {"input_dilation": (2, 2)},
        {"feature_group_count": 3},
    ],
)
def test_what_it_does_not_treat_is_left_to_xla_to_the_bit(options):
    (x,) = drawn((2, 9, 9, 6))
    layer = functools.partial(nn.Conv, 3, (3, 3), padding=((1, 1), (1, 1)), **options)
    params = layer().init(jax.random.key(1), x)
    made = [
        jax.grad(lambda p, c=c: jnp.sum(jnp.sin(layer(conv_general_dilated=c).apply(p, x))))(params)
        for c in (CONV, lax.conv_general_dilated)
    ]
    jax.tree.map(np.testing.assert_array_equal, *made)


def test_other_layouts_and_kernels_that_are_not_treated_are_left_to_xla():
    def gradient(conv, x, kernel, **options):
        value = lambda k: jnp.sum(jnp.sin(conv(x, k, (1, 1), "SAME", **options)))
        return np.asarray(jax.grad(value)(kernel))

    x, kernel = drawn((1, 4, 8, 8), (3, 4, 3, 3))  # NCHW and OIHW, lax's own default
    np.testing.assert_array_equal(
        gradient(CONV, x, kernel), gradient(lax.conv_general_dilated, x, kernel)
    )
    x, kernel = drawn((1, 8, 8, 4), (3, 3, 4, 8))
    theirs = gradient(lax.conv_general_dilated, x, kernel, dimension_numbers=LAYOUT)
    np.testing.assert_array_equal(gradient(MIXED, x, kernel, dimension_numbers=LAYOUT), theirs)
    assert not np.array_equal(gradient(CONV, x, kernel, dimension_numbers=LAYOUT), theirs)
    assert [where_faster((3, 3, 64, n)) for n in (3, 16, 17, 64)] == [True, True, False, False]
    assert where_faster((1, 1, 64, 64)) and not where_faster((3, 3, 3, 3))
