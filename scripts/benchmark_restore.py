"""Memory and speed of restoring large images in windows: bounded by the window, not by the image.

    python scripts/benchmark_restore.py                          1, 10 and 100 megapixels, minutes
    python scripts/benchmark_restore.py --networks legacy_srresnet --megapixels 1 --scale 4
    python scripts/benchmark_restore.py --megapixels 0.01 0.02   seconds: does it run

An 8-bit RGB image of noise goes through `tiles.runner` and comes out in 8 bits, as in scripts/restore.py;
a network for luminance gets Y, the chroma is enlarged bicubically. Random weights: they change neither
memory nor speed. Every row is a process of its own, since a process remembers its peak. Writes restore.json
and restore.md to the folder --out.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from benchmark_report import machine

from jaxsr import build_method
from jaxsr.evaluate import to_uint8
from jaxsr.inference import tiles
from jaxsr.inference.restorer import Restorer, colour
from jaxsr.types import UserError

COLUMNS = {
    "network": "network", "scale": "scale", "megapixels": "LQ MP", "output_megapixels": "output MP",
    "window": "windows", "seconds": "s", "megapixels_per_second": "output MP/s",
    "image_mib": "images MiB", "start_mib": "MiB before", "peak_mib": "peak MiB",
    "beyond_mib": "peak - images MiB",
}  # fmt: skip
NOTES = """\
- images: the 8-bit input and output, which are in memory whole.
- MiB before: resident before the image is made: Python, JAX, the weights.
- peak: the largest resident size of the process; peak - images is what restoring takes beside them,
  JAX itself included: it must not grow with the image.
- s: without compilation, for which a first image of one window is restored before; the measurement of
  the overlap is in it."""


def resident(*, peak: bool) -> float:
    """MiB of this process in memory: its largest so far, or now."""
    if peak:
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return held / 2**20 if sys.platform == "darwin" else held / 2**10
    status = Path("/proc/self/statm")
    if not status.exists():
        return math.nan
    return int(status.read_text().split()[1]) * resource.getpagesize() / 2**20


def build(name: str, scale: int) -> Restorer:
    """A network of `build_method.NETWORKS` that takes the image alone, with random weights."""
    module = build_method.network_module({"name": name, "scale": scale}, "network", dtype="float32")
    channels = getattr(module, "channels", 3)
    variables = module.init(jax.random.key(0), jnp.zeros((1, 16, 16, channels)), train=False)

    def apply(variables: Any, lq: jax.Array) -> jax.Array:
        return module.apply(variables, lq, train=False)

    return Restorer(name, scale, channels, apply, jax.device_get(variables), None, {})


def row(name: str, scale: int, megapixels: float, memory_mib: float) -> dict[str, Any]:
    """One image, in this process."""
    restorer = build(name, scale)
    said: list[str] = []
    side = round(math.sqrt(megapixels * 1e6))
    run = tiles.runner(restorer, memory_mib=memory_mib, report=said.append, largest=side)

    def each(one: Any, part: np.ndarray) -> np.ndarray:
        return to_uint8(colour(restorer, one, part))

    run(np.zeros((8, 8, 3), np.uint8), each=each)
    before = resident(peak=False)
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    began = time.perf_counter()
    restored = run(image, each=each)
    seconds = time.perf_counter() - began
    images = (image.nbytes + restored.nbytes) / 2**20
    peak = resident(peak=True)
    output = side**2 * scale**2 / 1e6
    return {
        "network": name, "scale": scale, "megapixels": side**2 / 1e6, "output_megapixels": output,
        "window": said[-1], "seconds": seconds, "megapixels_per_second": output / seconds,
        "image_mib": images, "start_mib": before, "peak_mib": peak, "beyond_mib": peak - images,
    }  # fmt: skip


def markdown(report: dict[str, Any]) -> str:
    """The table, the machine, and what the columns mean."""

    def cell(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    lines = [list(COLUMNS.values()), ["---"] * len(COLUMNS)]
    lines += [[cell(each[name]) for name in COLUMNS] for each in report["rows"]]
    return "\n".join([
        *(f"| {' | '.join(cells)} |" for cells in lines), "",
        *(f"- {name}: {value}" for name, value in report["machine"].items()), "", NOTES, "",
    ])  # fmt: skip


def measure(options: argparse.Namespace) -> None:
    """All rows, one process each, and the two files."""
    rows = []
    for name in options.networks:
        for megapixels in options.megapixels:
            words = [name, str(options.scale), str(megapixels), str(options.memory_mib)]
            done = subprocess.run(
                [sys.executable, __file__, "--row", *words], stdout=subprocess.PIPE, text=True, check=False
            )  # fmt: skip
            if done.returncode:
                raise UserError(f"{name} at {megapixels:g} megapixels failed; see above.")
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{name} ×{options.scale}, {megapixels:g} MP: {rows[-1]['seconds']:.1f} s, "
                  f"{rows[-1]['beyond_mib']:.0f} MiB beside the images", flush=True)  # fmt: skip
    found = {key: text for key, text in machine(None, "").items() if key != "torch"}
    report = {"rows": rows, "memory_mib": options.memory_mib, "machine": found}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "restore.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.out / "restore.md").write_text(markdown(report))
    print(markdown(report))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=["fsrcnn"], help="names of networks")
    parser.add_argument("--megapixels", nargs="+", type=float, default=[1, 10, 100], help="of LQ")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--memory-mib", type=float, default=500, help="for the compiled program")
    parser.add_argument("--out", type=Path, default=Path("benchmarks"), help="folder to write to")
    parser.add_argument("--row", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.row:
            name, scale, megapixels, memory = options.row
            print(json.dumps(row(name, int(scale), float(megapixels), float(memory))))
        else:
            measure(options)
    except UserError as error:
        sys.exit(f"benchmark_restore: error: {error}")


if __name__ == "__main__":
    main()
