"""Deep priors: what they need of a config, and the experiment that it describes."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxsr import build_observed as scene
from jaxsr import evaluate, evaluate_priors
from jaxsr.algorithms import deep_prior as prior
from jaxsr.algorithms import stopping, wrap
from jaxsr.build_method import DTYPES, FEATURE, SCHEDULES, features, network, optimiser
from jaxsr.data import observations as seen
from jaxsr.losses import perceptual
from jaxsr.losses.activation import activation
from jaxsr.losses.tv import power_variation
from jaxsr.sections import call, pick, rest
from jaxsr.seeds import distinct, part_of, placing
from jaxsr.state import State
from jaxsr.train import Experiment, Loop
from jaxsr.types import Algorithm, Batch, Tree, UserError

REQUIRED = (
    "average", "channels", "code", "crop", "fall", "image", "losses", "noise", "stopping",
    "task", "watches",
)  # fmt: skip
OPTIONAL = ("features",)


def experiment(config: Mapping[str, Any]) -> Experiment:
    """One network for each image and seed: everything that `train.train` needs."""
    loop = call(Loop, config["train"], "train")
    operator, factor = scene.operator_of(config["task"])
    observations = scene.observed(config, operator)
    seeds = distinct(config["seeds"] or [config["seed"]])
    # the batch has «image/key», the same for every seed
    members = [
        wrap.Member(f"{name}_{seed}", seed, part_of(name))
        for name in observations
        for seed in seeds
    ]
    alike = len({each["lq"].shape for each in observations.values()}) == 1
    placed, place = placing(config["placement"], len(members), alike=alike, split=False)
    single, frozen = method(config, operator, factor)
    algorithm = wrap.several(single, members=members, placed=placed)
    batch = seen.together(observations)

    def batches(*_: Any) -> Iterator[dict[str, np.ndarray]]:
        yield from itertools.repeat(batch)  # every step of every process sees the same images

    def ended(state: State) -> bool:
        return bool(config["stopping"]["watch"]) and all(
            bool(state.extra[m.name]["stopping"]["ended"]) for m in members
        )

    pick({"restored": None}, config["evaluation"]["name"], "evaluation.name")
    made = call(
        evaluate_priors.restored, rest(config["evaluation"], "name"), "evaluation",
        observations=observations, seeds=seeds, watches=tuple(config["watches"]),
        baselines={name: scene.baselines(each, factor) for name, each in observations.items()},
    )  # fmt: skip
    return Experiment(
        algorithm=algorithm, frozen=frozen, batches=batches, evaluate=made, report=evaluate.report,
        ended=ended, smaller=functools.partial(crop_that_fits, observations, factor, config["crop"]),
        later=(), loop=loop, place=place, seed=config["seed"], config=config,
    )  # fmt: skip


def crop_that_fits(
    observations: Mapping[str, seen.Observation], factor: int, crop: Mapping[str, int], share: float
) -> str:
    """What to change where only this share of the memory is there: memory grows with the area."""
    area = factor**2 * max(each["lq"][..., 0].size for each in observations.values())
    side = int((area * share) ** 0.5) // crop["multiple"] * crop["multiple"]
    fits = "take a network with fewer scales or maps"
    if side:
        fits = f"take a crop, --config.crop.size={side}, or fewer images and seeds at once"
    if jax.default_backend() == "cpu":  # whose compiler takes the second computation back
        return fits
    return f"{fits}, or let config.networks.gen.remat=True recompute what it can"


def method(
    config: Mapping[str, Any], operator: scene.Operator, factor: int
) -> tuple[Algorithm, Tree]:
    """The fit of one network to one observation, and its frozen weights."""
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
    code = pick(scene.CODES, config["code"]["name"], "code.name")
    found, frozen = terms(config, operator)
    made = prior.deep_prior(
        gen=gen,
        code=call(code, rest(config["code"], "name"), "code", factor=factor),
        terms=found,
        fit=prior.fitness(operator),
        settings=settings,
        watches=watching(config["watches"], operator),
        optimiser=optimiser(config["optimisers"]["gen"], "optimisers.gen"),
    )
    section = config["stopping"]
    if not section["watch"]:
        return made, frozen
    pick(dict.fromkeys(config["watches"]), section["watch"], "stopping.watch")
    return call(
        stopping.patient, rest(section, "watch"), "stopping",
        algorithm=made, metric=section["watch"], kept=("average",),
    ), frozen  # fmt: skip


def watching(config: Mapping[str, Any], operator: scene.Operator) -> dict[str, stopping.Watch]:
    """What is watched of the outputs, from the section `watches`."""
    kinds = {
        "held_out": (stopping.held_out, ("share",), {"operator": operator}),
        "variance": (stopping.variance, (), {}),
    }
    made = {}
    for name, section in config.items():
        function, elsewhere, given = pick(kinds, name, "watches")
        made[name] = call(function, rest(section, *elsewhere), f"watches.{name}", **given)
    return made


def terms(
    config: Mapping[str, Any], operator: scene.Operator
) -> tuple[dict[str, tuple[float, prior.Term]], Tree]:
    """{name: (weight, term)} of the section `losses`, and the frozen weights of its features.

    observed: the data term; variation: of the image alone; feature_l1, feature_l2: features of what is
    observed of the image and of `lq`; activation: one map of a layer. The last three need `features`.
    """
    extract, frozen, layers = None, {}, {}
    if "features" in config:
        if config["channels"] != 3:
            raise UserError("config.features looks at colours: let config.channels be 3.")
        extract, held, layers = features(config["features"])
        frozen = {"features": held}
    simple = {"observed": lambda: prior.data_term(operator), "variation": varying}
    deep = {name: functools.partial(resembling, fn, operator) for name, fn in FEATURE.items()}
    deep["activation"] = exciting
    made = {}
    for name, section in config["losses"].items():
        kind, where = section.get("name", ""), f"losses.{name}"
        function = pick(simple | deep, kind, f"{where}.name")
        if kind in deep and extract is None:
            raise UserError(f"config.{where} needs features: add a section config.features.")
        given = {"extract": extract, "layers": layers} if kind in deep else {}
        if "weight" not in section:
            raise UserError(f"config.{where}.weight is missing: add it.")
        term = call(function, rest(section, "name", "weight"), where, **given)
        made[name] = (float(section["weight"]), term)
    if not made:
        raise UserError(
            "config.losses is empty: the data term is {'name': 'observed', 'weight': 1.0}."
        )
    return made, frozen


def varying(*, power: float) -> prior.Term:
    """`power_variation` of the image, a sum."""

    def term(image: jax.Array, batch: Batch, frozen: Tree) -> jax.Array:
        del batch, frozen
        return power_variation(image, power=power).sum()

    return term


def resembling(
    distance: Callable[..., dict[str, jax.Array]], operator: scene.Operator, *,
    extract: Callable[..., Any], layers: Mapping[str, float],
) -> prior.Term:  # fmt: skip
    """The distance between the features of operator(image) and of `lq`, see `perceptual.compared`."""
    value = perceptual.compared(distance, extract, layers)

    def term(image: jax.Array, batch: Batch, frozen: Tree) -> jax.Array:
        return value(frozen["features"], operator(image), batch["lq"])

    return term


def exciting(
    *, extract: Callable[..., Any], layers: Mapping[str, float], map: int, window: int
) -> prior.Term:
    """The negative activation of one map in the middle of the layers."""

    def term(image: jax.Array, batch: Batch, frozen: Tree) -> jax.Array:
        del batch
        found = extract(frozen["features"], image)
        strength = {n: activation(x, map=map, window=window).sum() for n, x in found.items()}
        return -sum(layers[name] * value for name, value in strength.items())

    return term
