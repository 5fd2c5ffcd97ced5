"""Draws evaluated methods on the perception–distortion plane: plane.png and plane.csv.

    python scripts/perception_distortion.py evaluation other/results.csv --perception niqe --out DIR

Takes CSV files, result folders of scripts/evaluate.py and folders of training runs.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxsr import plane
from jaxsr.types import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="CSV files or folders")
    parser.add_argument("--distortion", default="rmse", help="rmse, psnr or another column")
    parser.add_argument("--perception", required=True, help="column of a perceptual metric")
    parser.add_argument(
        "--out", type=Path, default=Path("."), help="folder of plane.png, plane.csv"
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
    print(plane.table(found, **axes), end="")
    print(*files, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
