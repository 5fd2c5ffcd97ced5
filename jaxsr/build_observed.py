"""What deep priors observe, from a config: the images, what spoils them, and the code that starts a fit."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr import logs
from jaxsr.data import observations as seen
from jaxsr.data.images import read_image
from jaxsr.data.sources import fetch, load, photographs
from jaxsr.degradations.gaussian import gaussian_blur
from jaxsr.ops.lanczos import lanczos_down
from jaxsr.ops.resize import imresize
from jaxsr.sections import call, check, pick, rest
from jaxsr.types import Batch, UserError

PHOTOGRAPH = "photograph:"
LUMA = np.array([0.299, 0.587, 0.114])
Operator = Callable[[jax.Array], jax.Array]


def picture(source: str, *, channels: int) -> tuple[str, np.ndarray]:
    """Name and pixels uint8 [h,w,channels] of an image: a file, or «photograph:NAME» of the wheels."""
    if channels not in (1, 3):
        raise UserError(f"config.channels is {channels}: an image has 1 or 3.")
    if source.startswith(PHOTOGRAPH):
        name = source.removeprefix(PHOTOGRAPH)
        pixels = fetch(load(photographs(names=(name,)), report=logs.say)[0])["hq"]
    else:
        name, pixels = Path(source).stem, read_image(source)
    return name, grey(pixels) if channels == 1 else pixels


def grey(pixels: np.ndarray) -> np.ndarray:
    """The luma of uint8 [h,w,3], rounded: uint8 [h,w,1]."""
    return (pixels @ LUMA + 0.5).astype(np.uint8)[..., None]


def observed(config: Mapping[str, Any], operator: Operator) -> dict[str, seen.Observation]:
    """{image: what the section `task` makes of its crop}, each drawn from task.draw as if it were alone.

    With a code that is an image `guide` [H,W,c], and where pixels are held out `held`, 1 there, which are
    then no part of `mask`.
    """
    found: dict[str, seen.Observation] = {}
    sources, draw = config["image"].split(","), config["task"].get("draw", 0)
    cut = functools.partial(call, seen.centre, crop_of(config), "crop")
    for source, guide, task in zip(
        sources, guiding(config, len(sources)), each_task(config), strict=True
    ):
        name, image = picture(source, channels=config["channels"])
        fitting = functools.partial(cut_alike, cut=cut, name=name, like=image.shape)
        image = cut(image=image)
        made = observe(task, np.random.default_rng(draw), image, fitting, operator)
        if guide is not None:
            made["guide"] = seen.unit(fitting(guide, f"the picture that guides {name}"))
        several = {name: made} if "lq" in made else {f"{name}_{k}": v for k, v in made.items()}
        if several.keys() & found.keys():
            raise UserError(f"config.image has two images {name!r}: rename one, results would mix.")
        found |= several
    for name, each in found.items():
        if "held_out" in config["watches"]:
            each |= call(
                seen.held_out, rest(config["watches"]["held_out"], "rate"), "watches.held_out",
                rng=np.random.default_rng((draw, 0, 1)), observation=each,
            )  # fmt: skip
        height, width = each["lq"].shape[:2]
        logs.say(f"{name}: {width}×{height} pixels observed")
    return found


def crop_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section `crop`, whose sizes are those of the restored image, for the image that is read.

    A small image that is given to be enlarged is cut to sizes that become such.
    """
    crop = config["crop"]
    if not config["task"].get("given"):
        return crop
    _, factor = operator_of(config["task"])
    multiple = max(1, crop["multiple"] // factor)
    return {
        **crop,
        "multiple": multiple,
        "size": crop["size"] and max(multiple, crop["size"] // factor),
    }


def each_task(config: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The section `task` for each image: of several masks each has its own."""
    task, count = config["task"], len(config["image"].split(","))
    masks = task.get("mask", "").split(",")
    if len(masks) == 1:
        return [task] * count
    if len(masks) != count:
        raise UserError(
            f"config.task.mask names {len(masks)} masks for {count} of config.image: name one, or one each."
        )
    return [{**task, "mask": mask} for mask in masks]


def cut_alike(
    other: np.ndarray, what: str, *, cut: Callable[..., np.ndarray], name: str, like: Sequence[int]
) -> np.ndarray:
    """A picture that belongs to another, cut as that one was; `what` it is, for the sentence."""
    return cut(image=seen.as_large(other, what=what, name=name, like=like))


def observe(
    section: Mapping[str, Any],
    rng: np.random.Generator,
    image: np.ndarray,
    fitting: Callable[[np.ndarray, str], np.ndarray],
    operator: Operator,
) -> dict[str, Any]:
    """One observation, or {name: observation} of a task that makes several of an image.

    fitting: (picture of the size of the whole image, what it is) -> cut as the image was
    """
    given = {"rng": rng, "image": image}
    if section["name"] in ("composed", "inpaint"):
        given["read"] = lambda mask: fitting(read_image(mask)[..., :1], f"the mask {mask}")
    if section["name"] == "composed":
        given["operator"] = lambda x: np.asarray(operator(jnp.asarray(x)[None]))[0]
    make = pick(TASKS, section["name"], "task.name")
    return call(make, rest(section, "name", "draw", "operators"), "task", **given)


def guiding(config: Mapping[str, Any], count: int) -> Sequence[np.ndarray | None]:
    """For each image the picture that its code is, or None for a code that is none."""
    section = config["code"]
    if section["name"] != "guide":
        return [None] * count
    sources = section["image"].split(",")
    if len(sources) != count:
        raise UserError(
            f"config.code.image names {len(sources)} pictures for {count} of config.image: name one each."
        )
    made = [picture(source, channels=3)[1] for source in sources]
    return [np.repeat(grey(each), 3, -1) if section["grey"] else each for each in made]


def operator_of(section: Mapping[str, Any]) -> tuple[Operator, int]:
    """What turns a restored image into the observed one, and how many times smaller that is."""
    if section["name"] == "super_resolution":
        steps: Sequence[Mapping[str, Any]] = ({"name": "lanczos", "factor": section["factor"]},)
    else:
        steps = section["operators"] if section["name"] == "composed" else ()
    made = []
    for index, each in enumerate(steps):
        where, options = f"task.operators[{index}]", rest(each, "name")
        function = pick(OPERATORS, each.get("name", ""), f"{where}.name")
        check(function, options, where, "images")
        made.append(functools.partial(function, **options))
    factors = [each.get("factor", 1) for each in steps]
    for each in factors:
        if not isinstance(each, int) or each < 1:
            raise UserError(f"config.task reduces by {each}: a factor is a whole number from 1 up.")
    factor = math.prod(factors)

    def operator(images: jax.Array) -> jax.Array:
        for function in made:
            images = function(images)
        return images

    return operator, factor


def blur(images: jax.Array, *, sigma: float) -> jax.Array:
    """Gaussian blur of sigma pixels, borders repeated."""
    return gaussian_blur(images, jnp.full(len(images), sigma))


def lanczos(images: jax.Array, *, factor: int) -> jax.Array:
    """Reduced by the published Lanczos filter of two lobes; sides have to be multiples of the factor."""
    if images.shape[1] % factor or images.shape[2] % factor:
        raise UserError(
            f"{images.shape[2]}×{images.shape[1]} pixels cannot be reduced {factor} times: let "
            f"config.crop.multiple be a multiple of {factor}, and config.crop.border 0."
        )
    return lanczos_down(images, factor)


def corner(images: jax.Array, *, size: int) -> jax.Array:
    """The upper left size×size pixels: what lies beyond is not observed."""
    return images[:, :size, :size]


def mean_of_channels(images: jax.Array) -> jax.Array:
    """All channels become their mean: the colour is not observed."""
    return jnp.broadcast_to(images.mean(-1, keepdims=True), images.shape)


def baselines(observation: seen.Observation, factor: int) -> dict[str, np.ndarray]:
    """Images that need no network: the observation itself, or its bicubic enlargement if it has no holes."""
    if factor == 1:
        return {"observed": observation["lq"]}
    if "mask" in observation:
        return {}
    large = imresize(
        observation["lq"].astype(np.float64), factor, border="mirror", round_passes=False
    )
    return {"bicubic": large.astype(np.float32)}


def noise_code(
    *, factor: int, channels: int, scale: float, more: int = 0
) -> Callable[..., jax.Array]:
    """z of `channels` maps of the size of the restored image, uniform in [0, scale].

    more: pixels of that image below and to the right of what `corner` observes
    """
    if channels < 1:
        raise UserError(f"config.code.channels is {channels}: at least 1.")

    def draw(key: jax.Array, batch: Batch) -> jax.Array:
        height, width = (factor * side + more for side in batch["lq"].shape[1:3])
        return jax.random.uniform(key, (1, height, width, channels), maxval=scale)

    return draw


def grid_code(*, factor: int) -> Callable[..., jax.Array]:
    """z of 2 maps of the size of the restored image: column/(w-1) and row/(h-1)."""

    def make(key: jax.Array, batch: Batch) -> jax.Array:
        del key
        rows, columns = (jnp.linspace(0.0, 1.0, factor * n) for n in batch["lq"].shape[1:3])
        return jnp.stack(jnp.meshgrid(columns, rows), -1)[None]

    return make


def guide_code(*, factor: int, image: str, grey: bool) -> Callable[..., jax.Array]:
    """z is another picture of the same thing, [0, 1]: its file or photograph; as its luma if `grey`."""
    del factor, image, grey  # `observed` has read it into the batch

    def make(key: jax.Array, batch: Batch) -> jax.Array:
        del key
        return batch["guide"]

    return make


CODES = {"grid": grid_code, "guide": guide_code, "noise": noise_code}
OPERATORS = {
    "blur": blur,
    "corner": corner,
    "lanczos": lanczos,
    "mean_of_channels": mean_of_channels,
}
TASKS = {
    "composed": seen.composed,
    "denoise": seen.noisy,
    "impedance": seen.impeding,
    "inpaint": seen.masked,
    "restore": seen.scattered,
    "super_resolution": seen.reduced,
}
