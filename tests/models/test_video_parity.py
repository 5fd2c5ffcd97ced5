"""Deep Video Prior's U-Net beside an independent PyTorch build: outputs and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsr.models.video_unet import VideoUNet

torch = pytest.importorskip("torch")
from reference import prior_torch, video_torch  # noqa: E402

pytestmark = pytest.mark.usefixtures("unoptimised")


@pytest.mark.parametrize(
    "port, rule", [(False, "legacy"), (True, "align_corners"), (False, "half_pixel")]
)
def test_outputs_and_gradients_are_those_of_an_independent_build(port, rule):
    """Differences are of sums in another order: float32, 22 layers deep."""
    frame, target = np.random.default_rng(0).random((2, 32, 48, 3), np.float32)
    ours = VideoUNet(features=4, port=port, enlarge=rule)
    params = jax.jit(ours.init)(jax.random.key(0), frame[None])["params"]
    theirs = prior_torch.load(video_torch.UNet(3, 4, port=port, rule=rule), params)
    assert sum(p.numel() for p in theirs.parameters()) == sum(
        leaf.size for leaf in jax.tree.leaves(params)
    )

    def loss(params):
        image = ours.apply({"params": params}, frame[None])
        return jnp.square(image - target).mean(), image

    (_, image), slopes = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    made = theirs(prior_torch.nchw(frame))
    (made - prior_torch.nchw(target)).square().mean().backward()
    np.testing.assert_allclose(image[0], prior_torch.nhwc(made.detach()), atol=2e-6)
    for name, param in theirs.named_parameters():
        layer, kind = name.split(".")
        wanted = param.grad.numpy()
        wanted = np.transpose(wanted, (2, 3, 1, 0)) if kind == "weight" else wanted
        found = slopes[layer]["kernel" if kind == "weight" else "bias"]
        limit = 1e-5 * np.abs(wanted).max() + 1e-9
        np.testing.assert_allclose(found, wanted, atol=limit, err_msg=name)
