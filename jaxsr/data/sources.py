"""Where images come from: installed packages, folders, labelled pairs; decoding into samples."""

import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsr.data.images import SUFFIXES, content_hash, read_image, read_labels
from jaxsr.data.tables import nearest, read_class_table, read_names
from jaxsr.outdoor import NAMES, VOID
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
_PIXELS = ("hq", "label")

Sample = Mapping[str, Any]


class Item(NamedTuple):
    """One image on the disk: its name, its file, the file of its label map where there is one."""

    name: str
    image: Path
    labels: Path | None


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
        Item(name, _packaged(PHOTOGRAPHS[name]), None) for name in sorted(set(names or PHOTOGRAPHS))
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
    return tuple(Item(name, files[name], None) for name in sorted(files))


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
        items: of `photographs`, `folder` or `labelled`.
        class_table: see `read_class_table`. None: the label maps hold outdoor classes already.
        max_broken: share of the files that may be broken, 0..1.
        min_size: pixels; the smaller side of every image must reach it.
        cache_mib: MiB of pixels to keep. The samples after that keep only hash and size, and
            `fetch` decodes them at every use.
        report: receives one line for each file that is skipped.
    Returns:
        samples, in the order of the items: `name`, `hash` (of the pixels), `size` (H, W), and
        `hq` uint8 [H, W, 3]; where labelled, `label` uint8 [H, W], 0..7 of `outdoor.NAMES`
        or 255. Beyond the cache, instead of these two, what `fetch` needs.
    Raises:
        UserError: too many broken files; an image below min_size; a label map of another size than
            its image, or with a value that the table lacks.
    """
    table = read_class_table(class_table) if class_table is not None else _IDENTITY
    samples, broken, held = [], [], 0
    with ThreadPoolExecutor() as pool:
        decoded = pool.map(lambda item: _decode_once(item, table), items)
        for item, sample in zip(items, decoded, strict=True):
            if isinstance(sample, UserError):
                report(f"skipped: {sample}")
                broken.append(item.name)
                continue
            h, w = sample["size"]
            if min(h, w) < min_size:
                raise UserError(
                    f"{item.image} is {w}x{h} pixels, below the {min_size} that the crop needs: "
                    "choose a smaller crop, or remove the image."
                )
            held += sum(sample[key].nbytes for key in _PIXELS if key in sample)
            if held > cache_mib * _MIB:
                sample = {key: sample[key] for key in sample if key not in _PIXELS}
                sample |= {"item": item, "table": table}
            samples.append(sample)
    if len(broken) > max_broken * len(items):
        raise UserError(
            f"{len(broken)} of {len(items)} images cannot be read ({', '.join(broken[:5])}"
            f"{', ...' if len(broken) > 5 else ''}): remove or replace them, or raise max_broken "
            f"(now {max_broken:g})."
        )
    return tuple(samples)


def fetch(sample: Sample) -> Sample:
    """The sample with its pixels: itself where `load` kept them, else with the files read again.

    Raises:
        UserError: a file that has changed or gone since `load`.
    """
    if "hq" in sample:
        return sample
    item = sample["item"]
    pixels = _map_labels(item, _decode(item), sample["table"])
    if pixels["hq"].shape[:2] != sample["size"]:
        raise UserError(f"{item.image} has changed since it was first read: start the run again.")
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


_IDENTITY = {index: index for index in (*range(len(NAMES)), VOID)}


def _decode(item: Item) -> dict[str, np.ndarray]:
    pixels = {"hq": read_image(item.image)}
    if item.labels is not None:
        pixels["label"] = read_labels(item.labels)
    return pixels


def _decode_once(item: Item, table: Mapping[int, int]) -> dict[str, Any] | UserError:
    """A whole sample, or why its files cannot be read; wrong labels are raised."""
    try:
        pixels = _decode(item)
    except UserError as error:
        return error
    hq = pixels["hq"]
    name = {"name": item.name, "hash": content_hash(hq), "size": hq.shape[:2]}
    return name | _map_labels(item, pixels, table)


def _map_labels(
    item: Item, pixels: dict[str, np.ndarray], table: Mapping[int, int]
) -> dict[str, np.ndarray]:
    """Pixels with labels as outdoor classes, and locked: all later uses share these arrays."""
    if item.labels is not None:
        h, w = pixels["label"].shape
        if (h, w) != pixels["hq"].shape[:2]:
            raise UserError(
                f"the label map {item.labels} is {w}x{h} and its image "
                f"{pixels['hq'].shape[1]}x{pixels['hq'].shape[0]}: they must have one size."
            )
        unknown = sorted(set(np.flatnonzero(np.bincount(pixels["label"].ravel()))) - table.keys())
        if unknown:
            raise UserError(
                f"the label map {item.labels} has the value {unknown[0]}, "
                + (
                    f"where the outdoor classes are 0 to {len(NAMES) - 1} and {VOID} is none: mend it, or "
                    "name a class table."
                    if table == _IDENTITY
                    else "which the class table lacks: add it, or name the right table."
                )
            )
        lut = np.array([table.get(value, VOID) for value in range(256)], np.uint8)
        pixels = {**pixels, "label": lut[pixels["label"]]}
    for array in pixels.values():
        array.setflags(write=False)
    return pixels


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
