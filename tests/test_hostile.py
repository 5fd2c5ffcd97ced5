"""Ten hostile inputs of scripts/restore.py, each with its one sentence; the rest goes on."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
from flax.traverse_util import flatten_dict, unflatten_dict
from PIL import Image
from reference.restore_command import SECTION, command, tiny, tiny_weights

from jaxsr import checkpoint

PICTURES = {
    "bomb.png": "claims 60000×60000 pixels, 3600 megapixels: allow as many with --max-megapixels "
    "(now 256) if that is true.",
    "bomb16.png": "claims 60000×60000 pixels, 3600 megapixels: allow as many with --max-megapixels "
    "(now 256) if that is true.",
    "truncated.jpg": "is damaged (image file is truncated (",
    "empty.png": "is empty (0 bytes): fetch or save it again.",
    "text.png": "is not an image of the kinds read here, or damaged: save it as one of PNG, JPEG, "
    "WEBP, TIFF, BMP.",
    "animated.gif": "is animated, of 3 pictures: save the one to restore as a PNG.",
    "cmyk.tif": "is a TIFF in CMYK: convert it to RGB or grey.",
    "folder.png": "is a folder, though named like an image: rename it.",
}


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def bomb_png(bits):
    """A header of 3.6 gigapixels before pixels that are a few bytes."""

    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 60000, 60000, bits, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10**6))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*each) for each in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    )


def make_pictures(folder):
    (folder / "bomb.png").write_bytes(bomb_png(8))
    (folder / "bomb16.png").write_bytes(bomb_png(16))
    Image.fromarray(noise(64, 64, 3)).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("These are words.\n" * 99)
    frames = [Image.fromarray(noise(8, 8, 3) // k) for k in (1, 2, 3)]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    four = noise(8, 8, 4, dtype=np.uint16)
    tifffile.imwrite(folder / "cmyk.tif", four, photometric="separated", planarconfig="contig")
    (folder / "folder.png").mkdir()
    Image.fromarray(noise(8, 8, 3)).save(folder / "good.png")


@pytest.fixture(scope="module")
def answered(tmp_path_factory, root):
    """(lines of the report by name, exit status) of one command with all pictures."""
    folder = tmp_path_factory.mktemp("hostile")
    make_pictures(folder)
    weights = tiny_weights(folder / "tiny.safetensors")
    names = [*PICTURES, "good.png"]
    words = [*(str(folder / name) for name in names), "--weights", weights]
    out = tmp_path_factory.mktemp("out")
    words += ["--out", str(out), "--report", str(folder / "lines")]
    status = command(root).main(words)
    lines = [json.loads(line) for line in (folder / "lines").open()]
    return {os.path.basename(line["input"]): line for line in lines}, status, folder, out


@pytest.mark.parametrize("name", PICTURES)
def test_each_picture_has_its_sentence(answered, name):
    lines, status, folder, _ = answered
    line = lines[name]
    assert status == 1 and line["status"] == "failed"
    assert line["error"].startswith(f"{folder / name} {PICTURES[name]}"), line["error"]
    assert line["error"].endswith(".") and "\n" not in line["error"]
    assert not os.path.exists(line["output"])


def test_the_good_picture_among_them_is_restored(answered):
    lines, _, _, out = answered
    assert lines["good.png"]["status"] == "restored"
    assert [each.name for each in out.iterdir()] == ["good_x2.png"]


def test_a_folder_with_all_of_them_goes_on_too(answered, root, capsys, tmp_path):
    folder = answered[2]
    words = [
        str(folder),
        "--weights",
        str(folder / "tiny.safetensors"),
        "--out",
        str(folder / "o2"),
    ]
    assert command(root).main(words) == 1
    said = capsys.readouterr()
    # the GIF is no picture by its name, the folder is one by its name alone; whole.jpg is whole
    assert "2 restored, 7 failed" in said.out and said.err.count("\n") == 7
    # sizes that only a header claims change neither the windows nor the time that is foretold
    assert "pictures 8, 0.00832 MP" in said.out and "windows of 64² pixels" in said.out


def refused(root, capsys, folder, weights, *words):
    """The sentence for weights that are refused before any picture is touched."""
    Image.fromarray(noise(8, 8, 3)).save(folder / "good.png")
    out = folder / "out"
    arguments = [str(folder / "good.png"), "--weights", str(weights), "--out", str(out), *words]
    assert command(root).main(arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith("restore: error: ") and said.err.count("\n") == 1, said.err
    assert weights.name in said.err and said.err.endswith(".\n") and not out.exists()
    return said.err


def changed(path, change):
    """Writes tiny weights of which one tensor is changed; gives its name."""
    flat = flatten_dict(tiny()[1], sep="/")
    name = "params/body_0_conv1/kernel"
    flat[name] = change(np.array(flat[name]))
    card = {"network": {"name": "edsr", **SECTION}, "name": "tiny"}
    checkpoint.save_weights(path, unflatten_dict(flat, sep="/"), card)
    return name


def test_weights_with_a_wrong_shape(tmp_path, root, capsys):
    path = tmp_path / "shape.safetensors"
    changed(path, lambda kernel: kernel[..., :3])
    said = refused(root, capsys, tmp_path, path)
    assert "body_0_conv1" in said and "shape" in said


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_with_a_number_that_is_none(tmp_path, root, capsys, value):
    path = tmp_path / "nan.safetensors"

    def poison(kernel):
        kernel[0, 0, 0, 0] = value
        return kernel

    name = changed(path, poison)
    assert name in refused(root, capsys, tmp_path, path)


class Command:
    """Runs a command where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def pickled(path, mark, kind):
    """A weight file as PyTorch writes it (zip, or the older sequence), with a command in it."""
    body = pickle.dumps({"weight": Command(mark)}, protocol=2)
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", body)
            file.writestr("archive/version", "3\n")
    elif kind == "legacy":
        head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
        path.write_bytes(b"".join(pickle.dumps(each, protocol=2) for each in head) + body)
    else:
        path.write_bytes(body)


@pytest.mark.parametrize("kind", ["zip", "legacy", "bare"])
def test_a_pickle_that_would_run_a_command(tmp_path, root, capsys, kind):
    mark, path = tmp_path / "mark", tmp_path / f"{kind}.pth"
    pickled(path, mark, kind)
    pickle.loads(pickle.dumps(Command(mark)))  # the trap works
    assert mark.exists()
    mark.unlink()
    said = refused(root, capsys, tmp_path, path)
    assert "system" in said and not mark.exists()


def test_from_the_shell_there_is_no_traceback(tmp_path, root):
    mark, path = tmp_path / "mark", tmp_path / "evil.pth"
    pickled(path, mark, "zip")
    script = str(root / "scripts" / "restore.py")
    words = [sys.executable, script, "a.png", "--weights", str(path), "--out", str(tmp_path / "o")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2 and not mark.exists()
    assert done.stderr.startswith("restore: error: ") and "Traceback" not in done.stderr
