"""A section of a config as the keyword arguments of a constructor; what is wrong is named.

The `name` of a section picks the constructor from a table, its other keys must be arguments of that
constructor. An unknown name or key is an error that names the nearest one.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxsr.types import UserError


def nearest(name: str, names: Any) -> str:
    """« (did you mean x?)», or nothing where no name is near."""
    found = difflib.get_close_matches(str(name), [str(each) for each in names], n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def pick(table: Mapping[str, Any], name: str, where: str) -> Any:
    """table[name]; UserError that lists the names there are."""
    if name not in table:
        raise UserError(
            f"config.{where} = {name!r}{nearest(name, table)}: "
            f"it must be one of {', '.join(sorted(table))}."
        )
    return table[name]


def call(function: Callable[..., Any], section: Mapping[str, Any], where: str, **given: Any) -> Any:
    """function(**section, **given); an unknown or missing key is a UserError."""
    check(function, section, where, *given)
    return function(**section, **given)


def check(
    function: Callable[..., Any], section: Mapping[str, Any], where: str, *given: str
) -> None:
    """UserError for a key of `section` that `function` lacks, or that it needs beside `given`."""
    parameters = inspect.signature(function).parameters
    known = [name for name in parameters if name not in given and name not in ("parent", "name")]
    for key in section:
        if key not in known:
            takes = f"it takes {', '.join(known)}" if known else "remove it"
            raise UserError(f"config.{where}.{key} is not known{nearest(key, known)}: {takes}.")
    for key in known:
        if parameters[key].default is inspect.Parameter.empty and key not in section:
            raise UserError(f"config.{where}.{key} is missing: add it.")


def rest(section: Mapping[str, Any], *taken: str) -> dict[str, Any]:
    """A section without the keys taken out of it, lists as tuples (Flax wants them hashable)."""
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in section.items()
        if key not in taken
    }
