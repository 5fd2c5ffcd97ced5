"""Several processes, one a host: how they find each other, and what they agree on."""

import re
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxsr.types import UserError

FORM = re.compile(r"(?P<address>[^,\s]+:\d+),(?P<count>\d+),(?P<index>\d+)")


def join(text: str) -> None:
    """Makes this process one of several; before anything asks JAX for a device.

    text: «auto» where the surroundings say it (Cloud TPU, Slurm, Open MPI), else
          «address:port,count,index», of the first process, of all, and of this one
    Raises UserError for another text, and where the others cannot be found.
    """
    given = FORM.fullmatch(text)
    if text != "auto" and not given:
        raise UserError(
            f"--distributed={text}: write auto, or address:port,count,index, for example "
            "10.0.0.1:9876,2,0 for the first of two processes."
        )
    options: dict[str, Any] = {}
    if given:
        count, index = int(given["count"]), int(given["index"])
        if index >= count:
            raise UserError(
                f"--distributed={text}: the processes are numbered from 0, so the last of {count} is "
                f"{count - 1}."
            )
        options = {
            "coordinator_address": given["address"], "num_processes": count, "process_id": index
        }  # fmt: skip
    try:
        jax.distributed.initialize(**options)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"--distributed={text}: the processes did not find each other "
            f"({str(error).strip().splitlines()[0]}); start all of them, with the address of the first."
        ) from error


def is_first() -> bool:
    """Whether this process writes logs, tables and pictures: one of several does."""
    return jax.process_index() == 0


def told(value: float) -> float:
    """The first process's value, for all of them; they wait for each other here."""
    if jax.process_count() == 1:
        return value
    return float(multihost_utils.broadcast_one_to_all(np.float32(value)))


def any_of(value: bool) -> bool:
    """Whether the value is true in any process; they wait for each other here."""
    if jax.process_count() == 1:
        return value
    return bool(np.any(multihost_utils.process_allgather(np.array(value))))
