"""The argument check that all losses of two arrays share."""

import jax


def check_same_shape(a: jax.Array, b: jax.Array) -> None:
    """Raise ValueError unless both shapes are equal: subtraction would broadcast in silence."""
    if a.shape != b.shape:
        raise ValueError(f"A loss compares arrays of one shape, not {a.shape} and {b.shape}.")
