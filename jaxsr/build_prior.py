"""Deep priors: what they need of a config, and the experiment that it describes."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr import evaluate, evaluate_priors, logs
from jaxsr.algorithms import deep_prior as prior
from jaxsr.algorithms import wrap
from jaxsr.build_method import DTYPES, SCHEDULES, network, optimiser
from jaxsr.data import observations as seen
from jaxsr.data.images import read_image
from jaxsr.data.sources import fetch, load, photographs
from jaxsr.losses.tv import power_variation
from jaxsr.ops.lanczos import lanczos_down
from jaxsr.ops.resize import imresize
from jaxsr.sections import call, check, pick, rest
from jaxsr.train import Experiment, Loop, placement
from jaxsr.types import Algorithm, Batch, Tree, UserError

REQUIRED = (
    "average", "channels", "code", "crop", "fall", "image", "losses", "noise", "placement", "seeds", "task"
)  # fmt: skip
OPTIONAL = ()
PHOTOGRAPH = "photograph:"
LUMA = np.array([0.299, 0.587, 0.114])


def experiment(config: Mapping[str, Any]) -> Experiment:
    """One network for each image and seed: everything that `train.train` needs."""
    loop = call(Loop, config["train"], "train")
    observations = observed(config)
    seeds = config["seeds"] or [config["seed"]]
    if len(set(seeds)) < len(seeds):
        raise UserError(f"config.seeds {tuple(seeds)} has a seed twice: name each once.")
    operator, factor = operator_of(config["task"])
    algorithm = wrap.several(
        method(config, operator, factor),
        members=[member(name, seed) for name in observations for seed in seeds],
        placed=place(config["placement"], list(observations.values()), len(seeds)),
    )
    batch = seen.together(observations)

    def batches(start: int) -> Iterator[dict[str, np.ndarray]]:
        del start  # every step sees the same images
        yield from itertools.repeat(batch)

    pick({"restored": None}, config["evaluation"]["name"], "evaluation.name")
    made = call(
        evaluate_priors.restored, rest(config["evaluation"], "name"), "evaluation",
        observations=observations, seeds=seeds,
        baselines={name: baselines(each, factor) for name, each in observations.items()},
    )  # fmt: skip
    return Experiment(
        algorithm=algorithm, frozen={}, batches=batches, evaluate=made, report=evaluate.report, loop=loop,
        seed=config["seed"], config=config,
    )  # fmt: skip


def method(config: Mapping[str, Any], operator: Callable, factor: int) -> Algorithm:
    """The fit of one network to one observation."""
    rate = pick(SCHEDULES, config["noise"]["name"], "noise.name")
    settings = prior.Settings(
        noise=call(rate, rest(config["noise"], "name"), "noise"),
        decay=config["average"], fall=config["fall"],
    )  # fmt: skip
    dtype = pick(DTYPES, config["precision"], "precision")
    gen = network(config["networks"]["gen"], "networks.gen", dtype=dtype)
    if config["networks"]["gen"]["outputs"] != config["channels"]:
        raise UserError(
            f"config.networks.gen.outputs is {config['networks']['gen']['outputs']} and config.channels "
            f"{config['channels']}: the network makes the channels of the image, so let them be equal."
        )
    code = pick(CODES, config["code"]["name"], "code.name")
    return prior.deep_prior(
        gen=gen,
        code=call(code, rest(config["code"], "name"), "code", factor=factor),
        terms={"data": (1.0, prior.data_term(operator))} | penalties(config["losses"]),
        fit=prior.fitness(operator),
        settings=settings,
        optimiser=optimiser(config["optimisers"]["gen"], "optimisers.gen"),
    )


def member(name: str, seed: int) -> wrap.Member:
    """The run of one image with one seed; the batch has «image/key»."""
    start = f"{name}/"

    def part(batch: Batch) -> Batch:
        return {k.removeprefix(start): v for k, v in batch.items() if k.startswith(start)}

    return wrap.Member(f"{name}_{seed}", seed, part)


def place(name: str, observations: Sequence[seen.Observation], seeds: int) -> wrap.Placed:
    """How the members share the devices; «auto»: sharded where it is possible, else unrolled.

    Measured on two CPU cores, 4 seeds of the bare denoising net on 64×64 pixels: 0.040 s a step unrolled,
    0.069 mapped.
    """
    mesh = placement().batch.mesh
    count = len(observations) * seeds
    alike = len({each["lq"].shape for each in observations}) == 1
    splits = alike and count % mesh.size == 0
    if name == "auto":
        name = "sharded" if mesh.size > 1 and splits else "unrolled"
    places = {
        "auto": None,
        "mapped": wrap.mapped,
        "sharded": wrap.sharded(mesh),
        "unrolled": wrap.unrolled,
    }
    made = pick(places, name, "placement")
    if name == "mapped" and not alike or name == "sharded" and not splits:
        raise UserError(
            f"config.placement is {name!r}, but {count} runs of {len(observations)} images "
            f"{'of one size' if alike else 'of several sizes'} cannot be split over {mesh.size} devices "
            "alike: take 'unrolled'."
        )
    return made


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


def observed(config: Mapping[str, Any]) -> dict[str, seen.Observation]:
    """{image: what the section `task` makes of its crop}, drawn from (task.draw, its place)."""
    section, found = config["task"], {}
    cut = functools.partial(call, seen.centre, config["crop"], "crop")
    make = pick(TASKS, section["name"], "task.name")
    for index, source in enumerate(config["image"].split(",")):
        name, image = picture(source, channels=config["channels"])
        if name in found:
            raise UserError(f"config.image has two images {name!r}: rename one, results would mix.")
        given = {
            "rng": np.random.default_rng((section.get("draw", 0), index)),
            "image": cut(image=image),
        }
        if section["name"] == "inpaint":
            given["cut"] = lambda mask: cut(image=mask)
        found[name] = call(make, rest(section, "name", "draw"), "task", **given)
        height, width = found[name]["lq"].shape[:2]
        logs.say(f"{name}: {width}×{height} pixels observed")
    return found


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
        options = rest(section, "name", "weight")
        check(power_variation, options, f"losses.{name}", "images")
        variation = functools.partial(power_variation, **options)

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


CODES = {"grid": grid_code, "noise": noise_code}
TASKS = {
    "denoise": seen.noisy,
    "inpaint": seen.masked,
    "restore": seen.scattered,
    "super_resolution": seen.reduced,
}
