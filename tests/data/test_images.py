"""jaxsr.data.images: every kind of file that is read, and every kind that is refused."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxsr.data import images
from jaxsr.data.images import content_hash, read_image, read_labels, write_png
from jaxsr.types import UserError


def colours(h=20, w=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)


def hand_png(path, samples, *, bits, kind):
    """A PNG by hand: samples [H, W * channels] of `bits` bits; kind is the colour type of IHDR."""
    h, w = samples.shape
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in samples]
    else:
        rows = []
        for row in samples:
            text = "".join(f"{v:0{bits}b}" for v in row)
            text += "0" * (-len(text) % 8)
            rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    header = struct.pack(">IIBBBBB", w // channels, h, bits, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for name, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
            file.write(struct.pack(">I", len(body)) + name + body)
            file.write(struct.pack(">I", zlib.crc32(name + body)))
    return path


def refused(path, words, read=read_image):
    with pytest.raises(UserError) as error:
        read(path)
    text = str(error.value)
    assert str(path) in text and words in text, text
    assert text.endswith(".") and "\n" not in text and "object at" not in text, text


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "webp"])
def test_lossless_formats_are_read_exactly(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    options = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(colours()).save(path, **options)
    read = read_image(path)
    assert read.dtype == np.uint8 and read.flags.writeable
    np.testing.assert_array_equal(read, colours())


def test_jpeg_is_read(tmp_path):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    Image.fromarray(flat).save(tmp_path / "a.jpg", quality=100, subsampling=0)
    # A flat block has only a DC coefficient: what is left is the rounding of the colour transform.
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - flat).max() <= 2


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "jpg"])
def test_grey_becomes_three_equal_channels(tmp_path, ending):
    grey = np.full((8, 9), 77, np.uint8)
    Image.fromarray(grey).save(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{ending}"), np.full((8, 9, 3), 77))


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_one_bit_becomes_black_and_white(tmp_path, ending):
    bits = colours()[..., 0] > 127
    Image.fromarray(bits).save(tmp_path / f"a.{ending}")
    expected = np.repeat(bits[..., None] * 255, 3, 2)
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{ending}"), expected)


def test_palette_gives_colours_as_image_and_indices_as_labels(tmp_path):
    index = np.arange(12, dtype=np.uint8).reshape(3, 4)
    palette = colours(1, 256, seed=3)[0]
    paletted = Image.frombytes("P", (4, 3), index.tobytes())
    paletted.putpalette(palette.tobytes())
    for bits in (8, 4):  # Pillow packs 16 colours into 4 bits
        path = tmp_path / f"p{bits}.png"
        paletted.save(path, bits=bits)
        assert Image.open(path).mode == "P"
        np.testing.assert_array_equal(read_image(path), palette[index])
        np.testing.assert_array_equal(read_labels(path), index)


def test_16_bit_grey_is_rounded_over_all_values(tmp_path):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.round(values / 257)  # no ties: 257 is odd
    for ending in ("png", "tif"):
        path = tmp_path / f"a.{ending}"
        Image.fromarray(values).save(path)
        np.testing.assert_array_equal(read_image(path), np.repeat(expected[..., None], 3, 2))
    tifffile.imwrite(tmp_path / "big.tif", values, byteorder=">", photometric="minisblack")
    np.testing.assert_array_equal(read_image(tmp_path / "big.tif")[..., 1], expected)


# What EXIF 2.3 says of each value: how the stored array must be turned to stand upright.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
@pytest.mark.parametrize("ending", ["png", "tif", "webp", "jpg"])
def test_exif_orientation_is_applied(tmp_path, ending, orientation):
    # Blocks of 16 of flat colour: JPEG keeps their order, which is all that turns here.
    stored = np.kron(colours(2, 3, seed=5) // 64 * 64, np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    options = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}
    Image.fromarray(stored).save(path, exif=exif, **options.get(ending, {}))
    read, expected = read_image(path), UPRIGHT[orientation](stored)
    assert read.shape == expected.shape
    # Lossless but for JPEG, whose flat blocks move by the rounding of the colour transform.
    assert np.abs(read.astype(int) - expected).max() <= (3 if ending == "jpg" else 0)


def test_16_bit_grey_turns_too(tmp_path):
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png")[..., 0], np.rot90(values // 257, -1)
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_only_when_opaque(tmp_path, mode):
    colour = Image.fromarray(colours()).convert(mode[:-1])
    for alpha in (255, 254):
        image = colour.copy()
        image.putalpha(alpha)
        image.save(tmp_path / f"{alpha}.png")
    expected = np.asarray(colour.convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "255.png"), expected)
    refused(tmp_path / "254.png", "partly transparent")


@pytest.mark.parametrize("mode", ["P", "RGB", "L", "I;16"])
def test_transparent_colour_key(tmp_path, mode):
    array = np.zeros((4, 4), np.uint16 if mode == "I;16" else np.uint8)
    array[0, 0] = 9
    image = Image.fromarray(array)
    image = image if mode == "I;16" else image.convert(mode)
    keys = {"RGB": ((9, 9, 9), (1, 2, 3)), "P": (0, 200)}.get(mode, (9, 5))
    image.save(tmp_path / "used.png", transparency=keys[0])
    refused(tmp_path / "used.png", "partly transparent")
    if mode != "P":
        image.save(tmp_path / "unused.png", transparency=keys[1])
        assert read_image(tmp_path / "unused.png").shape == (4, 4, 3)


@pytest.mark.parametrize("kind", [2, 4, 6])
def test_16_bit_colour_png_is_refused(tmp_path, kind):
    channels = {2: 3, 4: 2, 6: 4}[kind]
    path = hand_png(tmp_path / "a.png", np.full((4, 5 * channels), 65535), bits=16, kind=kind)
    assert np.asarray(Image.open(path)).dtype == np.uint8  # Pillow says nothing
    refused(path, "16-bit")


def test_hand_written_png_is_a_png(tmp_path):
    path = hand_png(tmp_path / "a.png", np.full((4, 5), 257 * 9), bits=16, kind=0)
    np.testing.assert_array_equal(read_image(path), np.full((4, 5, 3), 9))


@pytest.mark.parametrize("order", "<>")
def test_16_bit_colour_tiff_is_refused(tmp_path, order):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((4, 5, 3), np.uint16), photometric="rgb", byteorder=order)
    refused(path, "16-bit")


def test_other_depths_and_colours_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 5), np.float32)).save(tmp_path / "f.tif")
    refused(tmp_path / "f.tif", "floats")
    Image.fromarray(np.ones((4, 5), np.int32)).save(tmp_path / "i.tif")
    refused(tmp_path / "i.tif", "32-bit")
    tifffile.imwrite(tmp_path / "w.tif", np.ones((4, 5), np.uint16), photometric="miniswhite")
    refused(tmp_path / "w.tif", "white as zero")
    for ending in ("jpg", "tif"):
        Image.new("CMYK", (5, 4)).save(tmp_path / f"c.{ending}")
        refused(tmp_path / f"c.{ending}", "CMYK")


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif", "mpo"])
def test_several_pictures_are_refused(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    first, second = Image.fromarray(colours()), Image.fromarray(colours(seed=1))
    first.save(path, save_all=True, append_images=[second])
    refused(path, "2 pictures")


@pytest.mark.parametrize("ending", ["gif", "ppm", "ico"])
def test_other_formats_are_refused(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(colours()).save(path)
    refused(path, "PNG, JPEG, WEBP, TIFF, BMP")


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "bmp"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path, ending, share):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(colours(64, 64)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "")


def test_damaged_and_foreign_files_are_refused(tmp_path):
    Image.fromarray(colours(64, 64)).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 255  # inside the compressed pixels
    (tmp_path / "a.png").write_bytes(data)
    refused(tmp_path / "a.png", "damaged")
    (tmp_path / "text.png").write_text("words")
    refused(tmp_path / "text.png", "not an image")
    refused(tmp_path / "none.png", "cannot be read")
    refused(tmp_path, "cannot be read")
    refused(tmp_path / "none.png", "cannot be read", read=read_labels)


def test_label_maps_keep_their_numbers(tmp_path):
    numbers = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(numbers).save(tmp_path / "l.png")
    read = read_labels(tmp_path / "l.png")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, numbers)


def test_other_label_maps_are_refused(tmp_path):
    Image.fromarray(colours()).save(tmp_path / "rgb.png")
    Image.fromarray(colours()[..., 0]).save(tmp_path / "l.bmp")
    Image.fromarray(np.ones((4, 5), np.uint16)).save(tmp_path / "i.png")
    four = hand_png(tmp_path / "four.png", np.full((4, 6), 3), bits=4, kind=0)
    assert np.asarray(Image.open(four))[0, 0] == 51  # Pillow stretches 3 of 15 to 51 of 255
    for name in ("rgb.png", "l.bmp", "i.png", "four.png"):
        refused(tmp_path / name, "label map", read=read_labels)


def test_write_png_round_trip_leaves_one_file(tmp_path):
    for array in (colours(), colours()[::-2, ::3], colours()[..., 0]):
        write_png(tmp_path / "new" / "a.png", array)
        stored = np.asarray(Image.open(tmp_path / "new" / "a.png"))
        np.testing.assert_array_equal(stored, array)
        assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]


def test_write_png_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_png(path, colours(seed=1))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images.os, "replace", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_png(path, colours(seed=2))
    np.testing.assert_array_equal(read_image(path), colours(seed=1))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_write_png_refuses(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_png(tmp_path / "file" / "a.png", colours())
    for wrong in (colours().astype(np.float32), colours()[..., :2], colours()[0, 0]):
        with pytest.raises(ValueError, match="uint8"):
            write_png(tmp_path / "a.png", wrong)


def test_content_hash_sees_pixels_and_shape_only(tmp_path):
    image = colours()
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(image).save(tmp_path / "b.bmp")
    a, b = (content_hash(read_image(tmp_path / name)) for name in ("a.png", "b.bmp"))
    assert a == b == content_hash(np.asfortranarray(image)) and len(a) == 64
    changed = image.copy()
    changed[3, 4, 1] ^= 1
    assert len({a, content_hash(changed), content_hash(image.reshape(30, 20, 3))}) == 3
    with pytest.raises(ValueError, match="uint8"):
        content_hash(image.astype(np.float32))
