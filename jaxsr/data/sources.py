"""Where images come from: installed packages, folders, labelled pairs; decoding into samples."""

import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jaxsr.data.images import SUFFIXES, content_hash
from jaxsr.data.items import IDENTITY, Item, Reading, reading
from jaxsr.data.tables import nearest, read_class_table, read_names
from jaxsr.types import UserError

# Real photographs inside two wheels, 512x512 unless said. The grey ones carry texture, not colour.
PHOTOGRAPHS = {
    "astronaut": "skimage/data/astronaut.png",
    "brick": "skimage/data/brick.png",  # grey
    "camera": "skimage/data/camera.png",  # grey
    "chelsea": "skimage/data/chelsea.png",  # 451x300
    "china": "sklearn/datasets/images/china.jpg",  # 640x427
    "coffee": "skimage/data/coffee.png",  # 600x400
    "coins": "skimage/data/coins.png",  # grey, 384x303
    "flower": "sklearn/datasets/images/flower.jpg",  # 640x427
    "grass": "skimage/data/grass.png",  # grey
    "gravel": "skimage/data/gravel.png",  # grey
    "hubble_deep_field": "skimage/data/hubble_deep_field.jpg",  # 1000x872
    "ihc": "skimage/data/ihc.png",
    "moon": "skimage/data/moon.png",  # grey
    "motorcycle_left": "skimage/data/motorcycle_left.png",  # 741x500
    "motorcycle_right": "skimage/data/motorcycle_right.png",  # 741x500
    "retina": "skimage/data/retina.jpg",  # 1411x1411
    "rocket": "skimage/data/rocket.jpg",  # 640x427
}
_MIB = 2**20
_AHEAD = 128  # images that are decoded before the first of them is looked at
_PIXELS = ("hq", "label", "lq", "prior")

Sample = Mapping[str, Any]


def photographs(*, names: Sequence[str] = ()) -> tuple[Item, ...]:
    """The photographs inside the scikit-image and scikit-learn wheels; nothing is downloaded.

    Args:
        names: some of `PHOTOGRAPHS`; empty means all 17.
    Returns:
        items sorted by name, without labels.
    Raises:
        UserError: an unknown name, a package that is missing or lacks the file.
    Source: the data folders of scikit-image/scikit-image and scikit-learn/scikit-learn.
    """
    for name in names:
        if name not in PHOTOGRAPHS:
            raise UserError(f"there is no photograph {name!r}; {nearest(name, PHOTOGRAPHS)}.")
    return tuple(
        Item(name, _packaged(PHOTOGRAPHS[name])) for name in sorted(set(names or PHOTOGRAPHS))
    )


def folder(
    path: str | os.PathLike, *, exclude: str | os.PathLike = "", include: str | os.PathLike = ""
) -> tuple[Item, ...]:
    """All images below a folder, at any depth; hidden files are passed over.

    Args:
        path: the folder.
        exclude: list of stems (file names without the ending) to leave out: a text file or the bare
            name of a shipped list, see `read_names`. "" means none. A stem without an image is
            allowed: one list serves a whole data set and its parts.
        include: list of the only stems to take. "" means all.
    Returns:
        items sorted by name; the name is the path below the folder without the ending.
    Raises:
        UserError: no folder, no image left, a stem of `include` without an image, two images of one
            name.
    """
    kept = _listed(_files(path, SUFFIXES), path, include=include, exclude=exclude)
    if not kept:
        raise UserError(f"{path} has no image left to read: check the path and the lists of stems.")
    root = Path(path)
    files = _unique((file.relative_to(root).with_suffix("").as_posix(), file) for file in kept)
    return tuple(Item(name, files[name]) for name in sorted(files))


def labelled(
    images: str | os.PathLike,
    labels: str | os.PathLike,
    *,
    include: str | os.PathLike = "",
    exclude: str | os.PathLike = "",
) -> tuple[Item, ...]:
    """Images and their label maps, paired by stem.

    Args:
        images, labels: two folders; the label maps are PNGs.
        include, exclude: lists of stems, as in `folder`.
    Returns:
        items sorted by name, each with labels.
    Raises:
        UserError: as `folder`; an image or a label map without its partner; a stem twice.
    """
    items = folder(images, include=include, exclude=exclude)
    image_of = _unique((item.image.stem, item.image) for item in items)
    kept = _listed(_files(labels, (".png",)), labels, include=include, exclude=exclude)
    map_of = _unique((file.stem, file) for file in kept)
    for stem in sorted(image_of.keys() ^ map_of.keys()):
        have, lack = ("image", labels) if stem in image_of else ("label map", images)
        raise UserError(f"the {have} {stem!r} lacks a partner in {lack}: add it or exclude it.")
    return tuple(item._replace(labels=map_of[item.image.stem]) for item in items)


def load(
    items: Sequence[Item],
    *,
    class_table: str | os.PathLike | None = None,
    max_broken: float = 0.01,
    min_size: int = 0,
    cache_mib: float = 4096.0,
    report: Callable[[str], object] = print,
) -> tuple[dict[str, Any], ...]:
    """Decode every file once, in threads, and keep the pixels in memory.

    A file that cannot be read, or is of a kind that is refused, is reported once and skipped.

    Args:
        items: of `photographs`, `folder`, `labelled`, `scenes` or `pairs`.
        class_table: see `read_class_table`. None: the label maps hold outdoor classes already.
        max_broken: share of the files that may be broken, 0..1.
        min_size: pixels; the smaller side of every image must reach it.
        cache_mib: MiB of pixels to keep. The samples after that keep only hash and size, and
            `fetch` decodes them at every use.
        report: receives one line for each file that is skipped.
    Returns:
        samples, in the order of the items: `name`, `hash` (of the pixels), `size` (H, W), and
        `hq` uint8 [H, W, 3]; where labelled, `label` uint8 [H, W], 0..7 of `outdoor.NAMES`
        or 255; where the item has them, `prior` uint8 [H, W, 8] of `maps.read_prior` (`hq` is cut
        to it), `lq` uint8 [H/scale, W/scale, 3] (`hq` is cut to it) and `category`. Beyond the
        cache, instead of the pixels, what `fetch` needs.
    Raises:
        UserError: too many broken files; an image below min_size; a label map of another size than
            its image, or with a value that the table lacks; a prior map that is missing, damaged or
            of another size; a low resolution of another size.
    """
    table = read_class_table(class_table) if class_table is not None else IDENTITY
    readings = [reading(item, table) for item in items]
    return keep(
        readings, max_broken=max_broken, min_size=min_size, cache_mib=cache_mib, report=report
    )


def keep(
    readings: Sequence[Reading],
    *,
    max_broken: float,
    min_size: int,
    cache_mib: float,
    report: Callable[[str], object],
) -> tuple[dict[str, Any], ...]:
    """`load` for whatever can be read: arguments, result and errors are its own."""
    samples, broken, held = [], [], 0
    with ThreadPoolExecutor() as pool:
        # in parts, so that decoded images that are not kept do not pile up
        parts = (readings[at : at + _AHEAD] for at in range(0, len(readings), _AHEAD))
        decoded = (sample for part in parts for sample in pool.map(_decode_once, part))
        for found, sample in zip(readings, decoded, strict=True):
            if isinstance(sample, UserError):
                report(f"skipped: {sample}")
                broken.append(found.name)
                continue
            check_size(found.place, sample["size"], min_size)
            held += sum(sample[key].nbytes for key in _PIXELS if key in sample)
            if held > cache_mib * _MIB:
                sample = {key: sample[key] for key in sample if key not in _PIXELS}
                sample |= {"reading": found}
            samples.append(_in_memory(sample))
    if len(broken) > max_broken * len(readings):
        raise UserError(
            f"{len(broken)} of {len(readings)} images cannot be read ({', '.join(broken[:5])}"
            f"{', ...' if len(broken) > 5 else ''}): remove or replace them, or raise max_broken "
            f"(now {max_broken:g})."
        )
    return tuple(samples)


def check_size(place: str, size: Sequence[int], least: int) -> None:
    """UserError where an image of this (height, width) is smaller than the crop needs."""
    h, w = size
    if min(h, w) < least:
        raise UserError(
            f"{place} is {w}x{h} pixels, below the {least} that the crop needs: "
            "choose a smaller crop, or remove the image."
        )


def fetch(sample: Sample) -> Sample:
    """The sample with its pixels: itself where `load` kept them, else with the files read again.

    Raises:
        UserError: a file that has changed or gone since `load`.
    """
    if "hq" in sample:
        return sample
    found = sample["reading"]
    pixels = _in_memory(found.fit(found.decode()))
    if pixels["hq"].shape[:2] != tuple(sample["size"]):
        raise UserError(f"{found.place} has changed since it was first read: start the run again.")
    return {**sample, **pixels}


def variants(
    samples: Sequence[Sample], constants: Sequence[Mapping[str, Any]]
) -> tuple[tuple[Sample, ...], ...]:
    """The same samples once for each set of constants that they shall carry, their pixels shared.

    Args:
        samples: of `load`.
        constants: further keys of every sample of one variant, for example {"band": ("blur", 0, 1)}.
    Returns:
        one group of samples for each of the constants.
    Raises:
        UserError: a constant with the name of a key that the samples have already.
    """
    taken = {key for each in constants for key in each if any(key in s for s in samples)}
    if taken:
        raise UserError(f"the samples have their own {sorted(taken)[0]!r}: rename the constant.")
    return tuple(tuple({**sample, **each} for sample in samples) for each in constants)


def check_leak(train_samples: Iterable[Sample], test_samples: Iterable[Sample]) -> None:
    """Raise UserError, naming both sides, where one image, by content, is on both sides."""
    train: dict[str, str] = {}
    for sample in train_samples:
        train.setdefault(sample["hash"], sample["name"])
    leaks = [(train[s["hash"]], s["name"]) for s in test_samples if s["hash"] in train]
    if leaks:
        pairs = ", ".join(f"{a} = {b}" for a, b in leaks[:5]) + (", ..." if len(leaks) > 5 else "")
        count = f"{len(leaks)} test images are in the training data too"
        raise UserError(f"{count} (train = test: {pairs}): exclude them from training.")


def _decode_once(found: Reading) -> dict[str, Any] | UserError:
    """A whole sample, or why its files cannot be read; what does not fit is raised."""
    try:
        pixels = found.decode()
    except UserError as error:
        return error
    whole = content_hash(pixels["hq"])
    pixels = found.fit(pixels)
    return {"name": found.name, "hash": whole, "size": pixels["hq"].shape[:2]} | pixels


def _in_memory(sample: dict[str, Any]) -> dict[str, Any]:
    """The sample with its arrays read, and locked: all later uses share them."""
    arrays = {key: np.asarray(sample[key]) for key in _PIXELS if key in sample}
    for key, array in arrays.items():
        # a map on the disk may be written anew while it is in use
        arrays[key] = np.array(array) if isinstance(sample[key], np.memmap) else array
        arrays[key].setflags(write=False)
    return sample | arrays


def _files(path: str | os.PathLike, suffixes: tuple[str, ...]) -> list[Path]:
    root = Path(path)
    if not root.is_dir():
        raise UserError(f"there is no folder {path}: check the path.")
    return sorted(
        file
        for file in root.rglob("*")
        if file.suffix.lower() in suffixes and file.is_file()
        if not any(part.startswith(".") for part in file.relative_to(root).parts)
    )


def _listed(files: list[Path], path: str | os.PathLike, *, include, exclude) -> list[Path]:
    """The files whose stem the two lists admit; path is the folder that they come from."""
    if include:
        wanted = set(read_names(include))
        missing = sorted(wanted - {file.stem for file in files})
        if missing:
            raise UserError(
                f"{path} lacks {len(missing)} files that {include} lists, first {missing[0]!r}: "
                "add them, or list the stems without endings."
            )
        files = [file for file in files if file.stem in wanted]
    unwanted = set(read_names(exclude)) if exclude else set()
    return [file for file in files if file.stem not in unwanted]


def _unique(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for name, file in named:
        if name in files:
            raise UserError(f"{files[name]} and {file} have one name: rename or remove one.")
        files[name] = file
    return files


def _packaged(place: str) -> Path:
    """A file of an installed package, without importing it (scikit-learn takes seconds)."""
    package, _, rest = place.partition("/")
    spec = importlib.util.find_spec(package)
    file = Path(spec.origin).parent / rest if spec and spec.origin else None
    if file is None or not file.is_file():
        distribution = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[package]
        raise UserError(f"{distribution} has no file {rest}: install its current wheel.")
    return file
