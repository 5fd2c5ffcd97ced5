"""Writing record files: see `jaxsr.data.records` for what they hold."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from safetensors.numpy import save

from jaxsr.data.images import content_hash, encode_png
from jaxsr.data.items import Item, reading
from jaxsr.data.records import VERSION, read_note
from jaxsr.disk import in_one_move
from jaxsr.types import UserError

# one record can be read without its neighbours; PNGs do not become smaller, and maps of a segmenter by half
# only, for three times the time of reading one
_OPTIONS = "group_size:1,uncompressed"
_AHEAD = 32  # images that are made into records before the first of them is written


class Part(NamedTuple):
    """One file of a set and the items that go into it."""

    path: Path
    items: Sequence[Item]


class Written(NamedTuple):
    """A part that is there: number of its records, sentences about images that could not be read,
    whether it was there before."""

    count: int
    broken: tuple[str, ...]
    kept: bool


def parts(items: Sequence[Item], out: Path, *, shards: int) -> tuple[Part, ...]:
    """The items shared out in their order over `shards` files; UserError for more files than items."""
    if not 1 <= shards <= len(items):
        raise UserError(
            f"{len(items)} images cannot be shared out over {shards} files: name fewer."
        )
    bounds = [len(items) * k // shards for k in range(shards + 1)]
    return tuple(
        Part(
            out / f"records-{k:05d}-of-{shards:05d}.array_record", items[bounds[k] : bounds[k + 1]]
        )
        for k in range(shards)
    )


def write_part(
    part: Part,
    table: Mapping[int, int],
    *,
    level: int,
    overwrite: bool,
    tick: Callable[[int], object],
) -> Written:
    """Writes one file, whole or not at all; one that is there for the same images is kept.

    Args:
        part: of `parts`.
        table: label value -> outdoor class, see `read_class_table`.
        level: of the PNGs, see `encode_png`.
        overwrite: write it anew also where it is there.
        tick: called with the pixels of each image that was written.
    Raises:
        UserError: what does not fit (as `sources.load`); a place that cannot be written; a part none of
            whose images can be read.
    """
    signature, note = _signature(part.items, table, level), part.path.with_suffix(".json")
    held = None if overwrite else _kept(part.path, note, signature)
    if held is not None:
        return Written(len(held["entries"]), tuple(held["broken"]), True)
    entries, broken = [], []
    try:
        note.unlink(missing_ok=True)  # it must not speak for the new file
        with in_one_move(part.path) as path:
            writer = ArrayRecordWriter(str(path), _OPTIONS)
            try:
                for made in _records(part.items, table, level):
                    if isinstance(made, UserError):
                        broken.append(str(made))
                        continue
                    about, data = made
                    writer.write(data)
                    entries.append(about)
                    tick(about["size"][0] * about["size"][1])
                if not entries:
                    raise UserError(f"no image for {part.path} can be read: {broken[0]}")
            finally:
                writer.close()
        text = {"version": VERSION, "signature": signature, "broken": broken, "entries": entries}
        with in_one_move(note) as path:
            path.write_text(json.dumps(text, ensure_ascii=False), encoding="utf-8")
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"{part.path} cannot be written ({why}): make room, or choose another folder."
        ) from error
    return Written(len(entries), tuple(broken), False)


def _records(
    items: Sequence[Item], table: Mapping[int, int], level: int
) -> Iterator[tuple[dict[str, Any], bytes] | UserError]:
    """`_record` of all items in their order, made in threads."""
    with ThreadPoolExecutor() as pool:
        for at in range(0, len(items), _AHEAD):
            yield from pool.map(lambda item: _record(item, table, level), items[at : at + _AHEAD])


def _record(
    item: Item, table: Mapping[int, int], level: int
) -> tuple[dict[str, Any], bytes] | UserError:
    """What the list says of a sample, and its record; or why it cannot be read."""
    found = reading(item, table)
    try:
        pixels = found.decode()
    except UserError as error:
        return error
    whole = content_hash(pixels["hq"])
    pixels = found.fit(pixels)
    about = {"name": found.name, "hash": whole, "size": list(pixels["hq"].shape[:2])}
    about |= {"category": item.category} if item.category is not None else {}
    about |= {"holds": [key for key in ("hq", "label", "lq", "prior") if key in pixels]}
    arrays = {
        key: np.frombuffer(encode_png(pixels[key], level=level), np.uint8)
        for key in ("hq", "label", "lq")
        if key in pixels
    }
    if "prior" in pixels:
        arrays["prior"] = np.ascontiguousarray(pixels["prior"])
    text = json.dumps(about, ensure_ascii=False).encode()
    return about, save(arrays | {"about": np.frombuffer(text, np.uint8)})


def _kept(path: Path, note: Path, signature: str) -> dict[str, Any] | None:
    """The list of a part that is there for the same images."""
    if not (path.is_file() and note.is_file()):
        return None
    try:
        held = read_note(note)
    except UserError:
        return None
    return held if held["signature"] == signature else None


def _signature(items: Sequence[Item], table: Mapping[int, int], level: int) -> str:
    """One text for the images of a part, the files they come from, and how they are read and written."""
    found = hashlib.sha256(json.dumps([sorted(table.items()), level]).encode())
    for item in items:
        files = [(p.stat().st_size, p.stat().st_mtime_ns) if p else None for p in (
            item.image, item.labels, item.prior, item.lq
        )]  # fmt: skip
        found.update(json.dumps([item.name, item.category, item.scale, files]).encode())
    return found.hexdigest()
