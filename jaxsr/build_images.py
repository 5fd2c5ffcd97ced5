"""The methods that learn from pairs of images: what they need of a config, and how they are evaluated."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr import evaluate, evaluate_chains
from jaxsr.build_method import algorithm, features, network_module, weights
from jaxsr.data import transforms
from jaxsr.data.distorted_sets import band_set
from jaxsr.data.levels import tool_names
from jaxsr.metrics.features import feature_distance
from jaxsr.ops.resize import imresize
from jaxsr.sections import call, pick, rest
from jaxsr.types import Algorithm, Tree

REQUIRED = ("accumulate", "data", "ema", "inputs", "losses", "scale")
OPTIONAL = ("adversarial", "classification", "degradation", "features", "finish", "prior")


def method(config: Mapping[str, Any]) -> tuple[Algorithm, Tree, Callable[..., Any]]:
    """The algorithm, its frozen weights, and the function from held-out samples to the evaluation."""
    extract, held, layers = features(config["features"]) if "features" in config else (None, {}, {})
    made = algorithm(config, extract, layers)

    def evaluating(held_out: Sequence[dict[str, Any]]) -> Callable[..., Any]:
        return evaluation(config, held_out, extract, held)

    return made, {"features": held} if extract else {}, evaluating


def evaluation(
    config: Mapping[str, Any], held_out: Sequence[dict[str, Any]], extract: Any, held: Any
) -> Callable[..., Any]:
    """The evaluation that the section `evaluation` asks for, with its baselines computed."""
    section = config["evaluation"]
    options = rest(section, "name", "pair", "baselines", "distance")
    if section["name"] == "segmentation":
        pairs = [
            call(transforms.segmentation_pair, section["pair"], "evaluation.pair", sample=s)
            | {"name": s["name"]}
            for s in held_out
        ]
        return call(evaluate.segmentation, options, "evaluation", samples=pairs)
    if section["name"] == "toolbox":
        return call(
            toolbox, options, "evaluation", held_out=held_out, numbers=config["data"]["bands"]
        )
    names = dict.fromkeys(("restoration", "segmentation", "toolbox"))
    pick(names, section["name"], "evaluation.name")
    pairs = [pair(sample, section["pair"], scale=config["scale"]) for sample in held_out]
    return call(
        evaluate.restoration, options, "evaluation",
        samples=pairs, method=config["name"], scale=config["scale"],
        baselines=baselines(section["baselines"], pairs, scale=config["scale"]),
        distance=distance(extract, held) if extract and section["distance"] else None,
        distance_name=section["distance"],
    )  # fmt: skip


def toolbox(
    *, held_out: Sequence[dict[str, Any]], numbers: Sequence[int], count: int, height: int
) -> Callable[..., Any]:
    """The evaluation of RL-Restore's tools of these numbers, on `count` patches of every distortion."""
    bands = {name: band_set(band, held_out, count=count) for band, name in enumerate(tool_names())}
    return evaluate_chains.toolbox(bands=bands, tools=[n - 1 for n in numbers], height=height)


def pair(sample: Mapping[str, Any], section: Mapping[str, Any], *, scale: int) -> dict[str, Any]:
    """One held-out image as the evaluation wants it: its name, `lq`, the truth as uint8, its prior."""
    made = call(transforms.eval_pair, section, "evaluation.pair", sample=sample, scale=scale)
    return made | {"name": sample["name"], "hq": evaluate.to_uint8(made["hq"])}


def baselines(
    section: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]], *, scale: int
) -> dict[str, list[np.ndarray]]:
    """What to compare with: `bicubic` (its border rule) and networks by their weights; «» is left out."""
    made = {}
    for name, source in section.items():
        if not source:
            continue
        if name == "bicubic":
            made[name] = [
                imresize(evaluate.to_uint8(p["lq"]), scale, border=source, round_passes=True)
                for p in pairs
            ]
        else:
            variables, card = weights(source)
            module = network_module(
                card["network"], f"evaluation.baselines.{name}", dtype=jnp.float32
            )
            run = jax.jit(lambda v, x, module=module: module.apply(v, x, train=False))
            made[name] = [evaluate.to_uint8(run(variables, p["lq"][None])[0]) for p in pairs]
    return made


def distance(extract: Any, held: Any) -> evaluate.Distance:
    """A perceptual distance of two uint8 images in the features of the perceptual loss."""

    @jax.jit
    def between(variables: Any, first: jax.Array, second: jax.Array) -> jax.Array:
        return feature_distance(extract(variables, first), extract(variables, second))[0]

    def of(first: np.ndarray, second: np.ndarray) -> float:
        pair = (jnp.asarray(image[None], jnp.float32) / 255 for image in (first, second))
        return float(between(held, *pair))

    return of
