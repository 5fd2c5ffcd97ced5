"""Benchmark sets as people have them on the disk: which folders, which files, which pairs."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from jaxsr.data.images import SUFFIXES, read_image
from jaxsr.types import UserError

# Names that folders have for a set, and the number of its images.
SETS = {
    "Set5": (("Set5",), 5),
    "Set14": (("Set14",), 14),
    "BSD100": (("BSD100", "B100", "BSDS100"), 100),
    "Urban100": (("Urban100",), 100),
    "Manga109": (("Manga109",), 109),
    "DIV2K": (("DIV2K", "DIV2K_valid", "DIV2K_val100"), 100),
}
LR_MODES = ("auto", "files", "make")
_GREY_MODES = ("1", "L", "LA", "I;16", "I;16B", "I")


class Pair(NamedTuple):
    """One image of a set: its name, the truth, the low resolution (None: to be made)."""

    name: str
    hq: Path
    lq: Path | None


class Place(NamedTuple):
    """A layout: folders below the root and file names, with {set}, {s}(cale) and {stem}.

    hq_name is a regular expression for the whole stem of a truth, with the group `stem`.
    """

    hq: str
    hq_name: str
    lq: str
    lq_name: str


# In order of preference: the full images before those that were cut.
_PLACES = (
    Place("{set}/HR", "(?P<stem>.+)", "{set}/LR_bicubic/X{s}", "{stem}x{s}"),
    Place("{set}/DIV2K_valid_HR", "(?P<stem>.+)", "{set}/DIV2K_valid_LR_bicubic/X{s}", "{stem}x{s}"),
    Place("{set}/DIV2K_train_HR", r"(?P<stem>08(?!00)\d\d|0900)",
          "{set}/DIV2K_train_LR_bicubic/X{s}", "{stem}x{s}"),
    Place("{set}/image_SRF_{s}", "(?P<stem>.+)_SRF_{s}_HR", "{set}/image_SRF_{s}", "{stem}_SRF_{s}_LR"),
    Place("{set}/original", "(?P<stem>.+)", "{set}/LR_bicubic/X{s}", "{stem}x{s}"),
    Place("{set}/GTmod12", "(?P<stem>.+)", "{set}/LRbicx{s}", "{stem}"),
    Place("HR/{set}/x{s}", "(?P<stem>.+)_HR_x{s}", "LR/LRBI/{set}/x{s}", "{stem}_LRBI_x{s}"),
    Place("{set}", "(?P<stem>.+)", "{set}/LR_bicubic/X{s}", "{stem}x{s}"),
)  # fmt: skip
_SELFEXSR = "image_SRF_"


def find(
    root: str | os.PathLike,
    name: str,
    scale: int,
    *,
    lr: str = "auto",
    folder: str = "",
    report: Callable[[str], object] = print,
) -> list[Pair]:
    """The images of a set, in whichever of the usual layouts it lies below a folder.

    EDSR and RCAN `[benchmark/]Set5/HR`, `LR_bicubic/X2/NAMEx2.png`; BasicSR `Set5/GTmod12`, `LRbicx2`
    and `original`; SelfExSR `image_SRF_2/NAME_SRF_2_{HR,LR}.png`; the test code of RCAN `HR/Set5/x2`,
    `LR/LRBI/Set5/x2`; DIV2K `DIV2K_valid_HR`, `DIV2K_valid_LR_bicubic/X2`; a flat folder of images.

    Args:
        root: the folder that holds the sets, or that of the set itself.
        name: a key of `SETS` (B100 and the like are understood), or the name of a folder of your own.
        scale: of the low resolution.
        lr: `files` (stored LR or an error), `make` (never look for them), `auto` (files where they
            are complete).
        folder: name of the LR folder in the set in place of the layout's, e.g. LR_SelfExSR; files in
            it or in its `X2` are called NAMEx2 or NAME.
        report: receives a sentence for what a reader of the figures must know.
    Returns:
        pairs sorted by name.
    Raises:
        UserError: an absent set (with the layouts expected), no LR file though asked for, an
            unknown `lr`.
    Source: the data folders of sanghyun-son/EDSR-PyTorch, XPixelGroup/BasicSR,
        jbhuang0604/SelfExSR and yulunzhang/RCAN.
    """
    if lr not in LR_MODES:
        raise UserError(f"lr = {lr!r} is not known: choose one of {', '.join(LR_MODES)}.")
    name = canonical(name)
    found = list(_places(Path(root), name, scale))
    if not found:
        raise UserError(_absent(Path(root), name, scale))
    for truths, base, place in found:
        pairs = _with_files(truths, base, place, folder, scale)
        if lr == "make" or all(pair.lq is None for pair in pairs):
            continue
        lacking = [pair.name for pair in pairs if pair.lq is None]
        if not lacking:
            return _told(pairs, name, scale, report)
        if lr == "files" or folder:
            raise UserError(
                f"{name} lacks the x{scale} low resolution of {len(lacking)} images, first "
                f"{lacking[0]!r}: complete its folder, or make all with --lr make."
            )
        report(f"{name} x{scale}: {len(lacking)} LR files are missing, so all are made.")
    if lr == "files" or (folder and lr != "make"):
        raise UserError(_no_files(name, scale, found, folder))
    return _told(found[0][0], name, scale, report)


def read_truth(path: str | os.PathLike) -> np.ndarray:
    """Read an image of a benchmark: uint8 [H, W, 3], or [H, W] where the file has one channel.

    Grey images (Set14 has one) are scored as luminance without any conversion of colour; made into
    RGB first, their PSNR would rise by 1.3 dB. Raises UserError as `images.read_image`.
    """
    pixels = read_image(path)
    with Image.open(path) as image:  # reads the header only
        grey = image.mode in _GREY_MODES
    return pixels[..., 0] if grey else pixels


def size(path: str | os.PathLike) -> tuple[int, int]:
    """(height, width) from the header of an image file; (0, 0) where it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0, 0


def canonical(name: str) -> str:
    """The name that tables have for a set («b100», «B100/» → BSD100), or the name as it is."""
    name = name.rstrip("/") or name  # which shells put behind the name of a folder
    for known, (aliases, _) in SETS.items():
        if name.lower() in (alias.lower() for alias in aliases):
            return known
    return name


def expected(name: str) -> int | None:
    """The number of images of a known set, None for another."""
    return SETS[name][1] if name in SETS else None


Found = tuple[list[Pair], Path, Place]


def _places(root: Path, name: str, scale: int) -> Iterator[Found]:
    """(truths, base, layout with the names filled in) of every layout that is there."""
    aliases = SETS[name][0] if name in SETS else (name,)
    bases = [root, root / "benchmark"]
    if root.name.lower() in [alias.lower() for alias in aliases]:
        bases.append(root.parent)
    if name == "DIV2K" and any((root / f"DIV2K_{part}_HR").is_dir() for part in ("valid", "train")):
        aliases = (".", *aliases)
    for base in bases:
        for alias in aliases:
            for place in _layouts(name, alias, scale):
                truths = _truths(base, place)
                if truths:
                    yield truths, base, place


def _layouts(name: str, alias: str, scale: int) -> list[Place]:
    """The layouts with the names filled in.

    SelfExSR has no x8 folder: its x4 truths are cut to multiples of 8 as well. Its Urban100 of x2
    holds halved images; the full ones, which the literature uses for every scale, are those of x4.
    """
    taken = [scale, 4] if scale == 8 else [4 if name == "Urban100" else scale]
    return [
        Place(*(part.replace("{set}", alias).replace("{s}", str(s)) for part in place))
        for place in _PLACES
        for s in (taken if _SELFEXSR in place.hq else [scale])
    ]


def _truths(base: Path, place: Place) -> list[Pair]:
    """The truths of one layout, sorted by name."""
    where = _existing(base, place.hq)
    if where is None:
        return []
    pairs: dict[str, Pair] = {}
    for file in _images(where):
        match = re.fullmatch(place.hq_name, file.stem)
        if match and match["stem"] in pairs:
            other = pairs[match["stem"]].hq
            raise UserError(f"{other} and {file} have one name: rename or remove one.")
        if match:
            pairs[match["stem"]] = Pair(match["stem"], file, None)
    return sorted(pairs.values())


def _existing(base: Path, folders: str) -> Path | None:
    """base/folders, each part in any case of letters; None where it is not there."""
    where = base
    for part in Path(folders).parts:
        if not (where / part).is_dir():
            same = [p for p in _children(where) if p.name.lower() == part.lower() and p.is_dir()]
            if not same:
                return None
            part = same[0].name
        where = where / part
    return where if where.is_dir() else None


def _children(where: Path) -> list[Path]:
    return sorted(where.iterdir()) if where.is_dir() else []


def _images(where: Path) -> list[Path]:
    return [
        file
        for file in _children(where)
        if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
    ]


def _with_files(
    truths: Sequence[Pair], base: Path, place: Place, folder: str, scale: int
) -> list[Pair]:
    """The truths with their LR files where there are any."""
    # the low resolution of another scale's truths is not the one wanted
    where = _existing(base, place.lq) if _serves(place, scale) else None
    names = (place.lq_name,)
    if folder:
        own = _existing(base, place.hq)
        homes = [own, own.parent, base] if own else [base]
        choices = [_existing(h, f"{folder}{x}") for h in homes for x in (f"/X{scale}", "")]
        where = next((choice for choice in choices if choice), None)
        names = ("{stem}x" + str(scale), "{stem}")
    files = {file.stem: file for file in _images(where)} if where else {}
    pairs = []
    for pair in truths:
        stems = [name.replace("{stem}", pair.name) for name in names]
        pairs.append(pair._replace(lq=next((files[s] for s in stems if s in files), None)))
    return pairs


def _serves(place: Place, scale: int) -> bool:
    return _SELFEXSR not in place.lq or place.lq.endswith(f"{_SELFEXSR}{scale}")


def _told(pairs: list[Pair], name: str, scale: int, report: Callable) -> list[Pair]:
    """The pairs, after saying what makes their figures differ from the literature's."""
    count, first = expected(name), pairs[0].hq
    if count and len(pairs) != count:
        report(f"{name}: {len(pairs)} of {count} images are here, so its means differ.")
    if name == "BSD100" and first.suffix.lower() in (".jpg", ".jpeg"):
        report("BSD100: read from JPEG files, so figures can differ from those of the PNG set.")
    if first.parent.name == "GTmod12":
        report(
            f"{name}: images cut to multiples of 12, so figures can differ in the second decimal."
        )
    if first.parent.name == f"{_SELFEXSR}4" and scale != 4:
        report(f"{name} x{scale}: full images of image_SRF_4 are taken, and their LR is made.")
    return pairs


def _absent(root: Path, name: str, scale: int) -> str:
    """The sentence for a set that is not there."""
    if not root.is_dir():
        return f"there is no folder {root}: name the one that holds the sets with --root."
    aliases = SETS[name][0] if name in SETS else (name,)
    if name == "Urban100" and any(_existing(root, f"{a}/image_SRF_2") for a in aliases):
        return (
            f"{root} has Urban100 as image_SRF_2 only, whose images are half the usual size: add "
            f"image_SRF_4, from which the truths of x{scale} are taken."
        )
    places = _layouts(name, aliases[0], scale)
    if name != "DIV2K":
        places = [place for place in places if "DIV2K" not in place.hq]
    folders = ", ".join(dict.fromkeys(place.hq for place in places))
    return f"the set {name} is not in {root}: put its images into one of {folders}."


def _no_files(name: str, scale: int, found: Sequence[Found], folder: str) -> str:
    """The sentence for low resolutions that were asked for and are not there."""
    _, base, place = found[0]
    if folder:
        return f"{name} has no folder {folder} with x{scale} images: correct --lr-folder."
    if not _serves(place, scale):
        return (
            f"{name} x{scale} has no LR files in SelfExSR for its full images: make them with "
            "--lr make."
        )
    return f"{name} has no LR files in {base / place.lq}: add them, or make them with --lr make."
