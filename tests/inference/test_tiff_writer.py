"""jaxsr.inference.tiff_writer, read back by tifffile and Pillow."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxsr.inference import picture_files, tiff_writer
from jaxsr.inference.picture_files import write_picture
from jaxsr.inference.pictures import Picture, read_picture
from jaxsr.inference.tiff_writer import write_tiff


def levels(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def block(order):
    """An EXIF block of either order of bytes, with a directory in it."""
    held = Image.Exif()
    held.endian = order
    held[271] = "Maker"
    held[34665] = {37386: 50.0}
    made = held.tobytes()
    assert made[6:8] == (b"II" if order == "<" else b"MM")
    return made


@pytest.mark.parametrize("order", ["<", ">", ""])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 2), (65, 33, 3), (40, 3, 4)])
def test_others_read_it(order, dtype, shape, monkeypatch):
    monkeypatch.setattr(tiff_writer, "_STRIP_BYTES", 600)  # several strips, the last one shorter
    samples, file = levels(*shape, dtype=dtype), io.BytesIO()
    write_tiff(file, samples, icc=b"profile", exif=block(order) if order else None)
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as held:
        page = held.pages[0]
        assert len(held.pages) == 1 and held.byteorder == (order or "<")
        assert page.tags[34675].value == b"profile"
        np.testing.assert_array_equal(page.asarray().reshape(shape), samples)
        assert (271 in page.tags) == bool(order)
    if dtype == np.uint8:
        seen = Image.open(io.BytesIO(file.getvalue()))
        np.testing.assert_array_equal(np.asarray(seen).reshape(shape), samples)
        assert not order or seen.getexif().get_ifd(34665)[37386] == 50.0


def test_more_than_four_gigabytes_are_a_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_writer, "_CLASSIC_BYTES", 1000)  # stands for 4 GB
    monkeypatch.setattr(tiff_writer, "_STRIP_BYTES", 600)
    colour = levels(33, 31, 3, dtype=np.uint16)
    notes = write_picture(tmp_path / "a.tif", Picture(colour, None, b"profile", block(">")))
    assert "EXIF" in notes[0]
    with tifffile.TiffFile(tmp_path / "a.tif") as held:
        assert held.is_bigtiff
        np.testing.assert_array_equal(held.pages[0].asarray(), colour)
    read = read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.colour, colour)
    assert read.icc == b"profile" and read.exif is None
    eight = (colour >> 8).astype(np.uint8)
    write_picture(tmp_path / "b.tif", Picture(eight))
    np.testing.assert_array_equal(read_picture(tmp_path / "b.tif").colour, eight)
    with pytest.raises(ValueError, match="BigTIFF"):
        write_tiff(io.BytesIO(), colour, exif=block(">"))


def test_smooth_pictures_are_packed():
    slope, file = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint16) * 300, io.BytesIO()
    write_tiff(file, slope[..., None])
    assert len(file.getvalue()) < 0.2 * slope.nbytes  # differences along a row are all 300


def test_a_long_exif_block_leaves_a_jpeg_and_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_files, "_JPEG_BLOCK", 50)
    notes = write_picture(tmp_path / "a.jpg", Picture(levels(8, 8, 3), None, None, block("<")))
    assert "EXIF" in notes[0] and read_picture(tmp_path / "a.jpg").exif is None


def test_other_arrays_are_refused():
    for wrong in (levels(4, 4), levels(4, 4, 3).astype(np.float32)):
        with pytest.raises(ValueError, match="uint8 or uint16"):
            write_tiff(io.BytesIO(), wrong)
