"""SFT-GAN outside its categories: the background prior beside the parent, and what the segmenter makes of it.

    python scripts/out_of_category.py --out outside
    python scripts/out_of_category.py --images photos/*.png --lpips trunk.pth --out outside

Images (names of the wheels' photographs or files) that show none of the seven outdoor classes are cropped
in the middle, reduced by 4 and restored by the parent, by --weights (an SFT-Net) with its SFT layers
switched off («unmodulated»), with the background prior and with the segmenter's own maps. Expected of the
paper: with the background prior as good as the network without categories, and no texture of a category
where none is.

A category counts as forced by the segmenter where it has a probability of at least --sure on at least the
share --limit of the image. Writes out_of_category.png (the sheet), scores.csv (a row for each image and
method), shares.csv (a row for each image: the mean probability of every class, the share of pixels in which
it is the strongest, the forced ones, and how much the own maps change against the background prior, in
levels of 255), out_of_category.json (both, with the settings) and out_of_category.md (the tables that are
also printed).
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from swap_prior import difference, images, sft_net

from jaxsr import build_images, build_method, build_restorer, checkpoint, evaluate
from jaxsr.build_metrics import TRUNKS, lpips
from jaxsr.data.images import write_png
from jaxsr.disk import in_one_move
from jaxsr.inference import swapping, tiles
from jaxsr.inference.restorer import Restorer, colour
from jaxsr.metrics.lpips import VERSIONS
from jaxsr.ops.resize import imresize
from jaxsr.outdoor import NAMES, paint
from jaxsr.protocols import describe, find, score, to_uint8
from jaxsr.sheets import Cell, sheet
from jaxsr.terminal import ended, positive, share, whole
from jaxsr.types import UserError

SCALE = 4
DEFAULT = ("astronaut", "coffee", "motorcycle_left", "retina", "ihc")
METHODS = ("bicubic", "parent", "unmodulated", "background", "own")
LEVELS = {"level1": 0.25, "level2": 0.25, "level3": 0.25, "level4": 0.25}  # as configs/sftnet.py
Row = dict[str, Any]
Measures = Mapping[str, Callable[[np.ndarray, np.ndarray], float]]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    add("--weights", default="pretrained:sftnet", help="an SFT-Net: %(default)s")
    add("--parent", default="pretrained:sftnet_psnr", help="without a prior: %(default)s")
    add("--prior", default=build_restorer.SEGMENTER, help="of the segmenter: %(default)s")
    add("--images", nargs="+", default=list(DEFAULT), help="names or files: %(default)s")
    add("--crop", type=whole(64), default=384, help="HR pixels a side at most: %(default)s")
    add("--sure", type=share, default=0.5, help="probability of a category: %(default)s")
    add("--limit", type=share, default=0.05, help="share of the image: %(default)s")
    add("--lpips", nargs="+", default=[], metavar="FILE", help="its trunk, or trunk and heads")
    add("--lpips-net", default="alex", choices=list(TRUNKS), help="%(default)s")
    add("--lpips-version", default="v0.1", choices=list(VERSIONS), help="%(default)s")
    add("--gain", type=positive, default=512.0, help="of the difference map: %(default)s")
    add("--height", type=whole(32), default=288, help="of a picture of the sheet: %(default)s")
    add("--out", required=True, type=Path, help="folder to write into")
    return made


def measures(options: argparse.Namespace) -> dict[str, Callable[[np.ndarray, np.ndarray], float]]:
    """{name: distance of 8-bit images}: of our segmenter's trunk, and LPIPS where files are named."""
    section = {"name": "prior_net", "weights": build_restorer.SEGMENTER, "layers": LEVELS}
    extract, held, _ = build_method.features(section)
    found = {"trunk_distance": build_images.distance(extract, held)}
    if len(options.lpips) > 2:
        raise UserError("--lpips takes a file, or those of the trunk and of the heads.")
    if options.lpips:
        trunk, heads = [*options.lpips, ""][:2]
        made = lpips(trunk, heads=heads, net=options.lpips_net, version=options.lpips_version)
        found[made.name] = made.measure
    return found


def restorers(options: argparse.Namespace) -> tuple[Restorer, Callable[..., dict[str, np.ndarray]]]:
    """The SFT-Net, and the function from (lq, own maps) to what each method makes, unclipped."""
    net = sft_net(options.weights, options.prior)
    parent = build_restorer.restorer(options.parent, scale=SCALE, prior=options.prior)
    if parent.prior is not None:
        raise UserError(f"--parent {options.parent} takes a prior itself: name one without.")
    bare = swapping.unmodulated(net.variables, variant=net.card["network"]["variant"])
    run, plain = tiles.whole(net), tiles.whole(parent)
    without = tiles.whole(net._replace(variables=bare))

    def restored(lq: np.ndarray, seg: np.ndarray) -> dict[str, np.ndarray]:
        background = swapping.forced(seg, "background")
        large = imresize(to_uint8(lq), SCALE, border="mirror", round_passes=True)
        return {
            "bicubic": large / np.float32(255),
            "parent": colour(parent, plain, lq),
            "unmodulated": without(lq, background),
            "background": run(lq, background),
            "own": run(lq, seg),
        }

    return net, restored


def shares_of(seg: np.ndarray, *, sure: float, limit: float) -> Row:
    """What the segmenter says of an image, from its maps [h,w,8] of sum 1.

    `p NAME` the mean probability, `share NAME` the share of pixels whose strongest class it is, `forced`
    the categories, background left out, that have at least `sure` on at least the share `limit`.
    """
    strongest, first = seg.argmax(-1), NAMES.index("background")
    held = {f"p {name}": float(seg[..., k].mean()) for k, name in enumerate(NAMES)}
    held |= {f"share {name}": float((strongest == k).mean()) for k, name in enumerate(NAMES)}
    certain = {
        name: float((seg[..., k] >= sure).mean()) for k, name in enumerate(NAMES) if k != first
    }
    # a share of 0 is no category that was forced, whatever the limit
    forced = {name: part for name, part in certain.items() if part >= limit and part > 0}
    ordered = sorted(forced, key=lambda name: -forced[name])
    return held | {"forced": ", ".join(f"{name} {100 * forced[name]:.1f} %" for name in ordered)}


def scores_of(
    name: str, made: Mapping[str, np.ndarray], hq: np.ndarray, found: Measures
) -> list[Row]:
    """A row for each method: PSNR and SSIM of the protocol, and the distances."""
    rows = []
    for method, image in made.items():
        values = score(find("classic"), image, hq, SCALE)
        row = {"image": name, "method": method, "psnr_y": values["psnr"], "ssim_y": values["ssim"]}
        rows.append(row | {key: measure(to_uint8(image), hq) for key, measure in found.items()})
    return rows


def cells(
    pair: Mapping[str, Any], made: Mapping[str, np.ndarray], rows: Sequence[Row], seg: np.ndarray,
    shares: Row, gain: float,
) -> list[Cell]:  # fmt: skip
    """One line of the sheet."""
    line = []
    for row in rows:
        head = f"{pair['name']}: " if row["method"] == METHODS[0] else ""
        text = f"{head}{row['method']} {row['psnr_y']:.2f} dB, {row['trunk_distance']:.4f}"
        line.append(Cell(to_uint8(made[row["method"]]), text))
    change = difference(made["own"], made["background"], gain)
    line.append(Cell(change, f"own − background, ×{gain:g}"))
    line.append(Cell(pair["hq"], "ground truth"))
    line.append(Cell(paint(seg), f"forced: {shares['forced'] or 'none'}"))
    return line


def tables(scores: Sequence[Row], shares: Sequence[Row], options: argparse.Namespace) -> str:
    """Markdown: means of the methods; every image's own methods; every image's classes."""
    # the images are reduced with the mirror border, as SFT-GAN's training does
    protocol = describe(find("classic", border="mirror"))
    text = [evaluate.markdown(evaluate.means(scores), protocol)]
    names = [name for name in scores[0] if name not in ("image", "method")]
    for metric in names:
        text.append(f"| {metric} | " + " | ".join(METHODS) + " |")
        text.append("|---|" + "---:|" * len(METHODS))
        for image in dict.fromkeys(row["image"] for row in scores):
            own = [row[metric] for row in scores if row["image"] == image]
            digits = 2 if metric == "psnr_y" else 4
            text.append(f"| {image} | " + " | ".join(f"{v:.{digits}f}" for v in own) + " |")
        text.append("")
    head = ["strongest class, % of pixels", *NAMES, "mean change", "largest", "forced"]
    text.append("| " + " | ".join(head) + " |")
    text.append("|---|" + "---:|" * (len(NAMES) + 2) + "---|")
    for row in shares:
        parts = [f"{100 * row[f'share {name}']:.1f}" for name in NAMES]
        parts += [f"{row['mean change']:.3f}", f"{row['largest change']:.2f}"]
        text.append(f"| {row['image']} | " + " | ".join([*parts, row["forced"] or "none"]) + " |")
    count = sum(bool(row["forced"]) for row in shares)
    text += [
        "",
        f"Forced: a category with a probability of at least {options.sure:g} on at least "
        f"{100 * options.limit:g} % of the image; so in {count} of {len(shares)} images. Change: of the "
        "result with the segmenter's own maps against the background prior, in levels of 255.",
        "",
    ]
    return "\n".join(text)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    with in_one_move(path) as part, part.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def compare(options: argparse.Namespace) -> None:
    found = measures(options)
    net, restored = restorers(options)
    scores: list[Row] = []
    shares: list[Row] = []
    lines = []
    for pair in images(options.images, options.crop):
        maps = net.prior(pair["lq"]).astype(np.float32)
        seg = maps / np.maximum(maps.sum(-1, keepdims=True), 1)
        made = restored(pair["lq"], seg)
        rows = scores_of(pair["name"], made, pair["hq"], found)
        said = shares_of(seg, sure=options.sure, limit=options.limit)
        change = 255 * np.abs(made["own"] - made["background"])
        said |= {"mean change": float(change.mean()), "largest change": float(change.max())}
        shares.append({"image": pair["name"]} | said)
        lines.append(cells(pair, made, rows, seg, said, options.gain))
        scores += rows
    text = tables(scores, shares, options)
    settings = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
    }
    held = {"settings": settings, "scores": scores, "shares": shares}
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        write_rows(options.out / "scores.csv", scores)
        write_rows(options.out / "shares.csv", shares)
        checkpoint.write_text(
            options.out / "out_of_category.json", json.dumps(held, indent=1) + "\n"
        )
        checkpoint.write_text(options.out / "out_of_category.md", text)
    except OSError as error:
        raise UserError(f"{options.out} cannot be written ({error.strerror or error}).") from error
    write_png(options.out / "out_of_category.png", sheet(lines, height=options.height))
    print(text)
    print(options.out / "out_of_category.png")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return ended("out_of_category", lambda: compare(options))
    except UserError as error:
        print(f"out_of_category: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
