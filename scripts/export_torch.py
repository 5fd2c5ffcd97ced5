"""Writes weights of ours under the names of the reference in PyTorch, for load_state_dict(strict=True).

    python scripts/export_torch.py SOURCE OUT.(safetensors|pth) [--layout NAME] [--list] [--force]

SOURCE is the work folder of a run, pretrained:NAME, or a .safetensors file of ours. The layout is the one
that the weights were imported from, else the first of the network. PyTorch is not needed. Exit status: 0,
1 for weights that cannot be exported or a file that is there already, 2 for a mistake in the options, 130
when interrupted.
"""

import argparse
import sys
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import save

from jaxsr import build_method
from jaxsr.disk import in_one_move
from jaxsr.interchange import convert
from jaxsr.interchange.detect import full
from jaxsr.interchange.torch_write import write_torch
from jaxsr.sections import pick, rest
from jaxsr.terminal import ended
from jaxsr.types import UserError

STATE = (".weight", ".bias", ".running_mean", ".running_var", ".num_batches_tracked")  # of PyTorch


def exported(source: str, layout: str) -> tuple[convert.Layout, dict[str, np.ndarray]]:
    """The layout and the arrays of the reference."""
    variables, card = build_method.weights(source)
    variables = jax.tree.map(np.asarray, variables)
    name = card["network"]["name"]
    cls = pick(build_method.NETWORKS, name, "network.name")
    section = full(cls, rest(card["network"], "name", "weights", "parent"))
    if layout or "layout" in card:
        chosen = convert.find(layout or card["layout"])
        if chosen.network != name:
            raise UserError(
                f"{chosen.name!r} is a layout of {chosen.network}, and this is a {name}."
            )
    else:
        chosen = convert.of_network(name, section, variables)
    # the counts of batches belong to the layout that they came with
    counters = card.get("counters", {}) if card.get("layout") == chosen.name else {}
    return chosen, convert.to_theirs(chosen, section, variables, counters)


def write(out: Path, arrays: dict[str, np.ndarray]) -> str:
    """Writes by the suffix; the line of Python that reads the file back."""
    if out.suffix in (".pth", ".pt"):
        write_torch(out, arrays)
        return f'state = torch.load("{out.name}", weights_only=True)'
    try:
        with in_one_move(out) as part:
            part.write_bytes(save(arrays, metadata={"format": "pt"}))
    except OSError as error:
        raise UserError(
            f"{out} cannot be written ({error.strerror}): choose another folder, or make room."
        ) from error
    return f'state = safetensors.torch.load_file("{out.name}")'


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="folder of a run, pretrained:NAME, or our .safetensors")
    parser.add_argument("out", type=Path, help="file to write, .safetensors or .pth")
    parser.add_argument("--layout", default="", help="names of this layout, e.g. 'BasicSR EDSR'")
    parser.add_argument("--list", action="store_true", help="list all names and shapes")
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    arguments = parser.parse_args()
    try:
        if arguments.out.suffix not in (".safetensors", ".pth", ".pt"):
            raise UserError(f"{arguments.out} must end in .safetensors or .pth.")
        if arguments.out.exists() and not arguments.force:
            raise UserError(
                f"{arguments.out} is there already: name another file, or overwrite with --force."
            )
        layout, arrays = exported(arguments.source, arguments.layout)
        line = write(arguments.out, arrays)
    except UserError as error:
        sys.exit(f"export_torch: error: {error}")
    names = list(arrays)
    numbers = sum(array.size for array in arrays.values())
    print(f"layout: {layout.name}, {len(names)} tensors with {numbers:,} numbers")
    for name in names if arguments.list else (names[0], names[-1]):
        print(
            f"  {name}: {'×'.join(map(str, arrays[name].shape)) or 'scalar'} {arrays[name].dtype}"
        )
    print(f"written: {arguments.out} ({arguments.out.stat().st_size / 1e6:.2f} MB); in PyTorch:")
    print(
        "  import torch" if arguments.out.suffix != ".safetensors" else "  import safetensors.torch"
    )
    print(f"  {line}")
    # the released files of Caffe, MatConvNet and TensorFlow have no class in PyTorch
    if all(name.endswith(STATE) for name in names):
        print(f"  network.load_state_dict(state, strict=True)  # the class of {layout.name}")
    else:
        print(f"  # the arrays under the names of {layout.name}, which is no class of PyTorch")


if __name__ == "__main__":
    if status := ended("export_torch", main):
        sys.exit(status)
