"""Configs from their files, with changes named as in `train__steps=4`."""

import runpy
from pathlib import Path
from typing import Any


def config_of(root: Path, name: str, preset: str, **changes: Any) -> Any:
    """configs/<name>.py with a preset; a key of a section is written with two underscores between."""
    made = runpy.run_path(str(root / "configs" / f"{name}.py"))["get_config"](preset)
    with made.unlocked():
        for key, value in changes.items():
            section = made
            *path, last = key.split("__")
            for part in path:
                section = section[part]
            section[last] = value
    return made
