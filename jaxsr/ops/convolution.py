"""A convolution with gradients of its own, for where XLA's are slow: on a CPU, and above all inside loops."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")
NARROW = 16  # outputs up to which `weight_gradient` was measured faster outside loops too
FLAT = 8  # channels from which they are better kept as the last axis while they are shifted
Pads = Sequence[tuple[int, int]]


def conv_with_own_gradients(*, treats: Callable[[Sequence[int]], bool]) -> Callable[..., jax.Array]:
    """`lax.conv_general_dilated`, to the bit, differentiated by `input_gradient` and `weight_gradient`.

    treats: shape of the kernel [k,k,inputs,outputs] -> whether these are used: `everywhere`, or
            `where_faster`. Strides, dilation, groups and layouts other than NHWC are left to XLA always.
    The result takes the arguments that `flax.linen.Conv` gives. Forward-mode derivatives of it
    (`jax.jvp`) raise TypeError.
    """

    def convolve(
        lhs: jax.Array, rhs: jax.Array, window_strides: Sequence[int], padding: str | Pads, *,
        lhs_dilation: Sequence[int] | None = None, rhs_dilation: Sequence[int] | None = None,
        dimension_numbers: Any = None, feature_group_count: int = 1, precision: Any = None,
    ) -> jax.Array:  # fmt: skip
        general = functools.partial(
            lax.conv_general_dilated, window_strides=window_strides, padding=padding,
            lhs_dilation=lhs_dilation, rhs_dilation=rhs_dilation, dimension_numbers=dimension_numbers,
            feature_group_count=feature_group_count, precision=precision,
        )  # fmt: skip
        plain = (
            lhs.ndim == 4
            and feature_group_count == 1
            and {1} == {*window_strides, *(lhs_dilation or (1,)), *(rhs_dilation or (1,))}
            and lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
            == lax.conv_dimension_numbers(lhs.shape, rhs.shape, LAYOUT)
        )
        if not plain or not treats(rhs.shape):
            return general(lhs, rhs)
        if isinstance(padding, str):
            padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], (1, 1), padding)

        def forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
            return general(x, kernel), (x, kernel)

        def backward(held: tuple[jax.Array, ...], gradient: jax.Array) -> tuple[jax.Array, ...]:
            x, kernel = held
            options = dict(padding=padding, precision=precision)
            of_kernel = weight_gradient(x, gradient, size=kernel.shape[:2], **options)
            return input_gradient(gradient, kernel, **options), of_kernel.astype(kernel.dtype)

        own = jax.custom_vjp(general)
        own.defvjp(forward, backward)
        return own(lhs, rhs)

    return convolve


def everywhere(kernel: Sequence[int]) -> bool:
    """For convolutions inside `lax.map`, `scan` and `while_loop`.

    There XLA's weight gradients took 4 to 50 times as long as outside on a CPU, its input gradients 5 to 70
    times as long as the forward (63×63 pixels, 3 to 64 channels).
    """
    del kernel
    return True


def where_faster(kernel: Sequence[int]) -> bool:
    """The kernels whose `weight_gradient` was measured faster than XLA's outside loops too.

    On one core of a Xeon XLA took 2 to 7 times as long for 1×1, 3 to 10 times for 3 outputs and 1.1 to 1.9
    times for 8 and 16; for as many outputs as inputs, up to 64, it was up to twice as fast. A step of
    configs/sftnet_psnr.py (batch 2) took 1.12 times as long with XLA's rule for all.
    """
    height, width, inputs, outputs = kernel
    return height == width == 1 or outputs <= min(NARROW, inputs - 1)


def input_gradient(
    gradient: jax.Array, kernel: jax.Array, *, padding: Pads, precision: Any
) -> jax.Array:
    """The gradient in the input, [B,H,W,I]: the gradient of the output, convolved with the turned kernel.

    That is how XLA defines it too; but written as a forward convolution it is as fast as one inside a loop.
    gradient: [B,h,w,O]; kernel: [kh,kw,I,O]; padding: of H and W in the forward
    """
    ends = [(k - 1 - a, k - 1 - b) for k, (a, b) in zip(kernel.shape[:2], padding, strict=True)]
    turned = lax.rev(kernel, (0, 1)).swapaxes(2, 3)
    return lax.conv_general_dilated(
        gradient, turned, (1, 1), ends, dimension_numbers=LAYOUT, precision=precision
    )


def weight_gradient(
    x: jax.Array, gradient: jax.Array, *, size: Sequence[int], padding: Pads, precision: Any
) -> jax.Array:
    """Σ_n,p,q x̄[n,p+i,q+j]·gradient[n,p,q] for each (i, j), x̄ the padded input: [kh,kw,I,O] in float32.

    Whichever has fewer channels is shifted, and the shifts of a row of the kernel make one matrix product
    with the other.
    x: [B,H,W,I]; gradient: [B,h,w,O]; size: (kh, kw); padding: of H and W in the forward
    """
    inputs, outputs = x.shape[-1], gradient.shape[-1]
    pads = [(0, 0, 0), *((a, b, 0) for a, b in padding), (0, 0, 0)]
    x = lax.pad(x, jnp.zeros((), x.dtype), pads)
    if outputs < inputs:
        ends = ((0, 0), *((k - 1, k - 1) for k in size), (0, 0))
        # made in reverse: the gradient moves against the input
        made = _shifted_products(jnp.pad(gradient, ends), x, size, precision)[::-1, ::-1]
        return made.swapaxes(2, 3)
    return _shifted_products(x, gradient, size, precision)


def _shifted_products(
    moved: jax.Array, still: jax.Array, size: Sequence[int], precision: Any
) -> jax.Array:
    """Σ_n,p,q moved[n,p+i,q+j]·still[n,p,q]: [kh,kw,channels of moved, channels of still]."""
    high, wide = size
    rows, columns, others = still.shape[1:]
    channels = moved.shape[-1]
    pixels = still.reshape(-1, others)
    axis = 3 if channels >= FLAT else 0
    moved = jnp.moveaxis(moved, 3, axis)
    top, left = (1, 2) if axis else (2, 3)
    made = []
    for i in range(high):
        row = lax.slice_in_dim(moved, i, i + rows, axis=top)
        parts = [lax.slice_in_dim(row, j, j + columns, axis=left) for j in range(wide)]
        line = jnp.concatenate(parts, axis)
        line = line.reshape((-1, wide * channels) if axis else (wide * channels, -1))
        product = lax.dot_general(
            line, pixels, (((0 if axis else 1,), (0,)), ((), ())),
            precision=precision, preferred_element_type=jnp.float32,
        )  # fmt: skip
        made.append(product.reshape(wide, channels, others))
    return jnp.stack(made)
