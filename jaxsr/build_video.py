"""Deep Video Prior: what it needs of a config, and the experiment that it describes."""

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsr import evaluate, evaluate_clips, logs
from jaxsr.algorithms import video_prior as prior
from jaxsr.build_method import DTYPES, FEATURE, features, network, network_module, optimiser
from jaxsr.build_method import weights as read_weights
from jaxsr.data import clips
from jaxsr.data.sources import fetch, load, photographs
from jaxsr.devices import placement
from jaxsr.losses import perceptual, pixel
from jaxsr.metrics.warping import Pair, pairs
from jaxsr.models.video_unet import SCALES
from jaxsr.sections import call, check, pick, rest
from jaxsr.train import Experiment, Loop
from jaxsr.types import Algorithm, Tree, UserError

REQUIRED = ("clip", "flicker", "flow", "losses", "schedule", "slide")
OPTIONAL = ("features",)
PHOTOGRAPH = "photograph:"
DISTANCES = {"l1": pixel.l1, "l2": pixel.l2}
FLICKER = {"gain": clips.gain, "tints": clips.tints}
MULTIPLE = 2**SCALES  # of the sides of a frame, by which the network halves it
Flow = Callable[[int, int], jax.Array]


def experiment(config: Mapping[str, Any]) -> Experiment:
    """One network for one clip: everything that `train.train` needs."""
    pick({"temporal": None}, config["evaluation"]["name"], "evaluation.name")
    given, processed = observed(config)
    train = call(loop, config["train"], "train", frames=len(given.frames))
    order = call(
        ordered, config["schedule"], "schedule",
        given=given.frames, processed=processed.frames, epochs=config["train"]["epochs"],
    )  # fmt: skip
    algorithm, frozen = method(config, len(given.frames))
    made = call(
        evaluate_clips.temporal, rest(config["evaluation"], "name"), "evaluation",
        given=given, processed=processed, motion=motion_of(config, given),
    )  # fmt: skip
    return Experiment(
        algorithm=algorithm, frozen=frozen, batches=order,
        evaluate=made, report=evaluate.report, ended=lambda state: False,
        smaller=functools.partial(smaller_frames, config["clip"], config["slide"]["size"]),
        later=later(order, train.steps), loop=train, place=placement(seeds=1, split=False),
        seed=config["seed"], config=config,
    )  # fmt: skip


def loop(
    *, frames: int, epochs: int, log_every: int, eval_every: int, checkpoint_every: int, keep: int,
    best: str, best_mode: str, steps_per_call: int,
) -> Loop:  # fmt: skip
    """A `Loop` whose length and intervals are given in epochs, each of which sees every frame once."""
    steps = (n * frames for n in (epochs, log_every, eval_every, checkpoint_every))
    return Loop(*steps, keep=keep, best=best, best_mode=best_mode, steps_per_call=steps_per_call)


def ordered(
    *, given: np.ndarray, processed: np.ndarray, epochs: int, coarse: bool, first: int
) -> Callable[..., Iterator[dict[str, np.ndarray]]]:
    """(seed, step, share) -> the frames of that step and of all after it, one at a time, in the order of the
    clip, whatever the seed, and the same on every process.

    given, processed: uint8 [t,h,w,3]
    coarse: every other pixel of both axes, without a filter, in the first `half_epochs(epochs)`
    first:  epochs, from the beginning, that see the first frame at every step
    Frames are cut at the right and below to what the network can halve; UserError where nothing is left.
    """
    half, count = prior.half_epochs(epochs) if coarse else 0, len(given)
    multiple = MULTIPLE * (2 if half else 1)
    height, width = (side // multiple * multiple for side in given.shape[1:3])
    if not height or not width:
        raise UserError(
            f"frames of {given.shape[2]}×{given.shape[1]} pixels are smaller than the {multiple} that the "
            "network halves: take larger ones, or shrink them less (config.clip.shrink)."
        )

    def batches(seed: int, start: int, share: tuple[int, int]) -> Iterator[dict[str, np.ndarray]]:
        del seed, share
        for step in itertools.count(start):
            epoch, place = divmod(step, count)
            place, every = 0 if epoch < first else place, 2 if epoch < half else 1
            yield {
                name: np.ascontiguousarray(frames[place, :height:every, :width:every])[None]
                for name, frames in (("frame", given), ("processed", processed))
            }

    return batches


def later(
    order: Callable[..., Iterator[dict[str, np.ndarray]]], steps: int
) -> list[dict[str, Any]]:
    """The last batch of a run: its frames are larger than those of a beginning that is `coarse`."""
    with contextlib.closing(order(0, max(0, steps - 1), (0, 1))) as held:
        return [next(held)]


def smaller_frames(clip: Mapping[str, Any], size: int, share: float) -> str:
    """What to change where only this share of the memory is there: memory grows with the area."""
    if clip["input"].startswith(PHOTOGRAPH):
        return f"make the window smaller, --config.slide.size={int(size * share**0.5)}"
    shrink = clip["shrink"]
    return f"shrink the frames, --config.clip.shrink={math.ceil((shrink + 1e-9) / share**0.5)}"


def observed(config: Mapping[str, Any]) -> tuple[clips.Clip, clips.Clip]:
    """The clip and its processed frames, from the sections `clip`, `slide` and `flicker`.

    An input «photograph:NAME» is made by `slide`; an empty `processed` by `flicker`.
    """
    section = config["clip"]
    options = rest(section, "input", "processed")
    check(clips.read_clip, options, "clip", "source")
    read = functools.partial(clips.read_clip, **options)
    name = section["input"].removeprefix(PHOTOGRAPH)
    if name != section["input"]:
        if (options["start"], options["frames"], options["shrink"]) != (0, 0, 1):
            raise UserError(
                "config.clip.start, frames and shrink choose from files: the clip of a photograph is that of "
                "config.slide (frames, size, pace)."
            )
        picture = fetch(load(photographs(names=(name,)), report=logs.say)[0])["hq"]
        given = call(clips.slide, config["slide"], "slide", image=picture)
    else:
        given = read(section["input"])
    if section["processed"]:
        processed = read(section["processed"])
    else:
        flicker = config["flicker"]
        spoil = pick(FLICKER, flicker["name"], "flicker.name")
        rng = np.random.default_rng(flicker["draw"])
        processed = call(spoil, rest(flicker, "name", "draw"), "flicker", rng=rng, clip=given)
    clips.check_pair(given, processed)
    count, height, width = given.frames.shape[:3]
    logs.say(f"{section['input']}: {count} frames of {width}×{height} pixels")
    return given, processed


def motion_of(config: Mapping[str, Any], given: clips.Clip) -> evaluate_clips.Motion | None:
    """The pairs of frames for the warping error: by SPyNet, else by `slide`, else none."""
    flow = call(spynet, config["flow"], "flow", frames=given.frames)
    if flow is None and config["clip"]["input"].startswith(PHOTOGRAPH):
        flow = sliding(given.frames.shape[1:3], config["slide"]["pace"])
    if flow is None:
        return None

    def motion() -> Mapping[str, tuple[Pair, ...]]:
        logs.say(f"flow between {len(given.frames)} frames, for the warping error")
        return pairs(len(given.frames), flow)

    return motion


def spynet(*, frames: np.ndarray, weights: str) -> Flow | None:
    """The flow between two of the frames [t,h,w,3] by the SPyNet of a weight file; None without a file."""
    if not weights:
        return None
    held, card = read_weights(weights)
    if card["network"]["name"] != "spynet":
        raise UserError(
            f"config.flow.weights = {weights!r} holds a {card['network']['name']}: name the weights of a "
            "SPyNet."
        )
    module = network_module(card["network"], "flow.weights", dtype=jnp.float32)
    run = jax.jit(module.apply)

    def flow(reference: int, other: int) -> jax.Array:
        one, two = (frames[t][None].astype(np.float32) / 255 for t in (reference, other))
        return run(held, one, two)[0]

    return flow


def sliding(size: tuple[int, int], pace: int) -> Flow:
    """The true flow between windows of `clips.slide`."""
    return lambda reference, other: jnp.broadcast_to(
        jnp.array([float(pace * (reference - other)), 0.0]), (*size, 2)
    )


def method(config: Mapping[str, Any], count: int) -> tuple[Algorithm, Tree]:
    """The fit of a network to a clip of `count` frames, and its frozen weights."""
    section = config["networks"]["gen"]
    pick({"video_unet": None}, section["name"], "networks.gen.name")
    terms, frozen = losses(config, config["schedule"]["first"] * count)
    modes = 2 if any(each["name"] == "competing" for each in config["losses"].values()) else 1
    if section["outputs"] != 3 * modes:
        raise UserError(
            f"config.networks.gen.outputs is {section['outputs']}: with the loss `competing` it is 6, two "
            "images, and without it 3."
        )
    dtype = pick(DTYPES, config["precision"], "precision")
    made = prior.video_prior(
        gen=network(section, "networks.gen", dtype=dtype),
        terms=terms,
        finish=prior.two_modes if modes == 2 else prior.single,
        multiple=MULTIPLE,
        optimiser=optimiser(config["optimisers"]["gen"], "optimisers.gen"),
    )
    return made, frozen


def losses(
    config: Mapping[str, Any], until: int
) -> tuple[dict[str, tuple[float, prior.Term]], Tree]:
    """{name: (weight, term)} of the section `losses`, and the frozen weights of its features.

    l1, l2: of pixels; feature_l1, feature_l2: with the section `features`; competing: of two modes, which
    begin to compete at step `until`. Without a file of VGG19 its terms are left out, and that is said.
    """
    extract, layers, frozen = None, {}, {}
    held = config["features"] if "features" in config else None
    if held and not (held["name"] == "vgg19" and not held["weights"]):
        extract, variables, layers = features(held)
        frozen = {"features": variables}
    made = {}
    for name, section in config["losses"].items():
        kind, where, options = section["name"], f"losses.{name}", rest(section, "name", "weight")
        pick(dict.fromkeys([*DISTANCES, *FEATURE, "competing"]), kind, f"{where}.name")
        if kind == "competing":
            term = call(prior.competing, options, where, until=until)
        else:
            distance = (DISTANCES | FEATURE)[kind]
            check(distance, options, where, "prediction", "target")
            if kind in DISTANCES:
                term = prior.comparing(distance)
            elif held is None:
                raise UserError(f"config.{where} compares features: add a section config.features.")
            elif extract is None:
                logs.say(f"{where} is left out: config.features.weights names no file of VGG19")
                continue
            else:
                # features are computed anew going backwards: those of a frame take much memory
                value = perceptual.compared(distance, jax.checkpoint(extract), layers)
                term = prior.resembling(value)
        made[name] = (float(section["weight"]), term)
    if not made:
        raise UserError("config.losses has nothing to minimise: add {'name': 'l1', 'weight': 1.0}.")
    return made, frozen
