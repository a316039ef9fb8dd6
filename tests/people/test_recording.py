"""Recordings of terminals: the published format, readable after a crash, redactable."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from open_re_bench.people import recording
from open_re_bench.people.recording import Recording


def record(file: Path, *pieces: bytes) -> Path:
    kept = Recording(file, 24, 80, "xterm")
    for piece in pieces:
        kept.output(piece)
    kept.close()
    return file


def test_it_is_asciicast_version_2(tmp_path: Path) -> None:
    """Promise: any asciicast player shows a recording: a header line, then [seconds, kind, text] lines in order; a
    character split over two reads is whole."""
    kept = Recording(tmp_path / "a.cast", 24, 80, "xterm")
    kept.output("caf\u00e9".encode()[:4])
    kept.resized(30, 100)
    kept.output("caf\u00e9".encode()[4:] + b"\x1b[1m!\r\n")
    kept.remark("10 min left")
    kept.close()
    header, *lines = [json.loads(line) for line in (tmp_path / "a.cast").read_text().splitlines()]
    assert {key: header[key] for key in ("version", "width", "height")} == {"version": 2, "width": 80, "height": 24}
    assert [line[1:] for line in lines] == [
        ["o", "caf"],
        ["r", "100x30"],
        ["o", "\u00e9\x1b[1m!\r\n"],
        ["m", "10 min left"],
    ]
    assert [line[0] for line in lines] == sorted(line[0] for line in lines)
    assert (tmp_path / "a.cast").stat().st_mode & 0o077 == 0


def test_a_line_cut_off_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    """Promise: what was shown before a crash can be read after it."""
    file = record(tmp_path / "a.cast", b"one ", b"two ")
    with file.open("a") as end:
        end.write('[3.0, "o", "thr')
    assert recording.shown(file) == "one two "


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    pieces=st.lists(st.text("ab\u00e9 \r", min_size=1, max_size=6), min_size=1, max_size=8),
    secret=st.text("ab\u00e9", min_size=1, max_size=4),
)
def test_redaction_leaves_no_occurrence_and_nothing_else_changed(
    tmp_path: Path, pieces: list[str], secret: str
) -> None:
    """Promise: a text is found wherever the terminal's output was cut, and nothing but it is overwritten."""
    (tmp_path / "a.cast").unlink(missing_ok=True)
    file = record(tmp_path / "a.cast", *(piece.encode() for piece in pieces))
    before = recording.read(file)
    found = recording.redact(file, [secret])
    whole = "".join(pieces)
    assert recording.shown(file) == whole.replace(secret, recording.MASK * len(secret))
    assert found == whole.count(secret)
    assert [event[:2] for event in recording.read(file)] == [event[:2] for event in before]


def test_a_full_disk_ends_the_recording_not_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: where nothing can be written any more, the person works on, and the session ends as any other."""
    monkeypatch.setattr(recording, "SYNC_S", -1.0)
    kept = Recording(tmp_path / "a.cast", 24, 80, "xterm")
    kept._file.close()
    kept._file = open("/dev/full", "w", 1)  # noqa: SIM115
    kept.output(b"hello\n")
    kept.output(b"still there\n")
    kept.close()
    kept.output(b"after the end\n")


def test_a_recording_that_cannot_be_synced_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: where writing works but the disk does not confirm it (a pipe cannot), nobody's session ends."""
    monkeypatch.setattr(recording, "SYNC_S", -1.0)
    kept = Recording(tmp_path / "a.cast", 24, 80, "xterm")
    kept._file.close()
    read, write = os.pipe()
    kept._file = os.fdopen(write, "w", 1)
    kept.output(b"hello\n")
    kept.close()
    os.close(read)
