"""Swaps SFT-GAN's semantic prior: every category forced over an image, then over one region of it.

    python scripts/swap_prior.py --out swap
    python scripts/swap_prior.py --images msrc_v2/images/3_10_s.jpg --region 64 64 128 160 --out swap

Images (high resolution; names of the wheels' photographs or files) are cropped in the middle, reduced by 4
and restored by --weights, an SFT-Net. Writes swap.png (rows images, columns categories in the order of the
paper's figure), differences.png (mean change of a pixel against the restoration with the image's own prior),
region.png and region_differences.png (the category in the region alone), modulation.png (gamma and beta of
some layers beside the probability maps of the two strongest classes), and swap.csv and swap.md: change in
levels of 255, inside and outside the region, and how far from the region anything changes at all.
"""

import argparse
import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxsr import build_method, build_restorer, checkpoint
from jaxsr.data.images import write_png
from jaxsr.data.sources import Item, load, photographs
from jaxsr.data.transforms import eval_pair
from jaxsr.disk import in_one_move
from jaxsr.inference import swapping, tiles
from jaxsr.inference.restorer import Restorer
from jaxsr.ops.resize import imresize
from jaxsr.outdoor import NAMES
from jaxsr.protocols import to_uint8
from jaxsr.sheets import Cell, sheet
from jaxsr.terminal import ended, positive, whole
from jaxsr.types import UserError

SCALE = 4
# the paper's figure, and the background after them
CATEGORIES = ("building", "sky", "grass", "mountain", "water", "plant", "animal", "background")
DEFAULT = ("china", "chelsea", "flower", "grass", "brick")
LAYERS = ("sft_branch_0/sft0", "sft_branch_8/sft0", "sft_branch_16")
Row = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--weights", default="pretrained:sftnet", help="an SFT-Net: %(default)s")
    made.add_argument(
        "--prior", default=build_restorer.SEGMENTER, help="weights of the segmenter: %(default)s"
    )
    made.add_argument("--images", nargs="+", default=list(DEFAULT), help="names or files")
    made.add_argument(
        "--crop", type=whole(64), default=384, help="HR pixels a side at most: %(default)s"
    )
    made.add_argument(
        "--region", nargs=4, type=whole(0), metavar=("TOP", "LEFT", "BOTTOM", "RIGHT"),
        help="in HR pixels of the crop, multiples of 4; else the middle ninth",
    )  # fmt: skip
    made.add_argument("--layers", nargs="+", default=list(LAYERS), help="whose modulation is shown")
    made.add_argument("--maps", type=whole(1), default=3, help="gamma and beta each: %(default)s")
    made.add_argument(
        "--gain", type=positive, default=1024.0, help="of the difference maps: %(default)s"
    )
    made.add_argument("--out", required=True, type=Path, help="folder to write into")
    return made


def images(names: Sequence[str], crop: int) -> list[dict[str, np.ndarray]]:
    """Name, `lq` and uint8 `hq` of each image; UserError for one that is no name and no file."""
    items = [
        Item(Path(name).stem, Path(name), None)
        if Path(name).suffix
        else photographs(names=[name])[0]
        for name in names
    ]
    pairs = []
    for sample in load(items, report=lambda text: None):
        pair = eval_pair(sample, scale=SCALE, multiple=16, crop=crop, quantise=True)
        pairs.append({"name": sample["name"], "lq": pair["lq"], "hq": to_uint8(pair["hq"])})
    return pairs


def sft_net(weights: str, prior: str) -> Restorer:
    made = build_restorer.restorer(weights, prior=prior)
    if made.name != "sftnet":
        raise UserError(f"--weights {weights} holds a {made.name}: name an SFT-Net.")
    return made


def middle(shape: Sequence[int]) -> tuple[int, int, int, int]:
    """The middle ninth of an image as (top, left, bottom, right), on the grid of 4."""
    (top, bottom), (left, right) = (
        (n // 3 // SCALE * SCALE, 2 * n // 3 // SCALE * SCALE) for n in shape[:2]
    )
    return top, left, bottom, right


def swaps(
    run: Callable[..., np.ndarray], lq: np.ndarray, seg: np.ndarray, region: Sequence[int] | None
) -> dict[str, np.ndarray]:
    """{category: restored with it, unclipped float32 [h,w,3]}."""
    return {name: run(lq, swapping.forced(seg, name, region=region)) for name in CATEGORIES}


def rows_of(
    name: str, region: Sequence[int] | None, own: np.ndarray, made: Mapping[str, np.ndarray]
) -> list[Row]:
    """What each category changes, in levels of 255; without a region all is inside."""
    where = np.zeros(own.shape[:2], bool)
    top, left, bottom, right = region or (0, 0, *own.shape[:2])
    where[top:bottom, left:right] = True
    found = []
    for category, image in made.items():
        change = 255 * np.abs(image - own)
        found.append(
            {
                "image": name, "swap": "region" if region else "whole", "category": category,
                "inside": float(change[where].mean()),
                "outside": float(change[~where].mean()) if region else 0.0,
                "largest": float(change.max()),
                "reach": swapping.farthest(change, (top, left, bottom, right)),
            }
        )  # fmt: skip
    return found


def table(rows: Sequence[Row], reach: int) -> str:
    """Markdown: means over images of the change that each category makes."""
    lines = ["| category | whole image | region: inside | outside | farthest change, pixels |"]
    lines.append("|---|---:|---:|---:|---:|")
    for category in CATEGORIES:
        own = [row for row in rows if row["category"] == category]
        whole_image = [row for row in own if row["swap"] == "whole"]
        region = [row for row in own if row["swap"] == "region"]
        cells = [np.mean([r["inside"] for r in whole_image])]
        cells += [np.mean([r[key] for r in region]) for key in ("inside", "outside")]
        far = max(r["reach"] for r in region)
        lines.append(f"| {category} | " + " | ".join(f"{c:.3f}" for c in cells) + f" | {far} |")
    note = (
        "Mean change of a value in levels of 255 against the image's own prior, means over "
        f"{len({row['image'] for row in rows})} images. No pixel farther than {reach} from the region can "
        "change; where the image ends before that, so does the farthest change."
    )
    return "\n".join([*lines, "", note, ""])


def difference(image: np.ndarray, own: np.ndarray, gain: float) -> np.ndarray:
    """Mean change of a pixel over the colours, `gain` times, on black: uint8 [h,w,3]."""
    change = np.abs(image - own).mean(-1, keepdims=True)
    return to_uint8(np.repeat(gain * change, 3, -1))


def signed(values: np.ndarray) -> np.ndarray:
    """A map [h,w] as a picture uint8 [h,w,3]: its mean white, red above and blue below, 3 deviations full."""
    far = np.clip((values - values.mean()) / (3 * values.std() + 1e-12), -1, 1)[..., None]
    red, blue = np.array([0.7, 0.05, 0.1]), np.array([0.1, 0.2, 0.7])
    return to_uint8(1 - np.abs(far) * (1 - np.where(far > 0, red, blue)))


def modulation_rows(
    restorer: Restorer, pair: Mapping[str, Any], seg: np.ndarray, result: np.ndarray,
    layers: Sequence[str], count: int,
) -> list[list[Cell]]:  # fmt: skip
    """A row for each layer: the result, the two strongest classes, the liveliest maps of gamma and beta."""
    module = build_method.network_module(restorer.card["network"], "network", dtype=jnp.float32)
    found = swapping.modulations(module, restorer.variables, pair["lq"], seg)
    strongest = np.argsort(-seg.mean((0, 1)))[:2]
    lines = []
    for layer in layers:
        if layer not in found:
            raise UserError(f"--layers {layer}: there is no such layer, but {', '.join(found)}.")
        line = [Cell(to_uint8(result), f"{pair['name']}, {layer}")]
        for k in strongest:
            line.append(Cell(to_uint8(np.repeat(seg[..., k : k + 1], 3, -1)), f"P {NAMES[k]}"))
        for term, maps in zip(("γ", "β"), found[layer], strict=True):
            for channel in swapping.liveliest(maps, count):
                held = maps[..., channel]
                line.append(
                    Cell(signed(held), f"{term} {channel}: {held.mean():+.3f} ± {held.std():.3f}")
                )
        lines.append(line)
    return lines


def swap(options: argparse.Namespace) -> None:
    restorer = sft_net(options.weights, options.prior)
    run, reach = tiles.whole(restorer), swapping.REACH[restorer.card["network"]["variant"]]
    pages: dict[str, list[list[Cell]]] = {
        name: [] for name in ("swap", "differences", "region", "region_differences", "modulation")
    }
    rows: list[Row] = []
    height = 0
    for pair in images(options.images, options.crop):
        lq, name = pair["lq"], pair["name"]
        seg = restorer.prior(lq).astype(np.float32) / 255
        own = run(lq, seg)
        height = max(height, own.shape[0])
        large = imresize(to_uint8(lq), SCALE, border="mirror", round_passes=True)
        for kind, region in (("swap", None), ("region", options.region or middle(own.shape))):
            made = swaps(run, lq, seg, region)
            rows += rows_of(name, region, own, made)
            head = [Cell(large, f"{name}: bicubic"), Cell(to_uint8(own), "own prior")]
            pages[kind].append(
                head + [Cell(framed(to_uint8(image), region), c) for c, image in made.items()]
            )
            seen = [
                Cell(
                    framed(difference(image, own, options.gain), region),
                    f"{c} − own, ×{options.gain:g}",
                )
                for c, image in made.items()
            ]
            pages["differences" if kind == "swap" else "region_differences"].append(
                [head[1], *seen]
            )
        pages["modulation"] += modulation_rows(
            restorer, pair, seg, own, options.layers, options.maps
        )
    options.out.mkdir(parents=True, exist_ok=True)
    with in_one_move(options.out / "swap.csv") as part, part.open("w", newline="") as out:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    text = table(rows, reach)
    checkpoint.write_text(options.out / "swap.md", text)
    print(text)
    for name, lines in pages.items():
        write_png(options.out / f"{name}.png", sheet(lines, height=height))
        print(options.out / f"{name}.png")


def framed(image: np.ndarray, region: Sequence[int] | None) -> np.ndarray:
    """A copy of a picture with a red frame just inside the region, or the picture where there is none."""
    if region is None:
        return image
    top, left, bottom, right = region
    made = image.copy()
    for rows, columns in (
        (slice(top, top + 2), slice(left, right)),
        (slice(bottom - 2, bottom), slice(left, right)),
        (slice(top, bottom), slice(left, left + 2)),
        (slice(top, bottom), slice(right - 2, right)),
    ):
        made[rows, columns] = (255, 0, 0)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return ended("swap_prior", lambda: swap(options))
    except UserError as error:
        print(f"swap_prior: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
