"""Picture sheets: rows of images with captions, and plots, as one PNG a person can look at."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP, CAPTION, FONT = 6, 20, 13


class Cell(NamedTuple):
    """One picture uint8 [h, w, 3] and the line of text under it."""

    image: np.ndarray
    text: str


def sheet(rows: Sequence[Sequence[Cell]], *, height: int) -> np.ndarray:
    """Rows of cells on white, uint8 [H, W, 3].

    height: of every picture; one that is smaller is enlarged by whole numbers without interpolation
    first (an LR image stays blocky), then all are fitted to the height, so that a row can be
    compared. A column is as wide as its widest picture or text. Without rows the page is an empty
    margin.
    """
    font = _font()
    fitted = [[_fit(cell.image, height) for cell in row] for row in rows]
    widths = [
        max(
            max(picture[column].width, math.ceil(font.getlength(row[column].text)) + 1)
            for row, picture in zip(rows, fitted, strict=True)
            if column < len(row)
        )
        for column in range(max((len(row) for row in fitted), default=0))
    ]
    size = (sum(widths) + GAP * (len(widths) + 1), len(rows) * (height + CAPTION + GAP) + GAP)
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    for line, (row, pictures) in enumerate(zip(rows, fitted, strict=True)):
        top, left = GAP + line * (height + CAPTION + GAP), GAP
        for cell, picture, width in zip(row, pictures, widths, strict=False):
            page.paste(picture, (left, top))
            draw.text((left + 1, top + height + 3), cell.text, fill="black", font=font)
            left += width + GAP
    return np.asarray(page)


def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib; Pillow's own font has no σ and no –."""
    from matplotlib import get_data_path

    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", FONT)


def busiest(difference: np.ndarray, side: int) -> tuple[int, int]:
    """The (top, left) of the square in which a difference has the most energy.

    difference: [h, w], any numbers; side: of the square, in pixels, at most h and w. Of equal
    squares the one nearest to the top left.
    """
    h, w = difference.shape
    sums = np.zeros((h + 1, w + 1))
    sums[1:, 1:] = np.square(difference, dtype=np.float64).cumsum(0).cumsum(1)
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    # sums of equal squares differ in the last bits
    best = inside >= inside.max() * (1 - 1e-9)
    top, left = np.unravel_index(best.argmax(), best.shape)
    return int(top), int(left)


def boxed(image: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """A copy of uint8 [h, w, 3] with a red frame around a square, thick enough to be seen small."""
    picture = Image.fromarray(image)
    corners = (left, top, left + side - 1, top + side - 1)
    thick = max(1, round(min(image.shape[:2]) / 100))
    ImageDraw.Draw(picture).rectangle(corners, outline="red", width=thick)
    return np.asarray(picture)


def shrunk(image: np.ndarray, height: int) -> np.ndarray:
    """uint8 [h, w, 3] reduced to a height, or itself where it is no higher."""
    return np.asarray(_fit(image, height)) if image.shape[0] > height else image


def bars(shares: np.ndarray, *, height: int, chosen: int) -> np.ndarray:
    """Shares in [0, 1] as upright bars on white, uint8 [height, 10·n, 3]; the chosen one is red."""
    page = Image.new("RGB", (10 * len(shares), height), "white")
    draw = ImageDraw.Draw(page)
    for place, share in enumerate(shares):
        top = round((height - 1) * (1 - float(np.clip(share, 0, 1))))
        colour = "#d62728" if place == chosen else "#1f77b4"
        draw.rectangle((10 * place + 1, top, 10 * place + 8, height - 1), fill=colour)
    return np.asarray(page)


def heat(
    values: np.ndarray, *, rows: Sequence[str], columns: Sequence[str], height: int
) -> np.ndarray:
    """A matrix as a map of colours with its numbers, uint8 [h, w, 3]: red below 0, blue above.

    values: [rows, columns]; height: of the page in pixels, at the least what the rows need
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tall = max(height, 40 * len(rows) + 120) / 100
    figure = Figure(figsize=(0.62 * len(columns) + 2.2, tall), dpi=100, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
    limit = max(float(np.abs(values).max()), 1e-9)
    axes.imshow(values, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.6 * limit else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _fit(image: np.ndarray, height: int) -> Image.Image:
    """A picture of the given height: blocks when it is smaller, Lanczos when it is larger."""
    picture = Image.fromarray(image)
    times = max(1, round(height / picture.height))
    if times > 1:
        picture = picture.resize(
            (picture.width * times, picture.height * times), Image.Resampling.NEAREST
        )
    if picture.height != height:
        width = max(1, round(picture.width * height / picture.height))
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return picture


def plot(draw: Callable[[Any], None], size: tuple[float, float]) -> np.ndarray:
    """What a function draws into a matplotlib figure of `size` inches, 100 pixels each: uint8 [h,w,3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    draw(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
