"""Deep Image Prior's down-sampler: its kernel in numbers, its invariants, the reference's outputs."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxsr.ops.lanczos import lanczos_down, lanczos_kernel

DIP = Path(__file__).parents[3] / "shared/data/dip"
# specs/deep_image_prior.md section 3.6: first halves, computed from the reference
HALVES = {
    (2, 4): [-0.001065, -0.009752, -0.020384, -0.014878, 0.024594, 0.098658, 0.183115, 0.239711],
    (3, 4): [
        0.000461, 0.003911, 0.007599, 0.005124, -0.007665, -0.026438, -0.036925, -0.021291, 0.030223,
        0.109735, 0.191618, 0.243647,
    ],
    (2, 2): [-0.008863, -0.041940, 0.116500, 0.434303],
}  # fmt: skip


@pytest.mark.parametrize("lobes, factor", HALVES)
def test_kernel_in_numbers(lobes, factor):
    kernel = lanczos_kernel(factor, lobes=lobes)
    np.testing.assert_allclose(kernel[: len(kernel) // 2], HALVES[lobes, factor], atol=1e-6)
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-15)
    odd = lanczos_kernel(factor, lobes=lobes, phase=0.0)
    assert len(odd) == len(kernel) + 1 and odd.argmax() == len(kernel) // 2
    for each in (kernel, odd):
        np.testing.assert_allclose(each.sum(), 1, rtol=1e-12)


def test_another_phase_is_refused():
    with pytest.raises(ValueError, match="0 or 0.5, not 0.25"):
        lanczos_kernel(4, lobes=2, phase=0.25)


@pytest.mark.parametrize("phase", [0.0, 0.5])
def test_a_constant_stays_and_axes_are_alike(phase):
    np.testing.assert_allclose(
        lanczos_down(jnp.full((1, 16, 24, 2), 0.4), 4, phase=phase), 0.4, rtol=1e-5
    )
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(1, 16, 24, 2)), jnp.float32)
    made = lanczos_down(x, 4, phase=phase)
    assert made.shape == (1, 4, 6, 2)
    turned = lanczos_down(x.transpose(0, 2, 1, 3), 4, phase=phase)
    np.testing.assert_allclose(turned.transpose(0, 2, 1, 3), made, atol=1e-6)


@pytest.mark.parametrize("lobes", [2, 3])
@pytest.mark.parametrize("factor", [4, 8])
def test_outputs_are_the_references(lobes, factor):
    path = DIP / "fixtures/downsampler.npz"
    if not path.is_file():
        pytest.skip("the fixtures of the reference are not here")
    held, name = np.load(path), f"lanczos{lobes}_x{factor}"
    kernel = lanczos_kernel(factor, lobes=lobes)
    np.testing.assert_allclose(np.outer(kernel, kernel), held[f"{name}_kernel"], atol=1e-6)
    made = lanczos_down(jnp.asarray(np.moveaxis(held["x"], 1, -1)), factor, lobes=lobes)
    np.testing.assert_allclose(np.moveaxis(np.asarray(made), -1, 1), held[f"{name}_out"], atol=2e-6)


# section 4: PSNR between this operator and Pillow's Lanczos (3 lobes, 8 bits) of the reference's image
@pytest.mark.parametrize("lobes, factor, wanted", [(2, 4, 39.430), (3, 4, 42.933), (2, 8, 38.685)])
def test_how_far_it_is_from_the_targets_that_the_reference_makes(lobes, factor, wanted):
    path = DIP / "sr/zebra_GT.png"
    if not path.is_file():
        pytest.skip("the images of the reference are not here")
    with Image.open(path) as image:
        image = image.convert("RGB")
    width, height = (side // 32 * 32 for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    image = image.crop((left, top, left + width, top + height))
    target = image.resize((width // factor, height // factor), Image.LANCZOS)
    made = lanczos_down(
        jnp.asarray(np.asarray(image) / 255, jnp.float32)[None], factor, lobes=lobes
    )
    error = np.square(np.asarray(made[0], np.float64) - np.asarray(target) / 255).mean()
    assert abs(-10 * np.log10(error) - wanted) < 0.02
