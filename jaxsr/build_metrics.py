"""LPIPS and NIQE from the files that hold their weights: without them there is no metric."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxsr import checkpoint
from jaxsr.interchange import layouts_lpips
from jaxsr.interchange.convert import check_shapes, to_ours
from jaxsr.interchange.detect import detect
from jaxsr.interchange.files import read_arrays
from jaxsr.interchange.layouts_torchvision import VGG16 as VGG16_LAYOUT
from jaxsr.metrics.lpips import VERSIONS
from jaxsr.metrics.lpips import lpips as lpips_distance
from jaxsr.metrics.niqe import Model, block_statistics
from jaxsr.metrics.niqe import niqe as niqe_score
from jaxsr.models.alexnet import AlexNet
from jaxsr.models.squeezenet import SqueezeNet
from jaxsr.models.vgg import VGG16
from jaxsr.ops.colour import luma_uint8
from jaxsr.types import Tree, UserError

# (its name in a card, module, layouts of its files, how it is called)
TRUNKS = {
    "alex": ("alexnet", AlexNet, (layouts_lpips.ALEXNET,), "AlexNet"),
    "squeeze": (
        "squeezenet",
        SqueezeNet,
        (layouts_lpips.SQUEEZENET, layouts_lpips.SQUEEZENET_KERAS),
        "SqueezeNet 1.1",
    ),
    "vgg": ("vgg16", VGG16, (VGG16_LAYOUT,), "VGG16"),
}
_LPIPS_RECIPE = (
    "make one where PyTorch is installed, `pip install lpips`, then `import lpips, torch; "
    "torch.save(lpips.LPIPS(net={net!r}, version={version!r}).state_dict(), 'lpips_{net}.pth')`: "
    "it holds the trunk and the heads"
)
_NIQE_RECIPE = (
    "name niqe_pris_params.npz of XPixelGroup/BasicSR (basicsr/metrics) or modelparameters.mat of "
    "LIVE's NIQE release"
)
# names of the two arrays in BasicSR's file and in LIVE's
_NIQE_NAMES = (("mu_pris_param", "cov_pris_param"), ("mu_prisparam", "cov_prisparam"))


class Metric(NamedTuple):
    """A score of 8-bit images, the lower the better.

    name:    of its column: lpips_alex_v0.1, niqe
    text:    one line that is printed with every number
    measure: (restored, truth), both uint8 [h, w, 3] or [h, w] -> float; NIQE looks at no truth
    """

    name: str
    text: str
    measure: Callable[[np.ndarray, np.ndarray], float]


def lpips(trunk: str, *, heads: str = "", net: str = "alex", version: str = "v0.1") -> Metric:
    """LPIPS from weight files; compiled once for each size of image.

    Args:
        trunk: file of the network: of lpips.LPIPS whole, of torchvision, the Keras SqueezeNet, or
            one of ours.
        heads: file of the linear layers; «»: they are in the file of the trunk.
        net: alex (the default of the reference), squeeze or vgg.
        version: v0.1 or v0.0.
    Raises:
        UserError: no file (and how to make one), one of another network, an unknown name, images
            of unequal size or too small when it is called.
    Source: richzhang/PerceptualSimilarity.
    """
    for name, value, known in (("net", net, TRUNKS), ("version", version, VERSIONS)):
        if value not in known:
            raise UserError(f"lpips has no {name} {value!r}: it is one of {', '.join(known)}.")
    recipe = _LPIPS_RECIPE.format(net=net, version=version.removeprefix("v"))
    if not trunk:
        raise UserError(f"LPIPS runs with the weights of {TRUNKS[net][3]} only: {recipe}.")
    module, variables = _trunk(trunk, net, recipe)
    linear, _ = read_arrays(_there(heads or trunk, recipe))
    layers = jax.tree.map(jnp.asarray, layouts_lpips.heads(linear, net=net))
    caffe = net == "squeeze" and module.input == "caffe"
    if caffe and version == "v0.0":
        raise UserError(
            "v0.0 of LPIPS is defined for torchvision's SqueezeNet only, and this file is the Caffe "
            "release: use v0.1."
        )
    run = jax.jit(
        functools.partial(
            lpips_distance, lambda held, images: module.apply(held, images), version=version
        )
    )

    def measure(restored: np.ndarray, truth: np.ndarray) -> float:
        pair = [_rgb(image) for image in (restored, truth)]
        try:
            return float(run(variables, layers, *pair)[0])
        except ValueError as error:  # of the shapes, when it is traced
            raise UserError(f"LPIPS cannot compare these images: {error}") from error

    words = TRUNKS[net][3] + (", the Caffe release, NOT the official trunk" if caffe else "")
    return Metric(
        f"lpips_{net}_{version}" + "_caffe" * caffe,
        f"LPIPS {version}, {words}, 8-bit RGB, no border cut",
        measure,
    )


def niqe(model: str, *, border: int = 0) -> Metric:
    """NIQE from the file of its pristine model; compiled twice, whatever the sizes of the images.

    Args:
        model: .npz of BasicSR or .mat of LIVE.
        border: pixels cut off on every side first (0 in BasicSR's own check, 4 in PIRM's).
    Raises:
        UserError: no file (and which one), one without the model; an image that cannot be scored
            when it is called.
    Source: as `metrics.niqe.niqe`.
    """
    if not model:
        raise UserError(f"NIQE runs with its pristine model only: {_NIQE_RECIPE}.")
    arrays, _ = read_arrays(_there(model, _NIQE_RECIPE))
    found = [names for names in _NIQE_NAMES if set(names) <= set(arrays)]
    if not found:
        raise UserError(f"{model} holds no NIQE model: {_NIQE_RECIPE}.")
    mean, covariance = (np.asarray(arrays[name], np.float64) for name in found[0])
    if mean.size != 36 or covariance.shape != (36, 36):
        raise UserError(
            f"{model} holds a NIQE model of {mean.shape} and {covariance.shape} where it has 36 "
            f"features: {_NIQE_RECIPE}."
        )
    pristine, run = Model(mean.reshape(-1), covariance), jax.jit(block_statistics)

    def measure(restored: np.ndarray, truth: np.ndarray) -> float:
        del truth
        y = luma_uint8(restored) if restored.ndim == 3 and restored.shape[-1] == 3 else restored
        return niqe_score(y.reshape(y.shape[:2]), pristine, border=border, measure=run)

    return Metric("niqe", f"NIQE, Y rounded, blocks of 96, border {border}", measure)


def _there(path: str, recipe: str) -> Path:
    if not Path(path).is_file():
        raise UserError(f"there is no weight file {path}: {recipe}.")
    return Path(path)


def _trunk(path: str, net: str, recipe: str) -> tuple[nn.Module, Tree]:
    """The module and its variables, on the device."""
    key, module, layouts, words = TRUNKS[net]
    if checkpoint.is_ours(_there(path, recipe)):
        variables, card = checkpoint.load_weights(Path(path))
        section = {k: v for k, v in card["network"].items() if k != "name"}
        if card["network"]["name"] != key:
            raise UserError(f"{path} holds a {card['network']['name']} and not {words}: {recipe}.")
    else:
        arrays = layouts_lpips.trunk(read_arrays(Path(path))[0])
        found = [(layout, detect(layout, arrays)) for layout in layouts]
        found = [pair for pair in found if pair[1] is not None]
        if not found:
            raise UserError(f"{path} holds no {words}, or only a part of it: {recipe}.")
        variables = to_ours(*found[0], arrays)
        section = found[0][1]
    if net == "vgg":
        section = {}  # all of LPIPS's layers, wherever the file's table ends
    made = module(**section)
    check_shapes(made, [(1, 64, 64, 3)], variables)
    return made, jax.tree.map(jnp.asarray, variables)


def _rgb(image: np.ndarray) -> Any:
    """uint8 [h, w, 3], [h, w, 1] or [h, w] -> float32 [1, h, w, 3] in [0, 1]."""
    if image.dtype != np.uint8:
        raise ValueError(f"LPIPS is measured on 8-bit images, not {image.dtype}.")
    image = image[..., None] if image.ndim == 2 else image
    wide = np.broadcast_to(image, (*image.shape[:2], 3))
    return wide[None].astype(np.float32) / 255
