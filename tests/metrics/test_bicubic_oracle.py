"""The bicubic rows of the literature: stored low resolution, resize, luma, crop, scores."""

import numpy as np
import pytest
from PIL import Image

from jaxsr.metrics.psnr import psnr
from jaxsr.metrics.ssim import ssim
from jaxsr.ops.colour import luma, luma_uint8
from jaxsr.ops.resize import imresize, modcrop

NAMES = ("baby", "bird", "butterfly", "head", "woman")

# Evaluation sheet, section 8, pipeline A per image (baby .. woman); these agree with the score
# files of jbhuang0604/SelfExSR to 6.2e-5 dB and 2.3e-6.
PER_IMAGE = {
    2: ([37.0263, 36.7730, 27.4298, 34.8375, 32.1354], [0.9510, 0.9715, 0.9149, 0.8618, 0.9468]),
    3: ([33.8998, 32.5718, 24.0380, 32.8622, 28.5604], [0.9035, 0.9253, 0.8214, 0.7994, 0.8892]),
    4: ([31.7711, 30.1751, 22.0992, 31.5785, 26.4645], [0.8563, 0.8727, 0.7368, 0.7531, 0.8315]),
}
# The same section's means over Set5: A (luma of 8 bits), B (luma not rounded).
MEANS = {
    "A": {2: (33.6404, 0.9292), 3: (30.3864, 0.8678), 4: (28.4177, 0.8101)},
    "B": {2: (33.6741, 0.9303), 3: (30.4047, 0.8689), 4: (28.4302, 0.8111)},
}
LUMA = {"A": luma_uint8, "B": lambda rgb: luma(rgb / 255.0) * 255}


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def scores(shared, scale, pipeline):
    """PSNR and SSIM of every image: stored low resolution, enlarged, against the original."""
    folder = shared / "sr_benchmarks" / "Set5"
    decibels, similarity = [], []
    for name in NAMES:
        lr = pixels(folder / "LR_SelfExSR" / f"X{scale}" / f"{name}x{scale}.png")
        sr = LUMA[pipeline](imresize(lr, scale, border="clamp", round_passes=True))
        hr = LUMA[pipeline](modcrop(pixels(folder / "HR" / f"{name}.png"), scale))
        decibels.append(psnr(sr, hr, border=scale))
        similarity.append(ssim(sr, hr, border=scale))
    return decibels, similarity


@pytest.mark.parametrize("scale", PER_IMAGE)
@pytest.mark.parametrize("pipeline", MEANS)
def test_set5_means(shared, pipeline, scale):
    decibels, similarity = scores(shared, scale, pipeline)
    # The sheet's own tolerances for these oracles (its section 8).
    assert np.mean(decibels) == pytest.approx(MEANS[pipeline][scale][0], abs=1e-3)
    assert np.mean(similarity) == pytest.approx(MEANS[pipeline][scale][1], abs=1e-4)


@pytest.mark.parametrize("scale", PER_IMAGE)
def test_set5_image_by_image(shared, scale):
    decibels, similarity = scores(shared, scale, "A")
    # Printed with four decimals; section 15 asks for 1e-4 dB.
    np.testing.assert_allclose(decibels, PER_IMAGE[scale][0], atol=1e-4)
    np.testing.assert_allclose(similarity, PER_IMAGE[scale][1], atol=1e-4)
