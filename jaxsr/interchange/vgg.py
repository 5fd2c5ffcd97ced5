"""VGG19 weights from a file, without pickle."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from jaxsr.models.vgg import VGG19, layer_names
from jaxsr.types import UserError

_RECIPE = """make one where PyTorch is installed:
  import torchvision, safetensors.torch
  vgg = torchvision.models.vgg19(weights="IMAGENET1K_V1").features.state_dict(prefix="features.")
  safetensors.torch.save_file(vgg, "vgg19.safetensors")"""


def load_vgg19(path: str | Path, *, layer: str = "conv5_4") -> dict[str, dict[str, np.ndarray]]:
    """Parameters of models.vgg.VGG19 up to `layer`: {'conv1_1': {'kernel', 'bias'}, ...} float32.

    `path` is a .safetensors or .npz file whose arrays have PyTorch's layout (kernels O,I,3,3) and
    torchvision's names, features.0.weight, or the names of the layers, conv1_1.weight; others in
    the file, such as the classifier's, are not read. `layer` is any name of layer_names().

    Raises UserError when the file is missing (and says how to make one), cannot be read, lacks a
    layer or has one of another shape; ValueError for an unknown `layer`.
    Source: torchvision vgg19, IMAGENET1K_V1.
    """
    names = layer_names()
    if layer not in names:
        raise ValueError(f"layer must be one of {', '.join(names)}, not {layer!r}.")
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no VGG19 weight file {path}; {_RECIPE}")
    # torchvision numbers the layers of its flat list just as layer_names() orders them
    wanted = [
        (name, index)
        for index, name in enumerate(names[: names.index(layer) + 1])
        if name.startswith("conv")
    ]
    arrays = _read(
        path,
        {
            key
            for name, index in wanted
            for prefix in (name, f"features.{index}")
            for key in (f"{prefix}.weight", f"{prefix}.bias")
        },
    )
    params: dict[str, dict[str, np.ndarray]] = {}
    missing, inputs = [], 3
    for name, index in wanted:
        outputs = VGG19.widths[int(name[4]) - 1]
        prefix = name if f"{name}.weight" in arrays else f"features.{index}"
        if f"{prefix}.weight" in arrays and f"{prefix}.bias" in arrays:
            params[name] = _layer(arrays, prefix, (outputs, inputs, 3, 3), path)
        else:
            missing.append(name)
        inputs = outputs
    if missing:
        raise UserError(
            f"{path} lacks the VGG19 layers {', '.join(missing)}; choose a layer "
            f"before them, or {_RECIPE}"
        )
    return params


def _layer(
    arrays: Mapping[str, np.ndarray], prefix: str, shape: tuple[int, ...], path: Path
) -> dict[str, np.ndarray]:
    """One convolution, kernel O,I,H,W -> H,W,I,O."""
    kernel, bias = arrays[f"{prefix}.weight"], arrays[f"{prefix}.bias"]
    if kernel.shape != shape or bias.shape != shape[:1]:
        raise UserError(
            f"{path}: {prefix} has shapes {kernel.shape} and {bias.shape} where VGG19 "
            f"has {shape} and {shape[:1]}; use the weights of torchvision's vgg19."
        )
    kernel = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0), dtype=np.float32)
    return {"kernel": kernel, "bias": np.asarray(bias, dtype=np.float32)}


def _read(path: Path, wanted: set[str]) -> dict[str, Any]:
    """The arrays of a file whose names are in `wanted`; UserError when it cannot be read."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files if name in wanted}
        if path.suffix == ".safetensors":
            with safe_open(path, framework="numpy") as file:
                return {name: file.get_tensor(name) for name in file.keys() if name in wanted}
    except (
        OSError,
        ValueError,
        EOFError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        SafetensorError,
    ) as error:
        raise UserError(f"{path} cannot be read as VGG19 weights: {error}") from error
    raise UserError(f"{path} is neither .npz nor .safetensors; {_RECIPE}")
