"""Data sets of tensorflow-datasets that are prepared already, as ArrayRecord: read without TensorFlow."""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxsr.data.images import decode_image
from jaxsr.data.items import Item, Reading, cut_to_low
from jaxsr.data.sources import keep
from jaxsr.types import UserError

FORMAT = "array_record"


def prepared(
    dataset: str,
    *,
    split: str,
    image: str,
    low: str = "",
    scale: int = 1,
    path: str | os.PathLike = "",
    max_broken: float = 0.01,
    min_size: int = 0,
    cache_mib: float = 4096.0,
    report: Callable[[str], object] = print,
) -> tuple[dict[str, Any], ...]:
    """The images of a split, and their low resolutions where the set has them, as `sources.load` gives them.

    Args:
        dataset: name, configuration and, if not the highest there, version, as tensorflow-datasets
            writes them: «div2k/bicubic_x4», «div2k/bicubic_x4:2.0.0».
        split: as tensorflow-datasets slices them: «train», «validation», «train[:90%]».
        image, low: names of features of the set, «hr» and «lr» for div2k; low «» for none.
        scale: by which the low resolutions are smaller.
        path: folder of the prepared sets. "" for the one of tensorflow-datasets, which is TFDS_DATA_DIR
            or ~/tensorflow_datasets.
        max_broken, min_size, cache_mib, report: as in `load`.
    Returns:
        samples in the order of the set, named <split>/<number>.
    Raises:
        UserError: tensorflow-datasets is not installed; the set is not prepared, or in another format
            (with the command that prepares it); another split or feature; as `load`.
    Source: tensorflow/datasets, tfds.builder_from_directory and as_data_source.
    """
    root = Path(path or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    folder = _folder(dataset, root)
    source = _source(folder, split=split, features=(image, low) if low else (image,))
    readings = [
        Reading(
            name := f"{split}/{index:06d}",
            place := f"{name} of {dataset}",
            functools.partial(_decode, source, index, place, image, low),
            functools.partial(_fit, Item(name, Path(place), lq=Path(f"its {low}"), scale=scale)),
        )
        for index in range(len(source))
    ]
    return keep(
        readings, max_broken=max_broken, min_size=min_size, cache_mib=cache_mib, report=report
    )


def _folder(dataset: str, root: Path) -> Path:
    """The folder of a version of a set that is prepared as ArrayRecord."""
    name, _, version = dataset.partition(":")
    mend = (
        "where TensorFlow and tensorflow-datasets are installed, run "
        f"tfds build {name} --file_format={FORMAT} --data_dir={root}"
    )
    notes = {note.parent.name: note for note in (root / name).glob("*/dataset_info.json")}
    if version:
        notes = {key: note for key, note in notes.items() if key == version}
    if not notes:
        raise UserError(f"the data set {dataset} is not prepared in {root}: {mend}.")
    note = notes[max(notes, key=_numbers)]
    try:
        held = json.loads(note.read_text(encoding="utf-8"))["fileFormat"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{note} cannot be read ({error}): {mend}.") from error
    if held != FORMAT:
        raise UserError(
            f"the data set {dataset} in {root} is prepared as {held}, which has no random access: remove "
            f"it, and {mend}."
        )
    return note.parent


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else -1 for part in version.split("."))


def _source(folder: Path, *, split: str, features: tuple[str, ...]) -> Any:
    """The records of a split, their images as the bytes of their files."""
    try:
        import tensorflow_datasets as tfds

        reader = tfds.builder_from_directory  # missing where one of its own packages is
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"tensorflow-datasets cannot be imported ({error}): pip install 'jaxsr[tfds]'."
        ) from error
    try:
        builder = reader(folder)
        held = builder.info.features
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the data set in {folder} is damaged ({error}): prepare it again."
        ) from error
    for name in features:
        if name not in held or not isinstance(held[name], tfds.features.Image):
            images = sorted(key for key in held if isinstance(held[key], tfds.features.Image))
            raise UserError(
                f"{folder} has no image {name!r}: it has {', '.join(images) or 'none'}."
            )
    # decoded here, so that the bits do not depend on whether OpenCV is installed
    skip = {name: tfds.decode.SkipDecoding() for name in features}
    try:
        return builder.as_data_source(split=split, decoders=skip)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise UserError(
            f"{folder} has no split {split!r}: it has {', '.join(builder.info.splits)}."
        ) from error
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"the data set in {folder} is damaged ({error}): prepare it again."
        ) from error


def _decode(source: Any, index: int, place: str, image: str, low: str) -> dict[str, Any]:
    """The pixels of one record; UserError where it is damaged."""
    try:
        held = source[index]
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(f"{place} is damaged ({error}): prepare the set again.") from error
    names = {"hq": image} | ({"lq": low} if low else {})
    return {
        key: decode_image(bytes(held[name]), f"{name} of {place}") for key, name in names.items()
    }


def _fit(item: Item, pixels: dict[str, Any]) -> dict[str, Any]:
    if "lq" not in pixels:
        return pixels
    return pixels | {"hq": cut_to_low(item, pixels["hq"], pixels["lq"].shape)}
