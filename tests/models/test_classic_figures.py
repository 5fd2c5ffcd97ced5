"""Set5 with the published weights: layout, network and pipeline are right together, or not at all."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from reference.through_layout import ours_of

from jaxsr.interchange import layouts_classic, layouts_lapsrn, layouts_plain
from jaxsr.interchange.detect import detect
from jaxsr.metrics.psnr import psnr
from jaxsr.models.dncnn import DnCNN
from jaxsr.models.espcn import ESPCN
from jaxsr.models.fsrcnn import FSRCNN
from jaxsr.models.idn import IDN
from jaxsr.models.lapsrn import LapSRN, MSLapSRN
from jaxsr.models.srcnn import SRCNN
from jaxsr.models.vdsr import VDSR
from jaxsr.ops.colour import luma, luma_uint8, rgb_to_ycbcr
from jaxsr.ops.resize import imresize, modcrop

NAMES = ("baby", "bird", "butterfly", "head", "woman")


def to_levels(y):
    return np.clip(np.floor(y + 0.5), 0, 255).astype(np.uint8)


def pipeline_c(restore, hq, scale, *, early, quantised=False):
    """Y of 8 bits, reduced in double (with `quantised` rounded to 8 bits), output of 8 bits.

    `early` networks take the image that the bicubic rule has enlarged in double. `quantised` is the
    rule of weights/README.md, which mirrors at the border; the oracles of pipeline C clamp.
    """
    border = "mirror" if quantised else "clamp"
    y = luma_uint8(hq)
    lq = imresize(y.astype(np.float64), 1 / scale, border=border, round_passes=False)
    lq = (to_levels(lq) if quantised else lq) / 255
    if early:
        lq = imresize(lq, scale, border=border, round_passes=False)
    return psnr(to_levels(255 * restore(lq)), y, border=scale)


def pipeline_l(restore, hq, scale):
    """RGB reduced in double; Y restored, Cb and Cr bicubic; RGB of 8 bits; Y not rounded."""
    lq = rgb_to_ycbcr(imresize(hq / 255, 1 / scale, border="clamp", round_passes=False))
    enlarged = imresize(lq, scale, border="clamp", round_passes=False)
    enlarged[..., 0] = restore(lq[..., 0])
    # the inverse of an affine map, from what it does to black and to the three primaries
    offset = rgb_to_ycbcr(np.zeros(3))
    primaries = rgb_to_ycbcr(np.eye(3)) - offset
    rgb = to_levels(255 * (enlarged - offset) @ np.linalg.inv(primaries))
    return psnr(255 * luma(rgb / 255), 255 * luma(hq / 255), border=scale)


def restorer(path, layout, module, given):
    """A function [h,w] -> [sh,sw] of the weights in `path`, through its layout."""
    with np.load(path) as held:
        arrays = dict(held)
    section = detect(layout, arrays)
    assert section is not None, f"{path.name} is not {layout.name}"
    variables = ours_of(layout, section, arrays)
    apply = jax.jit(module(**section, **given).apply)

    def restore(y):
        lq = jnp.asarray(y, jnp.float32)[None, :, :, None]
        return np.asarray(apply(variables, lq)[0, :, :, 0], np.float64)

    return restore


def mean_psnr(shared, file, layout, module, scale, pipeline):
    early = module in (SRCNN, VDSR, DnCNN)
    told = module in (FSRCNN, ESPCN, LapSRN)  # the tensors show the scale
    given = {} if early or told else {"scale": scale}
    restore = restorer(shared / "weights" / file.format(scale), layout, module, given)
    scores = []
    for name in NAMES:
        with Image.open(shared / "sr_benchmarks" / "Set5" / "HR" / f"{name}.png") as image:
            hq = modcrop(np.asarray(image), scale)
        if pipeline == "L":
            scores.append(pipeline_l(restore, hq, scale))
        else:
            quantised = pipeline == "README"
            scores.append(pipeline_c(restore, hq, scale, early=early, quantised=quantised))
    return math.fsum(scores) / len(scores)


C, P, L = layouts_classic, layouts_plain, layouts_lapsrn
VDSR_FILE = ("vdsr/VDSR_Official.npz", P.VDSR_HWIO, VDSR)
SRCNN_FILE = ("srcnn/SRCNN_915_x{}.npz", C.SRCNN_HWIO, SRCNN)
FSRCNN_FILE = ("fsrcnn/FSRCNN_x{}.npz", C.FSRCNN_TENSORFLOW, FSRCNN)
SMALL_FILE = ("fsrcnn/FSRCNN-small_x{}.npz", C.FSRCNN_TENSORFLOW, FSRCNN)
ESPCN_FILE = ("espcn/ESPCN_x{}.npz", C.ESPCN_TENSORFLOW, ESPCN)
LAPSRN_FILE = ("lapsrn/LapSRN_x{}.npz", L.LAPSRN_MATCONVNET, LapSRN)
MS_FILE = ("lapsrn/MSLapSRN_D5R8.npz", L.MSLAPSRN_MATCONVNET, MSLapSRN)
IDN_FILE = ("idn/IDN_x4.npz", L.IDN_CAFFE, IDN)
DNCNN_FILE = ("dncnn/DnCNN3.npz", P.DNCNN_MATCONVNET, DnCNN)
# (weights, scale, pipeline, decibels, tolerance). C and L: evaluation sheet, section 8, oracles of
# four decimals; 0.005 is the tolerance that the zoo sheet asks for. README: the figures that the
# README beside the weights prints with two decimals; 0.02 is the tolerance of the project.
ORACLE, PRINTED = 0.005, 0.02
FAST = [
    (*SMALL_FILE, 3, "README", 30.16, PRINTED),
    (*ESPCN_FILE, 4, "README", 28.35, PRINTED),
    (*SRCNN_FILE, 4, "README", 30.07, PRINTED),
    (*LAPSRN_FILE, 4, "L", 31.5418, ORACLE),
]
SLOW = [
    (*VDSR_FILE, 2, "C", 37.5316, ORACLE),
    (*VDSR_FILE, 3, "C", 33.6705, ORACLE),
    (*VDSR_FILE, 4, "C", 31.3494, ORACLE),
    (*VDSR_FILE, 2, "README", 37.46, PRINTED),
    (*VDSR_FILE, 3, "README", 33.62, PRINTED),
    (*VDSR_FILE, 4, "README", 31.32, PRINTED),
    (*IDN_FILE, 4, "C", 31.8105, ORACLE),
    (*LAPSRN_FILE, 2, "L", 37.5190, ORACLE),
    (*LAPSRN_FILE, 2, "C", 37.4625, ORACLE),
    (*LAPSRN_FILE, 4, "C", 31.5233, ORACLE),
    (*LAPSRN_FILE, 2, "README", 37.39, PRINTED),
    (*LAPSRN_FILE, 4, "README", 31.50, PRINTED),
    (*MS_FILE, 2, "L", 37.7803, ORACLE),
    (*MS_FILE, 4, "L", 31.7391, ORACLE),
    (*DNCNN_FILE, 3, "README", 33.71, PRINTED),
    (*SRCNN_FILE, 2, "README", 36.30, PRINTED),
    (*SRCNN_FILE, 3, "README", 32.37, PRINTED),
    (*FSRCNN_FILE, 2, "README", 34.82, PRINTED),
    (*FSRCNN_FILE, 3, "README", 30.54, PRINTED),
    (*FSRCNN_FILE, 4, "README", 28.36, PRINTED),
    (*SMALL_FILE, 2, "README", 34.48, PRINTED),
    (*SMALL_FILE, 4, "README", 28.14, PRINTED),
    (*ESPCN_FILE, 2, "README", 34.70, PRINTED),
    (*ESPCN_FILE, 3, "README", 30.47, PRINTED),
]


def case(row):
    file, _, _, scale, pipeline, *_ = row
    marks = [] if row in FAST else [pytest.mark.slow]
    return pytest.param(*row, marks=marks, id=f"{file.format(scale)}-x{scale}-{pipeline}")


@pytest.mark.parametrize(
    "file, layout, module, scale, pipeline, decibels, tolerance",
    [case(row) for row in [*FAST, *SLOW]],
)
def test_set5(shared, file, layout, module, scale, pipeline, decibels, tolerance):
    obtained = mean_psnr(shared, file, layout, module, scale, pipeline)
    assert obtained == pytest.approx(decibels, abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(
    "file, layout, decibels",
    [
        ("dncnn/dncnn_kair_gray25.npz", P.DNCNN_KAIR, 30.10),
        ("dncnn/dncnn_pytorch_bn_sigma25.npz", P.DNCNN_PYTORCH, 30.15),
    ],
)
def test_denoising(shared, file, layout, decibels):
    """Set12/01 with noise of 25 levels: the READMEs' figures, for another draw of the noise."""
    restore = restorer(shared / "weights" / file, layout, DnCNN, {})
    with Image.open(shared / "set12" / "01.png") as held:
        clean = np.asarray(held.convert("L"))
    noisy = clean + np.random.default_rng(0).normal(0, 25, clean.shape)
    assert psnr(noisy, clean, border=0) == pytest.approx(20.17, abs=0.05)  # 10·lg(255²/25²)
    # 65,536 pixels: draws differ by some hundredths; README's own noisy image has 20.57, clipped
    obtained = psnr(255 * restore(noisy / 255), clean, border=0)
    assert obtained == pytest.approx(decibels, abs=0.1)
