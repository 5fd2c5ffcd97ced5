"""How the layers of a network start, without drawing a network's worth of random numbers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


def layers(network, shape, **keywords):
    """{path: convolution or dense layer} of a network; it is only traced."""
    found = {}

    def spy(call, args, kwargs, context):
        if isinstance(context.module, (nn.Conv, nn.Dense)):
            found["/".join(context.module.path)] = context.module
        return call(*args, **kwargs)

    with nn.intercept_methods(spy):
        x = jax.ShapeDtypeStruct(shape, jnp.float32)
        jax.eval_shape(lambda k, x: network.init(k, x, **keywords), jax.random.key(0), x)
    return found


def kernel(layer):
    """9,216 numbers from a layer's kernel initialiser at fan_in 288 (one shape: one compilation)."""
    return np.asarray(layer.kernel_init(jax.random.key(0), (3, 3, 32, 32), jnp.float32))


def bias(layer):
    """4,096 numbers from a layer's bias initialiser."""
    return np.asarray(layer.bias_init(jax.random.key(1), (4096,), jnp.float32))


def is_torch_default(layer, fan_in):
    """Kernel and bias uniform within 1/sqrt(fan_in), as PyTorch draws them."""
    for drawn, inputs in ((kernel(layer), 288), (bias(layer), fan_in)):
        bound = inputs**-0.5
        flat = abs(drawn.std() / (bound / 3**0.5) - 1) < 0.03  # standard error 0.7 %
        if not flat or not 0.99 * bound < np.abs(drawn).max() <= bound:
            return False
    return True


def is_kaiming(layer, gain):
    """Kernel normal of deviation gain·sqrt(2/fan_in), biases 0."""
    drawn = kernel(layer) / (gain * (2 / 288) ** 0.5)
    normal = abs(drawn.std() - 1) < 0.03 and np.abs(drawn).max() > 3
    return normal and not bias(layer).any()
