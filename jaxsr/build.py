"""From a config to an `Experiment`: the only reader of configs, with `build_method` for the method itself."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from jaxsr import evaluate, logs
from jaxsr.build_method import algorithm, bind, features, network_module, weights
from jaxsr.data import pipeline, sources, transforms
from jaxsr.inference.prior import cut_to_prior, prior_maps, read_prior
from jaxsr.metrics.features import feature_distance
from jaxsr.ops.resize import imresize
from jaxsr.sections import call, nearest, pick, rest
from jaxsr.train import Experiment, Loop
from jaxsr.types import UserError

SOURCES = {
    "folder": sources.folder,
    "labelled": sources.labelled,
    "photographs": sources.photographs,
}
TRANSFORMS = {
    "crop": transforms.crop,
    "segmentation_crop": transforms.segmentation_crop,
    "sft_sample": transforms.sft_sample,
}
REQUIRED = (
    "accumulate", "algorithm", "data", "ema", "evaluation", "inputs", "losses", "name", "networks",
    "optimisers", "precision", "scale", "seed", "train",
)  # fmt: skip
OPTIONAL = ("adversarial", "classification", "degradation", "features", "finish", "prior")
PRIORS = ("", "background", "files", "prior_net")
REPORT_SECONDS = 15  # between two lines about work that goes on before the first step
# keys of a source that are relative to config.data.root: always, and where they are no bare name of
# a list that is shipped
PATHS, LISTS = ("path", "images", "labels"), ("include", "exclude")


def experiment(config: ml_collections.ConfigDict) -> Experiment:
    """Everything that `train.train` needs, from a config; what is wrong in it raises UserError."""
    plain = config.to_dict()
    known = REQUIRED + OPTIONAL
    for name in plain:
        if name not in known:
            raise UserError(
                f"config.{name} is not known{nearest(name, known)}: there are {', '.join(known)}."
            )
    for name in REQUIRED:
        if name not in plain:
            raise UserError(f"config.{name} is missing: copy it from a file of configs/.")
    data, seed = plain["data"], plain["seed"]
    # the method first: a mistake in the config should not wait for images to be read
    extract, held, layers = features(plain["features"]) if "features" in plain else (None, {}, {})
    method = algorithm(plain, extract, layers)
    loop = call(Loop, plain["train"], "train")
    make = pick(TRANSFORMS, data["transform"]["name"], "data.transform.name")
    transform = call(make, rest(data["transform"], "name"), "data.transform")
    maps = segmenter(plain["prior"]) if "prior" in plain else None
    groups = [
        (samples(data, "train", name, maps), section["weight"])
        for name, section in data["train"].items()
    ]
    held_out = [s for name in data["test"] for s in samples(data, "test", name, maps)]
    sources.check_leak([s for group, _ in groups for s in group], held_out)
    dataset = pipeline.batches(
        groups, seed=seed, batch_size=data["batch"], transform=transform,
        shard=(jax.process_index(), jax.process_count()),
    )  # fmt: skip
    return Experiment(
        algorithm=method,
        frozen={"features": held} if extract else {},
        batches=functools.partial(pipeline.iterate, dataset, workers=data["workers"]),
        evaluate=evaluation(plain, held_out, extract, held),
        report=evaluate.report,
        loop=loop,
        seed=seed,
        config=plain,
    )


def samples(
    data: Mapping[str, Any], part: str, name: str, maps: Callable[[np.ndarray], np.ndarray] | None
) -> tuple[dict[str, Any], ...]:
    """The decoded images of one source of `data.train` or `data.test`, with their prior maps."""
    section, where = data[part][name], f"data.{part}.{name}"
    options = {
        key: str(Path(data["root"]) / value)
        if value and (key in PATHS or (key in LISTS and "/" in value))
        else value
        for key, value in rest(section, "kind", "weight", "prior", "maps", "class_table").items()
    }
    items = call(pick(SOURCES, section["kind"], f"{where}.kind"), options, where)
    held = sources.load(
        items,
        class_table=section.get("class_table") or None,
        max_broken=data["max_broken"],
        min_size=smallest(data["transform"]) if part == "train" else 0,
        cache_mib=data["cache_mib"],
        report=logs.say,
    )
    logs.say(f"{where}: {len(held)} images")
    kind = section.get("prior", "")
    pick(dict.fromkeys(PRIORS), kind, f"{where}.prior")
    if not kind:
        return held
    folder = Path(data["root"]) / section.get("maps", "")
    made, clock = [], time.monotonic()
    for count, sample in enumerate(held, start=1):
        made.append(with_prior(sample, kind, folder, maps))
        if time.monotonic() - clock > REPORT_SECONDS:
            logs.say(f"{where}: prior maps of {count} of {len(held)} images")
            clock = time.monotonic()
    return tuple(made)


def smallest(transform: Mapping[str, Any]) -> int:
    """The pixels that a transform needs of the shorter side of an image; the segmenter's pads instead."""
    padded = transform["name"] == "segmentation_crop"
    return 0 if padded else transform["size"] + 2 * transform.get("margin", 0)


def with_prior(sample: dict[str, Any], kind: str, folder: Path, maps: Any) -> dict[str, Any]:
    """A sample with its `prior`: a map uint8 [h, w, 8], or the word «background»."""
    if kind == "background":
        return sample | {"prior": "background"}
    image = cut_to_prior(sources.fetch(sample)["hq"])
    if kind == "files":
        full = sources.fetch(sample)["hq"].shape[:2]
        found = read_prior(folder / f"{Path(sample['name']).stem}.npy", shape=full)
        found = found[: image.shape[0], : image.shape[1]]
    else:
        found = maps(image)
    return sample | {"hq": image, "prior": found}


def segmenter(section: Mapping[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """The function from an image to its prior maps, with the segmenter of the section `prior`."""
    module = network_module(section, "prior", dtype=jnp.float32)
    held, _ = weights(section["weights"])
    apply = bind(module, lambda drawn: drawn).apply
    return prior_maps(lambda variables, image: apply(variables, image, train=False)[0], held)


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
    pick({"restoration": None, "segmentation": None}, section["name"], "evaluation.name")
    pairs = [pair(sample, section["pair"], scale=config["scale"]) for sample in held_out]
    return call(
        evaluate.restoration, options, "evaluation",
        samples=pairs, method=config["name"], scale=config["scale"],
        baselines=baselines(section["baselines"], pairs, scale=config["scale"]),
        distance=distance(extract, held) if extract and section["distance"] else None,
        distance_name=section["distance"],
    )  # fmt: skip


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
