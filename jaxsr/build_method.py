"""The half of `build` that makes the method: networks, features, losses, optimisers, algorithm.

Each section of a config is read as `jaxsr.sections` says, with one of the tables below.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxsr import checkpoint, optimisers
from jaxsr.algorithms import wrap
from jaxsr.algorithms.gan import gan
from jaxsr.algorithms.supervised import supervised
from jaxsr.degradations.bicubic import bicubic
from jaxsr.interchange import convert
from jaxsr.interchange.vgg import load_vgg19
from jaxsr.losses import adversarial, classification, ms_ssim, perceptual, pixel
from jaxsr.models.acd_vgg import ACDVGG96
from jaxsr.models.carn import CARN
from jaxsr.models.conditioned import CompositionalNet, ConcatNet, FiLMNet, from_plain_parent
from jaxsr.models.disc_vgg import VGGDiscriminator
from jaxsr.models.dncnn import DnCNN
from jaxsr.models.edsr import EDSR
from jaxsr.models.espcn import ESPCN
from jaxsr.models.fsrcnn import FSRCNN
from jaxsr.models.idn import IDN
from jaxsr.models.lapsrn import LapSRN, MSLapSRN
from jaxsr.models.legacy_srresnet import LegacySRResNet
from jaxsr.models.levels_head import LevelsHead
from jaxsr.models.msrresnet import MSRResNet
from jaxsr.models.outdoor_scene_seg import OutdoorBackbone, OutdoorSceneSeg, from_backbone
from jaxsr.models.pixel_image import PixelImage
from jaxsr.models.prior_net import PriorNet, Trunk
from jaxsr.models.prior_resnet import PriorResNet
from jaxsr.models.prior_unet import PriorUNet
from jaxsr.models.privileged_critic import PrivilegedCritic
from jaxsr.models.rrdbnet import RRDBNet
from jaxsr.models.sftnet import SFTNet, from_parent, is_condition
from jaxsr.models.skip_net import SkipNet
from jaxsr.models.spynet import SPyNet
from jaxsr.models.srcnn import SRCNN
from jaxsr.models.srresnet import SRResNet
from jaxsr.models.toolbox import LargeTool, SmallTool, Toolbox
from jaxsr.models.toolchain_agent import ToolchainAgent
from jaxsr.models.vdsr import VDSR
from jaxsr.models.vgg import VGG19, layer_names
from jaxsr.models.video_unet import VideoUNet
from jaxsr.sections import call, check, nearest, pick, rest
from jaxsr.types import Algorithm, Network, Tree, UserError

NETWORKS = {
    "acd_vgg_96": ACDVGG96,
    "carn": CARN,
    "compositional_net": CompositionalNet,
    "concat_net": ConcatNet,
    "dncnn": DnCNN,
    "edsr": EDSR,
    "espcn": ESPCN,
    "film_net": FiLMNet,
    "fsrcnn": FSRCNN,
    "idn": IDN,
    "lapsrn": LapSRN,
    "legacy_srresnet": LegacySRResNet,
    "levels_head": LevelsHead,
    "mslapsrn": MSLapSRN,
    "msrresnet": MSRResNet,
    "outdoor_backbone": OutdoorBackbone,
    "outdoor_scene_seg": OutdoorSceneSeg,
    "pixel_image": PixelImage,
    "prior_net": PriorNet,
    "prior_resnet": PriorResNet,
    "prior_unet": PriorUNet,
    "privileged_critic": PrivilegedCritic,
    "rrdbnet": RRDBNet,
    "sftnet": SFTNet,
    "skip_net": SkipNet,
    "spynet": SPyNet,
    "srcnn": SRCNN,
    "srresnet": SRResNet,
    "tool_large": LargeTool,
    "tool_small": SmallTool,
    "toolbox": Toolbox,
    "toolchain_agent": ToolchainAgent,
    "vdsr": VDSR,
    "vgg_discriminator": VGGDiscriminator,
    "video_unet": VideoUNet,
}
# networks that grow from the parent that `parent` names:
# (variables, parent's variables, parent's section) -> variables
GROWN = {
    "compositional_net": functools.partial(checkpoint.grow_params, from_plain_parent),
    "concat_net": functools.partial(checkpoint.grow_params, from_plain_parent),
    "film_net": functools.partial(checkpoint.grow_params, from_parent),
    "outdoor_scene_seg": from_backbone,
    "sftnet": functools.partial(checkpoint.grow_params, from_parent),
}
OPTIMISERS = {
    "adam": optimisers.adam,
    "grouped_adam": optimisers.grouped_adam,
    "momentum": optimisers.momentum,
    "sgd": optimisers.sgd,
}
SCHEDULES = {
    "constant": optimisers.constant,
    "cosine": optimisers.cosine,
    "exponential": optimisers.exponential,
    "linear": optimisers.linear,
    "multistep": optimisers.multistep,
    "poly": optimisers.poly,
    "stages": optimisers.stages,
}
ADVERSARIAL = {
    "hinge": (adversarial.gen_hinge, adversarial.disc_hinge),
    "lsgan": (adversarial.gen_lsgan, adversarial.disc_lsgan),
    "ragan": (adversarial.gen_ragan, adversarial.disc_ragan),
    "vanilla": (adversarial.gen_vanilla, adversarial.disc_vanilla),
    "wgan": (adversarial.gen_wgan, adversarial.disc_wgan),
}
PIXEL = {
    "charbonnier": pixel.charbonnier,
    "l1": pixel.l1,
    "l2": pixel.l2,
    "ms_ssim": ms_ssim.ms_ssim,
    "ms_ssim_l1": ms_ssim.ms_ssim_l1,
}
FEATURE = {"feature_l1": perceptual.feature_l1, "feature_l2": perceptual.feature_l2}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
FINISH = {"identity": lambda output: output, "softmax": jax.nn.softmax}
PRETRAINED = "pretrained:"


def weights(source: str) -> tuple[dict[str, Tree], dict[str, Any]]:
    """Variables and card of weights.

    source: «pretrained:NAME», the folder of a run («FOLDER:SEED» for one of several seeds), a .safetensors
            file of ours, or a weight file of other code that `jaxsr.interchange` knows
    """
    if source.startswith(PRETRAINED):
        name = source.removeprefix(PRETRAINED)
        folder = Path(__file__).parent / "pretrained"
        names = [path.stem for path in folder.glob("*.safetensors")]
        if name not in names:
            raise UserError(
                f"there are no weights {source!r}{nearest(name, names)}: shipped are "
                f"{', '.join(sorted(names)) or 'none'}."
            )
        return checkpoint.load_weights(folder / f"{name}.safetensors")
    path = Path(source)
    if path.is_dir():
        return checkpoint.load_run(path)
    folder, _, member = source.rpartition(":")
    if folder and Path(folder).is_dir():
        return checkpoint.load_run(Path(folder), member=member)
    if not path.is_file() or checkpoint.is_ours(path):
        return checkpoint.load_weights(path)
    return convert.load(path)


def bind(module: nn.Module, start: Callable[[dict[str, Tree]], dict[str, Tree]]) -> Network:
    """A Flax module as a `Network`; `start` turns drawn variables into those to begin with."""

    def init(key: jax.Array, *inputs: jax.Array) -> dict[str, Tree]:
        return start(dict(module.init(key, *inputs, train=False)))

    def apply(
        variables: dict[str, Tree], *inputs: jax.Array, train: bool, key: jax.Array | None = None
    ):
        draws = {} if key is None else {"dropout": key}
        if train and "batch_stats" in variables:
            output, moved = module.apply(
                variables, *inputs, train=True, mutable=["batch_stats"], rngs=draws
            )
            return output, moved["batch_stats"]
        output = module.apply(variables, *inputs, train=train, rngs=draws)
        return output, variables.get("batch_stats", {})

    return Network(init, apply)


def network_module(section: Mapping[str, Any], where: str, *, dtype: Any) -> nn.Module:
    """The Flax module of a network section."""
    options = rest(section, "name", "weights", "parent")
    return call(pick(NETWORKS, section["name"], f"{where}.name"), options, where, dtype=dtype)


def network(section: Mapping[str, Any], where: str, *, dtype: Any) -> Network:
    """A network from its section: `name`, constructor arguments, one of `weights` and `parent`.

    weights: variables of the same network to begin with («» for random ones)
    parent:  variables of the network that SFT-Net, or another of `GROWN`, grows from: for the published
             segmenter, a ResNet-101 trained on ImageNet
    """
    module = network_module(section, where, dtype=dtype)
    if section.get("parent", "") and section.get("weights", ""):
        raise UserError(
            f"config.{where} has both weights and parent: leave one of them empty, for example "
            f"--config.{where}.parent=."
        )

    source = section.get("parent", "") or section.get("weights", "")
    # read here and not in `start`, which is traced: a run's arrays cannot be read under jit
    loaded, card = weights(source) if source else ({}, {})

    def start(drawn: dict[str, Tree]) -> dict[str, Tree]:
        if section.get("parent", ""):
            grow = pick(GROWN, section["name"], f"{where}.name")
            return grow(drawn, loaded, card.get("network", {}))
        return checkpoint.warm_start(drawn, loaded, source=source) if source else drawn

    return bind(module, start)


def optimiser(
    section: Mapping[str, Any], where: str, *, parts: int = 1
) -> optax.GradientTransformation:
    """An optimiser from its section: `name`, numbers, and schedules under `rate` (and `group_rate`)."""
    made = pick(OPTIMISERS, section["name"], f"{where}.name")
    options = rest(section, "name")
    for key in {"rate", "group_rate"} & set(section):
        inner = section[key]
        form = pick(SCHEDULES, inner["name"], f"{where}.{key}.name")
        options[key] = call(form, rest(inner, "name"), f"{where}.{key}")
    groups = {"in_group": is_condition} if section["name"] == "grouped_adam" else {}
    made = call(made, options, where, **groups)
    if parts == 1:
        return made
    return optax.MultiSteps(made, every_k_schedule=parts).gradient_transformation()


def features(
    section: Mapping[str, Any],
) -> tuple[Callable[..., dict[str, jax.Array]], Tree, dict[str, float]]:
    """The feature network of the perceptual loss, as (extract, variables, layer weights).

    extract: (variables, image) -> {layer: features}
    `vgg19` needs a weight file that the user names; `prior_net` is the trunk of a segmenter.
    """
    layers = {name: float(value) for name, value in section["layers"].items()}
    pick({"prior_net": None, "vgg19": None}, section["name"], "features.name")
    if section["name"] == "vgg19":
        deep = deepest(layers)
        if not section["weights"]:
            raise UserError(
                "config.features.weights is empty, and vgg19 comes with no weights here: make a "
                "file where PyTorch is installed, `import torchvision, safetensors.torch; "
                'vgg = torchvision.models.vgg19(weights="IMAGENET1K_V1")'
                '.features.state_dict(prefix="features."); '
                'safetensors.torch.save_file(vgg, "vgg19.safetensors")`, '
                "then --config.features.weights=vgg19.safetensors."
            )
        held = {"params": load_vgg19(Path(section["weights"]), layer=deep)}
        module = VGG19(layers=tuple(layers))
    else:
        loaded, card = weights(section["weights"])
        if card["network"]["name"] != "prior_net":
            raise UserError(
                f"config.features.weights = {section['weights']!r} holds a "
                f"{card['network']['name']}, not the prior_net of config.features.name: name the "
                "weights of one."
            )
        module = Trunk(widths=tuple(card["network"]["widths"]))
        held = {name: loaded[name]["trunk"] for name in ("params", "batch_stats")}
        known = [f"level{index}" for index, _ in enumerate(module.widths, start=1)]
        for name in layers:
            pick(dict.fromkeys(known), name, "features.layers")

    def extract(variables: Tree, image: jax.Array) -> dict[str, jax.Array]:
        found = module.apply(variables, image, train=False)
        return {name: found[name] for name in layers}

    return extract, jax.tree.map(jnp.asarray, held), layers


def deepest(layers: Mapping[str, float]) -> str:
    """The last of VGG19's layers that are named, in the order of the network."""
    names = layer_names()
    for name in layers:
        pick(dict.fromkeys(names), name, "features.layers")
    if not layers:
        raise UserError("config.features.layers is empty: name one, for example conv5_4.")
    return max(layers, key=names.index)


def losses(config: Mapping[str, Any], extract: Any, layers: Mapping[str, float]) -> dict[str, Any]:
    """{name: (weight, function of (output, batch, frozen))} from the section `losses`."""

    def pixel_loss(fn):
        return lambda output, batch, frozen: fn(output, batch["hq"])

    def feature_loss(fn):
        value = perceptual.compared(fn, extract, layers)
        return lambda output, batch, frozen: value(frozen["features"], output, batch["hq"])

    def segment_loss(*, ignore: int):
        return lambda output, batch, frozen: classification.cross_entropy(
            output, batch["label"], ignore=ignore
        )

    made = {}
    for name, section in config.items():
        where, options = f"losses.{name}", rest(section, "name", "weight")
        if section["name"] in PIXEL:
            check(PIXEL[section["name"]], options, where, "prediction", "target")
            fn = pixel_loss(functools.partial(PIXEL[section["name"]], **options))
        elif section["name"] in FEATURE:
            check(FEATURE[section["name"]], options, where, "prediction", "target")
            if extract is None:
                raise UserError(f"config.{where} compares features: add a section config.features.")
            fn = feature_loss(FEATURE[section["name"]])
        elif section["name"] == "cross_entropy":
            fn = call(segment_loss, options, where)
        else:
            names = dict.fromkeys([*PIXEL, *FEATURE, "cross_entropy"])
            pick(names, section["name"], f"{where}.name")
        made[name] = (float(section["weight"]), fn)
    return made


def rules(config: Mapping[str, Any]) -> dict[str, Any]:
    """The adversarial and auxiliary-classifier losses of `gan`, from their sections."""
    section = config["adversarial"]
    of_gen, of_disc = pick(ADVERSARIAL, section["name"], "adversarial.name")
    weight = call(_weight, rest(section, "name"), "adversarial")
    gen = {"adversarial": (weight, lambda r, f, b: of_gen(r["gan"], f["gan"]))}
    disc = {"adversarial_disc": (1.0, lambda r, f, b: of_disc(r["gan"], f["gan"]))}
    if "classification" in config:
        # background crops may hold other classes, so label 0 says nothing
        entropy = functools.partial(classification.cross_entropy, ignore=0)
        share = call(_weight, config["classification"], "classification")
        gen["classification"] = (share, lambda r, f, b: entropy(f["class"], b["label"]))
        disc["classification_real"] = (1.0, lambda r, f, b: entropy(r["class"], b["label"]))
        disc["classification_fake"] = (1.0, lambda r, f, b: entropy(f["class"], b["label"]))
    return {"gen_rules": gen, "disc_rules": disc, "logit": lambda output: output["gan"]}


def _weight(*, weight: float) -> float:
    return float(weight)


def algorithm(config: Mapping[str, Any], extract: Any, layers: Mapping[str, float]) -> Algorithm:
    """The training method with its wrappers: degradation inside, then accumulation, then EMA."""
    dtype = pick(DTYPES, config["precision"], "precision")
    nets = {
        name: network(section, f"networks.{name}", dtype=dtype)
        for name, section in config["networks"].items()
    }
    parts = config["accumulate"]
    movers = {
        name: optimiser(section, f"optimisers.{name}", parts=parts)
        for name, section in config["optimisers"].items()
    }
    content, inputs = losses(config["losses"], extract, layers), tuple(config["inputs"])
    if config["algorithm"] == "gan":
        made = gan(
            gen=nets["gen"], disc=nets["disc"], inputs=inputs, losses=content, optimisers=movers,
            **rules(config),
        )  # fmt: skip
    else:
        pick({"gan": None, "supervised": None}, config["algorithm"], "algorithm")
        made = supervised(
            network=nets["gen"], inputs=inputs, losses=content, optimiser=movers["gen"],
            finish=pick(FINISH, config["finish"], "finish"),
        )  # fmt: skip
    if "degradation" in config:
        section = config["degradation"]
        pick({"bicubic": None}, section["name"], "degradation.name")
        options = rest(section, "name", "margin")
        check(bicubic, options, "degradation", "key", "hq")
        made = wrap.degrade(
            made, margin=section["margin"], scale=section["scale"],
            degradation=functools.partial(bicubic, **options),
        )  # fmt: skip
    if parts > 1:
        made = wrap.accumulate(made, parts=parts)
    return wrap.ema(made, decay=config["ema"]) if config["ema"] else made
