"""Fixtures that several tests share."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(Path(__file__).parent))  # tests/reference is imported by name


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and public weights; tests that use it skip where it is absent."""
    folder = Path(os.environ.get("JAXSR_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip("no reference data: name its folder in JAXSR_DATA")
    return folder


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT
