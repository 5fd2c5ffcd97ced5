"""Fixtures that several tests share."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(Path(__file__).parent))  # tests/reference is imported by name

# Runs in processes of their own compile the same programs again: they share them, for this session alone.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    COMPILED = tempfile.mkdtemp(prefix="compiled_")
    atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": COMPILED,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
    }

# several processes share a GPU, where there is one
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax  # noqa: E402  after what it reads


@pytest.fixture(scope="module", autouse=True)
def programs_of_one_file():
    """Compiled programs are let go at the end of a file: all of them would take gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture()
def unoptimised(monkeypatch):
    """Programs are compiled in half the time, here and in processes: for tests that judge neither speed nor
    that two programs round alike."""
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


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
