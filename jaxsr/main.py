"""The command line: `python -m jaxsr.main --config=configs/sftnet.py [--workdir=…] [--config.key=value]`."""

import contextlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from jaxsr.terminal import ended
from jaxsr.types import UserError

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "a file of configs/, with a preset after a colon: configs/sftnet.py:paper"
)
WORKDIR = flags.DEFINE_string(
    "workdir", "", "where checkpoints, logs and pictures go; runs/<name of the config> by default"
)
MODE = flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "evaluate"],
    "train, or evaluate the latest checkpoint of the work folder",
)
DISTRIBUTED = flags.DEFINE_string(
    "distributed",
    "",
    "one process a host: auto (Cloud TPU, Slurm, Open MPI), or address:port,count,index of this process",
)
DETERMINISTIC = flags.DEFINE_boolean(
    "deterministic",
    False,
    "the same bits in every run on a GPU: deterministic kernels, chosen without timing, in full float32",
)


def parse(arguments: list[str]) -> list[str]:
    """Parses the flags; what is wrong with them is one sentence, with the nearest valid name."""
    try:
        remaining = flags.FLAGS(arguments)
        if CONFIG.value is not None:
            CONFIG.value.to_dict()  # a file that could not be loaded is reported at first use
    except (AttributeError, KeyError) as error:
        fail(_unknown_key(str(error), arguments))
    except OSError:
        named = next((a for a in arguments if re.match("--?config[= ]?", a)), "--config")
        fail(
            f"{named}: there is no such config file; name one of configs/, as --config=configs/sftnet.py."
        )
    except (ValueError, TypeError, flags.Error) as error:
        # ml_collections puts the traceback of a config file into its message; its last line is the sentence
        fail(" ".join(str(error).split()).split("ValueError: ")[-1])
    return remaining


def _unknown_key(message: str, arguments: list[str]) -> str:
    """The sentence for an override of a key that the config has not."""
    words = re.findall(r"\w+", message)
    key = words[0] if words else message
    given = next((a.split("=")[0] for a in arguments if key in a), f"--config.{key}")
    near = re.search(r'Did you mean \\?"(\w+)', message)
    hint = f" (did you mean {near.group(1)!r}?)" if near else ""
    return f"{given} names no key of the config{hint}."


def deterministic(held: Mapping[str, str]) -> dict[str, str]:
    """The variables of the surroundings with which JAX gives the same bits in every run on a GPU.

    held: what is set already, of which XLA_FLAGS are kept
    What remains: other bits on another device, number of devices, driver or version; on a CPU also with
    another number of threads.
    """
    chosen = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"
    return {
        "XLA_FLAGS": f"{held.get('XLA_FLAGS', '')} {chosen}".strip(),
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
    }


def fail(sentence: str) -> None:
    """One sentence on standard error, and exit status 2."""
    print(f"jaxsr: error: {sentence}", file=sys.stderr)
    sys.exit(2)


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        fail(f"{arguments[1]!r} is not a flag: options are written --name=value.")
    if CONFIG.value is None:
        fail("no config: name one, for example --config=configs/sftnet.py.")
    if DETERMINISTIC.value:
        os.environ |= deterministic(os.environ)
    config = CONFIG.value
    workdir = Path(WORKDIR.value or f"runs/{config.name}")

    def run() -> None:
        # not before the flags are known to be right: JAX takes seconds to start
        from jaxsr import build, processes, train

        with contextlib.ExitStack() as stack:
            if DISTRIBUTED.value:
                processes.join(DISTRIBUTED.value)
                if not processes.is_first():
                    quiet = stack.enter_context(open(os.devnull, "w"))
                    stack.enter_context(contextlib.redirect_stdout(quiet))
            mode = train.train if MODE.value == "train" else train.evaluate
            mode(build.experiment(config), workdir)

    try:
        sys.exit(ended("jaxsr", run))
    except UserError as error:
        fail(str(error))


if __name__ == "__main__":
    logging.set_verbosity(logging.FATAL)  # what goes wrong is raised, and said in one sentence
    app.run(main, flags_parser=parse)
