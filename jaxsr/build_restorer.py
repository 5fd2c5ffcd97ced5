"""From the name of a weight file to a `Restorer`: which network it is, whether it fits, its scale."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxsr import build_method
from jaxsr.data.maps import CLASSES
from jaxsr.inference.prior import low_prior
from jaxsr.inference.restorer import Restorer
from jaxsr.interchange import convert
from jaxsr.sections import pick
from jaxsr.types import Tree, UserError

# take the class probabilities of the prior beside the image
CONDITIONED = ("compositional_net", "concat_net", "film_net", "sftnet")
# networks whose constructor has no scale
FIXED_SCALE = dict.fromkeys(CONDITIONED, 4) | {"tool_large": 1, "tool_small": 1}
ANY_SCALE = (
    "dncnn",
    "srcnn",
    "vdsr",
)  # no weight depends on the scale: the input is enlarged first
SEVERAL = {"mslapsrn": (2, 4, 8)}  # one set of weights for these scales
LARGEST_SCALE = 16
SEGMENTER = "pretrained:segmenter"
SEGMENTERS = ("outdoor_scene_seg", "prior_net")  # networks whose softmax is the prior


def restorer(
    source: str, *, scale: int | None = None, prior: str = SEGMENTER, precision: str = "float32"
) -> Restorer:
    """The network of a weight file, ready to restore.

    source: «pretrained:NAME», the folder of a run, a .safetensors file of ours, or a weight file of
            other code that `jaxsr.interchange` knows
    scale:  needed for networks that take any scale and one for several; elsewhere it is checked
    prior:  weights of the segmenter that prior maps come from (read for SFT-Net and its kin only)
    precision: type that the network computes in, float32 (in full, TF32 on no GPU) or bfloat16;
            weights and images are float32

    Raises UserError for a file that is missing, damaged or of no known network, a network that
    restores no images, a scale that is not the network's, tensors missing, left over or of a wrong
    shape, and for NaN or infinity in one.
    """
    variables, card = build_method.weights(source)
    section = card.get("network")
    if not isinstance(section, dict) or "name" not in section:
        raise UserError(f"{source} does not say in its card which network it is: export it again.")
    name, section = section["name"], dict(section)
    network = build_method.NETWORKS.get(name)
    fields = {field.name for field in dataclasses.fields(network)} if network else set()
    if "scale" not in fields and name not in FIXED_SCALE:
        raise UserError(
            f"{source} holds a {name}, which restores no images "
            + (
                "without its tools: name them, as --tools does."
                if name == "toolchain_agent"
                else "here: name the weights of a super-resolution network."
            )
        )
    if "scale" in fields:
        section["scale"] = chosen_scale(source, section, scale, told="layout" not in card)
    elif scale not in (None, FIXED_SCALE[name]):
        raise UserError(_refusal(source, name, f"×{FIXED_SCALE[name]}", scale))
    maps = prior_function(prior) if name in CONDITIONED else None
    dtype = pick(build_method.DTYPES, precision, "precision")
    try:
        module = build_method.network_module(section, "network", dtype=dtype)
        factor = section["scale"] if "scale" in fields else FIXED_SCALE[name]
        channels = module.channels if "channels" in fields else 3
        inputs = [(1, 16, 16, channels)] + [(1, 16 * factor, 16 * factor, 8)] * (maps is not None)
        convert.check_shapes(module, inputs, variables)
    except (UserError, ValueError, TypeError) as error:
        raise UserError(f"{source}: {error}") from error
    check_finite(source, variables)
    return Restorer(
        name, factor, channels, _apply(module), variables, maps, dict(card, network=section)
    )


def chosen_scale(
    source: str, section: Mapping[str, Any], scale: int | None, *, told: bool = True
) -> int:
    """The scale to restore with: the network's own, or the one asked for where it has several.

    section: of the network; without `scale`, or with 1 for a network that enlarges its input, the
             weights do not tell it
    told:    a section without `scale` means the constructor's default, as in a config; in weights of
             other code it means that nobody knows it (FSRCNN, IDN), and ×2 would pass for ×4
    """
    name, own = section["name"], section.get("scale")
    if name in ANY_SCALE and own in (None, 1):
        allowed, known = range(1, LARGEST_SCALE + 1), "any scale"
    elif name not in SEVERAL and own is None and not told:
        allowed, known = range(2, LARGEST_SCALE + 1), "a scale that its weights do not tell"
    elif section.get("scales") or (name in SEVERAL and own is None):
        allowed = section.get("scales") or SEVERAL[name]
        known = "×" + ", ×".join(map(str, allowed))
    else:
        # the constructor's default is what the weights were made with
        own = build_method.NETWORKS[name].scale if own is None else own
        allowed, known = (own,), f"×{own}"
    wanted = (
        (own if len(allowed) == 1 or section.get("scales") else None) if scale is None else scale
    )
    if wanted is None:
        raise UserError(f"{source} holds a {name} for {known}: say which with --scale.")
    if wanted not in allowed:
        raise UserError(_refusal(source, name, known, wanted))
    return wanted


def _refusal(source: str, name: str, own: str, scale: int | None) -> str:
    return (
        f"{source} holds a {name} that restores {own}, not ×{scale}: leave the scale away or name "
        f"weights of ×{scale}."
    )


def check_finite(source: str, variables: Tree) -> None:
    """UserError that names a tensor with NaN or infinity in it."""
    for name, value in flax.traverse_util.flatten_dict(dict(variables), sep="/").items():
        if not np.isfinite(value).all():
            raise UserError(
                f"{source}: the tensor {name} holds NaN or infinity, so nothing can be restored with "
                "it: take an earlier checkpoint."
            )


def prior_function(source: str) -> Callable[[np.ndarray], np.ndarray]:
    """The prior maps of low-resolution images by the segmenter of a weight file, see `segmenter`."""
    return low_prior(*segmenter(source))


def segmenter(source: str) -> tuple[Callable[..., jax.Array], Tree]:
    """(variables, image [1, h, w, 3]) -> class logits [1, h, w, 8], and the variables of a segmenter.

    source: as for `restorer`: PriorNet of ours, or the published OutdoorSceneSeg

    Raises UserError as `restorer`, and for a network that is no segmenter of the eight classes.
    """
    variables, card = build_method.weights(source)
    section = card.get("network")
    name = (
        section["name"] if isinstance(section, dict) and "name" in section else "network of no name"
    )
    if name not in SEGMENTERS:
        raise UserError(
            f"{source} holds a {name}, not a segmenter ({' or '.join(SEGMENTERS)}) as prior maps need: "
            f"{SEGMENTER} is one."
        )
    try:
        module = build_method.network_module(section, "network", dtype=jnp.float32)
        if module.classes != CLASSES:
            raise UserError(f"it has {module.classes} classes, prior maps have {CLASSES}.")
        convert.check_shapes(module, [(1, 64, 64, 3)], variables)
    except (UserError, ValueError, TypeError) as error:
        raise UserError(f"{source}: {error}") from error
    check_finite(source, variables)
    return _apply(module), variables


def interpolate(first: Restorer, second: Restorer, *, alpha: float) -> Restorer:
    """The network between two: every parameter is (1 - alpha)·first + alpha·second.

    alpha in [0, 1]; 0 and 1 give the bits of one of them. Raises UserError for another range and for
    networks of different structure.
    Source: Wang et al. 2018 (ESRGAN), arXiv:1809.00219, section 3.4.
    """
    if not 0 <= alpha <= 1:
        raise UserError(f"alpha is a share between 0 and 1, not {alpha}.")
    shapes = [jax.tree.map(np.shape, dict(each.variables)) for each in (first, second)]
    alike = [(each.name, each.scale, _options(each)) for each in (first, second)]
    if alike[0] != alike[1] or shapes[0] != shapes[1]:
        raise UserError(
            f"a {first.name} ×{first.scale} and a {second.name} ×{second.scale} have not the same "
            "parameters or options: interpolate weights of one network."
        )

    def between(a: Any, b: Any) -> np.ndarray:
        mixed = (1 - alpha) * np.asarray(a, np.float64) + alpha * np.asarray(b, np.float64)
        return mixed.astype(np.float32)

    if alpha in (0, 1):
        variables = second.variables if alpha else first.variables
    else:
        variables = jax.tree.map(between, first.variables, second.variables)
    card = first.card | {"interpolated": {"with": second.card, "alpha": alpha}}
    return first._replace(variables=variables, card=card)


def _options(restorer: Restorer) -> str:
    """All options of a network in one text: recursions or gains leave no trace in the shapes."""
    module = build_method.network_module(restorer.card["network"], "network", dtype=jnp.float32)
    fields = [field.name for field in dataclasses.fields(module) if field.name != "parent"]
    # as JSON, in which the lists of a card are the tuples of a layout
    return json.dumps({name: getattr(module, name) for name in fields}, default=str)


def _apply(module: nn.Module) -> Callable[..., jax.Array]:
    def apply(variables: Tree, *inputs: jax.Array) -> jax.Array:
        # float32 in full: by default a GPU takes TF32, three digits, and windows show against the whole
        with jax.default_matmul_precision("float32"):
            return module.apply(variables, *inputs, train=False)

    return apply
