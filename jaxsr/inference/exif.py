"""The EXIF block of a picture: how it is turned, and what of it still holds when it is restored."""

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import ExifTags, Image

# What Pillow, tifffile and png16 raise on a damaged file, depending on the format.
DAMAGE = (
    OSError, SyntaxError, ValueError, KeyError, IndexError, TypeError, OverflowError, EOFError,
    AttributeError, ZeroDivisionError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip
ORIENTATION = 274
# Tags of a first EXIF directory that still hold for a restored picture: in a TIFF it is also where
# the strips, sizes and sample formats stand.
_KEPT_TAGS = (270, 271, 272, 305, 306, 315, 33432)
_DESCRIPTION = 270
_ABOUT_PIXELS = ("{", "ImageJ=", "<?xml")  # what programs write there about shape and planes
_WRONG_TAGS = (40962, 40963, 40965)  # width, height, an offset of the file before
# How the stored array must be turned to stand upright (EXIF 2.3, table 6).
_UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """An array [h, w, ...] turned and mirrored as an EXIF orientation (1 to 8) says; a view."""
    return _UPRIGHT[orientation](array) if orientation in _UPRIGHT else array


def kept_exif(source: Image.Exif | bytes | None) -> tuple[bytes | None, int, tuple[str, ...]]:
    """What of an EXIF directory or block a restored picture keeps, and how the stored one is turned.

    Orientation, sizes, thumbnail and what describes the file's own layout are left out.

    Args:
        source: of Pillow, or the bytes of a block or of a whole TIFF file.
    Returns:
        (block or None, orientation 1 to 8, sentences about what is damaged).
    """
    if source is None:
        return None, 1, ()
    turn = 1
    try:
        held = source
        if isinstance(source, bytes):
            held = Image.Exif()
            held.load(source)
        turn = held.get(ORIENTATION, 1)
        turn = turn if turn in _UPRIGHT else 1
        kept = Image.Exif()
        for tag in _KEPT_TAGS:
            if tag in held and not _is_about_pixels(tag, held[tag]):
                kept[tag] = held[tag]
        for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            inner: Mapping[int, Any] = held.get_ifd(directory)
            inner = {tag: value for tag, value in inner.items() if tag not in _WRONG_TAGS}
            if inner:
                kept[directory] = inner
        return (kept.tobytes() if len(kept) else None), turn, ()
    except DAMAGE:
        return None, turn, ("its EXIF block is damaged and was left out",)


def _is_about_pixels(tag: int, value: Any) -> bool:
    return tag == _DESCRIPTION and str(value).lstrip().startswith(_ABOUT_PIXELS)
