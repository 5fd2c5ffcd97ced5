"""VGG19 weights from a file, for the losses and metrics that compare its features."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxsr.interchange.files import read_arrays
from jaxsr.interchange.layouts_torchvision import VGG19, VGG19_LAYERS
from jaxsr.models.vgg import VGG19 as Network
from jaxsr.models.vgg import layer_names
from jaxsr.types import UserError

_RECIPE = """make one where PyTorch is installed:
  import torchvision, safetensors.torch
  vgg = torchvision.models.vgg19(weights="IMAGENET1K_V1").features.state_dict(prefix="features.")
  safetensors.torch.save_file(vgg, "vgg19.safetensors")"""


def load_vgg19(path: str | Path, *, layer: str = "conv5_4") -> dict[str, dict[str, np.ndarray]]:
    """Parameters of models.vgg.VGG19 up to `layer`: {'conv1_1': {'kernel', 'bias'}, ...} float32.

    `path` is a weight file that read_arrays reads (torchvision's own .pth too), with torchvision's
    names, features.0.weight, or the names of the layers, conv1_1.weight; others in the file, such
    as the classifier's, are not read. `layer` is any name of layer_names().

    Raises UserError when the file is missing (and says how to make one), cannot be read, lacks a
    layer or has one of another shape; ValueError for an unknown `layer`.
    Source: torchvision vgg19, IMAGENET1K_V1.
    """
    names = layer_names()
    if layer not in names:
        raise ValueError(f"layer must be one of {', '.join(names)}, not {layer!r}.")
    if not Path(path).is_file():
        raise UserError(f"There is no VGG19 weight file {path}; {_RECIPE}")
    needed = [name for name in names[: names.index(layer) + 1] if name.startswith("conv")]
    tables = [each.entries({"layers": (needed[-1],)}) for each in (VGG19, VGG19_LAYERS)]
    known = [entry.theirs for table in tables for entry in table]
    try:
        arrays, _ = read_arrays(path, only=known)
    except UserError as error:
        reason = str(error).removeprefix(f"{path} ")
        raise UserError(f"{path} cannot be read as VGG19 weights: it {reason}") from error
    # the naming of which the file has more
    table = max(tables, key=lambda each: sum(entry.theirs in arrays for entry in each))
    missing = [
        name for i, name in enumerate(needed)
        if not all(entry.theirs in arrays for entry in table[2 * i : 2 * i + 2])
    ]  # fmt: skip
    if missing:
        raise UserError(
            f"{path} lacks the VGG19 layers {', '.join(missing)}; choose a layer "
            f"before them, or {_RECIPE}"
        )
    params: dict[str, dict[str, np.ndarray]] = {}
    inputs = 3
    for i, name in enumerate(needed):
        outputs = Network.widths[int(name[4]) - 1]
        _check(arrays, table[2 * i].theirs, (outputs, inputs, 3, 3), path)
        params[name] = {
            entry.ours.split("/")[-1]: np.array(entry.move.ours(arrays[entry.theirs]), np.float32)
            for entry in table[2 * i : 2 * i + 2]
        }
        inputs = outputs
    return params


def _check(
    arrays: Mapping[str, np.ndarray], kernel: str, shape: tuple[int, ...], path: str | Path
) -> None:
    """UserError where a convolution has not the shape O,I,H,W of VGG19's."""
    name = kernel.removesuffix(".weight")
    held = arrays[kernel].shape, arrays[f"{name}.bias"].shape
    if held != (shape, shape[:1]):
        raise UserError(
            f"{path}: {name} has shapes {held[0]} and {held[1]} where VGG19 "
            f"has {shape} and {shape[:1]}; use the weights of torchvision's vgg19."
        )
