"""From a config to an `Experiment`: data and dispatch; the only readers of configs are the `build` files."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from jaxsr import build_images, build_prior, build_toolchain, build_video, evaluate, logs
from jaxsr.algorithms import wrap
from jaxsr.build_method import bind, network_module, weights
from jaxsr.data import distortions, pairs, pipeline, prepared, records, scenes, sources, transforms
from jaxsr.data.levels import BANDS
from jaxsr.data.maps import cut_to_prior
from jaxsr.devices import placement
from jaxsr.inference.prior import prior_maps
from jaxsr.interchange.convert import check_shapes
from jaxsr.models.blocks import convolving
from jaxsr.ops.convolution import conv_with_own_gradients, everywhere, where_faster
from jaxsr.outdoor import DISCRIMINATOR
from jaxsr.outdoor import NAMES as CLASSES
from jaxsr.sections import call, nearest, pick, rest
from jaxsr.seeds import several
from jaxsr.train import Experiment, Loop
from jaxsr.types import Algorithm, UserError

SOURCES = {
    "folder": sources.folder,
    "labelled": sources.labelled,
    "pairs": pairs.pairs,
    "photographs": sources.photographs,
    "scenes": scenes.scenes,
}
# those that give samples and not the items to be read
READERS = {"records": records.records, "tfds": prepared.prepared}
TRANSFORMS = {
    "crop": transforms.crop,
    "distorted_patch": distortions.distorted_patch,
    "paired_crop": transforms.paired_crop,
    "segmentation_crop": transforms.segmentation_crop,
    "sft_sample": transforms.sft_sample,
    "tool_patch": distortions.tool_patch,
}
COMMON = (
    "algorithm", "evaluation", "name", "networks", "optimisers", "placement", "precision", "seed", "seeds",
    "train", "weight_gradient",
)  # fmt: skip
# by config.algorithm: the module with its REQUIRED and OPTIONAL sections, and its `experiment` or, where
# batches are drawn from many images, its `method`
FAMILIES = {
    "deep_prior": build_prior,
    "dqn": build_toolchain,
    "gan": build_images,
    "joint": build_toolchain,
    "policy_gradient": build_toolchain,
    "supervised": build_images,
    "video_prior": build_video,
}
PRIORS = ("", "background", "prior_net")
MIXINGS = {"drawn": True, "interleaved": False}  # of the groups of images, see `pipeline.batches`
REPORT_SECONDS = 15  # between two lines about work that goes on before the first step
# keys of a source that are relative to config.data.root: always, and where they are no bare name of
# a list that is shipped
PATHS, LISTS = (
    ("path", "images", "labels", "maps", "hq", "lq"),
    ("include", "exclude", "categories"),
)


def experiment(config: ml_collections.ConfigDict) -> Experiment:
    """Everything that `train.train` needs, from a config; what is wrong in it raises UserError."""
    plain = config.to_dict()
    if "algorithm" not in plain:
        raise UserError("config.algorithm is missing: copy it from a file of configs/.")
    family = pick(FAMILIES, plain["algorithm"], "algorithm")
    known = COMMON + family.REQUIRED + family.OPTIONAL
    for name in plain:
        if name not in known:
            raise UserError(
                f"config.{name} is not known{nearest(name, known)}: there are {', '.join(known)}."
            )
    for name in COMMON + family.REQUIRED:
        if name not in plain:
            raise UserError(f"config.{name} is missing: copy it from a file of configs/.")
    own = family in (build_prior, build_video)
    made = family.experiment(plain) if own else from_images(family, plain)
    made = made._replace(algorithm=differentiated(made.algorithm, plain["weight_gradient"]))
    # the runs of deep priors are images × seeds already
    if family is build_prior or not plain["seeds"]:
        return made
    return several(made, plain["seeds"], plain["placement"])


def differentiated(algorithm: Algorithm, name: str) -> Algorithm:
    """An algorithm whose convolutions have the gradients that config.weight_gradient names.

    xla: its own rules; products: those of `ops.convolution` for all, which pays inside loops; mixed: these
    for the kernels where they are faster elsewhere too. On an accelerator XLA's are fast, and stay.
    """
    treated = {"mixed": where_faster, "products": everywhere, "xla": None}
    treats = pick(treated, name, "weight_gradient")
    if treats is None or jax.default_backend() != "cpu":
        return algorithm
    conv = conv_with_own_gradients(treats=treats)
    return wrap.within(algorithm, context=functools.partial(convolving, conv))


def from_images(family: Any, plain: Mapping[str, Any]) -> Experiment:
    """The experiment of a method that learns from batches of many images."""
    data = plain["data"]
    # the method first: a mistake in the config should not wait for images to be read
    method, frozen, evaluating = family.method(plain)
    loop = call(Loop, plain["train"], "train")
    make = pick(TRANSFORMS, data["transform"]["name"], "data.transform.name")
    transform = call(make, rest(data["transform"], "name"), "data.transform")
    maps = segmenter(plain["prior"]) if "prior" in plain else None
    groups = [
        (samples(data, "train", name, maps), section["weight"])
        for name, section in data["train"].items()
    ]
    if "bands" in data:
        groups = by_band([s for group, _ in groups for s in group], data["bands"])
    held_out = [s for name in data["test"] for s in samples(data, "test", name, maps)]
    sources.check_leak([s for group, _ in groups for s in group], held_out)
    drawn = pick(MIXINGS, data["mixing"], "data.mixing")

    def batches(seed: int, start: int, share: tuple[int, int]) -> Any:
        dataset = pipeline.batches(
            groups,
            seed=seed,
            batch_size=data["batch"],
            transform=transform,
            shard=share,
            drawn=drawn,
        )
        return pipeline.iterate(dataset, start, workers=data["workers"])

    return Experiment(
        algorithm=method,
        frozen=frozen,
        batches=batches,
        evaluate=evaluating(held_out),
        report=evaluate.report,
        ended=lambda state: False,
        smaller=functools.partial(fewer, data["batch"]),
        later=(),
        loop=loop,
        place=placement(seeds=1, split=True),
        seed=plain["seed"],
        config=plain,
    )


def fewer(batch: int, share: float) -> str:
    """What to change where only this share of the memory is there."""
    return (
        f"lower config.data.batch, now {batch}, to {max(1, int(batch * share))} or less, or the size of its "
        "images"
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
        for key, value in rest(section, "kind", "weight", "prior", "class_table").items()
    }
    keeping = {
        "max_broken": data["max_broken"],
        "min_size": smallest(data["transform"]) if part == "train" else 0,
        "cache_mib": data["cache_mib"],
        "report": logs.say,
    }
    found = pick(SOURCES | READERS, section["kind"], f"{where}.kind")
    if section["kind"] in READERS:
        held = call(found, options, where, **keeping)
    else:
        items, table = call(found, options, where), section.get("class_table") or None
        held = sources.load(items, class_table=table, **keeping)
    logs.say(f"{where}: {len(held)} images{by_category(held)}")
    kind = section.get("prior", "")
    pick(dict.fromkeys(PRIORS), kind, f"{where}.prior")
    if not kind:
        return held
    if held and "prior" in sources.fetch(held[0]):
        raise UserError(
            f"config.{where} has stored maps and prior = {kind!r}: leave one of them empty."
        )
    made, clock = [], time.monotonic()
    for count, sample in enumerate(held, start=1):
        made.append(with_prior(sample, kind, maps))
        if time.monotonic() - clock > REPORT_SECONDS:
            logs.say(f"{where}: prior maps of {count} of {len(held)} images")
            clock = time.monotonic()
    return tuple(made)


def by_band(
    held: Sequence[dict[str, Any]], numbers: Sequence[int]
) -> list[tuple[tuple[dict[str, Any], ...], float]]:
    """All samples once for every tool of RL-Restore, with the band that it is for.

    The groups have one weight, so row r of a batch has the band of tool numbers[r mod n].
    """
    for number in numbers:
        if number not in range(1, len(BANDS) + 1):
            raise UserError(
                f"config.data.bands has {number!r}: the tools are numbered 1 to {len(BANDS)}."
            )
    bands = [{"band": BANDS[number - 1]} for number in numbers]
    return [(group, 1.0) for group in sources.variants(held, bands)]


def smallest(transform: Mapping[str, Any]) -> int:
    """The pixels that a transform needs of the shorter side of an image; some pad or enlarge instead."""
    any_size = transform["name"] in ("segmentation_crop", "sft_sample")
    return 0 if any_size else transform["size"] + 2 * transform.get("margin", 0)


def by_category(held: Sequence[Mapping[str, Any]]) -> str:
    """«: sky 1727, water 857, …» of samples whose paths name their categories."""
    found = [sample["category"] for sample in held if "category" in sample]
    counts = {name: found.count(DISCRIMINATOR[k]) for k, name in enumerate(CLASSES)}
    text = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    return f": {text}" if found else ""


def with_prior(sample: dict[str, Any], kind: str, maps: Any) -> dict[str, Any]:
    """A sample with its `prior`: a map uint8 [h, w, 8], or the word «background»."""
    if kind == "background":
        return sample | {"prior": "background"}
    image = cut_to_prior(sources.fetch(sample)["hq"])
    return sample | {"hq": image, "prior": maps(image)}


def segmenter(section: Mapping[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """The function from an image to its prior maps, with the segmenter of the section `prior`."""
    if not section["weights"]:
        raise UserError(
            "config.prior.weights is empty, and the segmenter makes the prior maps: name its file or the "
            "folder of its run, for example --config.prior.weights=pretrained:segmenter for prior_net."
        )
    module = network_module(section, "prior", dtype=jnp.float32)
    held, _ = weights(section["weights"])
    try:
        check_shapes(module, [(1, 64, 64, 3)], held)
    except UserError as error:
        raise UserError(f"config.prior.weights = {section['weights']!r}: {error}") from error
    apply = bind(module, lambda drawn: drawn).apply
    return prior_maps(lambda variables, image: apply(variables, image, train=False)[0], held)
