"""Logs: rows and events that can be read back, what a kill leaves, the console line."""

import json
import os
import re
import struct

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from jaxsr import logs
from jaxsr.types import UserError


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def events(folder):
    """(step, tag, kind) of every summary in the TensorBoard files, and the steps that were purged.

    A record is its length (8 bytes), a check sum (4), the event, another check sum (4).
    """
    found, purged = [], []
    for path in sorted((folder / "tensorboard").glob("events*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            found += [(event.step, v.tag, v.WhichOneof("value")) for v in event.summary.value]
            if event.session_log.status:
                purged.append(event.step)
        assert at == len(data), "no half-written record"
    return found, purged


def test_rows_and_events_are_written_and_can_be_read(tmp_path):
    log = logs.open_log(tmp_path, start=0)
    logs.scalars(log, 5, {"loss": np.float32(0.5), "D(real)": 1})
    assert rows(tmp_path) == [{"step": 5, "loss": 0.5, "D(real)": 1.0}], "there at once"
    logs.scalars(log, 10, {"loss": 0.25})
    logs.picture(log, 10, "evaluation", np.zeros((4, 6, 3), np.uint8))
    logs.close(log)
    assert [row["step"] for row in rows(tmp_path)] == [5, 10]
    found, _ = events(tmp_path)
    kind = "simple_value"
    tags = [(step, name.replace("D_real_", "D(real)"), what) for step, name, what in found]
    assert tags == [
        (5, "loss", kind), (5, "D(real)", kind), (10, "loss", kind), (10, "evaluation", "image")
    ]  # fmt: skip


def test_resuming_drops_rows_after_its_step_and_lines_that_a_kill_cut_short(tmp_path):
    log = logs.open_log(tmp_path, start=0)
    for step in (3, 6, 9):
        logs.scalars(log, step, {"loss": step})
    logs.scalars(log, 6, {"evaluation/psnr_y": 20.0})
    logs.close(log)
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        # a line of another kind, and one cut within a character
        file.write(b'[1, 2]\n"step"\n{"loss": 1}\n{"step": 6, "na\xe2')
    logs.close(logs.open_log(tmp_path, start=6))
    assert [row["step"] for row in rows(tmp_path)] == [3, 6, 6]
    assert rows(tmp_path)[2] == {"step": 6, "evaluation/psnr_y": 20.0}
    assert [path.name for path in tmp_path.glob("metrics*")] == ["metrics.jsonl"]
    log = logs.open_log(tmp_path, start=6)
    logs.scalars(log, 9, {"loss": 9.5})
    logs.close(log)
    assert rows(tmp_path)[3:] == [{"step": 9, "loss": 9.5}]
    assert 7 in events(tmp_path)[1], "TensorBoard is told to drop what comes from step 7 on"


def test_a_kill_while_resuming_loses_no_row(tmp_path, monkeypatch):
    log = logs.open_log(tmp_path, start=0)
    logs.scalars(log, 3, {"loss": 1.0})
    logs.close(log)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        logs.open_log(tmp_path, start=2)
    assert rows(tmp_path) == [{"step": 3, "loss": 1.0}]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/run cannot be written .*--workdir"):
        logs.open_log(tmp_path / "file" / "run", start=0)
    log = logs.open_log(tmp_path / "run", start=0)
    log.path.mkdir()
    with pytest.raises(UserError, match="metrics.jsonl cannot be written .*free some space"):
        logs.scalars(log, 1, {"loss": 1.0})

    def full():
        raise OSError(28, "No space left on device")

    close = log.board.close
    monkeypatch.setattr(log.board, "close", full)
    with pytest.raises(UserError, match="tensorboard cannot be written .No space left on device"):
        logs.close(log)
    close()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (61, "1:01"), (3599, "59:59"),
        (3599.7, "1:00:00"), (3661, "1:01:01"), (360_000, "100:00:00"),
    ],
)  # fmt: skip
def test_duration(seconds, text):
    assert logs.duration(seconds) == text


def test_progress_line():
    line = logs.progress(30, 120, 2.5, {"loss": 0.123456, "D(real)": 12345.6})
    stamp, rest = line.split("  ", 1)
    assert re.fullmatch(r"\d\d:\d\d:\d\d", stamp)
    # 90 steps of 2.5 s are left
    assert rest == ("step 30/120 (25 %)  2.50 s/step  left 3:45  loss 0.1235  D(real) 1.235e+04")
    assert "(99 %)" in logs.progress(999, 1000, 1.0, {}), "100 % is said at the end only"
    assert "(100 %)  1.00 s/step  left 0:00" in logs.progress(1000, 1000, 1.0, {})


def test_say_prints_at_once(capsys):
    logs.say("true ↓")
    assert capsys.readouterr().out == "true ↓\n"
