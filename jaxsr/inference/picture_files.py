"""Writing a restored picture: the depth, alpha, profile and EXIF block it has, whole or not at all."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from jaxsr.disk import in_one_move
from jaxsr.inference import png16
from jaxsr.inference.pictures import Picture
from jaxsr.inference.tiff_writer import is_big, write_tiff
from jaxsr.types import UserError

# ending of a file: its format
ENDINGS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF",
    ".tiff": "TIFF", ".bmp": "BMP",
}  # fmt: skip
# format as an option names it: ending of its files
NAMES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif", "bmp": ".bmp"}
_OPAQUE = ("JPEG", "BMP")
_SIXTEEN = ("PNG", "TIFF")
_LONGEST = {"JPEG": 65500, "WEBP": 16383}  # pixels of a side
_MOST_BYTES = 4e9  # of a BMP
_JPEG_BLOCK = 65000  # bytes of an EXIF block that a JPEG segment takes


def check_writable(path: str | os.PathLike, shape: tuple[int, int], *, alpha: bool) -> None:
    """UserError where the format that a file name ends in cannot hold such a picture.

    Args:
        path: the file to be.
        shape: height and width, pixels.
        alpha: whether there is transparency.
    """
    kind = _format(Path(path))
    if alpha and kind in _OPAQUE:
        raise UserError(
            f"{path} would lose its transparency, which {kind} cannot hold: write it with "
            "--format png, webp or tiff."
        )
    too_long = max(shape) > _LONGEST.get(kind, 2**31 - 1)
    if too_long or (kind == "BMP" and 3 * shape[0] * shape[1] > _MOST_BYTES):
        raise UserError(
            f"{path} would be {shape[1]}×{shape[0]} pixels, more than {kind} holds: write it with "
            "--format png or tiff."
        )


def write_picture(
    path: str | os.PathLike, picture: Picture, *, quality: int = 95, lossless: bool = False
) -> tuple[str, ...]:
    """Write a picture in the format that the name ends in; makes the folder where it is missing.

    PNG and TIFF keep 16 bits; for the others v becomes round(v/257), which is noted. Colour of JPEG
    is not subsampled.

    Args:
        path: the file; one that exists is replaced, in one move.
        picture: upright, uint8 or uint16.
        quality: 1 to 100, of JPEG and WebP.
        lossless: of WebP: the pixels exactly, whatever the quality.
    Returns:
        sentences about what the format could not keep.
    Raises:
        UserError: an unknown ending, a picture that the format cannot hold (`check_writable`), a
            place that cannot be written.
        ValueError: another shape or dtype.
    """
    path = Path(path)
    _check(picture)
    check_writable(path, picture.colour.shape[:2], alpha=picture.alpha is not None)
    kind = _format(path)
    picture, notes = _fitted(picture, kind)
    samples = picture.colour
    if picture.alpha is not None:
        samples = np.concatenate([samples, picture.alpha[..., None]], axis=2)
    try:
        with in_one_move(path) as part:
            if kind == "TIFF":
                with part.open("wb") as file:
                    write_tiff(file, samples, icc=picture.icc, exif=picture.exif)
            elif samples.dtype == np.uint16:
                with part.open("wb") as file:
                    png16.encode(file, samples, chunks=_chunks(picture))
            else:
                image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
                image.save(part, format=kind, **_options(kind, picture, quality, lossless))
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): choose another folder, "
            "or make room."
        ) from error
    return notes


def _check(picture: Picture) -> None:
    """ValueError for another shape or dtype."""
    colour, alpha = picture.colour, picture.alpha
    kinds = (np.uint8, np.uint16)
    if colour.dtype not in kinds or colour.ndim != 3 or colour.shape[2] not in (1, 3):
        raise ValueError(
            f"a picture is uint8 or uint16 [h,w,1|3], not {colour.dtype} {colour.shape}."
        )
    if alpha is not None and (alpha.dtype != colour.dtype or alpha.shape != colour.shape[:2]):
        raise ValueError(f"alpha is {alpha.dtype} {alpha.shape}, colour {colour.dtype}.")


def _fitted(picture: Picture, kind: str) -> tuple[Picture, tuple[str, ...]]:
    """The picture without what a format cannot keep, and a sentence about each loss."""
    colour, alpha, icc, exif, gamma, _ = picture
    notes = []
    if colour.dtype == np.uint16 and kind not in _SIXTEEN:
        colour, alpha = (None if each is None else _rounded(each) for each in (colour, alpha))
        notes.append(f"{kind} holds 8 bits: its 16 were rounded")
    lost = {
        "BMP": "BMP cannot hold",
        "JPEG": "a JPEG segment is too short for" if exif and len(exif) > _JPEG_BLOCK else "",
        "TIFF": "a TIFF of more than 4 GB cannot hold" if is_big(colour) else "",
    }.get(kind, "")
    if exif and lost:
        exif = None
        notes.append(f"{lost} its EXIF block")
    if icc and kind == "BMP":
        icc = None
        notes.append("BMP cannot hold its colour profile")
    if icc and kind == "WEBP" and icc[16:20] == b"GRAY":
        icc = None
        notes.append("WEBP holds no grey, which its colour profile is for: it was left out")
    if gamma and kind != "PNG":
        if not icc:  # which says more
            notes.append(f"{kind} cannot hold its gamma of 1/{1e5 / gamma:.3g}")
        gamma = None
    return Picture(colour, alpha, icc, exif, gamma), tuple(notes)


def _rounded(levels: np.ndarray) -> np.ndarray:
    """round(v / 257) of uint16: 257 is odd, there is no tie."""
    return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _format(path: Path) -> str:
    kind = ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"{path} ends in no format that is written: {', '.join(ENDINGS)}.")
    return kind


def _options(kind: str, picture: Picture, quality: int, lossless: bool) -> dict[str, Any]:
    """What Pillow's writer of a format is told."""
    options: dict[str, Any] = {}
    if kind != "BMP":
        options |= {"icc_profile": picture.icc} if picture.icc else {}
        options |= {"exif": picture.exif} if picture.exif else {}
    if kind == "JPEG":
        options |= {"quality": quality, "subsampling": 0}
    elif kind == "WEBP":
        options |= {"quality": quality, "lossless": lossless, "exact": True}
    elif kind == "PNG" and picture.gamma:
        info = PngImagePlugin.PngInfo()
        info.add(b"gAMA", picture.gamma.to_bytes(4, "big"))
        options["pnginfo"] = info
    return options


def _chunks(picture: Picture) -> dict[str, bytes]:
    chunks = {}
    if picture.gamma:
        chunks["gAMA"] = picture.gamma.to_bytes(4, "big")
    if picture.icc:
        chunks["iCCP"] = png16.pack_profile(picture.icc)
    if picture.exif:
        chunks["eXIf"] = picture.exif.removeprefix(b"Exif\0\0")
    return chunks
