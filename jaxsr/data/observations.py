"""What Deep Image Prior is given: one image, spoilt in the way of a task, and what is known of it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jaxsr.types import UserError

# float32 in [0, 1]: `lq` [h,w,c] as observed, `mask` [h,w,1 or c] (1 where known), `hq` [H,W,c] the truth
Observation = dict[str, np.ndarray]


def centre(image: np.ndarray, *, size: int, multiple: int, border: int) -> np.ndarray:
    """The middle of an image [h,w,c]: at most `size` a side (0: all), sides multiples of `multiple`.

    border: pixels that are then added all round, the image mirrored, its edge not repeated
    Raises UserError for an image that is smaller than the multiple.
    """
    if size < 0 or multiple < 1 or border < 0:
        raise UserError(
            f"config.crop has size {size}, multiple {multiple} and border {border}: at least 0, 1 and 0."
        )
    sides = [min(n, size) if size else n for n in image.shape[:2]]
    height, width = (n // multiple * multiple for n in sides)
    if not height or not width:
        raise UserError(
            f"an image of {image.shape[1]}×{image.shape[0]} pixels is smaller than the {multiple} that "
            "the network halves: take a larger one, or fewer scales."
        )
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    cut = image[top : top + height, left : left + width]
    return np.pad(cut, ((border, border), (border, border), (0, 0)), mode="reflect")


def noisy(rng: np.random.Generator, image: np.ndarray, *, sigma: float) -> Observation:
    """Gaussian noise of sigma/255, then clipped. image uint8 [h,w,c]; sigma 0: it is spoilt already.

    With sigma 0 there is no truth.
    """
    clean = unit(image)
    if not sigma:
        return {"lq": clean}
    spoilt = np.clip(clean + sigma / 255 * rng.standard_normal(clean.shape), 0, 1)
    return {"lq": spoilt.astype(np.float32), "hq": clean}


def reduced(
    rng: np.random.Generator, image: np.ndarray, *, factor: int, given: bool
) -> Observation:
    """Reduced by Pillow's Lanczos (3 lobes, 8 bits), as the reference makes its targets.

    given: the image is the small one already, and there is no truth
    """
    del rng
    if given:
        return {"lq": unit(image)}
    if image.shape[0] % factor or image.shape[1] % factor:
        raise UserError(
            f"an image of {image.shape[1]}×{image.shape[0]} pixels cannot be reduced {factor} times: let "
            f"config.crop.multiple be a multiple of {factor}, and config.crop.border 0."
        )
    size = image.shape[1] // factor, image.shape[0] // factor
    planes = [
        Image.fromarray(plane).resize(size, Image.Resampling.LANCZOS) for plane in planes_of(image)
    ]
    return {"lq": unit(np.stack([np.asarray(plane) for plane in planes], -1)), "hq": unit(image)}


def scattered(
    rng: np.random.Generator, image: np.ndarray, *, missing: float, alike: bool
) -> Observation:
    """Pixels are lost at random. missing: their share in (0, 1); alike: the same in all channels."""
    if not 0 < missing < 1:
        raise UserError(
            f"config.task.missing is {missing}: a share of pixels lies between 0 and 1."
        )
    shape = image.shape[:2] + ((1,) if alike else image.shape[2:])
    return known(image, (rng.uniform(size=shape) > missing).astype(np.float32))


def composed(
    rng: np.random.Generator, image: np.ndarray, *, operator: Callable[[np.ndarray], np.ndarray],
    read: Callable[[str], np.ndarray], sigma: float, missing: float, given: bool, mask: str,
) -> Observation:  # fmt: skip
    """What an operator makes of the image, then noise of sigma/255, clipped, then pixels lost at random.

    operator: float32 [H,W,c] -> [h,w,c]; missing: share in [0, 1), the same pixels in all channels;
    given: all of that was done to the image already, and there is no truth; mask: then the file that says
    where it is known, read by `read` as in `masked` («»: everywhere)
    """
    if not 0 <= missing < 1:
        raise UserError(
            f"config.task.missing is {missing}: a share of pixels lies between 0 and 1."
        )
    clean = unit(image)
    if given:
        seen = known(image, (read(mask) > 127).astype(np.float32)) if mask else {"lq": clean}
        return {name: each for name, each in seen.items() if name != "hq"}
    if mask:
        raise UserError(
            "config.task.mask is for an image that is spoilt already (config.task.given=True): for one that "
            "is spoilt here, config.task.missing loses pixels."
        )
    lq = operator(clean)
    lq = np.clip(lq + sigma / 255 * rng.standard_normal(lq.shape), 0, 1).astype(np.float32)
    left = (rng.uniform(size=(*lq.shape[:2], 1)) >= missing).astype(np.float32)
    return ({"lq": lq * left, "mask": left} if missing else {"lq": lq}) | {"hq": clean}


def impeding(
    rng: np.random.Generator, image: np.ndarray, *, sigma: float
) -> dict[str, Observation]:
    """The four targets of figure 2: the image, with noise (not clipped), its pixels shuffled, and noise.

    sigma: of the noise that is added, on the scale 0..255; the last is uniform in [0, 1)
    """
    clean = unit(image)
    noisy_one = clean + sigma / 255 * rng.standard_normal(clean.shape)
    shuffled = rng.permutation(clean.reshape(-1, clean.shape[-1])).reshape(clean.shape)
    made = {
        "image": clean, "noisy": noisy_one, "shuffled": shuffled, "noise": rng.uniform(size=clean.shape)
    }  # fmt: skip
    return {name: {"lq": each.astype(np.float32)} for name, each in made.items()}


def as_large(image: np.ndarray, *, what: str, name: str, like: Sequence[int]) -> np.ndarray:
    """A picture that belongs to another: the same, where it is as large. what: it is, for the sentence."""
    if image.shape[:2] != tuple(like[:2]):
        raise UserError(
            f"{what} is {image.shape[1]}×{image.shape[0]} pixels, and {name} {like[1]}×{like[0]}: make "
            "them the same size."
        )
    return image


def held_out(rng: np.random.Generator, observation: Observation, *, share: float) -> Observation:
    """Some of what is known is kept from the fit: `held` [h,w,1] (1 there), and `mask` without it.

    share: in (0, 1), of the pixels
    """
    if not 0 < share < 1:
        raise UserError(
            f"config.watches.held_out.share is {share}: a share of pixels lies between 0 and 1."
        )
    lq = observation["lq"]
    mask = observation.get("mask", np.ones((*lq.shape[:2], 1), np.float32))
    chosen = (rng.uniform(size=(*lq.shape[:2], 1)) < share).astype(np.float32)
    held = chosen * mask.min(-1, keepdims=True)
    if not held.any():
        raise UserError(
            f"no pixel is held out of {lq.shape[1]}×{lq.shape[0]}: raise the share {share}."
        )
    return {"mask": mask * (1 - chosen), "held": held}


def masked(
    rng: np.random.Generator, image: np.ndarray, *, read: Callable[[str], np.ndarray], mask: str,
    text: str,
) -> Observation:  # fmt: skip
    """Part of the image is lost: where a mask is dark, or under a text written over it.

    read: file of a mask -> its levels [h,w,1], cut as the image was
    mask: file of a grey image, 0 where pixels are missing; «»: the text is written, in rows over the whole
    """
    del rng
    if not mask:
        return known(image, written(image.shape[:2], text))
    return known(image, (read(mask) > 127).astype(np.float32))


def known(image: np.ndarray, mask: np.ndarray) -> Observation:
    """An observation of which only a part is known; UserError where none is, or all."""
    if not mask.any():
        raise UserError("the mask hides the whole image: some pixels have to be known (255).")
    if mask.all():
        raise UserError(
            f"the mask hides nothing of these {image.shape[1]}×{image.shape[0]} pixels: some have to be "
            "missing (0), or take another crop of the image (config.crop.size=0 for all)."
        )
    clean = unit(image)
    return {"lq": clean * mask, "mask": mask, "hq": clean}


def written(shape: Sequence[int], text: str) -> np.ndarray:
    """float32 [h,w,1]: 0 under lines of a text that fill the area, 1 elsewhere."""
    from matplotlib import get_data_path

    height, width = shape
    rows = max(10, height // 12)
    font = ImageFont.truetype(
        Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf", int(rows * 0.62)
    )
    page = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(page)
    line = (text + " ") * (2 + int(2 * width / max(1.0, font.getlength(text + " "))))
    for number, top in enumerate(range(rows // 4, height, rows)):
        draw.text((-7 * rows // 4 * (number % 3), top), line, fill=0, font=font)
    return (np.asarray(page)[..., None] > 127).astype(np.float32)


def together(observations: Mapping[str, Observation]) -> dict[str, np.ndarray]:
    """One batch of several images' observations: {«image/key»: [1,h,w,c]}."""
    return {
        f"{name}/{key}": value[None]
        for name, each in observations.items()
        for key, value in each.items()
    }


def unit(image: np.ndarray) -> np.ndarray:
    """uint8 as float32 in [0, 1]."""
    return image.astype(np.float32) / 255


def planes_of(image: np.ndarray) -> list[np.ndarray]:
    """The channels of [h,w,c], one by one."""
    return [np.ascontiguousarray(image[..., c]) for c in range(image.shape[-1])]
