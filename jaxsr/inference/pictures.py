"""Reading a picture to restore: every depth and kind of pixel, with what belongs to it.

The reader of photographs for training, `jaxsr.data.images`, is strict; this one keeps alpha, 16
bits, grey, the colour profile and the EXIF block, so that the restored picture can have them too.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from jaxsr.inference import png16
from jaxsr.inference.exif import DAMAGE, ORIENTATION, kept_exif, upright
from jaxsr.types import UserError

MAX_MEGAPIXELS = 256.0
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
# Not Image.open, which would try formats that run other programs.
_OPENERS = (
    (b"\x89PNG\r\n\x1a\n", 0, PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", 0, JpegImagePlugin.jpeg_factory),
    (b"WEBP", 8, WebPImagePlugin.WebPImageFile),
    (b"BM", 0, BmpImagePlugin.BmpImageFile),
    (b"GIF8", 0, GifImagePlugin.GifImageFile),
)
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GREY_MODES, _COLOUR_MODES = ("1", "L", "LA", "La"), ("P", "RGB", "RGBX", "RGBA", "RGBa", "PA")
_PLANES = 2  # of a TIFF's planar configuration: a plane for each channel
_ASSOCIATED, _UNASSOCIATED = 1, 2  # of a TIFF's extra sample: alpha that colour is multiplied with


class Picture(NamedTuple):
    """A picture as it stands in a file, upright.

    colour: uint8 or uint16 [h, w, 1] (grey) or [h, w, 3]
    alpha:  the same type [h, w], 0 transparent, not multiplied into colour; None where there is none
    icc:    the colour profile, not applied
    exif:   the EXIF block without orientation, sizes and thumbnail
    gamma:  100,000 times the exponent that a PNG names
    notes:  sentences about what was left out
    """

    colour: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    gamma: int | None = None
    notes: tuple[str, ...] = ()


class _Found(NamedTuple):
    """Samples [h, w, 1..4] as stored, and what belongs to them; alpha is the last of 2 or 4."""

    samples: np.ndarray
    exif: Image.Exif | bytes | None
    icc: bytes | None
    gamma: int | None
    notes: tuple[str, ...]


def read_picture(path: str | os.PathLike, *, max_megapixels: float = MAX_MEGAPIXELS) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF or BMP of 8 or 16 bits, whatever its name ends in.

    Palettes become RGB, 1-bit pictures grey, a transparent colour alpha; grey stays grey, 16 bits
    stay 16. The EXIF orientation is applied; the colour profile is kept and not applied. Of a JPEG
    with further pictures (previews, gain maps) the first is taken.

    Args:
        path: the file.
        max_megapixels: a larger picture is refused before its pixels are unpacked.
    Returns:
        `Picture`.
    Raises:
        UserError: no such file, a folder, empty, another format, damaged or cut off, too large,
            animated or several pages, CMYK or another colour space, floats, other depths.
    """
    path = Path(path)
    data = _bytes(path)
    try:
        with _own_rules() as said:
            found = _decode(path, data, max_megapixels)
            exif, turn, notes = kept_exif(found.exif)
        if said and not notes:
            notes = (f"its metadata are partly damaged ({_words(said[0].message)})",)
    except DAMAGE as error:
        raise UserError(f"{path} is damaged ({_words(error)}): remove or replace it.") from error
    except MemoryError as error:
        raise UserError(f"{path} does not fit into memory: cut it into parts.") from error
    samples = np.ascontiguousarray(upright(found.samples, turn))
    alpha = None
    if samples.shape[2] in (2, 4):
        samples, alpha = np.ascontiguousarray(samples[..., :-1]), samples[..., -1].copy()
    return Picture(samples, alpha, found.icc, exif, found.gamma, found.notes + notes)


def header_size(path: str | os.PathLike) -> tuple[int, int]:
    """Height and width, as stored, that the header of a file names; (0, 0) where it cannot be told."""
    try:
        with _own_rules(), open(path, "rb") as file:
            head = file.read(32)
            file.seek(0)
            if head.startswith(_TIFF_SIGNATURES):
                with tifffile.TiffFile(file) as tiff:
                    return tiff.pages[0].imagelength, tiff.pages[0].imagewidth
            opener = _opener(head)
            if opener is None:
                return 0, 0
            with opener(file, "") as image:
                return image.size[1], image.size[0]
    except DAMAGE:
        return 0, 0  # reading it will say why


def to_unit(levels: np.ndarray) -> np.ndarray:
    """uint8 or uint16 as float32 in [0, 1]."""
    return levels.astype(np.float32) / np.float32(np.iinfo(levels.dtype).max)


def to_levels(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floats, clipped to [0, 1], as uint8 or uint16: floor(max · v + 1/2)."""
    top = np.iinfo(dtype).max
    return np.floor(np.clip(values, 0, 1) * values.dtype.type(top) + 0.5).astype(dtype)


@contextlib.contextmanager
def _own_rules() -> Iterator[list[warnings.WarningMessage]]:
    """Pillow without its limit of pixels, a global, and with its warnings (of metadata that do not
    parse) in a list."""
    limit = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = None
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield said
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _words(said: Exception | Warning | str) -> str:
    return " ".join(str(said).split())[:160].rstrip(".") or type(said).__name__


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(f"{path} is a folder, though named like an image: rename it.")
    try:
        data = path.read_bytes()
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"{path} cannot be read ({why}): check the path.") from error
    if not data:
        raise UserError(f"{path} is empty (0 bytes): fetch or save it again.")
    return data


def _opener(head: bytes) -> Any:
    for signature, at, opener in _OPENERS:
        if head[at : at + len(signature)] == signature:
            return opener
    return None


def _decode(path: Path, data: bytes, limit: float) -> _Found:
    if data.startswith(_TIFF_SIGNATURES):
        return _decode_tiff(path, data, limit)
    opener = _opener(data)
    if opener is None:
        raise UserError(
            f"{path} is not an image of the kinds read here, or damaged: "
            f"save it as one of {', '.join(FORMATS)}."
        )
    with opener(io.BytesIO(data), "") as image:
        _check_size(path, image.size, limit)
        pictures = getattr(image, "n_frames", 1)  # only formats that can hold several have it
        if pictures > 1 and image.format != "MPO":
            raise UserError(
                f"{path} is animated, of {pictures} pictures: save the one to restore as a PNG."
            )
        if image.format not in (*FORMATS, "MPO"):
            raise UserError(
                f"{path} is a {image.format} file: save it as one of {', '.join(FORMATS)}."
            )
        notes = (f"of its {pictures} pictures the first was taken",) if pictures > 1 else ()
        if image.format == "PNG" and data[24] == 16:
            return _decode_png16(data)
        return _decode_8_bit(
            path, image, bits=data[24] if image.format == "PNG" else 8, notes=notes
        )


def _check_size(path: Path, size: tuple[int, int], limit: float) -> None:
    if size[0] * size[1] > limit * 1e6:
        raise UserError(
            f"{path} claims {size[0]}×{size[1]} pixels, {size[0] * size[1] / 1e6:.0f} megapixels: "
            f"allow as many with --max-megapixels (now {limit:g}) if that is true."
        )


def _decode_8_bit(path: Path, image: Image.Image, *, bits: int, notes: tuple[str, ...]) -> _Found:
    if image.mode not in _GREY_MODES + _COLOUR_MODES:
        raise UserError(f"{path} is an image of mode {image.mode}: convert it to RGB or grey.")
    image.load()
    key = image.info.get("transparency")
    if image.mode in ("1", "L") and key is not None:
        grey = np.asarray(image.convert("L"))
        # Pillow stretches grey of 2 and 4 bits to 0..255, but not the key
        key *= 1 if image.mode == "1" else 255 // (2**bits - 1)
        alpha = np.where(grey == key, 0, 255).astype(np.uint8)
        samples = np.stack([grey, alpha], axis=2)
    else:
        transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or key is not None
        target = "L" if image.mode in _GREY_MODES else "RGB"
        if transparent:
            target = {"L": "LA", "RGB": "RGBA"}[target]
        samples = np.array(image if image.mode == target else image.convert(target))
        samples = samples.reshape(image.size[1], image.size[0], -1)
    # the bytes where there are any: of a damaged block Pillow makes an empty one without a word
    exif = image.info.get("exif") or image.getexif()
    gamma = image.info.get("gamma")
    return _Found(
        samples, exif, image.info.get("icc_profile") or None,
        round(1e5 * gamma) if gamma else None, notes,
    )  # fmt: skip


def _decode_png16(data: bytes) -> _Found:
    samples, chunks = png16.decode(data)
    notes, icc, gamma = (), None, None
    if "iCCP" in chunks:
        try:
            icc = png16.unpack_profile(chunks["iCCP"])
        except ValueError:
            notes = ("its colour profile is damaged and was left out",)
    if len(chunks.get("gAMA", b"")) == 4:
        gamma = int.from_bytes(chunks["gAMA"], "big")
    key, channels = chunks.get("tRNS"), samples.shape[2]
    if key is not None and channels in (1, 3) and len(key) == 2 * channels:
        seen = (samples != np.frombuffer(key, ">u2")).any(axis=2)
        samples = np.concatenate([samples, (seen * np.uint16(65535))[..., None]], axis=2)
    return _Found(samples, chunks.get("eXIf"), icc, gamma, notes)


def _decode_tiff(path: Path, data: bytes, limit: float) -> _Found:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        pages = [page for page in tiff.pages if not int(page.subfiletype or 0) & 1]  # no previews
        if len(pages) != 1:
            raise UserError(f"{path} holds {len(pages)} pages: save the one to restore alone.")
        page = pages[0]
        _check_size(path, (page.imagewidth, page.imagelength), limit)
        kind = page.photometric.name
        if kind in ("SEPARATED", "CIELAB", "ICCLAB", "ITULAB", "CFA", "LINEAR_RAW"):
            kind = "CMYK" if kind == "SEPARATED" else kind
            raise UserError(f"{path} is a TIFF in {kind}: convert it to RGB or grey.")
        bits, tags = page.bitspersample, page.tags
        if bits > 8 and (bits != 16 or page.dtype != np.uint16):
            what = "floats" if page.sampleformat == 3 else f"{bits}-bit numbers"
            raise UserError(f"{path} is a TIFF of {what}: save it with 8 or 16 bits.")
        if bits <= 8:
            with TiffImagePlugin.TiffImageFile(io.BytesIO(data), "") as image:
                image.seek(page.index)
                return _decode_8_bit(path, image, bits=8, notes=())  # Pillow turns it
        samples = _tiff_samples(path, page)
        icc = tags[34675].value if 34675 in tags else None
        exif: Image.Exif | bytes = data
        if tiff.is_bigtiff:  # no EXIF block, but the orientation counts
            exif = Image.Exif()
            exif[ORIENTATION] = tags[ORIENTATION].value if ORIENTATION in tags else 1
    return _Found(samples, exif, bytes(icc) if icc else None, None, ())


def _tiff_samples(path: Path, page: tifffile.TiffPage) -> np.ndarray:
    """The uint16 samples [h, w, 1..4] of a page, white as the largest number, alpha not in them."""
    try:
        held = page.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        raise UserError(
            f"{path} is a 16-bit TIFF packed by {page.compression.name}: install imagecodecs, "
            "or save it as a PNG."
        ) from error
    shape = (page.imagelength, page.imagewidth)
    if int(page.planarconfig) == _PLANES:
        held = held.reshape(-1, *shape).transpose(1, 2, 0)
    held = held.reshape(*shape, -1)
    extras = tuple(int(extra) for extra in page.extrasamples)
    channels = held.shape[2] - len(extras)
    kind = page.photometric.name
    if channels != {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3}.get(kind) or len(extras) > 1:
        raise UserError(
            f"{path} is a 16-bit TIFF of {held.shape[2]} channels ({kind}): "
            "save it as RGB or grey, with one alpha at most."
        )
    colour = held[..., :channels]
    if kind == "MINISWHITE":
        colour = 65535 - colour
    if not extras or extras[0] not in (_ASSOCIATED, _UNASSOCIATED):
        return np.ascontiguousarray(colour)  # what an unnamed channel means is not known
    alpha = held[..., channels:]
    if extras[0] == _ASSOCIATED:
        whole = np.maximum(alpha, 1).astype(np.uint64)
        raised = (colour.astype(np.uint64) * 65535 + whole // 2) // whole
        colour = np.minimum(raised, 65535).astype(np.uint16)
    return np.concatenate([colour, alpha], axis=2)
