"""Reads a weight file of other code, says what it holds, and writes it as our safetensors with a card.

    python scripts/import_weights.py FILE [--out X.safetensors] [--layout NAME] [--key params]
                                     [--scale N] [--list] [--force] [--arrays OUT.npz]

FILE is .safetensors, .npz, .pth or .pt of any age, .mat, or the .index of a TensorFlow checkpoint;
nothing in it is executed. Without --out the result is NAME.safetensors in the current folder, NAME that of
FILE; beside it NAME.md says where it comes from. With --arrays the arrays are written under their own
names, whatever network they are of. Exit status: 0, 1 for a file that cannot be used or is there already,
2 for a mistake in the options, 130 when interrupted.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import jax
import numpy as np

from jaxsr import build_method, checkpoint
from jaxsr.build_restorer import ANY_SCALE
from jaxsr.disk import in_one_move
from jaxsr.interchange import convert
from jaxsr.interchange.detect import full, inputs
from jaxsr.interchange.files import read_arrays
from jaxsr.terminal import ended, whole
from jaxsr.types import UserError

_NAMES = 12  # that are printed of a list


def stem(path: Path) -> str:
    """«net» of net.pth, net.pth.tar and net.safetensors."""
    name = path.name
    while Path(name).suffix in (
        ".tar",
        ".pth",
        ".pt",
        ".pkl",
        ".npz",
        ".mat",
        ".index",
        ".safetensors",
    ):
        name = Path(name).stem
    return name


def describe(path: Path, arrays: dict, notes: dict, *, plain: bool) -> list[str]:
    """The lines about the file itself; plain: the arrays are written as they are."""
    dtypes = ", ".join(f"{name} ({count})" for name, count in notes["dtypes"].items())
    opened = [f"opened {notes['wrapper']}"] * bool(notes["wrapper"])
    opened += [f"took off {notes['prefix']!r}"] * bool(notes["prefix"])
    opened += [f"beside it: {', '.join(notes['beside'])} (--key)"] * bool(notes["beside"])
    size = sum(array.size for array in arrays.values())
    lines = [
        f"file:         {path.name}, {notes['format']}" + "".join(f"; {each}" for each in opened),
        f"arrays:       {len(arrays)} with {size:,} numbers, {dtypes}",
    ]
    half = any(name in ("float16", "bfloat16", "float64") for name in notes["dtypes"])
    if half and not plain:
        lines.append("              the written file is float32")
    if notes["skipped"]:
        lines.append(f"not numbers:  {shown(notes['skipped'])}")
    return lines


def shown(names: list[str]) -> str:
    rest = len(names) - _NAMES
    return (", ".join(names[:_NAMES]) or "none") + (f" and {rest} more" if rest > 0 else "")


def with_scale(section: dict, network: str, scale: int | None) -> tuple[dict, str]:
    """The section with the scale that the user names, and the scale in words."""
    if "scale" not in full(build_method.NETWORKS[network], {}):
        if scale is not None:
            raise UserError(f"{network} has no scale: leave out --scale.")
        return section, "that of the network, which has no other"
    if "scale" in section:
        if scale not in (None, section["scale"]):
            raise UserError(
                f"the weights enlarge ×{section['scale']}, not ×{scale} as --scale says."
            )
        return section, f"×{section['scale']}"
    if scale is None:
        hint = " (images enlarged before: 1)" if network in ANY_SCALE else ""
        return section, f"not told by the weights: name it with --scale{hint}"
    return section | {"scale": scale}, f"×{scale}, as --scale says"


def check(network: str, section: dict, variables: dict) -> None:
    """UserError where the converted weights are not those of the network."""
    module = build_method.network_module({"name": network, **section}, "network", dtype=np.float32)
    convert.check_shapes(module, inputs(type(module), section), variables)


def card_text(name: str, card: dict, lines: list[str]) -> str:
    """The card in Markdown."""
    return "\n".join([
        f"# {name}", "",
        f"- Network: `{json.dumps(card['network'], sort_keys=True)}`",
        f"- Converted from `{card['source']['file']}`, sha256 {card['source']['sha256']}",
        f"- Layout: {card['layout']}",
        "- Licence: that of the source",
        "", "```", *lines, "```", "",
    ])  # fmt: skip


def write_arrays(out: Path, arrays: dict) -> None:
    try:
        with in_one_move(out) as part, part.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise UserError(
            f"{out} cannot be written ({error.strerror}): choose another folder, or make room."
        ) from error


def output(arguments: argparse.Namespace) -> Path:
    """The file to write; UserError where it, or the card beside it, must not be written."""
    out = arguments.out or Path(f"{stem(arguments.file)}.safetensors")
    if out.suffix != ".safetensors":
        raise UserError(f"{out} must end in .safetensors.")
    if out.resolve() == arguments.file.resolve():
        raise UserError(f"{out} is the file that is read: name another --out.")
    for each in (out, out.with_suffix(".md")):
        if each.exists() and not arguments.force:
            raise UserError(
                f"{each} is there already: name another --out, or overwrite it with --force."
            )
    return out


def convert_file(arguments: argparse.Namespace, arrays: dict, lines: list[str]) -> None:
    """Finds the network, says so, and writes it unless --list."""
    layout, section, unused = convert.identify(arrays, layout=arguments.layout)
    if layout.network not in build_method.NETWORKS:
        raise UserError(
            f"{arguments.file} is {layout.name}, whose features losses and metrics take from the file "
            "as it is: there is nothing to convert."
        )
    variables = convert.to_ours(layout, section, arrays)
    section, scale = with_scale(section, layout.network, arguments.scale)
    check(layout.network, section, variables)
    options = ", ".join(f"{key} {value}" for key, value in section.items() if key != "scale")
    count = sum(int(leaf.size) for leaf in jax.tree.leaves(variables["params"]))
    found = [
        f"architecture: {layout.name} -> {layout.network}", f"scale:        {scale}",
        f"read from it: {options or 'nothing'}", f"parameters:   {count:,}",
        f"unused:       {shown(unused)}", "missing:      none",
    ]  # fmt: skip
    print("\n".join(found))
    if arguments.list:
        return
    out = output(arguments)
    card = {
        "network": {"name": layout.network, **section},
        "layout": layout.name,
        "source": {
            "file": arguments.file.name,
            "sha256": hashlib.sha256(arguments.file.read_bytes()).hexdigest(),
        },
        "counters": convert.counters(layout, section, arrays),
    }
    checkpoint.save_weights(out, variables, card)
    checkpoint.write_text(out.with_suffix(".md"), card_text(out.stem, card, lines + found))
    print(
        f"written:      {out} ({out.stat().st_size / 1e6:.2f} MB) and {out.with_suffix('.md').name}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="weight file of other code")
    parser.add_argument("--out", type=Path, help="file to write, ending in .safetensors")
    parser.add_argument("--layout", default="", help="take it for this layout, of those that fit")
    parser.add_argument("--key", default="", help="wrapper or prefix of names to take, e.g. params")
    parser.add_argument("--scale", type=whole(1), help="where the weights do not tell it")
    parser.add_argument("--list", action="store_true", help="list the arrays, convert nothing")
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    parser.add_argument("--arrays", type=Path, help="write the arrays under their names as .npz")
    arguments = parser.parse_args()
    try:
        arrays, notes = read_arrays(arguments.file, wrapper=arguments.key)
        lines = describe(arguments.file, arrays, notes, plain=arguments.arrays is not None)
        print("\n".join(lines))
        if arguments.list:
            for name, array in arrays.items():
                print(f"  {name}: {'×'.join(map(str, array.shape)) or 'scalar'} {array.dtype}")
        if arguments.arrays:
            if arguments.arrays.suffix != ".npz":
                raise UserError(f"{arguments.arrays} must end in .npz.")
            if arguments.arrays.exists() and not arguments.force:
                raise UserError(f"{arguments.arrays} is there already: overwrite it with --force.")
            write_arrays(arguments.arrays, arrays)
            print(f"written:      {arguments.arrays}")
        else:
            convert_file(arguments, arrays, lines)
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.exit(f"import_weights: error: {error.filename} cannot be used ({error.strerror}).")
    except UserError as error:
        sys.exit(f"import_weights: error: {error}")


if __name__ == "__main__":
    if status := ended("import_weights", main):
        sys.exit(status)
