"""The layout of OST, the outdoor scenes of SFT-GAN: categories in the paths, maps beside the images."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxsr.data.maps import ENDINGS
from jaxsr.data.sources import Item, folder
from jaxsr.data.tables import read_categories
from jaxsr.types import UserError

_BETWEEN_WORDS = re.compile(r"[\W\d_]+")


def scenes(
    path: str | os.PathLike,
    *,
    maps: str | os.PathLike = "",
    categories: str | os.PathLike = "ost",
    include: str | os.PathLike = "",
    exclude: str | os.PathLike = "",
) -> tuple[Item, ...]:
    """Images with the category that their path names, and with a map of class probabilities each.

    The layout of SFT-GAN's training code: OST/train/img/<names with the category>.png and
    OST/train/bicseg/<same name>; or a folder for each category, as OutdoorSceneTrain_v2 has it.

    Args:
        path: the folder of the images.
        maps: the folder of their maps, see `with_maps`. "" for none: `prior` has to make them.
        categories: table of words, see `categorised`: a CSV file or the bare name of a shipped one.
            "" for none: the label of a crop is then that of its map.
        include, exclude: lists of stems, as in `folder`.
    Returns:
        items sorted by name.
    Raises:
        UserError: as `folder`, `with_maps` and `categorised`.
    Source: XPixelGroup/BasicSR 9fd09d4, codes/data/LRHR_seg_bg_dataset.py.
    """
    items = folder(path, include=include, exclude=exclude)
    if categories:
        items = categorised(items, read_categories(categories), path=path)
    return with_maps(items, maps) if maps else items


def categorised(
    items: Sequence[Item], table: Mapping[str, int], *, path: str | os.PathLike
) -> tuple[Item, ...]:
    """Items with the class of the discriminator that a word of their name stands for.

    The name is the path below the root, so that no folder above it counts; its parts are looked at
    from the root down, and the first that has a word of the table decides. A word is a run of
    letters in any case: «Plant_012», «plant-3» and «012plant» have the word plant, «plantation» not.
    An image whose parts have none is background, 0, which the loss ignores (as the reference does).

    Args:
        items: of `folder`.
        table: word -> class, of `read_categories`.
        path: of the folder, for the messages.
    Raises:
        UserError: two categories in one part; no image with a category.
    Source: the rule is ours; the reference looks for the words anywhere in the whole path.
    """
    found = tuple(item._replace(category=_category(item, table)) for item in items)
    if not any(item.category for item in found):
        raise UserError(
            f"no path below {path} names a category ({', '.join(table)}): name the files or their "
            "folders by it, write a table of your words (word,category), or set categories to ''."
        )
    return found


def with_maps(items: Sequence[Item], maps: str | os.PathLike) -> tuple[Item, ...]:
    """Items with the files of their maps: <maps>/<name>.npy, else .png, else the same by the stem alone.

    Raises:
        UserError: no such folder; images without a map, of which it names the first.
    """
    root = Path(maps)
    if not root.is_dir():
        raise UserError(
            f"there is no folder {root} of prior maps: make it with scripts/make_maps.py."
        )
    found = [_map_of(item, root) for item in items]
    missing = [item for item, file in zip(items, found, strict=True) if file is None]
    if missing:
        raise UserError(
            f"there is no prior map {root / missing[0].name}.npy, nor for {len(missing) - 1} more of "
            f"{len(items)} images{_foreign(missing, root)}: make them with scripts/make_maps.py."
        )
    return tuple(item._replace(prior=file) for item, file in zip(items, found, strict=True))


def _map_of(item: Item, root: Path) -> Path | None:
    for name in dict.fromkeys((item.name, Path(item.name).name)):
        for ending in ENDINGS:
            file = root / f"{name}{ending}"
            if file.is_file():
                return file
    return None


def _foreign(missing: Sequence[Item], root: Path) -> str:
    """Says so where the reference's own files are there."""
    stored = any((root / f"{Path(item.name).name}.pth").is_file() for item in missing[:100])
    return " (the .pth files of the reference are not read)" if stored else ""


def _category(item: Item, table: Mapping[str, int]) -> int:
    for part in item.name.split("/"):
        words = _BETWEEN_WORDS.split(part.lower())
        found = {table[word]: word for word in words if word in table}
        if len(found) > 1:
            raise UserError(
                f"{item.image} names two categories, {' and '.join(found.values())}: rename it, or "
                "leave one of the words out of the table."
            )
        if found:
            return next(iter(found))
    return 0
