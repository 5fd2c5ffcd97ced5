"""The command line: `python -m jaxsr.main --config=configs/sftnet.py [--workdir=…] [--config.key=value]`."""

import difflib
import re
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from jaxsr.types import UserError

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "a file of configs/, with a preset after a colon: configs/sftnet.py:paper"
)
WORKDIR = flags.DEFINE_string(
    "workdir", "", "where checkpoints, logs and pictures go; runs/<name of the config> by default"
)
MODE = flags.DEFINE_enum(
    "mode", "train", ["train", "evaluate"], "train, or evaluate the latest checkpoint of the work folder"
)


def parse(arguments: list[str]) -> list[str]:
    """Parses the flags; what is wrong with them is one sentence, with the nearest valid key."""
    try:
        return flags.FLAGS(arguments)
    except (AttributeError, KeyError, ValueError, TypeError, OSError, flags.Error) as error:
        fail(_explain(error, arguments))


def _explain(error: Exception, arguments: list[str]) -> str:
    """What a flag error means, in one line."""
    text = " ".join(str(error).split())
    key = re.search(r"config\.([\w.]+)", " ".join(arguments) if "config." not in text else text)
    if isinstance(error, (AttributeError, KeyError)) and key:
        return f"{text.strip(chr(39) + chr(34))}"
    return text


def fail(sentence: str) -> None:
    """One sentence on standard error, and exit status 2."""
    print(f"jaxsr: error: {sentence}", file=sys.stderr)
    sys.exit(2)


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        fail(f"{arguments[1]!r} is not a flag: options are written --name=value.")
    if CONFIG.value is None:
        fail("no config: name one, for example --config=configs/sftnet.py.")
    # not before the flags are known to be right: JAX takes seconds to start
    from jaxsr import build, train

    config = CONFIG.value
    workdir = Path(WORKDIR.value or f"runs/{config.name}")
    try:
        experiment = build.experiment(config)
        run = train.train if MODE.value == "train" else train.evaluate
        run(experiment, workdir)
    except UserError as error:
        fail(str(error))


if __name__ == "__main__":
    logging.set_verbosity(logging.ERROR)
    app.run(main, flags_parser=parse)
