"""Clips: the frames of a folder or of a video file, and toys made of one photograph."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from jaxsr.data.images import SUFFIXES, read_image
from jaxsr.types import UserError

VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".gif")


class Clip(NamedTuple):
    """Frames in the order of time: their names, and uint8 [t,h,w,3]."""

    names: tuple[str, ...]
    frames: np.ndarray


def read_clip(source: str, *, start: int, frames: int, shrink: int) -> Clip:
    """The frames of a folder of images, in the order of their names, or of a video file.

    Numbers in names count as numbers: frame2 comes before frame10.
    start:  of the first frame taken, from 0; frames: how many are taken, 0 for all
    shrink: each pixel is the mean of so many by so many
    Raises UserError for a place without a clip, fewer than two frames, frames of unequal size, a
    damaged one, and a video without the package that reads it.
    """
    if start < 0 or frames < 0 or shrink < 1:
        raise UserError(
            f"a clip from frame {start} on, {frames} frames, shrunk {shrink} times: start and frames are at "
            "least 0 and shrink 1."
        )
    path = Path(source)
    if path.is_dir():
        named = _of_folder(path, start, frames)
    elif path.suffix.lower() in VIDEOS and path.is_file():
        named = _of_video(path, start, frames)
    else:
        raise UserError(
            f"there is no clip {source}: name a folder of frames, or a video file ({', '.join(VIDEOS)})."
        )
    names, held, first = [], [], ()
    for name, frame in named:
        first = first or frame.shape
        if frame.shape != first:
            raise UserError(
                f"the frame {name} of {source} is {_size(frame.shape)} pixels, and {names[0]} "
                f"{_size(first)}: all frames of a clip have one size."
            )
        if name in names:
            raise UserError(f"{source} has two frames {name}: rename one, results would mix.")
        names.append(name)
        held.append(_shrunk(frame, shrink))
    if len(held) < 2:
        raise UserError(
            f"{source} has {len(held)} frame{'s' * (len(held) != 1)} from number {start} on: a clip has at "
            "least two."
        )
    return Clip(tuple(names), np.stack(held))


def _of_folder(path: Path, start: int, frames: int) -> Iterator[tuple[str, np.ndarray]]:
    files = [each for each in path.iterdir() if each.suffix.lower() in SUFFIXES]
    files.sort(key=lambda file: _natural(file.name))
    for file in files[start : start + frames if frames else None]:
        yield file.stem, read_image(file)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """What names are sorted by, numbers as numbers."""
    parts = re.split(r"(\d+)", name)
    return [(p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in parts]


def _of_video(path: Path, start: int, frames: int) -> Iterator[tuple[str, np.ndarray]]:
    try:
        import av
    except ImportError as error:
        raise UserError(
            f"{path} is a video, which the package av reads: pip install 'jaxsr[video]', or name a folder of "
            "its frames."
        ) from error
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UserError(f"{path} holds no video: name another file, or a folder of frames.")
            for index, frame in enumerate(container.decode(video=0)):
                if frames and index >= start + frames:
                    break
                if index >= start:
                    yield f"{index:05d}", frame.to_ndarray(format="rgb24")
    except av.FFmpegError as error:
        raise UserError(
            f"{path} cannot be read as a video ({error.strerror}): replace it, or name a folder of frames."
        ) from error


def _shrunk(frame: np.ndarray, times: int) -> np.ndarray:
    """uint8 [h,w,3], each pixel the mean of times × times; what is left at the right and below is cut."""
    if times == 1:
        return frame
    height, width = (side // times * times for side in frame.shape[:2])
    if not height or not width:
        raise UserError(
            f"frames of {_size(frame.shape)} pixels cannot be shrunk {times} times: take fewer."
        )
    return np.asarray(Image.fromarray(frame[:height, :width]).reduce(times))


def check_pair(given: Clip, processed: Clip) -> None:
    """UserError unless two clips have as many frames, of one size."""
    counts = len(given.frames), len(processed.frames)
    if counts[0] != counts[1]:
        raise UserError(
            f"the clip has {counts[0]} frames and the processed one {counts[1]}: process all of them, or "
            f"take the first ones of both, --config.clip.frames={min(counts)}."
        )
    sizes = [_size(clip.frames.shape[1:]) for clip in (given, processed)]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"the frames are {sizes[0]} pixels and the processed ones {sizes[1]}: make them the same size."
        )


def slide(image: np.ndarray, *, frames: int, size: int, pace: int) -> Clip:
    """Windows that slide to the right over the middle of a photograph uint8 [h,w,3].

    size: of their sides; pace: pixels from one frame to the next. Frame s shows at p - (pace (s - t), 0)
    what frame t shows at p.
    Raises UserError where the photograph is too small, or for fewer than two frames.
    """
    height, width = image.shape[:2]
    reach = size + pace * (frames - 1)
    if frames < 2 or pace < 0 or size < 1 or size > height or reach > width:
        raise UserError(
            f"{frames} windows of {size} pixels, {pace} apart, do not fit on a photograph of "
            f"{width}×{height} (two frames at least): take smaller ones, or fewer."
        )
    top, left = (height - size) // 2, (width - reach) // 2
    windows = [
        image[top : top + size, left + pace * t : left + pace * t + size] for t in range(frames)
    ]
    return Clip(tuple(f"{t:05d}" for t in range(frames)), np.stack(windows))


def gain(rng: np.random.Generator, clip: Clip, *, mean: float, deviation: float) -> Clip:
    """Every frame times a gain of its own, normal and at least 0: unimodal flicker."""
    gains = np.maximum(mean + deviation * rng.standard_normal(len(clip.frames)), 0)
    return _times(clip, gains[:, None])


def tints(rng: np.random.Generator, clip: Clip, *, first: Sequence[float], second: Sequence[float]):
    """Half of the frames, the first among them, in one tint (R, G, B) and half in another: two modes."""
    if len(first) != 3 or len(second) != 3:
        raise UserError(
            "config.flicker.first and config.flicker.second are tints: three numbers each (R, G, B)."
        )
    count = len(clip.frames)
    others = rng.permutation(np.arange(1, count))[: count // 2]
    return _times(clip, np.where(np.isin(np.arange(count), others)[:, None], second, first))


def _times(clip: Clip, factors: np.ndarray) -> Clip:
    """Frames times factors [t, 1 or 3], rounded and clipped."""
    made = np.clip(clip.frames * factors[:, None, None] + 0.5, 0, 255)
    return clip._replace(frames=made.astype(np.uint8))


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]}×{shape[0]}"
