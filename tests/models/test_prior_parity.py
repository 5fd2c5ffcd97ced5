"""Deep Image Prior's networks beside independent PyTorch builds: outputs and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.build_method import network_module
from jaxsr.ops.lanczos import lanczos_down

torch = pytest.importorskip("torch")
from reference import prior_torch as other  # noqa: E402

pytestmark = pytest.mark.usefixtures("unoptimised")

FORMS = {
    "no skips": {"skip": (0, 0, 0), "enlarge": ("nearest",) * 3, "reduce": "avg", "mix": False},
    "mixed": {
        "skip": (0, 3, 2), "enlarge": ("nearest", "bilinear", "nearest"), "reduce": "stride", "pad": "zero",
        "down_sizes": (5, 3, 3), "up_sizes": (3, 5, 3),
    },
}  # fmt: skip


def section(**changes):
    return {
        "name": "skip_net", "outputs": 3, "down": (6, 8, 10), "up": (8, 6, 4), "down_sizes": (3,) * 3,
        "up_sizes": (3,) * 3, "pad": "reflection", "mix": True, "activation": "leaky_relu", "sigmoid": True,
        "remat": False,
    } | changes  # fmt: skip


SECTIONS = {name: section(**changes) for name, changes in FORMS.items()} | {
    "resnet": {"name": "prior_resnet", "outputs": 3, "blocks": 3, "features": 6},
    "unet": {
        "name": "prior_unet", "outputs": 3, "widths": (4, 6, 8), "deeper": True, "scale_and_shift": False,
        "enlarge": "deconv",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SECTIONS)
def test_outputs_and_gradients_are_those_of_an_independent_build(name):
    """Differences are of sums in another order: float32, up to 14 layers deep."""
    held = SECTIONS[name]
    size = (24, 48) if name == "no skips" else (24, 40)
    x = np.random.default_rng(0).random((*size, 5), np.float32)
    target = np.random.default_rng(1).random((*size, 3), np.float32)
    ours = network_module(held, "gen", dtype=jnp.float32)
    params = jax.jit(ours.init)(jax.random.key(0), x[None])["params"]
    theirs = other.load(other.NETWORKS[held["name"]](held, 5), params)

    def loss(params):
        image = ours.apply({"params": params}, x[None])
        return jnp.square(image - target).mean(), image

    (_, image), slopes = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    made = theirs(other.nchw(x))
    (made - other.nchw(target)).square().mean().backward()
    np.testing.assert_allclose(image[0], other.nhwc(made.detach()), atol=2e-5)
    for layer, param in theirs.named_parameters():
        if layer.endswith("weight") and param.ndim == 4:
            found = slopes
            for key in layer.split(".")[:-1]:
                found = found[key]
            wanted = np.transpose(param.grad.numpy(), (2, 3, 1, 0))
            if "_enlarge" in layer:
                wanted = np.swapaxes(wanted, 2, 3)[::-1, ::-1]
            limit = 1e-5 + 1e-3 * np.abs(wanted).max()
            np.testing.assert_allclose(found["kernel"], wanted, atol=limit, err_msg=layer)


def test_the_operator_is_that_of_an_independent_build():
    x = np.random.default_rng(0).random((32, 48, 3), np.float32)
    for factor in (2, 4, 8):
        wanted = other.nhwc(other.lanczos(other.nchw(x), factor))
        np.testing.assert_allclose(lanczos_down(x[None], factor)[0], wanted, atol=2e-6)
