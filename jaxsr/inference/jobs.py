"""What a command restores: files, folders and patterns, and the name of each result."""

import glob
import os
import string
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxsr.inference.picture_files import ENDINGS, NAMES
from jaxsr.types import UserError

NAME = "{stem}_x{scale}"


class Job(NamedTuple):
    """One picture: `source` becomes `target`."""

    source: Path
    target: Path


class Plan(NamedTuple):
    """jobs in the order of their inputs; problems: (path, sentence) of what cannot be done;
    others: number of files in the folders that are no pictures by their name."""

    jobs: tuple[Job, ...]
    problems: tuple[tuple[Path, str], ...]
    others: int


def plan(inputs: Sequence[str], out: Path, *, scale: int, name: str = NAME, kind: str = "") -> Plan:
    """The jobs of a command.

    A folder is searched with the folders in it, which `out` gets too; a pattern is one that the
    shell has not expanded. Hidden files, and `out` where it lies in a folder, are passed over.
    Sources whose results would have one name, a.png and a.jpg, give it their endings: a_png, a_jpg.

    Args:
        inputs: files, folders, patterns (`**` is any depth).
        out: the folder to write into.
        scale: of the network, for the names.
        name: of a result without its ending; {stem} and {scale} are filled in.
        kind: key of `picture_files.NAMES`; "" for the ending of the source (PNG where that is none).
    Returns:
        `Plan`; an input that is not there, or two sources that cannot but have one result, are
        problems.
    Raises:
        UserError: a pattern of names with other fields, or `out` named like a picture, a file, or
            one of the folders to search.
    """
    _check_name(name)
    _check_out(out, inputs)
    found, problems, others = [], [], 0
    for each in inputs:
        path = Path(each)
        if path.is_dir() and not _is_picture(path):
            sources, folders, rest = _walk(path, out)
            found += [(source, source.parent.relative_to(path)) for source in sources]
            problems += [(folder, _folder(folder)) for folder in folders]
            others += rest
        elif path.exists() or not glob.has_magic(each):
            found.append((path, Path()))
        else:
            matches = [Path(match) for match in sorted(glob.glob(each, recursive=True))]
            matches = [match for match in matches if not match.is_dir() or _is_picture(match)]
            if not matches:
                problems.append((path, f"no file fits {each}: check the pattern."))
            found += [(match, Path()) for match in matches]
    jobs = _named(_once(found), out, scale=scale, name=name, kind=kind)
    jobs, more = _apart(jobs)
    return Plan(tuple(jobs), tuple(problems + more), others)


def check_folder(out: Path) -> None:
    """Makes the folder where it is missing; UserError where no file can be written into it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(
            f"--out {out} cannot be written ({error.strerror}): name another folder."
        ) from error


def _check_name(name: str) -> None:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(name) if field is not None]
        filled = name.format(stem="a", scale=2)
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise UserError(f"--name {name!r} has other fields than {{stem}} and {{scale}}.") from error
    if set(fields) - {"stem", "scale"} or "stem" not in fields:
        raise UserError(f"--name {name!r} needs {{stem}} and takes {{scale}}, no other field.")
    if Path(filled).name != filled:
        raise UserError(f"--name {name!r} names a folder: use --out for that.")


def _check_out(out: Path, inputs: Sequence[str]) -> None:
    if _is_picture(out) and not out.is_dir():
        raise UserError(f"--out {out} is named like a picture: name a folder.")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: name a folder.")
    for each in inputs:
        if Path(each).is_dir() and Path(each).resolve() == out.resolve():
            raise UserError(
                f"--out {out} is the folder of the pictures, whose results would be restored the "
                "next time: name another."
            )


def _walk(folder: Path, out: Path) -> tuple[list[Path], list[Path], int]:
    """(pictures, folders named like one, number of other files) below a folder, in sorted order."""
    pictures, odd, others, avoided = [], [], 0, out.resolve()
    for place, folders, files in os.walk(folder):
        here = Path(place)
        odd += [here / each for each in folders if _is_picture(here / each)]
        folders[:] = sorted(
            each for each in folders
            if not each.startswith(".") and not _is_picture(here / each)
            and (here / each).resolve() != avoided
        )  # fmt: skip
        for each in sorted(files):
            if each.startswith("."):
                continue
            if _is_picture(here / each):
                pictures.append(here / each)
            else:
                others += 1
    return pictures, odd, others


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS


def _folder(path: Path) -> str:
    return f"{path} is a folder, though named like an image: rename it."


def _once(found: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Each file once, as it was named first."""
    first: dict[Path, tuple[Path, Path]] = {}
    for path, place in found:
        first.setdefault(path.resolve(), (path, place))
    return list(first.values())


def _named(
    found: list[tuple[Path, Path]], out: Path, *, scale: int, name: str, kind: str
) -> list[Job]:
    """Jobs with their targets; those that clash by their stems alone get the ending as well."""

    def target(source: Path, place: Path, stem: str) -> Path:
        ending = NAMES[kind] if kind else source.suffix if _is_picture(source) else ".png"
        return out / place / (name.format(stem=stem, scale=scale) + ending)

    plain = [target(source, place, source.stem) for source, place in found]
    clashing = _repeated(plain)
    jobs = []
    for (source, place), first in zip(found, plain, strict=True):
        if _key(first) in clashing:
            first = target(source, place, f"{source.stem}_{source.suffix.lstrip('.')}".rstrip("_"))
        jobs.append(Job(source, first))
    return jobs


def _apart(jobs: list[Job]) -> tuple[list[Job], list[tuple[Path, str]]]:
    """Jobs that write where no other does and over no source, and problems for the rest."""
    clashing = _repeated([job.target for job in jobs])
    sources = {_key(job.source) for job in jobs}
    good, problems = [], []
    for job in jobs:
        key = _key(job.target)
        if key in clashing:
            other = next(o for o in jobs if _key(o.target) == key and o is not job)
            text = (
                f"{job.source} and {other.source} would both become {job.target}: "
                "restore them in two runs, each with its own --out, or give the folder of both."
            )
            problems.append((job.source, text))
        elif key in sources:
            text = f"{job.source} would be written over {job.target}: name another --out or --name."
            problems.append((job.source, text))
        else:
            good.append(job)
    return good, problems


def _repeated(paths: list[Path]) -> set[str]:
    keys = [_key(path) for path in paths]
    seen: set[str] = set()
    return {key for key in keys if key in seen or seen.add(key)}


def _key(path: Path) -> str:
    """One text for one file, also where the disk takes a.png and A.PNG for the same."""
    return str(path.resolve()).casefold()
