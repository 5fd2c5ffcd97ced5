"""Fixed evaluation sets of distorted patches, the same wherever they are made."""

import csv
import importlib.metadata
import importlib.resources
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import features

from jaxsr.data.distortions import TRIES, corner, degrade, nearly_same
from jaxsr.data.images import content_hash
from jaxsr.data.levels import (
    BANDS,
    SEVERITIES,
    Levels,
    draw,
    draw_band,
    draw_slight,
    strengths,
    triples,
)
from jaxsr.data.sources import Sample, fetch, load, photographs
from jaxsr.types import UserError

# The photographs that no training of this project sees.
HELD_OUT = ("chelsea", "china", "rocket")


class Pairs(NamedTuple):
    """Patches of one set.

    lq, hq: uint8 [n, size, size, 3], distorted and true
    levels: float32 [n, 3], see `levels.strengths`
    names:  the image that each is of
    """

    lq: np.ndarray
    hq: np.ndarray
    levels: np.ndarray
    names: tuple[str, ...]


def evaluation_set(
    severity: str, samples: Sequence[Sample], *, count: int = 64, seed: int = 0, size: int = 63
) -> Pairs:
    """Patches of images that are degraded whole, the images in turn.

    Patch i depends on seed, i, severity and images alone, so that a shorter set is the beginning of
    a longer one. Its levels, its noise and its corner (a multiple of 16) are its own. One that the
    distortion hardly changes (PSNR over 50 dB) is drawn anew, at most nine times.

    Args:
        severity: `mild`, `moderate` or `severe`; see `levels.draw`.
        samples: of `sources.load`.
        count: patches.
        seed: 0 or above.
        size: pixels.
    Raises:
        UserError: another severity, no image, one smaller than the patch, a bad count or seed.
    Source: yuke93/RL-Restore dd1463d (its own patches are not published).
    """
    triples(severity)
    place = list(SEVERITIES).index(severity)
    return _pairs(lambda rng: [draw(severity, rng)], place, samples, count, seed, size)


def band_set(
    band: int, samples: Sequence[Sample], *, count: int = 24, seed: int = 0, size: int = 63
) -> Pairs:
    """Patches with the distortion of one tool alone, and the slight noise and JPEG of its training.

    Args:
        band: place in `BANDS`, 0 to 11.
        samples, count, seed, size: as in `evaluation_set`, and patches are taken as there.
    Raises:
        UserError: as `evaluation_set`.
    """

    def draw_chain(rng: np.random.Generator) -> list[Levels]:
        return [draw_band(*BANDS[band], rng), draw_slight(rng)]

    return _pairs(draw_chain, len(SEVERITIES) + band, samples, count, seed, size)


def _pairs(
    draw_chain: Callable[[np.random.Generator], list[Levels]], place: int,
    samples: Sequence[Sample], count: int, seed: int, size: int,
) -> Pairs:  # fmt: skip
    """Patches of the images in turn; `place` tells the draws of one set from those of another."""
    if not samples or count < 1 or seed < 0:
        raise UserError(
            f"an evaluation set needs images (here {len(samples)}), a count above 0 ({count}) and a "
            f"seed of 0 or above ({seed})."
        )
    for sample in samples:
        if min(sample["size"]) < size:
            h, w = sample["size"]
            raise UserError(f"{sample['name']} is {w}x{h} pixels, smaller than a patch of {size}.")
    patches = []
    for i in range(count):
        bits = np.random.SeedSequence(seed, spawn_key=(place, i))
        image = fetch(samples[i % len(samples)])["hq"]
        patches.append(_patch(draw_chain, image, size, np.random.default_rng(bits)))
    lq, hq, levels = (np.stack(parts) for parts in zip(*patches, strict=True))
    return Pairs(lq, hq, levels, tuple(samples[i % len(samples)]["name"] for i in range(count)))


def held_out_set(severity: str, *, report: Callable[[str], object] = print) -> Pairs:
    """The set of a severity that figures are given for: 64 patches of the three held-out photographs.

    Its hash is compared with the one in distorted_sets.csv. It depends on the JPEG library, and it
    could on others.

    Args:
        severity: `mild`, `moderate` or `severe`.
        report: receives one sentence where the patches are not those of the stored hash.
    Raises:
        UserError: another severity, a missing package.
    """
    pairs = evaluation_set(severity, load(photographs(names=HELD_OUT), report=report))
    text = (importlib.resources.files("jaxsr.data") / "distorted_sets.csv").read_text()
    stored = {row["severity"]: row for row in csv.DictReader(text.splitlines())}[severity]
    if fingerprint(pairs) != stored["sha256"]:
        here = versions()
        differ = [f"{name} {stored[name]} (here {here[name]})" for name in here]
        report(
            f"the {severity} evaluation set differs from that of the published figures, so numbers "
            f"are not comparable with those of another machine; it was made with "
            f"{', '.join(differ)}."
        )
    return pairs


def fingerprint(pairs: Pairs) -> str:
    """SHA-256, in hex, of the shapes and pixels of both sides."""
    return content_hash(np.stack([pairs.lq, pairs.hq]))


def versions() -> dict[str, str]:
    """The libraries that the pixels of a set depend on."""
    packages = {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "pillow")}
    return packages | {"libjpeg": _libjpeg()}


def _libjpeg() -> str:
    turbo = features.version_feature("libjpeg_turbo")
    return f"turbo {turbo}" if turbo else str(features.version_codec("jpg"))


def _patch(
    draw_chain: Callable[[np.random.Generator], list[Levels]],
    image: np.ndarray,
    size: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """lq, hq and levels of one patch."""
    for _ in range(TRIES):
        chain = draw_chain(rng)
        whole = np.rint(degrade(image, chain, rng) * 255).astype(np.uint8)
        top, left = corner(image.shape[:2], size, rng)
        lq, hq = (x[top : top + size, left : left + size] for x in (whole, image))
        if not nearly_same(lq / 255, hq / 255):
            break
    return lq, hq, strengths(chain)
