"""Draws evaluated methods on the perception–distortion plane: plane.png and plane.csv.

    python scripts/perception_distortion.py evaluation other/results.csv --perception niqe --out DIR

Takes CSV files, result folders of scripts/evaluate.py and folders of training runs. The perceptual
metric is a column of theirs, for which scripts/evaluate.py takes --niqe or --lpips; the means are over the
images that all methods of a set have. Points that no other beats in both are joined, and «yes» in the
column frontier. Exit status: 0, 2 for a mistake, 130 when interrupted.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxsr import plane
from jaxsr.benchmark_tables import aligned
from jaxsr.terminal import ended
from jaxsr.types import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="CSV files or folders")
    parser.add_argument(
        "--distortion", default="rmse", metavar="COLUMN", help="rmse, psnr or another: %(default)s"
    )
    parser.add_argument("--perception", required=True, metavar="COLUMN", help="for example niqe")
    parser.add_argument(
        "--out", type=Path, default=Path("."), help="folder of plane.png, plane.csv: %(default)s"
    )
    flags = parser.parse_args(arguments)
    axes = {"distortion": flags.distortion, "perception": flags.perception}
    try:
        sources = {str(run): plane.read_rows(run) for run in flags.runs}
        found = plane.points(sources, **axes)
        files = plane.write(flags.out, found, **axes)
    except UserError as error:
        print(f"perception_distortion: error: {error}", file=sys.stderr)
        return 2
    head = ["set", "×", "method", "images", flags.distortion, flags.perception, "frontier"]
    lines = [
        [p.dataset, p.scale, p.method, str(p.images), f"{p.distortion:.4f}", f"{p.perception:.4f}",
         "yes" if p.frontier else "no"]
        for p in found
    ]  # fmt: skip
    print(aligned(head, lines, left={0, 2, 6}), "", *files, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(ended("perception_distortion", main))
