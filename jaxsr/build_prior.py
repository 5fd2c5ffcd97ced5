"""Deep priors: what they need of a config, and the experiment that it describes."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr import evaluate, evaluate_priors, logs
from jaxsr.algorithms import deep_prior as prior
from jaxsr.build_method import DTYPES, SCHEDULES, network, optimiser
from jaxsr.data import observations as seen
from jaxsr.data.images import read_image
from jaxsr.data.sources import fetch, load, photographs
from jaxsr.losses.tv import power_variation
from jaxsr.ops.lanczos import lanczos_down
from jaxsr.ops.resize import imresize
from jaxsr.sections import call, pick, rest
from jaxsr.train import Experiment, Loop
from jaxsr.types import Batch, Tree, UserError

REQUIRED = ("average", "channels", "code", "crop", "fall", "image", "losses", "noise", "task")
OPTIONAL = ()
PHOTOGRAPH = "photograph:"
LUMA = np.array([0.299, 0.587, 0.114])


def experiment(config: Mapping[str, Any]) -> Experiment:
    """One network for one image: everything that `train.train` needs."""
    loop = call(Loop, config["train"], "train")
    name, image = picture(config["image"], channels=config["channels"])
    cut = functools.partial(call, seen.centre, config["crop"], "crop")
    observation = observed(config, cut(image=image), lambda mask: cut(image=mask))
    logs.say(f"{name}: {observation['lq'].shape[1]}×{observation['lq'].shape[0]} pixels observed")
    section = config["task"]
    operator, factor = operator_of(section)
    size = tuple(factor * n for n in observation["lq"].shape[:2])
    settings = prior.Settings(
        noise=call(
            pick(SCHEDULES, config["noise"]["name"], "noise.name"), rest(config["noise"], "name"), "noise"
        ),
        decay=config["average"], fall=config["fall"],
    )  # fmt: skip
    gen = network(
        config["networks"]["gen"],
        "networks.gen",
        dtype=pick(DTYPES, config["precision"], "precision"),
    )
    if config["networks"]["gen"]["outputs"] != config["channels"]:
        raise UserError(
            f"config.networks.gen.outputs is {config['networks']['gen']['outputs']} and config.channels "
            f"{config['channels']}: the network makes the channels of the image, so let them be equal."
        )
    algorithm = prior.deep_prior(
        gen=gen,
        code=call(
            pick(CODES, config["code"]["name"], "code.name"), rest(config["code"], "name"), "code",
            size=size,
        ),
        terms={"data": (1.0, prior.data_term(operator))} | penalties(config["losses"]),
        fit=prior.fitness(operator),
        settings=settings,
        optimiser=optimiser(config["optimisers"]["gen"], "optimisers.gen"),
    )  # fmt: skip
    batch = {key: value[None] for key, value in observation.items()}

    def batches(start: int) -> Iterator[dict[str, np.ndarray]]:
        del start  # every step sees the same image
        yield from itertools.repeat(batch)

    made = call(
        evaluate_priors.restored, rest(config["evaluation"], "name"), "evaluation",
        observation=observation, baselines=baselines(observation, factor), name=name,
    )  # fmt: skip
    pick({"restored": None}, config["evaluation"]["name"], "evaluation.name")
    return Experiment(
        algorithm=algorithm, frozen={}, batches=batches, evaluate=made, report=evaluate.report, loop=loop,
        seed=config["seed"], config=config,
    )  # fmt: skip


def picture(source: str, *, channels: int) -> tuple[str, np.ndarray]:
    """Name and pixels uint8 [h,w,channels] of an image: a file, or «photograph:NAME» of the wheels."""
    if channels not in (1, 3):
        raise UserError(f"config.channels is {channels}: an image has 1 or 3.")
    if source.startswith(PHOTOGRAPH):
        name = source.removeprefix(PHOTOGRAPH)
        pixels = fetch(load(photographs(names=(name,)), report=logs.say)[0])["hq"]
    else:
        name, pixels = Path(source).stem, read_image(source)
    if channels == 1:
        pixels = (pixels @ LUMA + 0.5).astype(np.uint8)[..., None]
    return name, pixels


def observed(
    config: Mapping[str, Any], image: np.ndarray, cut: Callable[[np.ndarray], np.ndarray]
) -> seen.Observation:
    """The observation that the section `task` makes of a cropped image; drawn from (seed, «task»)."""
    section = config["task"]
    make = pick(TASKS, section["name"], "task.name")
    given = {"rng": np.random.default_rng((config["seed"], 0)), "image": image}
    if section["name"] == "inpaint":
        given["cut"] = cut
    return call(make, rest(section, "name"), "task", **given)


def operator_of(section: Mapping[str, Any]) -> tuple[Callable[[jax.Array], jax.Array], int]:
    """What turns a restored image into the observed one, and how many times smaller that is."""
    if section["name"] == "super_resolution":
        factor = section["factor"]
        return functools.partial(lanczos_down, factor=factor), factor
    return lambda image: image, 1


def penalties(config: Mapping[str, Any]) -> dict[str, tuple[float, prior.Term]]:
    """{name: (weight, term)} of the section `losses`, beside the data term."""
    made = {}
    for name, section in config.items():
        pick({"variation": None}, section["name"], f"losses.{name}.name")
        variation = functools.partial(power_variation, **rest(section, "name", "weight"))

        def term(image: jax.Array, batch: Batch, frozen: Tree, variation=variation) -> jax.Array:
            del batch, frozen
            return variation(image).sum()

        made[name] = (float(section["weight"]), term)
    return made


def baselines(observation: seen.Observation, factor: int) -> dict[str, np.ndarray]:
    """Images that need no network: the observation itself, or its bicubic enlargement."""
    if factor == 1:
        return {"observed": observation["lq"]}
    large = imresize(
        observation["lq"].astype(np.float64), factor, border="mirror", round_passes=False
    )
    return {"bicubic": large.astype(np.float32)}


def noise_code(*, size: tuple[int, int], channels: int, scale: float) -> Callable[..., jax.Array]:
    """z of `channels` maps, uniform in [0, scale]."""

    def draw(key: jax.Array, batch: Batch) -> jax.Array:
        del batch
        return jax.random.uniform(key, (1, *size, channels), maxval=scale)

    return draw


def grid_code(*, size: tuple[int, int]) -> Callable[..., jax.Array]:
    """z of 2 maps: column/(w-1) and row/(h-1)."""

    def make(key: jax.Array, batch: Batch) -> jax.Array:
        del key, batch
        rows, columns = (jnp.linspace(0.0, 1.0, n) for n in size)
        return jnp.stack(jnp.meshgrid(columns, rows), -1)[None]

    return make


CODES = {"grid": grid_code, "noise": noise_code}
TASKS = {
    "denoise": seen.noisy,
    "inpaint": seen.masked,
    "restore": seen.scattered,
    "super_resolution": seen.reduced,
}
