"""What a deep prior has made of an image so far: pictures, a table, the numbers where the truth is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxsr.data.images import write_png
from jaxsr.data.observations import Observation
from jaxsr.evaluate import Row, markdown, means, write
from jaxsr.metrics.psnr import psnr
from jaxsr.protocols import to_uint8
from jaxsr.sheets import Cell, sheet
from jaxsr.types import Batch, Tree

PROTOCOL = "PSNR of all channels in [0, 1], no border, not rounded"


def restored(
    *, observation: Observation, baselines: dict[str, np.ndarray], name: str, height: int
) -> Callable[..., tuple[dict[str, float], np.ndarray]]:
    """Evaluates the fit to one observation.

    baselines: {name: float32 [H,W,c]}, images to compare with; name: of the image; height: of the pictures

    `predict` gives {"image", "average"} [1,H,W,c]. Writes step_<n>.csv, .md and .png, and the results as
    result_last.png and result_average.png. Means: psnr and psnr average, and with a mask psnr hole and psnr
    hole average (of what was missing); nothing without a truth.
    """
    truth, mask = observation.get("hq"), observation.get("mask")
    hole = None if mask is None else np.broadcast_to(mask, truth.shape) == 0

    def scores(image: np.ndarray) -> dict[str, float]:
        if truth is None:
            return {}
        found = {"psnr": psnr(image, truth, border=0, peak=1.0)}
        if hole is not None:
            error = np.square(image.astype(np.float64) - truth)[hole].mean()
            found["psnr hole"] = float(-10 * np.log10(error + 1e-12))
        return found

    def row(method: str, image: np.ndarray) -> Row:
        return {"image": name, "method": method, "protocol": PROTOCOL} | scores(image)

    def evaluate(predict: Callable[[Batch], Tree], step: int, folder: Path):
        found = predict({key: value[None] for key, value in observation.items()})
        made = {"last": found["image"][0], "average": found["average"][0]}
        rows = [row(method, image) for method, image in (baselines | made).items()]
        cells = [Cell(picture(observation["lq"]), f"{name}: observed")]
        for each, image in zip(rows, (baselines | made).values(), strict=True):
            score = f" {each['psnr']:.2f} dB" if "psnr" in each else ""
            cells.append(Cell(picture(image), f"{each['method']}{score}"))
        if truth is not None:
            cells.append(Cell(picture(truth), "truth"))
        page = sheet([cells], height=height)
        table = (
            markdown(means(rows), PROTOCOL) if truth is not None else f"Step {step}: no truth.\n"
        )
        write(folder, step, rows=rows, table=table, page=page)
        for kind, image in made.items():
            write_png(folder / f"result_{kind}.png", picture(image))
        own = scores(made["last"])
        return own | {f"{k} average": v for k, v in scores(made["average"]).items()}, page

    return evaluate


def picture(image: np.ndarray) -> np.ndarray:
    """float [h,w,1 or 3] as uint8 [h,w,3]."""
    return np.repeat(to_uint8(image), 3 // image.shape[-1], -1)
