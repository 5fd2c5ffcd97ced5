"""Writing a TIFF of 8 or 16 bits with its EXIF directories, which neither Pillow (compressed) nor
tifffile does.

An EXIF block is a TIFF file without pixels. The file begins with it, so that every offset in it stays
true; the pixels follow, then a new first directory, with the entries of the block's beside its own.
"""

import struct
import zlib
from typing import Any, BinaryIO

import numpy as np

_SHORT, _LONG, _UNDEFINED, _LONG8 = 3, 4, 7, 16
_CODES = {_SHORT: "H", _LONG: "I", _UNDEFINED: "B", _LONG8: "Q"}
_STRIP_BYTES = 2**20
_CLASSIC_BYTES = 2**32 - 2**24  # offsets of a classic TIFF have 32 bits; some room for the rest
_MINISBLACK, _RGB, _DEFLATE, _DIFFERENCES, _ALPHA = 1, 2, 8, 2, 2


def is_big(samples: np.ndarray) -> bool:
    """Whether the samples need a BigTIFF, which holds no EXIF block here."""
    return samples.nbytes > _CLASSIC_BYTES


def write_tiff(
    file: BinaryIO, samples: np.ndarray, *, icc: bytes | None = None, exif: bytes | None = None
) -> None:
    """Write one picture: deflated strips of horizontal differences.

    Args:
        file: open for writing at its start, binary, seekable.
        samples: uint8 or uint16 [h, w, 1 | 2 | 3 | 4]: grey, grey + alpha, RGB, RGBA.
        icc: colour profile.
        exif: an EXIF block, with or without its six bytes of prefix.
    Raises:
        ValueError: another shape or dtype, or an EXIF block with more than 4 GB of pixels.
    Source: TIFF revision 6.0 (sections 2, 8, 14); BigTIFF; EXIF 2.3 section 4.5.
    """
    if samples.dtype not in (np.uint8, np.uint16) or samples.ndim != 3:
        raise ValueError(f"a TIFF takes uint8 or uint16 [h,w,1..4], not {samples.dtype}.")
    big = is_big(samples)
    if big and exif:
        raise ValueError("a BigTIFF holds no EXIF block.")
    block = (exif or b"").removeprefix(b"Exif\0\0")
    order = ">" if block.startswith(b"MM") else "<"
    mark = b"MM" if order == ">" else b"II"
    if big:
        head = struct.pack("<2sHHHQ", mark, 43, 8, 0, 0)
    else:
        head = block or struct.pack("<2sHI", mark, 42, 0)
    file.write(head)
    offsets, sizes, rows = _write_strips(file, samples, order)
    height, width, channels = samples.shape
    place = _LONG8 if big else _LONG
    tags: dict[int, tuple[int, Any]] = {
        256: (_LONG, [width]), 257: (_LONG, [height]),
        258: (_SHORT, [8 * samples.itemsize] * channels), 259: (_SHORT, [_DEFLATE]),
        262: (_SHORT, [_RGB if channels > 2 else _MINISBLACK]), 273: (place, offsets),
        277: (_SHORT, [channels]), 278: (_LONG, [rows]), 279: (place, sizes), 284: (_SHORT, [1]),
        317: (_SHORT, [_DIFFERENCES]),
    }  # fmt: skip
    if channels in (2, 4):
        tags[338] = (_SHORT, [_ALPHA])
    if icc:
        tags[34675] = (_UNDEFINED, list(icc))
    at = _align(file)
    file.write(_directory(tags, _entries(block, order), at, order, big))
    file.seek(8 if big else 4)
    file.write(struct.pack(order + ("Q" if big else "I"), at))


def _write_strips(
    file: BinaryIO, samples: np.ndarray, order: str
) -> tuple[list[int], list[int], int]:
    """(offsets, sizes, rows of a strip)."""
    rows = max(1, _STRIP_BYTES // (samples[:1].nbytes))
    offsets, sizes = [], []
    for top in range(0, len(samples), rows):
        part = samples[top : top + rows]
        differences = part.copy()
        differences[:, 1:] -= part[:, :-1]  # wraps around, as it must
        packed = zlib.compress(differences.astype(part.dtype.newbyteorder(order)).tobytes())
        offsets.append(_align(file))
        sizes.append(len(packed))
        file.write(packed)
    return offsets, sizes, rows


def _align(file: BinaryIO) -> int:
    """Where the next byte goes, made even: offsets of a TIFF are."""
    if file.tell() % 2:
        file.write(b"\0")
    return file.tell()


def _entries(block: bytes, order: str) -> dict[int, bytes]:
    """tag -> entry of 12 bytes, of the first directory of an EXIF block."""
    if not block:
        return {}
    (start,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, start)
    entries = (block[start + 2 + 12 * k : start + 14 + 12 * k] for k in range(count))
    return {struct.unpack(order + "H", entry[:2])[0]: entry for entry in entries}


def _directory(
    tags: dict[int, tuple[int, Any]], ready: dict[int, bytes], at: int, order: str, big: bool
) -> bytes:
    """The bytes of a directory at the offset `at`, with what does not fit into its entries."""
    count, pointer, room = ("Q", "Q", 8) if big else ("H", "I", 4)
    made = {tag: entry for tag, entry in ready.items() if tag not in tags}
    extra = b""
    total = len(made) + len(tags)
    end = at + struct.calcsize("<" + count) + total * (20 if big else 12) + room
    for tag, (kind, values) in tags.items():
        body = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)
        if len(body) > room:
            extra += b"\0" * (len(extra) % 2)
            place = struct.pack(order + pointer, end + len(extra))
            extra += body
        else:
            place = body.ljust(room, b"\0")
        made[tag] = struct.pack(f"{order}HH{pointer}", tag, kind, len(values)) + place
    entries = b"".join(entry for _, entry in sorted(made.items()))
    # the last number is the offset of a next directory: there is none
    return struct.pack(order + count, total) + entries + struct.pack(order + pointer, 0) + extra
