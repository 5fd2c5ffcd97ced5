"""Picture sheets: rows of images with captions, as one PNG a person can look at."""

from collections.abc import Sequence
from typing import NamedTuple

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
    compared. Without rows the page is an empty margin.
    """
    font = ImageFont.load_default(FONT)
    fitted = [[_fit(cell.image, height) for cell in row] for row in rows]
    widths = [
        max(row[column].width for row in fitted if column < len(row))
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
