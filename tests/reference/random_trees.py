"""Random parameters that make a wrong layer show: the published initialisers are close to zero."""

import jax
import jax.numpy as jnp
import numpy as np


def random_like(shapes, seed, *, gain=1.0, bias=0.1):
    """A tree of float32 arrays of the given shapes: kernels gain * N(0, 1/fan_in), others as below.

    Biases and running means N(0, bias^2); scales and running variances uniform in [0.5, 1.5], so
    that no parameter sits at a value (0 or 1) at which leaving it out makes no difference.
    """
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        shape = leaf.shape
        if len(shape) > 1:
            value = rng.standard_normal(shape) * gain / np.sqrt(np.prod(shape[:-1]))
        elif path[-1].key in ("scale", "var"):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = bias * rng.standard_normal(shape)
        return jnp.asarray(value, jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def shapes_of(network, *inputs):
    """The variables of a linen network as shapes; nothing is computed or allocated."""
    inputs = [jax.ShapeDtypeStruct(i.shape, jnp.float32) for i in inputs]
    key = jax.random.key(0)
    return jax.eval_shape(lambda k, *x: network.init(k, *x, train=False), key, *inputs)
