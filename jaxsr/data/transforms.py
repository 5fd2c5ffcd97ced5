"""Samples to training examples and evaluation pairs: pure functions of (sample, generator)."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxsr.data.flips import FLIPS, check_flips, drawn_flips
from jaxsr.data.sources import Sample, fetch
from jaxsr.ops.resize import imresize, modcrop
from jaxsr.outdoor import DISCRIMINATOR, NAMES, VOID
from jaxsr.types import UserError

Arrays = dict[str, np.ndarray]
# (sample with its pixels, generator) -> arrays whose shapes do not depend on the sample
Transform = Callable[[Sample, np.random.Generator], Arrays]

# A bicubic pixel reads this many low-resolution pixels on each side of its own, up or down.
_REACH = 2


def crop(*, size: int, margin: int = 0, flips: Sequence[str] = FLIPS) -> Transform:
    """A random square with random flips: {`hq`: float32 [s, s, 3]}, s = size + 2·margin.

    Args:
        size: pixels that the loss sees.
        margin: pixels around them, for a degradation on the device that is cropped afterwards.
        flips: some of `FLIPS`, each applied with probability ½ (all three: the 8 symmetries).
    Raises:
        UserError: an unknown flip; when called, an image smaller than the square.
    """
    check_flips(flips)
    side = size + 2 * margin

    def transform(sample: Sample, rng: np.random.Generator) -> Arrays:
        image = sample["hq"]
        h, w = image.shape[:2]
        if min(h, w) < side:
            raise UserError(
                f"{sample['name']} is {w}x{h} pixels, smaller than the crop of {side}: "
                "choose a smaller crop, or remove the image."
            )
        y, x = rng.integers(0, h - side + 1), rng.integers(0, w - side + 1)
        flip = drawn_flips(rng, flips)
        return {"hq": _unit(flip(image[y : y + side, x : x + side]))}

    return transform


def paired_crop(*, size: int, scale: int, flips: Sequence[str] = FLIPS) -> Transform:
    """A random square of an image and the same one of its own low resolution, flipped alike.

    Args:
        size: pixels of the high resolution, a multiple of scale.
        scale: by which the low resolution is smaller.
        flips: as in `crop`.
    Returns:
        transform giving `hq` float32 [size, size, 3], `lq` float32 [size/scale, size/scale, 3].
    Raises:
        UserError: an unknown flip, a size that scale does not divide; when called, a sample without a
            low resolution or with one of another scale, an image smaller than the square.
    """
    _check_multiple(size, scale)
    check_flips(flips)
    side = size // scale

    def transform(sample: Sample, rng: np.random.Generator) -> Arrays:
        low = _own_low(sample, scale)
        h, w = low.shape[:2]
        if min(h, w) < side:
            raise UserError(
                f"the low resolution of {sample['name']} is {w}x{h} pixels, smaller than the crop of "
                f"{side}: choose a smaller crop, or remove the image."
            )
        y, x = (int(rng.integers(0, n - side + 1)) for n in (h, w))
        flip = drawn_flips(rng, flips)
        part = sample["hq"][y * scale : y * scale + size, x * scale : x * scale + size]
        return {"hq": _unit(flip(part)), "lq": _unit(flip(low[y : y + side, x : x + side]))}

    return transform


def sft_sample(
    *,
    size: int = 96,
    scale: int = 4,
    ratios: Sequence[float] = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5),
) -> Transform:
    """The training example of SFT-GAN: random rescaling, crop and flip of an image and its prior.

    With r from `ratios`: H' = max(size, ⌊⌊H·r⌋/scale⌋·scale), W' alike; the image is resized
    linearly, the prior to the nearest; the low resolution is the bicubic reduction of the whole
    resized image (mirrored border, not rounded, not clipped), then all are cropped alike. Only the
    part that the crop needs is computed.

    The sample needs `prior`: uint8 [H, W, 8], probability·255 in the order of `outdoor.NAMES`, or
    "background" for an image outside the seven classes. An optional `category` is a class of the
    discriminator (0 background, 1 building, ..., see `outdoor.DISCRIMINATOR`) for the whole image.

    Args:
        size: pixels of the high-resolution crop, a multiple of scale.
        scale: of the super-resolution.
        ratios: of the rescaling, drawn with equal probability.
    Returns:
        transform giving `hq` float32 [size, size, 3], `lq` float32 [size/scale, size/scale, 3],
        `seg` float32 [size, size, 8] of sum 1, `label` int32 []: `category`, else the class of the
        discriminator that belongs to the largest mean probability in the crop.
    Raises:
        UserError: a size that scale does not divide; when called, a sample without a prior or with
            one of another size.
    Source: XPixelGroup/BasicSR 9fd09d4, codes/data/LRHR_seg_bg_dataset.py.
    """
    _check_multiple(size, scale)

    def transform(sample: Sample, rng: np.random.Generator) -> Arrays:
        image, prior = sample["hq"], _prior(sample)
        shape = image.shape[:2]
        ratio = ratios[rng.integers(len(ratios))]
        # int() after the product in floats, as in the reference: 90·0.7 gives 62.
        resized = tuple(max(size, int(n * ratio) // scale * scale) for n in shape)
        low = [int(rng.integers(0, (n - size) // scale + 1)) for n in resized]
        starts = [n * scale for n in low]
        window, offsets = _window(image, resized, starts, size, margin=_REACH * scale)
        hq = _cut(window, offsets, size)
        lq = imresize(window, 1 / scale, border="mirror", round_passes=False)
        lq = _cut(lq, [o // scale for o in offsets], size // scale)
        seg = _probabilities(prior[_nearest(shape, resized, starts, size)])
        out = {"hq": hq, "lq": lq, "seg": seg}
        if rng.random() < 0.5:
            out = {key: value[:, ::-1] for key, value in out.items()}
        label = sample.get("category")
        if label is None:
            label = DISCRIMINATOR[int(np.argmax(seg.mean((0, 1), dtype=np.float64)))]
        out = {key: np.ascontiguousarray(value, np.float32) for key, value in out.items()}
        return out | {"label": np.int32(label)}

    return transform


def segmentation_crop(*, size: int, scale: int = 4, degrade_share: float) -> Transform:
    """A training example of the segmenter: a crop as it will be seen, and its classes.

    The segmenter of SFT-GAN sees the low resolution enlarged again, so the image is reduced and
    enlarged bicubically by `scale` (neither rounded nor clipped) with probability degrade_share.
    The other examples stay sharp, because the same trunk serves as the features of a perceptual
    loss, which sees sharp images.

    Rescaled by r uniform in [0.75, 1.25] (linear; labels nearest) to multiples of scale; cropped at
    a multiple of scale, so the degraded pixels are those of the whole image; flipped horizontally
    with probability ½. An image smaller than the crop is continued by reflection below and at the
    right, with label 255 there.

    Args:
        size: pixels, a multiple of scale.
        scale: of the super-resolution.
        degrade_share: 0..1.
    Returns:
        transform giving `lq` float32 [size, size, 3], `label` int32 [size, size], 0..7 or 255.
    Raises:
        UserError: a size that scale does not divide; when called, a sample without labels.
    Source: the degradation, xinntao/SFTGAN, pytorch_test/test_segmentation.py; the rest is ours.
    """
    _check_multiple(size, scale)

    def transform(sample: Sample, rng: np.random.Generator) -> Arrays:
        if "label" not in sample:
            raise UserError(f"{sample['name']} has no label map: the segmenter needs one.")
        image, labels = sample["hq"], sample["label"]
        ratio = rng.uniform(0.75, 1.25)
        resized = tuple(max(scale, int(n * ratio) // scale * scale) for n in image.shape[:2])
        starts = [scale * int(rng.integers(0, max(0, n - size) // scale + 1)) for n in resized]
        flip, degrade = rng.random() < 0.5, rng.random() < degrade_share
        # Enlarged pixels reach _REACH reduced ones, which reach _REACH more.
        window, offsets = _window(image, resized, starts, size, margin=2 * _REACH * scale)
        if degrade:
            window = imresize(window, 1 / scale, border="mirror", round_passes=False)
            window = imresize(window, scale, border="mirror", round_passes=False)
        lq = _cut(window, offsets, size)
        label = labels[_nearest(labels.shape, resized, starts, size)].astype(np.int32)
        missing = [(0, size - n) for n in label.shape]
        lq = np.pad(lq, [*missing, (0, 0)], mode="reflect")
        label = np.pad(label, missing, constant_values=VOID)
        if flip:
            lq, label = lq[:, ::-1], label[:, ::-1]
        return {"lq": np.ascontiguousarray(lq, np.float32), "label": np.ascontiguousarray(label)}

    return transform


def eval_pair(
    sample: Sample,
    *,
    scale: int,
    multiple: int,
    crop: int = 0,
    border: str = "mirror",
    quantise: bool,
) -> Arrays:
    """The low and high resolution of one image for evaluation, with its prior and its labels.

    A sample that has a low resolution of its own (`pairs`) keeps it: border and quantise are not used,
    and the middle square begins at a multiple of scale.

    Args:
        sample: of `load`; `prior` as in `sft_sample`, `label` uint8 [H, W], `lq`, all optional.
        scale: of the super-resolution.
        multiple: the high resolution keeps the largest top-left part of these multiples; itself a
            multiple of scale.
        crop: pixels; first keep the middle square of at most this side. 0 keeps the whole image.
        border: `mirror` or `clamp` (the published benchmark files).
        quantise: True: `lq` has 8 bits, rounded after each pass as in the published benchmark
            files. False: floats, neither rounded nor clipped.
    Returns:
        `hq` float32 [H, W, 3] in [0, 1], `lq` float32 [H/scale, W/scale, 3], optional `seg` float32
        [H, W, 8] of sum 1, optional `label` int32 [H, W].
    Raises:
        UserError: an image smaller than `multiple`; a multiple that scale does not divide; a prior
            of another size; a low resolution of another scale.
    """
    _check_multiple(multiple, scale)
    sample = fetch(sample)
    own = "lq" in sample
    if own and crop % scale:
        raise UserError(f"the crop {crop} of an evaluation of pairs must be a multiple of {scale}.")
    if min(*sample["hq"].shape[:2], crop or multiple) < multiple:
        raise UserError(f"{sample['name']} is smaller than {multiple} pixels: remove it.")

    def part(array: np.ndarray, factor: int = 1) -> np.ndarray:
        """factor: pixels of the high resolution in one of the array, a side."""
        if crop:
            grid = scale // factor if own else 1
            top, left = (max(0, n - crop // factor) // 2 // grid * grid for n in array.shape[:2])
            array = array[top : top + crop // factor, left : left + crop // factor]
        return modcrop(array, multiple // factor)

    hq = part(sample["hq"])
    if own:
        lq = part(_own_low(sample, scale), scale)
    else:
        lq = imresize(hq, 1 / scale, border=border, round_passes=quantise)
    out = {"hq": _unit(hq), "lq": (lq / 255).astype(np.float32)}
    if "prior" in sample:
        out["seg"] = _probabilities(part(_prior(sample)))
    if "label" in sample:
        out["label"] = part(sample["label"]).astype(np.int32)
    return out


def segmentation_pair(sample: Sample, *, scale: int, multiple: int, bucket: int = 1) -> Arrays:
    """What the segmenter sees of one image in evaluation, and its classes.

    Args:
        sample: of `load`, with `label`.
        scale: of the degradation: reduced and enlarged by it, neither rounded nor clipped.
        multiple: the largest top-left part of these multiples is kept; a multiple of scale.
        bucket: pixels; what is seen is continued by reflection below and at the right to multiples
            of it, without a class there: a set of many sizes has few shapes, each of which is
            compiled.
    Returns:
        `lq` float32 [H, W, 3], `label` uint8 [H, W], 255 where there is no class.
    Raises:
        UserError: a sample without labels or smaller than `multiple`; a multiple that scale does
            not divide.
    """
    made = eval_pair(sample, scale=scale, multiple=multiple, quantise=False)
    if "label" not in made:
        raise UserError(f"{sample['name']} has no label map: the segmenter needs one.")
    seen = imresize(made["lq"].astype(np.float64), scale, border="mirror", round_passes=False)
    missing = [(0, -n % bucket) for n in made["label"].shape]
    lq = np.pad(seen.astype(np.float32), [*missing, (0, 0)], mode="symmetric")
    label = np.pad(made["label"].astype(np.uint8), missing, constant_values=VOID)
    return {"lq": lq, "label": label}


def _unit(image: np.ndarray) -> np.ndarray:
    """uint8 0..255 as float32 0..1, contiguous."""
    return np.ascontiguousarray(image).astype(np.float32) / np.float32(255)


def _own_low(sample: Sample, scale: int) -> np.ndarray:
    """The low resolution that came with an image."""
    low, (h, w) = sample.get("lq"), sample["hq"].shape[:2]
    if low is None:
        raise UserError(f"{sample['name']} has no low resolution of its own: use pairs of folders.")
    if (h, w) != (low.shape[0] * scale, low.shape[1] * scale):
        raise UserError(
            f"{sample['name']} is {w}x{h} pixels and its low resolution {low.shape[1]}x{low.shape[0]}: "
            f"that is not the scale {scale} of the config."
        )
    return low


def _check_multiple(size: int, scale: int) -> None:
    if scale < 1 or size < scale or size % scale:
        raise UserError(f"size {size} must be a multiple of scale {scale}: change it.")


def _prior(sample: Sample) -> np.ndarray:
    """The stored prior, uint8 [H, W, 8]."""
    h, w = sample["hq"].shape[:2]
    prior = sample.get("prior")
    if isinstance(prior, str) and prior == "background":
        one_hot = np.eye(len(NAMES), dtype=np.uint8)[0] * np.uint8(255)
        return np.broadcast_to(one_hot, (h, w, len(NAMES)))
    if not isinstance(prior, np.ndarray) or prior.shape != (h, w, len(NAMES)):
        raise UserError(f"{sample['name']} has no prior of {w}x{h} pixels: make the priors again.")
    return prior


def _probabilities(prior: np.ndarray) -> np.ndarray:
    """uint8 [..., 8] as float32 that sum to 1: the rounding to 8 bits has moved the sum."""
    return prior / np.maximum(prior.sum(-1, keepdims=True, dtype=np.float32), 1)


def _window(
    image: np.ndarray, resized: Sequence[int], starts: Sequence[int], size: int, *, margin: int
) -> tuple[np.ndarray, list[int]]:
    """Part of the linearly resized image: the crop, and margin pixels of the image around it.

    What `ops.resize.resize_bilinear` gives there for the whole image, without computing the rest.

    Returns:
        float64 [h, w, 3] in [0, 1], and where the crop begins in it (row, column).
    """
    offsets = []
    for axis, (n_out, start) in enumerate(zip(resized, starts, strict=True)):
        begin, end = max(0, start - margin), min(n_out, start + size + margin)
        n_in = image.shape[axis]
        at = np.clip((np.arange(begin, end) + 0.5) * (n_in / n_out) - 0.5, 0, n_in - 1)
        below = np.floor(at).astype(int)
        part = (at - below).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        above = np.take(image, np.minimum(below + 1, n_in - 1), axis)
        image = np.take(image, below, axis) * (1 - part) + above * part
        offsets.append(start - begin)
    return image / 255, offsets


def _nearest(
    shape: Sequence[int], resized: Sequence[int], starts: Sequence[int], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Index `array[...]` of the crop of the array resized to the nearest (floor(i·n_in/n_out))."""
    axes = zip(shape, resized, starts, strict=True)
    return np.ix_(*(np.arange(i, min(n, i + size)) * n_in // n for n_in, n, i in axes))


def _cut(array: np.ndarray, offsets: Sequence[int], size: int) -> np.ndarray:
    top, left = offsets
    return array[top : top + size, left : left + size]
