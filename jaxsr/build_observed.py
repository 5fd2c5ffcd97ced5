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
    """{image: what the section `task` makes of its crop}, drawn from (task.draw, its place).

    With a code that is an image `guide` [H,W,c], and where pixels are held out `held`, 1 there, which are
    then no part of `mask`.
    """
    found, sources = {}, config["image"].split(",")
    cut = functools.partial(call, seen.centre, config["crop"], "crop")
    guides = guiding(config, len(sources))
    for index, (source, guide) in enumerate(zip(sources, guides, strict=True)):
        name, image = picture(source, channels=config["channels"])
        if name in found:
            raise UserError(f"config.image has two images {name!r}: rename one, results would mix.")
        rng = np.random.default_rng((config["task"].get("draw", 0), index))
        whole, image = image.shape, cut(image=image)
        made = observe(config["task"], rng, image, cut, operator)
        if guide is not None:
            made["guide"] = seen.unit(cut(image=seen.guide(guide, name=name, like=whole)))
        found |= {name: made} if "lq" in made else {f"{name}_{k}": v for k, v in made.items()}
    for index, (name, each) in enumerate(found.items()):
        if "held_out" in config["watches"]:
            rng = np.random.default_rng((config["task"].get("draw", 0), index, 1))
            each |= seen.held_out(rng, each, share=config["watches"]["held_out"]["share"])
        height, width = each["lq"].shape[:2]
        logs.say(f"{name}: {width}×{height} pixels observed")
    return found


def observe(
    section: Mapping[str, Any],
    rng: np.random.Generator,
    image: np.ndarray,
    cut: Callable[..., np.ndarray],
    operator: Operator,
) -> dict[str, Any]:
    """One observation, or {name: observation} of a task that makes several of an image."""
    given = {"rng": rng, "image": image}
    if section["name"] == "inpaint":
        given["cut"] = lambda mask: cut(image=mask)
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
        function = pick(OPERATORS, each["name"], f"{where}.name")
        check(function, options, where, "images")
        made.append(functools.partial(function, **options))
    factor = math.prod(each.get("factor", 1) for each in steps)

    def operator(images: jax.Array) -> jax.Array:
        for function in made:
            images = function(images)
        return images

    return operator, factor


def blur(images: jax.Array, *, sigma: float) -> jax.Array:
    """Gaussian blur of sigma pixels, borders repeated."""
    return gaussian_blur(images, jnp.full(len(images), sigma))


def lanczos(images: jax.Array, *, factor: int) -> jax.Array:
    """Reduced by the published Lanczos filter of two lobes."""
    return lanczos_down(images, factor)


def mean_of_channels(images: jax.Array) -> jax.Array:
    """All channels become their mean: the colour is not observed."""
    return jnp.broadcast_to(images.mean(-1, keepdims=True), images.shape)


def baselines(observation: seen.Observation, factor: int) -> dict[str, np.ndarray]:
    """Images that need no network: the observation itself, or its bicubic enlargement."""
    if factor == 1:
        return {"observed": observation["lq"]}
    large = imresize(
        observation["lq"].astype(np.float64), factor, border="mirror", round_passes=False
    )
    return {"bicubic": large.astype(np.float32)}


def noise_code(*, factor: int, channels: int, scale: float) -> Callable[..., jax.Array]:
    """z of `channels` maps of the size of the restored image, uniform in [0, scale]."""

    def draw(key: jax.Array, batch: Batch) -> jax.Array:
        height, width = batch["lq"].shape[1:3]
        return jax.random.uniform(key, (1, factor * height, factor * width, channels), maxval=scale)

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
OPERATORS = {"blur": blur, "lanczos": lanczos, "mean_of_channels": mean_of_channels}
TASKS = {
    "composed": seen.composed,
    "denoise": seen.noisy,
    "impedance": seen.impeding,
    "inpaint": seen.masked,
    "restore": seen.scattered,
    "super_resolution": seen.reduced,
}
