"""Reading and writing pictures: every kind that comes, every kind that goes, every kind refused."""

import functools
import io
import struct
import zlib
from importlib.util import find_spec

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, TiffImagePlugin

from jaxsr.inference import picture_files, png16
from jaxsr.inference.picture_files import check_writable, write_picture
from jaxsr.inference.pictures import Picture, header_size, read_picture, to_levels, to_unit
from jaxsr.types import UserError

BOTH = pytest.mark.parametrize("dtype", [np.uint8, np.uint16])


def levels(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


@functools.cache  # it carries the second that it was made in
def profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation=1):
    held = Image.Exif()
    held[271], held[274], held[256] = "Maker", orientation, 4000
    held[34665] = {37386: 50.0, 40962: 4000, 36867: "2020:01:02 03:04:05"}
    held[34853] = {1: "N", 2: (48.0, 12.0, 30.0)}
    return held


def kept():
    """What of `exif` is to be kept, as a block."""
    held = Image.Exif()
    held[271], held[34853] = "Maker", {1: "N", 2: (48.0, 12.0, 30.0)}
    held[34665] = {37386: 50.0, 36867: "2020:01:02 03:04:05"}
    return held.tobytes()


def same_block(first, second):
    """Whether two EXIF blocks say the same, whatever the order of bytes and directories."""
    held = []
    for block in (first, second):
        read = Image.Exif()
        read.load(block)
        top = {tag: read[tag] for tag in read if tag not in (34665, 34853)}
        held.append((top, dict(read.get_ifd(34665)), dict(read.get_ifd(34853))))
    return held[0] == held[1]


def refused(path, words, **options):
    with pytest.raises(UserError) as error:
        read_picture(path, **options)
    text = str(error.value)
    assert str(path) in text and words in text, text
    assert text.endswith(".") and "\n" not in text and "object at" not in text, text


@BOTH
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_png_and_tiff_keep_everything(tmp_path, dtype, channels, transparent, ending):
    alpha = levels(7, 5, dtype=dtype, seed=1) if transparent else None
    picture = Picture(levels(7, 5, channels, dtype=dtype), alpha, profile(), kept(), 45455)
    path = tmp_path / "new" / f"a.{ending}"
    notes = write_picture(path, picture)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert notes == (), notes
    read = read_picture(path)
    assert read.colour.dtype == dtype and header_size(path) == (7, 5)
    np.testing.assert_array_equal(read.colour, picture.colour)
    if transparent:
        np.testing.assert_array_equal(read.alpha, alpha)
    assert (read.alpha is None) == (not transparent)
    assert read.icc == profile() and same_block(read.exif, kept()) and read.notes == ()
    assert read.gamma == (45455 if ending == "png" else None)
    # other readers: tifffile for every TIFF, Pillow for what has 8 bits
    whole = picture.colour if alpha is None else np.dstack([picture.colour, alpha])
    if ending == "tif":
        np.testing.assert_array_equal(tifffile.imread(path), whole.squeeze())
    if dtype == np.uint8:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), whole.squeeze())
    # and for 16 bits without alpha: it knows no TIFF of grey with alpha
    opened = Image.open(path) if dtype == np.uint8 or ending == "png" or channels == 3 else None
    if opened:
        assert opened.info["icc_profile"] == profile() and opened.getexif()[271] == "Maker"


@BOTH
@pytest.mark.parametrize("ending", ["jpg", "webp", "bmp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_formats_keep_what_they_can_and_say_what_not(tmp_path, dtype, ending, channels):
    flat = np.full((16, 16, channels), 200 * (257 if dtype == np.uint16 else 1), dtype)
    path = tmp_path / f"a.{ending}"
    notes = write_picture(path, Picture(flat, None, profile(), kept()), lossless=True)
    read = read_picture(path)
    assert read.colour.shape == (16, 16, 3 if ending == "webp" else channels)
    # a flat block of JPEG moves by the rounding of its colour transform at most
    assert np.abs(read.colour.astype(int) - 200).max() <= (1 if ending == "jpg" else 0)
    assert ("8 bits" in " ".join(notes)) == (dtype == np.uint16)
    assert ("EXIF" in " ".join(notes)) == ("profile" in " ".join(notes)) == (ending == "bmp")
    if ending != "bmp":
        assert read.icc == profile() and same_block(read.exif, kept())


def test_webp_is_exact_when_lossless_and_keeps_alpha(tmp_path):
    picture = Picture(levels(9, 8, 3), levels(9, 8, seed=1) // 128 * 255)
    write_picture(tmp_path / "a.webp", picture, lossless=True)
    read = read_picture(tmp_path / "a.webp")
    np.testing.assert_array_equal(read.colour, picture.colour)  # under transparent pixels too
    np.testing.assert_array_equal(read.alpha, picture.alpha)
    write_picture(tmp_path / "b.webp", picture, quality=50)
    assert (read_picture(tmp_path / "b.webp").colour != picture.colour).any()
    grey = b"\0" * 16 + b"GRAY" + b"\0" * 108  # a profile of grey does not fit WebP's RGB
    notes = write_picture(tmp_path / "c.webp", Picture(levels(9, 8, 1), icc=grey))
    assert read_picture(tmp_path / "c.webp").icc is None and "profile" in notes[0]


def test_quality_of_jpeg(tmp_path):
    for quality in (30, 95):
        write_picture(tmp_path / f"{quality}.jpg", Picture(levels(64, 64, 3)), quality=quality)
    assert (tmp_path / "30.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size / 2
    assert Image.open(tmp_path / "95.jpg").layer[0][1:3] == (1, 1)  # colour is not subsampled


@pytest.mark.parametrize("ending", ["png", "tif", "webp", "jpg", "16.png", "16.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path, ending, orientation):
    # Pillow turns an 8-bit copy; blocks of 16 of flat colour keep their order in JPEG
    stored = np.kron(levels(2, 3, 3, seed=5) // 64 * 64, np.ones((16, 16, 1), np.uint8))
    held = exif(orientation)
    if ending == "tif":
        del held[256]  # Pillow would write it as the width of the picture
    block = held.tobytes().removeprefix(b"Exif\0\0")
    path = tmp_path / f"a.{ending}"
    if ending == "16.png":
        with path.open("wb") as file:
            png16.encode(file, stored.astype(np.uint16) * 257, chunks={"eXIf": block})
    elif ending == "16.tif":
        turn = (274, 3, 1, orientation, True)
        tifffile.imwrite(path, stored.astype(np.uint16) * 257, photometric="rgb", extratags=[turn])
    else:
        options = {"webp": {"lossless": True}, "jpg": {"quality": 100, "subsampling": 0}}
        Image.fromarray(stored).save(path, exif=b"Exif\0\0" + block,
                                     **options.get(ending, {}))  # fmt: skip
    copy = Image.fromarray(stored)
    copy.getexif()[274] = orientation
    turned = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # orientation: Image.Transpose
    if orientation in turned:
        copy = copy.transpose(turned[orientation])
    read = read_picture(path)
    factor = 257 if ending.startswith("16") else 1
    off = np.abs(read.colour.astype(int) // factor - np.asarray(copy).astype(int)).max()
    assert off <= (3 if ending == "jpg" else 0)  # JPEG rounds in its colour transform
    write_picture(tmp_path / "b.png", read)
    again = read_picture(tmp_path / "b.png")
    np.testing.assert_array_equal(again.colour, read.colour)
    if ending != "16.tif":
        assert same_block(read.exif, kept() if ending != "tif" else read.exif)


def test_palette_and_bits(tmp_path):
    index = np.arange(12, dtype=np.uint8).reshape(3, 4)
    palette = levels(256, 3, seed=3)
    image = Image.frombytes("P", (4, 3), index.tobytes())
    image.putpalette(palette.tobytes())
    image.save(tmp_path / "p.png")
    image.save(tmp_path / "t.png", transparency=5)
    np.testing.assert_array_equal(read_picture(tmp_path / "p.png").colour, palette[index])
    read = read_picture(tmp_path / "t.png")
    np.testing.assert_array_equal(read.alpha, np.where(index == 5, 0, 255))
    np.testing.assert_array_equal(read.colour, palette[index])
    bits = levels(5, 9) > 127
    for ending in ("png", "tif", "bmp"):
        Image.fromarray(bits).save(tmp_path / f"b.{ending}")
        read = read_picture(tmp_path / f"b.{ending}")
        np.testing.assert_array_equal(read.colour[..., 0], bits * 255)
        assert read.colour.shape == (5, 9, 1) and read.alpha is None


def raw_png(path, rows, *, bits, kind, key=b""):
    """A PNG by hand: packed rows of bytes; kind is the colour type, key the body of tRNS."""
    width = len(rows[0]) * 8 // bits

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, len(rows), bits, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    middle = chunk(b"tRNS", key) if key else b""
    path.write_bytes(png16.SIGNATURE + chunk(b"IHDR", header) + middle + chunk(b"IDAT", data)
                     + chunk(b"IEND", b""))  # fmt: skip
    return path


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_transparent_grey_of_few_bits(tmp_path, bits):
    # the key counts in the levels of the file, the pixels come stretched to 0..255
    path = raw_png(tmp_path / "a.png", [b"\x1b\xe4"], bits=bits, kind=0, key=b"\0\x01")
    packed = f"{0x1BE4:016b}"
    held = np.array([int(packed[k : k + bits], 2) for k in range(0, 16, bits)])
    read = read_picture(path)
    np.testing.assert_array_equal(read.colour[0, :, 0], held * (255 // (2**bits - 1)))
    np.testing.assert_array_equal(read.alpha[0], np.where(held == 1, 0, 255))


@BOTH
@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_colour_is_exact(tmp_path, dtype, channels):
    array = levels(6, 5, channels, dtype=dtype, seed=2)
    array[2, 3] = array[4, 1]
    key = tuple(int(v) for v in array[2, 3])
    path = tmp_path / "a.png"
    if dtype == np.uint8:
        held = Image.fromarray(array[..., 0] if channels == 1 else array)
        held.save(path, transparency=key[0] if channels == 1 else key)
    else:
        with path.open("wb") as file:
            png16.encode(file, array, chunks={"tRNS": struct.pack(f">{channels}H", *key)})
    expected = (array != np.array(key)).any(-1) * np.iinfo(dtype).max
    assert (expected == 0).sum() == 2
    np.testing.assert_array_equal(read_picture(path).alpha, expected)
    np.testing.assert_array_equal(read_picture(path).colour, array)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_16_bit_tiff_of_others(tmp_path, order, planar, compression):
    array = levels(8, 6, 3, dtype=np.uint16)
    held = array if planar == "contig" else array.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", held, photometric="rgb", byteorder=order,
                     planarconfig=planar, compression=compression)  # fmt: skip
    read = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.colour, array)
    assert read.exif is None or b"shape" not in read.exif  # what tifffile notes of its own


def test_other_16_bit_tiffs(tmp_path):
    array = levels(8, 6, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "w.tif", array, photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(tmp_path / "w.tif").colour[..., 0], 65535 - array)
    tifffile.imwrite(tmp_path / "t.tif", np.dstack([array] * 3), photometric="rgb", tile=(16, 16))
    np.testing.assert_array_equal(read_picture(tmp_path / "t.tif").colour[..., 2], array)
    Image.fromarray(array).save(tmp_path / "p.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "p.tif").colour[..., 0], array)
    colour, alpha = levels(8, 6, 3, dtype=np.uint16), levels(8, 6, dtype=np.uint16, seed=3)
    alpha[0, 0] = 0
    weighed = (colour.astype(np.float64) * alpha[..., None] / 65535).round().astype(np.uint16)
    options = {"photometric": "rgb", "extrasamples": ["assocalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([weighed, alpha]), **options)
    read = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.alpha, alpha)
    # half a level of the product is 65535 / (2·alpha) of the colour
    room = 0.5 * 65535 / np.maximum(alpha, 1)[..., None] + 1
    off = np.abs(read.colour.astype(float) - colour)
    assert (off <= room)[alpha > 0].all() and (read.colour[0, 0] == 0).all()
    options["extrasamples"] = ["unspecified"]
    tifffile.imwrite(tmp_path / "u.tif", np.dstack([colour, alpha]), **options)
    assert read_picture(tmp_path / "u.tif").alpha is None
    turn = [(274, 3, 1, 6, True)]
    tifffile.imwrite(tmp_path / "b.tif", colour, photometric="rgb", bigtiff=True, extratags=turn)
    np.testing.assert_array_equal(read_picture(tmp_path / "b.tif").colour, np.rot90(colour, -1))


def test_compressed_8_bit_tiffs_are_pillows(tmp_path):
    for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate"):
        Image.fromarray(levels(8, 6, 3)).save(tmp_path / "a.tif", compression=compression)
        np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").colour, levels(8, 6, 3))


def test_camera_files_with_previews_give_the_first_picture(tmp_path):
    first, second = Image.fromarray(levels(16, 16, 3)), Image.fromarray(levels(8, 8, 3))
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second])
    (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    read = read_picture(tmp_path / "a.jpg")
    assert read.colour.shape == (16, 16, 3) and "2 pictures" in read.notes[0]
    pages = {16: 0, 4: 1}  # side: kind of page, 1 for a reduced one
    for order in ((16, 4), (4, 16)):
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for side in order:
                options = {"photometric": "rgb", "subfiletype": pages[side]}
                file.write(levels(side, side, 3), **options)
        assert read_picture(tmp_path / "a.tif").colour.shape == (16, 16, 3)


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_several_pictures_are_refused(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    frames = [Image.fromarray(levels(16, 16, 3, seed=seed)) for seed in (0, 1)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    refused(path, "2 pages" if ending == "tif" else "animated, of 2 pictures")


def test_other_kinds_are_refused(tmp_path):
    for ending in ("gif", "ppm", "ico"):
        Image.fromarray(levels(8, 8, 3)).save(tmp_path / f"a.{ending}")
        refused(tmp_path / f"a.{ending}", "PNG, JPEG, WEBP, TIFF, BMP")
    for ending in ("jpg", "tif"):
        Image.new("CMYK", (5, 4)).save(tmp_path / f"c.{ending}")
        refused(tmp_path / f"c.{ending}", "CMYK")
    Image.new("LAB", (5, 4)).save(tmp_path / "l.tif")
    refused(tmp_path / "l.tif", "CIELAB")
    for dtype, words in (
        (np.float32, "floats"),
        (np.uint32, "32-bit"),
        (np.int16, "16-bit numbers"),
    ):
        tifffile.imwrite(tmp_path / "d.tif", np.ones((4, 5), dtype))
        refused(tmp_path / "d.tif", words)
    tifffile.imwrite(tmp_path / "e.tif", np.ones((4, 5, 5), np.uint16), photometric="rgb",
                     planarconfig="contig", extrasamples=["unassalpha", "unspecified"])  # fmt: skip
    refused(tmp_path / "e.tif", "5 channels")


@pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="imagecodecs unpacks it")
def test_lzw_of_16_bits_names_the_package(tmp_path):
    Image.fromarray(levels(8, 6, dtype=np.uint16)).save(tmp_path / "a.tif", compression="tiff_lzw")
    refused(tmp_path / "a.tif", "packed by LZW: install imagecodecs")


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "bmp", "16.png", "16.tif"])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path, ending, share):
    whole, path = tmp_path / f"w.{ending}", tmp_path / f"a.{ending}"
    dtype = np.uint16 if ending.startswith("16") else np.uint8
    write_picture(whole, Picture(levels(64, 64, 3, dtype=dtype)))
    data = whole.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "")


def test_random_damage_never_escapes(tmp_path):
    """Any byte of any format may be wrong: a picture or one sentence comes, nothing else."""
    rng, read, failed = np.random.default_rng(0), 0, 0
    for ending in ("png", "jpg", "webp", "tif", "bmp", "16.png", "16.tif"):
        dtype = np.uint16 if ending.startswith("16") else np.uint8
        path = tmp_path / f"a.{ending}"
        write_picture(path, Picture(levels(16, 16, 3, dtype=dtype), None, profile(), kept()))
        data = path.read_bytes()
        for _ in range(60):
            broken = bytearray(data)
            for at in rng.integers(0, len(data), 4):
                broken[at] = rng.integers(0, 256)
            path.write_bytes(broken)
            try:
                read += read_picture(path, max_megapixels=1).colour.size > 0
            except UserError as error:
                failed += 1
                assert str(path) in str(error) and "\n" not in str(error)
    assert read > 20 and failed > 20


def test_damaged_exif_and_profile_are_left_out_and_said(tmp_path):
    write_picture(tmp_path / "a.png", Picture(levels(4, 4, 3)))
    Image.fromarray(levels(4, 4, 3)).save(tmp_path / "a.jpg", exif=b"Exif\0\0nonsense that is none")
    assert "EXIF" in read_picture(tmp_path / "a.jpg").notes[0]
    with (tmp_path / "b.png").open("wb") as file:
        png16.encode(file, levels(4, 4, 3, dtype=np.uint16), chunks={"iCCP": b"a\0\0no"})
    read = read_picture(tmp_path / "b.png")
    assert read.icc is None and "profile" in read.notes[0]


def test_size_is_judged_before_the_pixels(tmp_path):
    for dtype in (np.uint8, np.uint16):
        for ending in ("png", "tif"):
            path = tmp_path / f"a.{ending}"
            write_picture(path, Picture(levels(20, 30, 1, dtype=dtype)))
            refused(path, "30×20 pixels", max_megapixels=0.0005)
            assert read_picture(path, max_megapixels=0.0006).colour.shape == (20, 30, 1)


@pytest.mark.parametrize("ending", ["png", "jpg", "mpo", "webp", "tif", "bmp"])
def test_pillows_own_limit_is_not_asked_and_stays(tmp_path, ending, monkeypatch):
    path, image = tmp_path / f"a.{ending}", Image.fromarray(levels(20, 30, 3))
    image.save(path, **({"save_all": True, "append_images": [image]} if ending == "mpo" else {}))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    read = read_picture(path)
    assert read.colour.shape == (20, 30, 3) and header_size(path) == (20, 30)
    assert len(read.notes) == (ending == "mpo")
    refused(path, "30×20 pixels", max_megapixels=0.0005)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_places_and_names(tmp_path):
    refused(tmp_path / "none.png", "cannot be read")
    refused(tmp_path, "is a folder")
    (tmp_path / "empty.png").write_bytes(b"")
    refused(tmp_path / "empty.png", "0 bytes")
    assert header_size(tmp_path / "none.png") == header_size(tmp_path / "empty.png") == (0, 0)
    write_picture(tmp_path / "a.png", Picture(levels(3, 4, 3)))
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")  # the content decides
    assert read_picture(tmp_path / "a.jpg").colour.shape == (3, 4, 3)


@pytest.mark.parametrize(
    ("name", "shape", "alpha", "words"),
    [
        ("a.jpg", (4, 4), True, "transparency"),
        ("a.bmp", (4, 4), True, "transparency"),
        ("a.webp", (4, 16384), False, "more than WEBP holds"),
        ("a.jpeg", (65501, 4), False, "more than JPEG holds"),
        ("a.bmp", (40000, 40000), False, "more than BMP holds"),
        ("a.gif", (4, 4), False, "ends in no format"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(name, shape, alpha, words):
    with pytest.raises(UserError, match=words):
        check_writable(name, shape, alpha=alpha)
    for other in ("a.png", "a.tiff"):
        check_writable(other, shape, alpha=alpha)


def test_a_write_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_picture(path, Picture(levels(4, 4, 3)))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(picture_files.os, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        write_picture(path, Picture(levels(4, 4, 3, seed=1)))
    np.testing.assert_array_equal(read_picture(path).colour, levels(4, 4, 3))
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_picture(tmp_path / "file" / "a.png", Picture(levels(4, 4, 3)))
    for wrong in (levels(4, 4, 2), levels(4, 4), levels(4, 4, 3).astype(np.float32)):
        with pytest.raises(ValueError, match="uint8"):
            write_picture(path, Picture(wrong))
    with pytest.raises(ValueError, match="alpha"):
        write_picture(path, Picture(levels(4, 4, 3), levels(3, 4)))


def test_levels_and_floats():
    for dtype in (np.uint8, np.uint16):
        every = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
        assert to_unit(every).dtype == np.float32
        np.testing.assert_array_equal(to_levels(to_unit(every), dtype), every)
    values = np.array([-1, 0.5 / 255, 1.49 / 255, 0.9999, 2.0])
    np.testing.assert_array_equal(to_levels(values, np.uint8), [0, 1, 1, 255, 255])


def test_tiff_directories_stay_readable(tmp_path):
    """Of a file with an EXIF block in front, Pillow's own reader of directories finds all."""
    picture = Picture(levels(300, 40, 3, dtype=np.uint16), None, profile(), kept())
    write_picture(tmp_path / "a.tif", picture)
    data = (tmp_path / "a.tif").read_bytes()
    with TiffImagePlugin.TiffImageFile(io.BytesIO(data)) as held:
        tags = held.tag_v2
        assert tags[256] == 40 and tags[258] == (16, 16, 16) and tags[271] == "Maker"
        assert held.getexif().get_ifd(34665)[37386] == 50.0
    (start,) = struct.unpack_from(">I", data, 4)
    (count,) = struct.unpack_from(">H", data, start)
    order = [struct.unpack_from(">H", data, start + 2 + 12 * k)[0] for k in range(count)]
    assert order == sorted(order) and {271, 34665, 34675, 34853, 317} <= set(order)
