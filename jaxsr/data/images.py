"""Image files: strict reading to 8-bit RGB, label maps, atomic writing, a hash of the content."""

import hashlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from jaxsr.disk import in_one_move
from jaxsr.types import UserError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
# What Pillow raises on a damaged file, depending on the format.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_OPAQUE_MODES = ("1", "L", "P", "RGB")
_ALPHA_MODES = ("LA", "PA", "RGBA", "La", "RGBa")
_TIFF_BITS_PER_SAMPLE, _TIFF_PHOTOMETRIC = 258, 262


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a photograph as 8-bit RGB.

    PNG, JPEG, WebP, TIFF and BMP. The EXIF orientation is applied; grey, palette and 1-bit images
    become RGB; 16-bit grey v becomes round(v / 257). Colour profiles are not applied.

    Args:
        path: the file.
    Returns:
        uint8 [H, W, 3], 0..255.
    Raises:
        UserError: no such file, another format, damaged or truncated, several pictures, partly
            transparent, 16-bit colour (Pillow would halve the depth silently), CMYK, floats.
    """
    return decode_image(_bytes(path), str(path))


def decode_image(data: bytes, path: str) -> np.ndarray:
    """`read_image` of the bytes of a file; path: what messages call it."""
    image, bits = _decode(data, path)
    if image.mode.startswith("I;16") and bits == 16:
        grey = _grey16(path, image)
        return np.repeat(grey[..., None], 3, axis=2)
    if bits > 8:
        raise UserError(f"{path} has {bits}-bit colour or floats: save it with 8 bits.")
    if image.mode in _ALPHA_MODES or (image.mode in _OPAQUE_MODES and "transparency" in image.info):
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:
            raise UserError(f"{path} is partly transparent: flatten it onto a background.")
    elif image.mode not in _OPAQUE_MODES:
        raise UserError(f"{path} is an image of mode {image.mode}: convert it to 8-bit RGB.")
    return np.array(image.convert("RGB"))


def read_labels(path: str | os.PathLike) -> np.ndarray:
    """Read a label map: the numbers that a PNG stores, never its colours.

    Args:
        path: a PNG, 8-bit grey or palette (of 1 to 8 bits).
    Returns:
        uint8 [H, W]: the grey level or the palette index of every pixel.
    Raises:
        UserError: as `read_image`; another format or mode; grey of 1, 2 or 4 bits, which Pillow
            stretches to 0..255.
    """
    return decode_labels(_bytes(path), str(path))


def decode_labels(data: bytes, path: str) -> np.ndarray:
    """`read_labels` of the bytes of a file; path: what messages call it."""
    image, bits = _decode(data, path, orient=False)
    if image.format != "PNG" or not (image.mode == "P" or (image.mode == "L" and bits == 8)):
        raise UserError(
            f"{path} is not a label map ({image.format}, mode {image.mode}, {bits} bits): "
            "save the class numbers as an 8-bit grey or palette PNG."
        )
    return np.array(image)


def write_png(path: str | os.PathLike, array: np.ndarray) -> None:
    """Write a PNG that is there whole or not at all; makes the folder where it is missing.

    Args:
        path: the file; one that exists is replaced.
        array: uint8 [H, W] or [H, W, 3].
    Raises:
        UserError: the place cannot be written.
        ValueError: another shape or dtype.
    """
    data = encode_png(array)
    try:
        with in_one_move(Path(path)) as part:
            part.write_bytes(data)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): choose another folder, "
            "or make room."
        ) from error


def encode_png(array: np.ndarray, *, level: int = 6) -> bytes:
    """The bytes of a PNG of a uint8 [H, W] or [H, W, 3]; ValueError for another shape or dtype.

    level: of zlib, 0 to 9. Of a photograph 1 gives the size of 6 in a quarter of its time; 0 does not
           compress, and is decoded faster.
    """
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        raise ValueError(f"a PNG is uint8 [H,W] or [H,W,3], not {array.dtype} {array.shape}.")
    held = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(held, format="PNG", compress_level=level)
    return held.getvalue()


def content_hash(array: np.ndarray) -> str:
    """SHA-256, in hex, of the shape and the pixels: equal images, equal hashes, whatever the file.

    Args:
        array: uint8, any shape.
    Raises:
        ValueError: another dtype.
    """
    if array.dtype != np.uint8:
        raise ValueError(f"content_hash takes uint8, not {array.dtype}.")
    digest = hashlib.sha256(str(array.shape).encode())
    digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _bytes(path: str | os.PathLike) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"{path} cannot be read ({why}): check the path.") from error


def _decode(data: bytes, path: str, *, orient: bool = True) -> tuple[Image.Image, int]:
    """The decoded single picture of a file and the bits of one sample in the file."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            _check_kind(path, image)
            image.load()
            bits = _bits(image, data)
            if not orient:
                return image, bits
            return ImageOps.exif_transpose(image), bits
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is not an image, or damaged: remove or replace it.") from error
    except _DAMAGE as error:
        raise UserError(f"{path} is damaged ({error}): remove or replace it.") from error


def _check_kind(path: str, image: Image.Image) -> None:
    pictures = getattr(image, "n_frames", 1)  # only the formats that can hold several have it
    if pictures > 1:
        raise UserError(f"{path} holds {pictures} pictures: save the one to use as a PNG.")
    if image.format not in FORMATS:
        raise UserError(f"{path} is a {image.format} file: save it as one of {', '.join(FORMATS)}.")
    # Pillow inverts 8-bit pictures of this kind and forgets to with 16 bits.
    if image.format == "TIFF" and image.mode.startswith("I;16"):
        if image.tag_v2[_TIFF_PHOTOMETRIC] == 0:
            raise UserError(f"{path} is a 16-bit TIFF with white as zero: save it as a PNG.")


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits of a sample in the file: Pillow reduces 16-bit colour to 8 bits without a word."""
    if image.format == "PNG":
        return data[24]  # IHDR is always the first chunk: width, height, then the bit depth
    if image.format == "TIFF":
        return int(np.max(image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, 1)))
    return 8


def _grey16(path: str, image: Image.Image) -> np.ndarray:
    values = np.asarray(image).astype(np.uint32)
    key = image.info.get("transparency")
    if key is not None and (values == key).any():
        raise UserError(f"{path} is partly transparent: flatten it onto a background.")
    return ((values + 128) // 257).astype(np.uint8)  # round(v / 257): 257 is odd, there is no tie
