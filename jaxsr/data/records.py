"""Record files: images with what goes with them in few ArrayRecord files, read at random through grain.

A set is a folder of parts, `records-00000-of-00008.array_record`, each with a `.json` beside it that lists
what it holds. One record is one sample, a safetensors block of uint8 arrays: `hq`, `lq` and `label` are the
bytes of PNGs, `prior` is a map [H, W, 8], `about` is JSON (name, hash, size, category). Nothing is unpickled.
"""

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grain
import numpy as np

from jaxsr.data.images import decode_image, decode_labels
from jaxsr.data.items import Reading
from jaxsr.data.sources import check_size, keep
from jaxsr.data.tables import read_names
from jaxsr.types import UserError

VERSION = 1
_PIXELS_OF = {"hq": 3, "label": 1, "prior": 8}  # bytes of a pixel when decoded, lq aside


def records(
    path: str | os.PathLike,
    *,
    include: str | os.PathLike = "",
    exclude: str | os.PathLike = "",
    max_broken: float = 0.01,
    min_size: int = 0,
    cache_mib: float = 4096.0,
    report: Callable[[str], object] = print,
) -> tuple[dict[str, Any], ...]:
    """The samples of a set of records, as `sources.load` gives them for the same images.

    What the cache cannot hold is not decoded before its first use: the set knows hashes and sizes.

    Args:
        path: the folder that scripts/write_records.py wrote.
        include, exclude: lists of stems, as in `folder`.
        max_broken, min_size, cache_mib, report: as in `load`.
    Raises:
        UserError: no set, or not a whole one; no image left; a name of `include` that is not there;
            as `load`.
    """
    files, entries = _index(Path(path))
    try:
        source = grain.sources.ArrayRecordDataSource([str(file) for file in files])
        count = len(source)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the records in {path} are damaged ({error}): write them again."
        ) from error
    if count != len(entries):
        raise UserError(f"{path} holds {count} records and lists {len(entries)}: write them again.")
    chosen = list(_listed(entries, path, include=include, exclude=exclude))
    if not chosen:
        raise UserError(f"{path} has no image left to read: check the lists of stems.")
    readings = [
        Reading(
            entry["name"],
            f"{entry['name']} of {path}",
            functools.partial(_decode, source, place, f"{entry['name']} of {path}"),
            _as_it_is,
        )
        for place, entry in chosen
    ]
    abouts = {entry["name"]: _about(entry) for _, entry in chosen}
    for found, about in zip(readings, abouts.values(), strict=True):
        check_size(found.place, about["size"], min_size)
    sizes = np.cumsum([_bytes_of(entry) for _, entry in chosen])
    first = int(np.searchsorted(sizes, cache_mib * 2**20, "right"))
    # of the images as they were before they were cut to a map: what other sources give
    cached = keep(
        readings[:first],
        max_broken=max_broken,
        min_size=min_size,
        cache_mib=cache_mib,
        report=report,
    )
    rest = zip(readings[first:], list(abouts.values())[first:], strict=True)
    return (
        *(sample | abouts[sample["name"]] for sample in cached),
        *(about | {"reading": found} for found, about in rest),
    )


def _decode(source: Any, place: int, name: str) -> dict[str, Any]:
    """The pixels of one record; UserError where it is damaged."""
    try:
        arrays = _arrays(source[place])
        about = json.loads(arrays.pop("about").tobytes())
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the record {name} is damaged ({error}): write the set again.") from error
    pixels: dict[str, Any] = {}
    for key, array in arrays.items():
        if key == "prior":
            pixels[key] = array
        else:
            decode = decode_labels if key == "label" else decode_image
            pixels[key] = decode(array.tobytes(), f"{key} of {name}")
    return pixels | ({"category": about["category"]} if "category" in about else {})


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    """The uint8 arrays of a safetensors block, which the package's own reader copies: a map has megabytes."""
    size = int.from_bytes(data[:8], "little")
    held = np.frombuffer(data, np.uint8, offset=8 + size)
    found = {}
    for name, tensor in json.loads(data[8 : 8 + size]).items():
        begin, end = tensor["data_offsets"]
        found[name] = held[begin:end].reshape(tensor["shape"])
    return found


def _as_it_is(pixels: dict[str, Any]) -> dict[str, Any]:
    return pixels


def _about(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a sample without its pixels."""
    known = {"name": entry["name"], "hash": entry["hash"], "size": tuple(entry["size"])}
    return known | ({"category": entry["category"]} if "category" in entry else {})


def _bytes_of(entry: Mapping[str, Any]) -> int:
    """Of a sample in memory; a low resolution is counted as a whole image, which it is at scale 1."""
    h, w = entry["size"]
    return h * w * sum(3 if key == "lq" else _PIXELS_OF[key] for key in entry["holds"])


def _index(folder: Path) -> tuple[list[Path], list[dict[str, Any]]]:
    """The files of a set in order, and what they hold."""
    notes = sorted(folder.glob("records-*-of-*.json")) if folder.is_dir() else []
    if not notes:
        raise UserError(
            f"there are no records in {folder}: write them with scripts/write_records.py."
        )
    counts = sorted({note.stem.rpartition("-")[2] for note in notes})
    if len(counts) > 1:
        raise UserError(
            f"{folder} holds sets of {' and of '.join(counts)} files: remove all but one."
        )
    files = [folder / f"{note.stem}.array_record" for note in notes]
    there = sum(file.is_file() for file in files)
    if not counts[0].isdecimal() or there != int(counts[0]):
        raise UserError(
            f"{folder} holds {there} of {counts[0]} files of its records: copy them all, or run "
            "scripts/write_records.py to its end."
        )
    return files, [entry for note in notes for entry in read_note(note)["entries"]]


def read_note(path: Path) -> dict[str, Any]:
    """The list beside a file of records: version, signature, broken, entries; UserError for another."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        version = held["version"]
        complete = all(held[key] is not None for key in ("signature", "broken", "entries"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no list of records ({error}): write the set again.") from error
    if version != VERSION or not complete:
        raise UserError(f"{path} is of another version ({version}): write the set again.")
    return held


def _listed(
    entries: Sequence[dict[str, Any]], path: str | os.PathLike, *, include: Any, exclude: Any
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(place, entry) of those that the two lists of stems admit."""
    wanted = set(read_names(include)) if include else None
    unwanted = set(read_names(exclude)) if exclude else set()
    stems = [Path(entry["name"]).name for entry in entries]
    missing = sorted((wanted or set()) - set(stems))
    if missing:
        raise UserError(
            f"{path} lacks {len(missing)} images that {include} lists, first {missing[0]!r}."
        )
    for place, (stem, entry) in enumerate(zip(stems, entries, strict=True)):
        if (wanted is None or stem in wanted) and stem not in unwanted:
            yield place, entry
