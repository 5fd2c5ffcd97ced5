"""The named ways in which the literature makes a low-resolution image and scores what became of it.

The same method gets five figures in five papers, because they differ in what is rounded to 8 bits
and when, in the colour plane, in the crop and in the kind of SSIM. A `Protocol` fixes all of it,
and `describe` is the line to print beside every number. All on the host, in float64.
"""

import difflib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxsr.metrics.psnr import psnr
from jaxsr.metrics.ssim import daala_ssim, matlab_ssim, ssim
from jaxsr.ops.colour import luma, luma_uint8
from jaxsr.ops.resize import BORDERS, imresize, modcrop
from jaxsr.types import UserError


class Protocol(NamedTuple):
    """How a low-resolution image is made and how a restored one is scored.

    name:      key of PROTOCOLS
    text:      one line; `describe` adds the border rule
    low:       (truth uint8 cropped to multiples of the scale, 1/scale, border) -> lq in [0, 1]
    enlarge:   (lq in [0, 1], scale, border) -> the bicubic baseline, in the range it comes in
    quantise:  restored in [0, 1] -> what is scored: uint8 levels, or float levels in 0..255
    plane:     RGB levels [h, w, 3] -> the plane that is scored, [h, w] or [h, w, 3], in 0..255
    crop:      scale -> pixels cut off every side before both scores
    ssim:      the kind of SSIM, (a, b, border=…) -> float
    luma_only: the network sees Y alone, and returns it alone
    border:    rule of the bicubic resize at the image's edge, clamp | mirror
    """

    name: str
    text: str
    low: Callable[[np.ndarray, float, str], np.ndarray]
    enlarge: Callable[[np.ndarray, int, str], np.ndarray]
    quantise: Callable[[np.ndarray], np.ndarray]
    plane: Callable[[np.ndarray], np.ndarray]
    crop: Callable[[int], int]
    ssim: Callable[..., float]
    luma_only: bool
    border: str


def find(name: str, *, border: str = "") -> Protocol:
    """The protocol of a name, with another border rule where one is given.

    Args:
        name: key of PROTOCOLS.
        border: «» for the protocol's own, or clamp | mirror.
    Raises:
        UserError: unknown name or border.
    """
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UserError(
            f"there is no protocol {name!r}{hint}: it is one of {', '.join(PROTOCOLS)}."
        )
    if border and border not in BORDERS:
        raise UserError(f"border {border!r} is unknown: use one of {', '.join(BORDERS)}.")
    found = PROTOCOLS[name]
    return found._replace(border=border) if border else found


def describe(protocol: Protocol) -> str:
    """The line that is printed with every number: «A: LR and output 8-bit RGB, …; bicubic clamp»."""
    return f"{protocol.name}: {protocol.text}; bicubic {protocol.border}"


def low(protocol: Protocol, hq: np.ndarray, scale: int) -> np.ndarray:
    """The low-resolution image of a truth.

    The truth is cut at its bottom and right to multiples of the scale, then reduced bicubically.

    Args:
        hq: uint8 [H, W, 3], or [H, W] for a grey image, which meets no colour conversion.
        scale: whole, >= 1.
    Returns:
        float64 [h, w, 3], or [h, w, 1] for a grey image and for a protocol of the luminance;
        on the grid of 1/255 where the protocol rounds the LR, else with its overshoots.
    Raises:
        ValueError: another shape or dtype, an image smaller than the scale.
    Source: the scripts of jbhuang0604/SelfExSR, Zheng222/IDN-Caffe, phoenix104104/LapSRN.
    """
    made = protocol.low(_truth(hq, scale), 1 / scale, protocol.border)
    return made if made.ndim == 3 else made[..., None]


def bicubic(protocol: Protocol, lq: np.ndarray, scale: int) -> np.ndarray:
    """The bicubic baseline of a protocol.

    Args:
        lq: float [h, w, 3 | 1] in [0, 1], of `low` or of a file.
    Returns:
        float64 [s·h, s·w, 3 | 1]; rounded after each pass where the protocol's LR is 8-bit, else
        with its overshoots.
    Raises:
        ValueError: another shape or dtype.
    Source: as `low`.
    """
    return protocol.enlarge(np.asarray(lq, np.float64), scale, protocol.border)


def score(protocol: Protocol, restored: np.ndarray, hq: np.ndarray, scale: int) -> dict[str, float]:
    """PSNR and SSIM of one restored image under a protocol.

    Args:
        restored: float [sH, sW, 3], or [sH, sW, 1] for a grey truth and for a protocol of the
            luminance, in [0, 1]; what lies outside is clipped, as a file would clip it.
        hq: the truth, uint8 [H, W, 3] or [H, W] (grey); cut to multiples of the scale here.
        scale: whole, >= 1.
    Returns:
        psnr in dB (inf for equal images: leave it out of a mean) and ssim in [-1, 1].
    Raises:
        UserError: restored is of another size than the truth, has other channels than the
            protocol scores, holds what is no number, or leaves fewer than the 11 pixels of
            SSIM's window when the border is cut off.
        ValueError: a truth of another shape or dtype.
    Source: specifications of each protocol in PROTOCOLS.
    """
    truth, restored = _truth(hq, scale), np.asarray(restored)
    if restored.ndim == 2:
        restored = restored[..., None]
    if restored.ndim != 3 or not np.issubdtype(restored.dtype, np.floating):
        raise ValueError(
            f"a restored image is floating [H, W, C], not {restored.dtype} {restored.shape}."
        )
    if restored.shape[:2] != truth.shape[:2]:
        raise UserError(
            f"the restored image is {_size(restored)} where the truth is {_size(truth)} in "
            f"multiples of {scale}: the low-resolution image is of another picture or scale."
        )
    wanted = 1 if protocol.luma_only or truth.ndim == 2 else 3
    if restored.shape[-1] != wanted:
        raise UserError(
            f"protocol {protocol.name} scores {wanted} channel(s) here, and the restored image has "
            f"{restored.shape[-1]}: "
            + (
                "it is for networks that restore the luminance; use classic or B for RGB ones."
                if protocol.luma_only
                else "restore in the colours of the truth."
            )
        )
    if not np.isfinite(restored).all():
        raise UserError("the restored image holds what is no number: the weights are broken.")
    levels = protocol.quantise(restored)
    pair = [
        protocol.plane(image) if image.ndim == 3 and image.shape[-1] == 3 else image.reshape(size)
        for image, size in ((levels, levels.shape[:2]), (truth, truth.shape[:2]))
    ]
    border = protocol.crop(scale)
    if min(truth.shape[:2]) - 2 * border < 11:
        raise UserError(
            f"an image of {_size(truth)} is too small for protocol {protocol.name}: without its "
            f"border of {border} there are fewer than 11 pixels on a side; leave it out."
        )
    return {"psnr": psnr(*pair, border=border), "ssim": protocol.ssim(*pair, border=border)}


def to_uint8(image: np.ndarray) -> np.ndarray:
    """A float image in [0, 1] as uint8, clipped and rounded half up, as MATLAB rounds."""
    return np.floor(np.clip(np.asarray(image, np.float64), 0, 1) * 255 + 0.5).astype(np.uint8)


def _truth(hq: np.ndarray, scale: int) -> np.ndarray:
    """uint8 [H, W] or [H, W, 3], cut to multiples of the scale."""
    hq = np.asarray(hq)
    if hq.ndim == 3 and hq.shape[-1] == 1:
        hq = hq[..., 0]
    if hq.dtype != np.uint8 or hq.ndim not in (2, 3) or (hq.ndim == 3 and hq.shape[-1] != 3):
        raise ValueError(f"a truth is uint8 [H, W, 3] or [H, W], not {hq.dtype} {hq.shape}.")
    return modcrop(hq, scale)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"


def _low_levels(truth: np.ndarray, factor: float, border: str) -> np.ndarray:
    return imresize(truth, factor, border=border, round_passes=True) / 255.0


def _low_double(truth: np.ndarray, factor: float, border: str) -> np.ndarray:
    return imresize(truth / 255.0, factor, border=border, round_passes=False)


def _low_luma(truth: np.ndarray, factor: float, border: str) -> np.ndarray:
    return _low_double(luma_uint8(truth) if truth.ndim == 3 else truth, factor, border)


def _enlarge_levels(lq: np.ndarray, scale: int, border: str) -> np.ndarray:
    return imresize(to_uint8(lq), scale, border=border, round_passes=True) / 255.0


def _enlarge_double(lq: np.ndarray, scale: int, border: str) -> np.ndarray:
    return imresize(lq, scale, border=border, round_passes=False)


def _clipped(image: np.ndarray) -> np.ndarray:
    """Levels that were not rounded."""
    return np.clip(np.asarray(image, np.float64), 0, 1) * 255


def _luma_levels(levels: np.ndarray) -> np.ndarray:
    """Y of 8-bit RGB, not rounded, in levels."""
    return luma(levels / 255.0) * 255


def _colours(levels: np.ndarray) -> np.ndarray:
    return levels


def _scale(scale: int) -> int:
    return scale


def _scale_and_six(scale: int) -> int:
    return scale + 6


def _four(scale: int) -> int:
    del scale
    return 4


_CLASSIC = Protocol(
    name="classic",
    text="pipeline A, LR and output 8-bit RGB, Y rounded, border s, SSIM Wang valid",
    low=_low_levels,
    enlarge=_enlarge_levels,
    quantise=to_uint8,
    plane=luma_uint8,
    crop=_scale,
    ssim=ssim,
    luma_only=False,
    border="clamp",
)
_LUMA = _CLASSIC._replace(
    name="C",
    text="LR from the rounded Y, not quantised; output Y rounded, border s, SSIM Wang valid",
    low=_low_luma,
    enlarge=_enlarge_double,
    luma_only=True,
)
_RGB = _CLASSIC._replace(
    name="basicsr",
    text="LR and output 8-bit RGB, RGB scored, border s, SSIM Wang valid, mean of R, G, B",
    plane=_colours,
    border="mirror",
)

# The rules and who uses them: classic, jbhuang0604/SelfExSR (score files reproduced); B,
# sanghyun-son/EDSR-PyTorch, yulunzhang/RCAN on the benchmark sets; C, Zheng222/IDN-Caffe and
# huangzehao/caffe-vdsr; C2, the bicubic row of the Deep Journey survey; L, phoenix104104/LapSRN;
# basicsr, XPixelGroup/BasicSR's model zoo; edsr, sanghyun-son/EDSR-PyTorch on DIV2K's validation
# images (its SSIM: none printed); ntire, the challenge of 2017 as retold, not read; srgan, the
# paper's table, by xiph/daala's tool.
PROTOCOLS = {
    "classic": _CLASSIC,
    "B": _CLASSIC._replace(
        name="B",
        text="LR and output 8-bit RGB, Y not rounded, border s, SSIM Wang valid",
        plane=_luma_levels,
    ),
    "C": _LUMA,
    "C2": _LUMA._replace(
        name="C2",
        text="LR from the rounded Y, not quantised; output Y clipped only, truth rounded, border "
        "s, SSIM Wang valid",
        quantise=_clipped,
        border="mirror",
    ),
    "L": _CLASSIC._replace(
        name="L",
        text="LR RGB not quantised; output 8-bit RGB, Y not rounded, border s, SSIM of MATLAB",
        low=_low_double,
        enlarge=_enlarge_double,
        plane=_luma_levels,
        ssim=matlab_ssim,
    ),
    "basicsr": _RGB,
    "edsr": _RGB._replace(
        name="edsr",
        text="LR and output 8-bit RGB, RGB scored, border s+6, SSIM Wang valid, mean of R, G, B",
        crop=_scale_and_six,
    ),
    "ntire": _RGB._replace(
        name="ntire",
        text="LR and output 8-bit RGB, RGB scored, border 6+s (not verified), SSIM Wang valid, "
        "mean of R, G, B (its kind not verified)",
        crop=_scale_and_six,
    ),
    "srgan": _CLASSIC._replace(
        name="srgan",
        text="LR and output 8-bit RGB, Y rounded, border 4, SSIM of daala (not Wang's)",
        crop=_four,
        ssim=daala_ssim,
    ),
}
