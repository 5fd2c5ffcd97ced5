"""jaxsr.inference.png16 against a scalar encoder written from the specification, and Pillow."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxsr.inference import png16

COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}  # channels: colour type of IHDR
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2))  # fmt: skip


def samples(h, w, channels, seed=0):
    """Noise on a slope, and rows of equal values, where Paeth's rule has ties."""
    rng = np.random.default_rng(seed)
    out = rng.integers(0, 65536, (h, w, channels)).astype(np.uint16)
    out[::3] = 4660
    return out


def scalar_filter(rows, kinds, size):
    """The bytes of filtered rows, byte by byte, as section 9.2 of the specification words it."""
    out, above = bytearray(), bytes(len(rows[0]))
    for row, kind in zip(rows, kinds, strict=True):
        out.append(kind)
        for i, x in enumerate(row):
            a = row[i - size] if i >= size else 0
            b = above[i]
            c = above[i - size] if i >= size else 0
            p = a + b - c
            near = min(((abs(p - v), k) for k, v in enumerate((a, b, c))))[1]
            guess = (0, a, b, (a + b) // 2, (a, b, c)[near])[kind]
            out.append((x - guess) % 256)
        above = row
    return bytes(out)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def hand_png(array, kinds, *, interlaced=False, extra=(), bits=16):
    """A PNG file; kinds: filters that the rows take in turn."""
    h, w, channels = array.shape
    packed, turn = b"", 0
    for x, y, dx, dy in ADAM7 if interlaced else ((0, 0, 1, 1),):
        part = array[y::dy, x::dx]
        if part.size == 0:
            continue
        rows = [row.astype(">u2").tobytes() for row in part]
        used = [kinds[(turn + k) % len(kinds)] for k in range(len(rows))]
        turn += len(rows)
        packed += scalar_filter(rows, used, 2 * channels)
    header = struct.pack(">IIBBBBB", w, h, bits, COLOUR[channels], 0, 0, interlaced)
    pixels = zlib.compress(packed)
    body = chunk(b"IHDR", header) + b"".join(chunk(*each) for each in extra)
    body += chunk(b"IDAT", pixels[:7]) + chunk(b"IDAT", pixels[7:]) + chunk(b"IEND", b"")
    return png16.SIGNATURE + body


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kinds", [(0,), (1,), (2,), (3,), (4,), (4, 3, 2, 1, 0), (2, 1)])
def test_every_filter_is_read(channels, kinds):
    array = samples(11, 7, channels, seed=len(kinds))
    decoded = png16.decode(hand_png(array, kinds)).samples
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, array)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 50), (50, 3)])
def test_every_size_is_read_and_bands_join(size, monkeypatch):
    array = samples(*size, 3)
    file = hand_png(array, (4, 1, 3, 2, 4))
    np.testing.assert_array_equal(png16.decode(file).samples, array)
    for rows in (1, 7):  # the row above a band is the last one of the band before
        monkeypatch.setattr(png16, "_band_rows", lambda width, size, rows=rows: rows)
        np.testing.assert_array_equal(png16.decode(file).samples, array)
        written = io.BytesIO()
        png16.encode(written, array)
        np.testing.assert_array_equal(png16.decode(written.getvalue()).samples, array)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (9, 17)])
def test_interlaced_is_read(size):
    array = samples(*size, 4)
    file = hand_png(array, (4, 3, 2, 1, 0), interlaced=True)
    np.testing.assert_array_equal(png16.decode(file).samples, array)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pillow_reads_what_is_written(channels):
    # Pillow keeps the upper byte of 16-bit colour: with the bytes swapped it shows the lower one.
    array = samples(37, 23, channels)
    for held in (array, array.byteswap()):
        file = io.BytesIO()
        png16.encode(file, held)
        np.testing.assert_array_equal(png16.decode(file.getvalue()).samples, held)
        seen = Image.open(file)
        if channels == 1:
            np.testing.assert_array_equal(np.asarray(seen), held[..., 0])
        elif channels > 2:
            np.testing.assert_array_equal(np.asarray(seen), held >> 8)
        else:
            np.testing.assert_array_equal(np.asarray(seen.convert("LA")), held >> 8)


def test_smooth_pictures_are_written_smaller_than_unfiltered():
    noise = np.random.default_rng(0).integers(0, 100, (64, 64, 3))
    slope = np.add.outer(np.arange(64), np.arange(64))[..., None] * 300 + noise
    file = io.BytesIO()
    png16.encode(file, slope.astype(np.uint16))
    # the noise cannot be packed, the slope can: 0.55 was measured
    assert len(file.getvalue()) < 0.8 * len(hand_png(slope.astype(np.uint16), (0,)))


def test_other_chunks_come_along():
    profile = bytes(range(256)) * 9
    extra = ((b"iCCP", png16.pack_profile(profile)), (b"gAMA", b"\0\0\xb1\x8f"))
    found = png16.decode(hand_png(samples(2, 2, 1), (0,), extra=extra)).chunks
    assert png16.unpack_profile(found["iCCP"]) == profile and found["gAMA"] == extra[1][1]
    file = io.BytesIO()
    png16.encode(file, samples(2, 2, 3), chunks={"iCCP": png16.pack_profile(profile)})
    assert Image.open(file).info["icc_profile"] == profile


def test_damage_is_named():
    file = hand_png(samples(6, 5, 3), (4,))
    for length in range(0, len(file), 9):
        with pytest.raises(ValueError, match="cut off|not a PNG"):
            png16.decode(file[:length])
    for at in range(8, len(file) - 12, 11):  # lengths, names, bodies, checksums
        broken = bytearray(file)
        broken[at] ^= 1
        with pytest.raises(ValueError, match="checksum|cut off"):
            png16.decode(bytes(broken))


def damaged(header=None, pixels=None):
    header = header or struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(26)) if pixels is None else pixels
    return png16.SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (damaged(struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)), "not of 16 bits"),
        (damaged(struct.pack(">IIBBBBB", 2, 2, 16, 3, 0, 0, 0)), "colour type 3"),
        (damaged(struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 2)), "way of packing"),
        (damaged(struct.pack(">IIBBBBB", 0, 2, 16, 2, 0, 0, 0)), "size of zero"),
        (damaged(b"short"), "no header"),
        (damaged(pixels=b"not deflate"), "do not unpack"),
        (damaged(pixels=zlib.compress(bytes(25))), "end after 25 of 26"),
        (damaged(pixels=zlib.compress(b"\x05" * 26)), "unknown filter 5"),
    ],
)
def test_impossible_files_are_named(file, words):
    assert (png16.decode(damaged()).samples == 0).all()
    with pytest.raises(ValueError, match=words):
        png16.decode(file)


def test_pixels_beyond_the_picture_are_not_unpacked(monkeypatch):
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(2**22)) for _ in range(4)) + packer.flush()
    assert (png16.decode(damaged(pixels=bomb)).samples == 0).all()
    monkeypatch.setattr(png16, "PROFILE_LIMIT", 2**20)
    with pytest.raises(ValueError, match="cut off"):
        png16.unpack_profile(b"a\0\0" + bomb)
    with pytest.raises(ValueError, match="does not unpack"):
        png16.unpack_profile(b"a\0\0not deflate")


def test_other_arrays_are_refused():
    for wrong in (samples(2, 2, 3).astype(np.uint8), samples(2, 2, 3)[0], samples(2, 2, 5)):
        with pytest.raises(ValueError, match="uint16"):
            png16.encode(io.BytesIO(), wrong)
    with pytest.raises(ValueError, match="one pixel"):
        png16.encode(io.BytesIO(), samples(1, 1, 1)[:0])
