"""Files that are there whole or not at all."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def in_one_move(path: Path) -> Iterator[Path]:
    """A file beside `path` to write into, which takes its place when all went well.

    A kill leaves the old file or the new one, an error the old one; the folder is made where it is
    missing. The rights are those of any new file, whatever the writer gave. OSError as it comes.
    """
    # Unique for each process and thread, and in the same folder: os.replace must not cross disks.
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)  # safetensors writes files that only their owner may read
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
