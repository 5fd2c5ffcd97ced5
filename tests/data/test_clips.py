"""Clips of folders and videos: order, choice, every mistake in one sentence; toys of a photograph."""

import builtins

import numpy as np
import pytest
from PIL import Image

from jaxsr.data import clips
from jaxsr.types import UserError

ALL = {"start": 0, "frames": 0, "shrink": 1}


def folder(path, names, size=(6, 4)):
    """A frame of one grey level for each name: 10, 20, …"""
    path.mkdir(exist_ok=True)
    for place, name in enumerate(names, start=1):
        Image.new("RGB", size, (10 * place,) * 3).save(path / name)
    return str(path)


def test_frames_come_in_the_order_of_their_numbers(tmp_path):
    source = folder(tmp_path / "a", ["f10.png", "f2.png", "f1.png"])
    (tmp_path / "a" / "notes.txt").write_text("no frame")
    clip = clips.read_clip(source, **ALL)
    assert clip.names == ("f1", "f2", "f10")
    assert clip.frames.shape == (3, 4, 6, 3) and clip.frames.dtype == np.uint8
    assert clip.frames[:, 0, 0, 0].tolist() == [30, 20, 10]


def test_a_shot_of_a_clip_and_smaller_frames(tmp_path):
    source = folder(tmp_path / "a", [f"{i:02}.png" for i in range(6)], size=(7, 5))
    clip = clips.read_clip(source, start=2, frames=3, shrink=2)
    assert clip.names == ("02", "03", "04") and clip.frames.shape == (3, 2, 3, 3)
    checks = np.zeros((4, 4, 3), np.uint8)
    checks[::2, ::2] = 200
    for name in ("x.png", "y.png"):
        Image.fromarray(checks).save(tmp_path / name)
    assert (clips.read_clip(str(tmp_path), start=0, frames=0, shrink=2).frames == 50).all()


def refused(match, source, **options):
    with pytest.raises(UserError, match=match) as found:
        clips.read_clip(str(source), **ALL | options)
    assert "\n" not in str(found.value)


def test_mistakes_are_named(tmp_path):
    refused("there is no clip .*nowhere: name a folder of frames, or a video", tmp_path / "nowhere")
    refused("no clip .*frame.png", tmp_path / "frame.png")
    refused("has 0 frames from number 0 on: a clip has at least two", folder(tmp_path / "n", []))
    one = folder(tmp_path / "one", ["a.png", "b.png"])
    refused("has 1 frame from number 1 on", one, start=1)
    refused("has 1 frame from number 0 on", one, frames=1)
    refused("shrunk 0 times", one, shrink=0)
    refused("frames of 6×4 pixels cannot be shrunk 5 times", one, shrink=5)
    folder(tmp_path / "one", ["c.png"], size=(6, 5))
    refused("the frame c of .* is 6×5 pixels, and a 6×4: all frames", one)
    two = folder(tmp_path / "two", ["a.png", "b.png", "a.jpg"])
    refused("two frames a: rename one", two)
    (tmp_path / "two" / "a.jpg").unlink()
    whole = (tmp_path / "two" / "b.png").read_bytes()
    (tmp_path / "two" / "b.png").write_bytes(whole[: len(whole) // 2])
    refused("b.png is not an image, or damaged", two)


def test_a_pair_has_as_many_frames_of_one_size(tmp_path):
    a = clips.read_clip(folder(tmp_path / "a", ["1.png", "2.png", "3.png"]), **ALL)
    b = clips.read_clip(folder(tmp_path / "b", ["x.png", "y.png"]), **ALL)
    c = clips.read_clip(folder(tmp_path / "c", ["x.png", "y.png"], size=(6, 5)), **ALL)
    clips.check_pair(a, a)
    with pytest.raises(UserError, match="has 3 frames and the processed one 2: .*clip.frames=2"):
        clips.check_pair(a, b)
    with pytest.raises(UserError, match="are 6×4 pixels and the processed ones 6×5"):
        clips.check_pair(b, c)


def test_a_video_needs_its_reader(tmp_path, monkeypatch):
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "av":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    refused(r"which the package av reads: pip install 'jaxsr\[video\]'", tmp_path / "clip.mp4")


def test_a_video_is_read_frame_by_frame(tmp_path):
    av = pytest.importorskip("av", reason="the reader of videos is an extra")
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)  # lossless
        stream.width, stream.height, stream.pix_fmt = 16, 12, "bgr0"
        for level in (10, 60, 110, 160):
            image = np.full((12, 16, 3), level, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    clip = clips.read_clip(str(path), start=1, frames=2, shrink=2)
    assert clip.names == ("00001", "00002") and clip.frames.shape == (2, 6, 8, 3)
    assert clip.frames[:, 0, 0, 0].tolist() == [60, 110]
    path.write_bytes(b"no video")
    refused("clip.mkv cannot be read as a video", path)


def test_windows_slide_and_flicker():
    picture = np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)
    clip = clips.slide(picture, frames=5, size=16, pace=3)
    assert clip.frames.shape == (5, 16, 16, 3) and clip.names[4] == "00004"
    for t in range(1, 5):  # what frame t shows at x, frame 0 shows at x + 3t
        np.testing.assert_array_equal(clip.frames[t][:, : 16 - 3 * t], clip.frames[0][:, 3 * t :])
    with pytest.raises(UserError, match="9 windows of 16 pixels, 4 apart, do not fit .*40×20"):
        clips.slide(picture, frames=9, size=16, pace=4)

    rng = np.random.default_rng(1)
    held = clips.gain(rng, clip, mean=0.5, deviation=0.1).frames / np.maximum(clip.frames, 1.0)
    bright = clip.frames > 100
    found = [held[t][bright[t]].mean() for t in range(5)]
    wanted = 0.5 + 0.1 * np.random.default_rng(1).standard_normal(5)
    np.testing.assert_allclose(found, wanted, atol=0.01)

    first, second = (1.0, 0.6, 0.6), (0.6, 0.6, 1.0)
    modes = clips.tints(rng, clip, first=first, second=second).frames.astype(float)
    red = modes[..., 0].sum((1, 2)) / clip.frames[..., 0].sum((1, 2))
    np.testing.assert_allclose(sorted(red), [0.6, 0.6, 1, 1, 1], atol=0.01)
    assert red[0] > 0.9
