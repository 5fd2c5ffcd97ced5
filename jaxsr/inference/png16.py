"""PNG files of 16 bits a sample, which Pillow reads as 8 bits and cannot write in colour.

A row of a PNG is stored as its differences to a prediction from the pixels at the left (a), above
(b) and above left (c). The prediction of a pixel needs the restored ones, so rows are restored along
anti-diagonals: all pixels of one depend on the two before it only.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# colour type of IHDR: number of samples in a pixel
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
PROFILE_LIMIT = 2**26  # bytes of an ICC profile; printer profiles take a few million
BAND = 256  # rows that are restored or filtered together
BAND_BYTES = 2**26
SUB, UP, AVERAGE, PAETH = 1, 2, 3, 4
# x and y of the first pixel, step in x and y, of the seven passes of Adam7
PASSES = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
)  # fmt: skip


class Png(NamedTuple):
    """samples: uint16 [h, w, 1 | 2 | 3 | 4] (grey, grey + alpha, RGB, RGBA), not de-transparented;
    chunks: name -> body of every other chunk, the last one of each name."""

    samples: np.ndarray
    chunks: Mapping[str, bytes]


def decode(data: bytes) -> Png:
    """The 16-bit samples of a PNG file, plain or interlaced, and its other chunks.

    Args:
        data: the whole file; its size must have been judged from the header before, because memory
            grows with the pixels.
    Returns:
        `Png`.
    Raises:
        ValueError: no PNG, not of 16 bits, cut off, a wrong checksum, pixels that do not unpack.
    Source: PNG specification (W3C, third edition), sections 5, 7 to 9.
    """
    chunks: dict[str, bytes] = {}
    pixels = []
    for name, body in _chunks(data):
        if name == "IDAT":
            pixels.append(body)
        else:
            chunks[name] = bytes(body)
    width, height, bits, colour, method, filtering, interlaced = _header(chunks.pop("IHDR", b""))
    if bits != 16 or colour not in CHANNELS:
        raise ValueError(f"a PNG of {bits} bits and colour type {colour}, not of 16 bits")
    if method or filtering or interlaced > 1:
        raise ValueError("an unknown way of packing")
    channels = CHANNELS[colour]
    passes = PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = [(-((y - height) // dy), -((x - width) // dx)) for x, y, dx, dy in passes]
    sizes = [(h, w) if h > 0 and w > 0 else (0, 0) for h, w in sizes]
    raw = _inflate(b"".join(pixels), sum(h * (1 + 2 * channels * w) for h, w in sizes))
    samples = np.zeros((height, width, channels), np.uint16) if interlaced else None
    start = 0
    for (x, y, dx, dy), (h, w) in zip(passes, sizes, strict=True):
        if h == 0:
            continue
        stride = 1 + 2 * channels * w
        rows = raw[start : start + h * stride].reshape(h, stride)
        start += h * stride
        part = _unfilter(rows, 2 * channels).view(">u2").reshape(h, w, channels)
        if samples is None:
            return Png(part.astype(np.uint16), chunks)
        samples[y::dy, x::dx] = part
    return Png(samples, chunks)


def encode(
    file: BinaryIO,
    samples: np.ndarray,
    *,
    chunks: Mapping[str, bytes] | None = None,
    level: int = 6,
) -> None:
    """Write 16-bit samples as a PNG; each row takes the filter of the smallest absolute sum.

    Args:
        file: open for writing, binary.
        samples: uint16 [h, w, 1 | 2 | 3 | 4]: grey, grey + alpha, RGB, RGBA.
        chunks: name -> body of others to write before the pixels (`iCCP`, `gAMA`, `eXIf`, ...).
        level: of zlib, 1 (fast) to 9 (small).
    Raises:
        ValueError: another shape or dtype; OSError where the file cannot be written.
    Source: PNG specification, section 12.7 (the heuristic of the filters).
    """
    if samples.dtype != np.uint16 or samples.ndim != 3 or samples.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"a PNG takes uint16 [h,w,1..4], not {samples.dtype} {samples.shape}.")
    height, width, channels = samples.shape
    if min(height, width) < 1:
        raise ValueError("a PNG has at least one pixel.")
    colour = next(kind for kind, count in CHANNELS.items() if count == channels)
    file.write(SIGNATURE)
    _put(file, "IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    for name, body in (chunks or {}).items():
        _put(file, name, body)
    packer = zlib.compressobj(level)
    size = 2 * channels
    above = np.zeros((1, width * size), np.uint8)
    band = _band_rows(width, size)
    for top in range(0, height, band):
        part = np.ascontiguousarray(samples[top : top + band].astype(">u2")).view(np.uint8)
        rows = part.reshape(len(part), width * size)
        packed = packer.compress(_filter(rows, np.concatenate([above, rows[:-1]]), size))
        if packed:
            _put(file, "IDAT", packed)
        above = rows[-1:]
    _put(file, "IDAT", packer.flush())
    _put(file, "IEND", b"")


def unpack_profile(body: bytes) -> bytes:
    """The ICC profile in the body of an iCCP chunk; ValueError where it does not unpack."""
    name, found, packed = body.partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], PROFILE_LIMIT)
    except zlib.error as error:
        raise ValueError(f"the colour profile does not unpack: {error}") from error
    if not found or not unpacker.eof:
        raise ValueError("the colour profile is cut off")
    return profile


def pack_profile(profile: bytes) -> bytes:
    """The body of an iCCP chunk that holds an ICC profile."""
    return b"ICC Profile\0\0" + zlib.compress(profile)


def _header(body: bytes) -> tuple[int, ...]:
    if len(body) != 13:
        raise ValueError("no header")
    header = struct.unpack(">IIBBBBB", body)
    if min(header[:2]) < 1:
        raise ValueError("a size of zero")
    return header


def _chunks(data: bytes) -> Iterator[tuple[str, memoryview]]:
    """(name, body) of the chunks up to IEND, checksums compared."""
    if not data.startswith(SIGNATURE):
        raise ValueError("not a PNG")
    view, at = memoryview(data), len(SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise ValueError("the file is cut off")
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            raise ValueError("the file is cut off")
        name = bytes(view[at + 4 : at + 8]).decode("latin-1")
        if zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError(f"the checksum of the chunk {name!r} is wrong")
        if name == "IEND":
            return
        yield name, view[at + 8 : end]
        at = end + 4


def _put(file: BinaryIO, name: str, body: bytes) -> None:
    kind = name.encode("ascii")
    file.write(struct.pack(">I", len(body)) + kind)
    file.write(body)
    file.write(struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))))


def _inflate(packed: bytes, size: int) -> np.ndarray:
    """Exactly `size` bytes; what follows them is not unpacked, so that no small file fills memory."""
    try:
        raw = zlib.decompressobj().decompress(packed, size)
    except zlib.error as error:
        raise ValueError(f"the pixels do not unpack: {error}") from error
    if len(raw) < size:
        raise ValueError(f"the pixels end after {len(raw)} of {size} bytes")
    return np.frombuffer(raw, np.uint8)


def _band_rows(width: int, size: int) -> int:
    return int(np.clip(BAND_BYTES // (2 * size * width), 8, BAND))


def _unfilter(rows: np.ndarray, size: int) -> np.ndarray:
    """Restores filtered rows. rows: uint8 [h, 1 + w·size], the filter of each first; size: bytes of
    a pixel. Returns uint8 [h, w·size]."""
    kinds = rows[:, 0]
    if kinds.max() > PAETH:
        raise ValueError(f"a row has the unknown filter {kinds.max()}")
    out = np.empty((len(rows), rows.shape[1] - 1), np.uint8)
    above = np.zeros(out.shape[1], np.uint8)
    band = _band_rows(out.shape[1] // size, size)
    for top in range(0, len(rows), band):
        part = slice(top, top + band)
        if kinds[part].max() > UP:
            out[part] = _along_diagonals(rows[part, 1:], kinds[part], above, size)
        else:
            for index in range(top, min(top + band, len(rows))):
                row = rows[index, 1:]
                if kinds[index] == SUB:  # bytes wrap around, in the sum too
                    row = np.cumsum(row.reshape(-1, size), axis=0, dtype=np.uint8).ravel()
                elif kinds[index] == UP:
                    row = row + (out[index - 1] if index else above)
                out[index] = row
        above = out[part][-1]
    return out


def _along_diagonals(
    rows: np.ndarray, kinds: np.ndarray, above: np.ndarray, size: int
) -> np.ndarray:
    """Restores a band of rows, whatever their filters, one anti-diagonal after the other.

    The pixel of row y and column x stands at [x + y + 2, y + 1] of a skewed array, whose first
    column is the row above the band; what stands left of the image is zero there, as it must be.
    """
    count, width = len(rows), rows.shape[1] // size
    pixels = rows.reshape(count, width, size)
    skewed = np.zeros((width + count + 1, count + 1, size), np.int16)
    skewed[1 : width + 1, 0] = above.reshape(width, size)
    for y in range(count):
        skewed[y + 2 : y + 2 + width, y + 1] = pixels[y]
    # With unused neighbours at zero Paeth's rule gives Sub (b = c = 0), Up (a = c = 0) and None.
    use_a, use_b, use_c = (
        np.repeat(-np.isin(kinds, used).astype(np.int16)[:, None], size, axis=1)
        for used in ((SUB, AVERAGE, PAETH), (UP, AVERAGE, PAETH), (PAETH,))
    )
    average = (kinds == AVERAGE)[:, None]
    averages = bool(average.any())
    for d in range(width + count - 1):
        low, high = max(0, d - width + 1), min(count, d + 1)
        here = slice(low, high)
        a = skewed[d + 1, low + 1 : high + 1] & use_a[here]
        b = skewed[d + 1, here] & use_b[here]
        guess = _paeth(a, b, skewed[d, here] & use_c[here])
        if averages:
            guess = np.where(average[here], (a + b) >> 1, guess)
        target = skewed[d + 2, low + 1 : high + 1]
        target += guess
        target &= 255
    out = np.empty((count, width, size), np.uint8)
    for y in range(count):
        out[y] = skewed[y + 2 : y + 2 + width, y + 1]
    return out.reshape(rows.shape)


def _paeth(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Of a, b and c the one nearest to a + b - c, in this order where two are equally near."""
    from_a, from_b = b - c, a - c
    from_c = np.abs(from_a + from_b)
    from_a, from_b = np.abs(from_a), np.abs(from_b)
    nearest = np.where(from_b <= from_c, b, c)
    return np.where((from_a <= from_b) & (from_a <= from_c), a, nearest)


def _filter(rows: np.ndarray, above: np.ndarray, size: int) -> bytes:
    """Filtered rows with the number of the filter before each. rows, above: uint8 [n, w·size]."""
    left, corner = np.zeros_like(rows), np.zeros_like(above)
    left[:, size:], corner[:, size:] = rows[:, :-size], above[:, :-size]
    a, b, c = (each.astype(np.int16) for each in (left, above, corner))
    guesses = (0, left, above, ((a + b) >> 1).astype(np.uint8), _paeth(a, b, c).astype(np.uint8))
    tried = [rows - guess for guess in guesses]
    # bytes stand for differences, 255 for -1
    sums = [np.abs(each.view(np.int8).astype(np.int16)).sum(1, dtype=np.int64) for each in tried]
    best = np.argmin(sums, axis=0)
    out = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    out[:, 0] = best
    for kind, each in enumerate(tried):
        out[best == kind, 1:] = each[best == kind]
    return out.tobytes()
