"""What the commands share: numbers of the command line, times in words, and quiet ends."""

import argparse
import os
import subprocess
import sys

import pytest

from jaxsr import terminal


def test_numbers_of_the_command_line():
    assert terminal.whole(1)("7") == 7 and terminal.whole(0)("0") == 0
    assert terminal.whole(1, 100)("100") == 100
    assert terminal.positive("0.5") == 0.5 and terminal.share("0") == 0 and terminal.share("1") == 1
    wrong = [
        (terminal.whole(1), ("0", "-1", "1.5", "x", "")), (terminal.whole(1, 9), ("10",)),
        (terminal.positive, ("0", "-1", "nan", "inf", "x")),
        (terminal.share, ("-0.1", "1.1", "nan", "x")),
    ]  # fmt: skip
    for read, texts in wrong:
        for text in texts:
            with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is no "):
                read(text)


def test_durations():
    assert [terminal.duration(s) for s in (0.4, 59.4, 60, 3599, 3600, 7500)] == [
        "0 s", "59 s", "1 min 00 s", "59 min 59 s", "1 h 00 min", "2 h 05 min",
    ]  # fmt: skip


def test_the_status_is_the_bodys_and_130_after_ctrl_c(capsys):
    def stopped():
        raise KeyboardInterrupt

    assert terminal.ended("x", lambda: None) == 0 and terminal.ended("x", lambda: 2) == 2
    assert terminal.ended("x", stopped) == 130
    assert capsys.readouterr().err == "\nx: interrupted.\n"


@pytest.mark.parametrize("lines", [3, 100_000])
def test_a_reader_that_goes_away_leaves_no_traceback(lines):
    """3 lines wait in the buffer until the end; of 100,000 a print in the middle fails."""
    code = (
        "import sys; from jaxsr.terminal import ended; "
        f"sys.exit(ended('x', lambda: print(*range({lines}), sep='\\n')))"
    )
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
