"""Blur, noise and JPEG as in RL-Restore, on the host: whole images, and the patches of training."""

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from scipy.ndimage import correlate1d

from jaxsr.data.levels import (
    BANDS,
    Levels,
    draw,
    draw_band,
    draw_slight,
    strengths,
    triples,
)
from jaxsr.data.sources import Sample
from jaxsr.data.transforms import Arrays, Transform
from jaxsr.ops.resize import imresize
from jaxsr.types import UserError

# rows and columns of pixels: top, left, bottom, right, the last two excluded
Box = tuple[int, int, int, int]

RADIUS = 10  # of the blur: 21x21 pixels
# 4:2:0 halves the colour, so its 8x8 blocks cover 16x16 pixels: crops on this grid keep all blocks.
GRID = 16
# The decoder takes the colour of a pixel from the samples of two neighbours, one a pixel away.
_UPSAMPLED = 1
# A reduced pixel reads this many of its own size on each side.
_BICUBIC = 2
# Mean square error below which input and target are one image: 50 dB.
_SAME = 1e-5
TRIES = 10


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Cross-correlation with a normalised 21x21 Gaussian; the border pixels are repeated outwards.

    w(x, y) ∝ exp(-(x² + y²)/2σ²) for |x|, |y| <= 10, Σ w = 1.

    Args:
        image: float [H, W, C].
        sigma: pixels; below 1e-3 the image is returned as it is.
    Source: yuke93/RL-Restore dd1463d (MATLAB imfilter, `replicate`).
    """
    if sigma < 1e-3:
        return image
    weights = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()  # the square kernel is the product of these, normalised too
    for axis in (0, 1):
        image = correlate1d(image, weights, axis, mode="nearest")
    return image


def gaussian_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Adds N(0, (σ/255)²) to every value, then clips to [0, 1].

    Args:
        image: float [H, W, C] in [0, 1].
        sigma: on the scale 0..255; 0 adds none and draws none.
    Source: yuke93/RL-Restore dd1463d (MATLAB imnoise).
    """
    if sigma == 0:
        return image
    return np.clip(image + sigma / 255 * rng.standard_normal(image.shape), 0, 1)


def jpeg(image: np.ndarray, quality: float) -> np.ndarray:
    """To JPEG and back: rounded to 8 bits, 4:2:0.

    Args:
        image: float [H, W, 3] in [0, 1].
        quality: 1..100, rounded to an integer (half up).
    Returns:
        float64 [H, W, 3], k/255.
    Source: yuke93/RL-Restore dd1463d; its encoder is MATLAB's, ours is libjpeg in Pillow.
    """
    data = io.BytesIO()
    levels = np.floor(image * 255 + 0.5).astype(np.uint8)
    Image.fromarray(levels).save(
        data, format="JPEG", quality=int(quality + 0.5), subsampling="4:2:0"
    )
    with Image.open(data) as decoded:
        return np.asarray(decoded) / 255


def degrade(
    image: np.ndarray,
    chain: Sequence[Levels],
    rng: np.random.Generator,
    *,
    box: Box | None = None,
    factor: int = 1,
) -> np.ndarray:
    """Blur, noise and JPEG of a whole image, for each of the levels in turn; or a part of the result.

    A part has the values that it has in the whole result, apart from the draws of the noise, and
    costs only the pixels that it depends on.

    Args:
        image: uint8 [H, W, 3].
        chain: levels, first to last; none leaves the image.
        rng: of the noise.
        box: the part, pixels of the result. None: all.
        factor: >= 1; first reduce the image so many times, bicubically (mirrored border), rounded
            to 8 bits.
    Returns:
        float32 [bottom - top, right - left, 3] in [0, 1].
    Source: yuke93/RL-Restore dd1463d, the MATLAB scripts that make the data.
    """
    size = _reduced(image, factor)
    box = box or (0, 0, *size)
    return _part(lambda part: _read(image, part, factor), size, chain, box, rng).astype(np.float32)


def distorted_patch(
    *,
    severities: Sequence[str],
    size: int = 63,
    factors: Sequence[int] = (1,),
    single_share: float = 0.0,
) -> Transform:
    """The training example of the agent: a patch of an image with an unknown mixture of distortions.

    The corner is a multiple of 16 pixels, and the patch is that of the whole image degraded. One
    that the distortion hardly changes (PSNR over 50 dB) is drawn anew, at most nine times.

    Args:
        severities: of `mild`, `moderate` and `severe`, one of them with equal probability for each
            example; see `levels.draw`.
        size: pixels.
        factors: the image is reduced by one of them, with equal probability among those that leave
            it as large as the patch.
        single_share: 0..1, of the examples that have the distortion of one tool alone (`BANDS`,
            with equal probability) and the slight noise and JPEG of its training.
    Returns:
        transform giving `hq`, `lq` float32 [size, size, 3] in [0, 1] and `levels` float32 [3], see
        `levels.strengths`.
    Raises:
        UserError: another severity or none, a share outside 0..1, a bad size or factor; when called, an
            image smaller than the patch.
    Source: yuke93/RL-Restore dd1463d and its issue 6 (single distortions).
    """
    if isinstance(severities, str) or not severities:
        raise UserError(
            f"severities {severities!r} must be a list of names: give ('moderate',), or more."
        )
    for name in severities:
        triples(name)  # a wrong name shall be told now, not at the first batch
    if not 0 <= single_share <= 1:
        raise UserError(f"single_share {single_share} must be a share from 0 to 1: change it.")

    def draw_chain(sample: Sample, rng: np.random.Generator) -> list[Levels]:
        if rng.random() >= single_share:
            return [draw(severities[rng.integers(len(severities))], rng)]
        return [draw_band(*BANDS[rng.integers(len(BANDS))], rng), draw_slight(rng)]

    return _patch(draw_chain, size=size, factors=factors, told=True)


def tool_patch(*, size: int = 63, factors: Sequence[int] = (1,), slight: bool = True) -> Transform:
    """The training example of a tool: a patch with one distortion, of the band of its sample.

    Patches are taken and drawn anew as in `distorted_patch`. The sample needs `band`: (`blur`,
    `noise` or `jpeg`, from, to), for example one of `levels.BANDS`; see `sources.variants`.

    Args:
        size: pixels.
        factors: as in `distorted_patch`.
        slight: adds the slight noise and then JPEG of `levels.draw_slight`.
    Returns:
        transform giving `hq`, `lq` float32 [size, size, 3] in [0, 1].
    Raises:
        UserError: a bad size or factor; when called, a sample without a band or with a wrong one,
            an image smaller than the patch.
    Source: the paper, section 3; the sizes of the slight distortions are not in it.
    """

    def draw_chain(sample: Sample, rng: np.random.Generator) -> list[Levels]:
        if len(sample.get("band", ())) != 3:
            raise UserError(
                f"{sample['name']} has no band of a distortion: give its source a band, "
                "for example ('blur', 0.0, 1.25)."
            )
        return [draw_band(*sample["band"], rng)] + [draw_slight(rng)] * slight

    return _patch(draw_chain, size=size, factors=factors, told=False)


def nearly_same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the PSNR of two images in [0, 1] is above 50 dB: such pairs teach and test nothing."""
    return bool(np.mean(np.square(first - second)) < _SAME)


def corner(size: tuple[int, int], side: int, rng: np.random.Generator) -> tuple[int, int]:
    """A corner (top, left), on the grid of 16 pixels, of a square of `side` in an image of `size`."""
    top, left = (GRID * int(rng.integers((n - side) // GRID + 1)) for n in size)
    return top, left


def _patch(
    draw_chain: Callable[[Sample, np.random.Generator], list[Levels]],
    *,
    size: int,
    factors: Sequence[int],
    told: bool,
) -> Transform:
    """The transform common to both; `told`: with `levels`."""
    if size < 1 or not factors or not all(f >= 1 and f == int(f) for f in factors):
        raise UserError(
            f"size {size} and the factors {list(factors)} must be whole numbers above 0."
        )

    def transform(sample: Sample, rng: np.random.Generator) -> Arrays:
        image = sample["hq"]
        fitting = [factor for factor in factors if min(_reduced(image, factor)) >= size]
        if not fitting:
            h, w = image.shape[:2]
            raise UserError(
                f"{sample['name']} is {w}x{h} pixels, smaller than the patch of {size} (reduced "
                f"{min(factors)} times): remove the image, or choose a smaller patch or factor."
            )
        for _ in range(TRIES):
            factor = fitting[rng.integers(len(fitting))]
            top, left = corner(_reduced(image, factor), size, rng)
            box = (top, left, top + size, left + size)
            chain = draw_chain(sample, rng)
            hq = degrade(image, (), rng, box=box, factor=factor)
            lq = degrade(image, chain, rng, box=box, factor=factor)
            if not nearly_same(hq, lq):
                break
        return {"hq": hq, "lq": lq} | ({"levels": strengths(chain)} if told else {})

    return transform


def _part(
    read: Callable[[Box], np.ndarray],
    size: tuple[int, int],
    chain: Sequence[Levels],
    box: Box,
    rng: np.random.Generator,
) -> np.ndarray:
    """The box of the image that `read` reads after the chain; each step asks for what it depends on."""
    if not chain:
        return read(box)
    *before, (sigma, noise, quality) = chain
    coded = box if quality is None else _grown(box, _UPSAMPLED, size, grid=GRID)
    blurred = _grown(coded, RADIUS, size, grid=1)
    # Repeating the border is right where the box ends with the image. Elsewhere it spoils the outer
    # RADIUS pixels, which are cut off.
    image = gaussian_blur(_part(read, size, before, blurred, rng), sigma)
    image = gaussian_noise(_cut(image, blurred, coded), noise, rng)
    return image if quality is None else _cut(jpeg(image, quality), coded, box)


def _read(image: np.ndarray, box: Box, factor: int) -> np.ndarray:
    """The box of an image reduced by a factor, float64 in [0, 1] of 8 bits."""
    if factor > 1:
        wide = _grown(box, _BICUBIC, _reduced(image, factor), grid=1)
        top, left, bottom, right = (n * factor for n in wide)
        part = imresize(image[top:bottom, left:right], 1 / factor, round_passes=False)
        return _cut(np.clip(np.floor(part + 0.5), 0, 255) / 255, wide, box)
    top, left, bottom, right = box
    return image[top:bottom, left:right] / 255


def _reduced(image: np.ndarray, factor: int) -> tuple[int, int]:
    """Height and width after the reduction."""
    h, w = image.shape[:2]
    return -(-h // factor), -(-w // factor)


def _grown(box: Box, margin: int, size: tuple[int, int], *, grid: int) -> Box:
    """A box with a margin, out to a multiple of grid, inside an image of this size."""
    top, left, bottom, right = box
    begin = (max(0, n - margin) // grid * grid for n in (top, left))
    end = (min(most, -(-(n + margin) // grid) * grid) for n, most in zip((bottom, right), size))
    return (*begin, *end)


def _cut(image: np.ndarray, outer: Box, inner: Box) -> np.ndarray:
    """The pixels of the inner box, from those of the outer one."""
    top, left = inner[0] - outer[0], inner[1] - outer[1]
    return image[top : top + inner[2] - inner[0], left : left + inner[3] - inner[1]]
