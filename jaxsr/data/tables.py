"""Text files that go with data: lists of image stems, tables of classes and words; shipped or the user's."""

import csv
import difflib
import importlib.resources
import os
from collections.abc import Iterable
from pathlib import Path

from jaxsr.outdoor import DISCRIMINATOR, NAMES, VOID
from jaxsr.types import UserError


def read_names(path_or_name: str | os.PathLike) -> tuple[str, ...]:
    """The stems in a text file: one a line; empty lines and lines that begin with `#` are skipped.

    Args:
        path_or_name: a file, or the bare name of a list in jaxsr/data/splits.
    Returns:
        the stems, in the order of the file.
    Raises:
        UserError: no such file and no such list, or not text.
    """
    lines = (line.strip() for line in _read_text(path_or_name, "splits", ".txt").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def read_class_table(path_or_name: str | os.PathLike) -> dict[int, int]:
    """The table from the classes of a label set to the outdoor classes.

    Args:
        path_or_name: a CSV file with the header `index,class,outdoor`, or the bare name of one in
            jaxsr/data/class_tables; `outdoor` is one of `outdoor.NAMES` or `ignore`.
    Returns:
        label value 0..255 -> index in `outdoor.NAMES`, or 255 for `ignore`.
    Raises:
        UserError: no such file, another header, an unknown class, a value twice or out of range.
    """
    rows = csv.DictReader(_read_text(path_or_name, "class_tables", ".csv").splitlines())
    if rows.fieldnames != ["index", "class", "outdoor"]:
        raise UserError(f"{path_or_name} must begin with the line index,class,outdoor: add it.")
    numbers = {name: index for index, name in enumerate(NAMES)} | {"ignore": VOID}
    table: dict[int, int] = {}
    for row in rows:
        index, outdoor = row["index"], row["outdoor"] or ""
        place = f"{path_or_name} line {rows.line_num}"
        if not (index.isascii() and index.isdecimal()) or int(index) > 255 or int(index) in table:
            raise UserError(f"{place}: index {index!r} must be one of 0 to 255 and occur once.")
        if outdoor not in numbers:
            raise UserError(
                f"{place}: {outdoor!r} is not an outdoor class; {nearest(outdoor, numbers)}."
            )
        table[int(index)] = numbers[outdoor]
    return table


def read_categories(path_or_name: str | os.PathLike) -> dict[str, int]:
    """The table from words in paths to the classes of SFT-GAN's discriminator.

    Args:
        path_or_name: a CSV file with the header `word,category`, or the bare name of one in
            jaxsr/data/category_tables; a word is letters only, `category` one of `outdoor.NAMES`.
    Returns:
        word in lower case -> class of the discriminator (`outdoor.DISCRIMINATOR`), 0 background.
    Raises:
        UserError: no such file, another header, an unknown category, a word twice or not of letters.
    """
    rows = csv.DictReader(_read_text(path_or_name, "category_tables", ".csv").splitlines())
    if rows.fieldnames != ["word", "category"]:
        raise UserError(f"{path_or_name} must begin with the line word,category: add it.")
    table: dict[str, int] = {}
    for row in rows:
        word, category = (row["word"] or "").lower(), row["category"] or ""
        place = f"{path_or_name} line {rows.line_num}"
        if not word.isalpha() or word in table:
            raise UserError(f"{place}: the word {word!r} must be of letters and occur once.")
        if category not in NAMES:
            raise UserError(f"{place}: {category!r} is no category; {nearest(category, NAMES)}.")
        table[word] = DISCRIMINATOR[NAMES.index(category)]
    return table


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name: the likeliest one and all there are."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}known: {', '.join(known)}"


def _read_text(path_or_name: str | os.PathLike, kind: str, suffix: str) -> str:
    """Text of a file, else of the shipped file jaxsr/data/<kind>/<name>[suffix]."""
    shipped = importlib.resources.files("jaxsr.data") / kind
    stems = sorted(Path(f.name).stem for f in shipped.iterdir() if f.name.endswith(suffix))
    name = os.fspath(path_or_name).removesuffix(suffix)
    try:
        if not Path(path_or_name).is_file() and name in stems:
            return (shipped / (name + suffix)).read_text(encoding="utf-8")
        return Path(path_or_name).read_text(encoding="utf-8-sig")  # spreadsheets write a mark
    except UnicodeDecodeError as error:
        raise UserError(f"{path_or_name} is not a text file in UTF-8: save it as one.") from error
    except OSError as error:
        raise UserError(
            f"{path_or_name} is neither a readable file nor a shipped list; {nearest(name, stems)}."
        ) from error
