"""What the commands share: numbers of the command line, times in words, and quiet ends."""

import argparse
import gc
import os
import signal
import subprocess
import sys
import time

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


def test_rates_and_the_time_left():
    """8 MP, a quarter of the work, in 4 s."""
    assert terminal.pace(8e6, 4.0, 0.25) == "2 MP/s, 12 s left"
    assert [terminal.speed(rate, 1e-6) for rate in (12.3456, 0.00123, 1e-6)] == [
        "12.3 MP/s", "0.00123 MP/s", "under 0.0001 MP/s",
    ]  # fmt: skip
    assert terminal.pace(0, 4.0, 0.0) == "under 0.0001 MP/s"
    assert terminal.speed(5, 0.0).endswith(" MP/s")


@pytest.mark.parametrize("looked_at", [False, True])
def test_a_line_is_renewed_on_a_terminal_and_rare_elsewhere(looked_at, capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(terminal.sys.stderr, "isatty", lambda: looked_at)
    say = terminal.status_line(every=10)
    for done, now[0] in enumerate((4.0, 11.0, 20.0, 22.0, 23.0), start=1):
        say(f"{done} of 5", last=done == 5)
    said = capsys.readouterr().err
    if looked_at:
        assert said.count("\n") == 1 and said.endswith("\n") and said.startswith("\r1 of 5 ")
        assert [part.strip() for part in said.split("\r")[1:]] == [f"{n} of 5" for n in range(1, 6)]
    else:
        assert said == "2 of 5\n4 of 5\n5 of 5\n"


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


def test_ctrl_c_in_a_callback_of_the_garbage_collector_is_not_lost(capsys):
    """Python drops an exception there; it also does so with any other, which is still shown."""
    raised = []

    def callback(phase, info):
        if not raised:
            raised.append(phase)
            signal.raise_signal(signal.SIGINT)

    def body():
        gc.callbacks.append(callback)
        gc.collect()
        for _ in range(500):
            time.sleep(0.01)

    usual = sys.unraisablehook
    try:
        assert terminal.ended("x", body) == 130
    finally:
        gc.callbacks.remove(callback)
    assert raised and sys.unraisablehook is usual
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
