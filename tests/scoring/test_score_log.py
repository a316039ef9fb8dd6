"""The score log: entries are durable and chained; whatever is done to the file is noticed or mended."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from open_re_bench.errors import InfrastructureError
from open_re_bench.scoring import score_log
from open_re_bench.scoring.score_log import GENESIS, ChainBroken, ScoreEntry, ScoreLog, read


def entry(n: int, raw: float | None = 1.0) -> ScoreEntry:
    return ScoreEntry(
        n=n,
        kind="intermediate",
        asked_at="2026-01-01T00:00:00.000+00:00",
        budget_s=n * 10.0,
        working_s=n * 10.0,
        waiting_s=0.0,
        scoring_s=1.0,
        paused_s=0.0,
        raw=raw,
        normalised=0.5,
        valid=raw is not None,
        failure=None if raw is not None else "participant",
        message="ok",
        submission="ab" * 32,
    )


@pytest.fixture
def log(tmp_path: Path) -> ScoreLog:
    made = ScoreLog(tmp_path / "log.jsonl")
    for n in (1, 2, 3):
        made.append(entry(n))
    return made


def test_what_was_appended_is_read_back(log: ScoreLog) -> None:
    """Reading gives the same entries in the same order and the head that append returned."""
    entries, head = read(log.path)
    assert entries == [entry(1), entry(2), entry(3)]
    assert head == log.head != GENESIS
    assert ScoreLog(log.path).head == head


def test_a_missing_log_is_an_empty_one(tmp_path: Path) -> None:
    """An attempt without scorings has an empty log, not an error."""
    assert read(tmp_path / "none") == ([], GENESIS)


def test_a_cut_off_last_line_is_dropped_and_the_log_goes_on(log: ScoreLog) -> None:
    """A crash in the middle of a write loses that entry alone; the next append follows the one before."""
    head_of_two = json.loads(log.path.read_text().splitlines()[1])["hash"]
    log.path.write_bytes(log.path.read_bytes()[:-20])
    with pytest.raises(ChainBroken, match="cut short"):
        read(log.path)
    opened = ScoreLog(log.path)
    assert opened.head == head_of_two
    opened.append(entry(3, raw=7.0))
    assert [e.raw for e in read(log.path)[0]] == [1.0, 1.0, 7.0]


def test_entries_must_follow_each_other(log: ScoreLog) -> None:
    """A gap in the numbering is a defect of the caller, refused before anything is written."""
    before = log.path.read_bytes()
    with pytest.raises(ValueError, match="does not follow"):
        log.append(entry(5))
    assert log.path.read_bytes() == before


def test_added_keys_and_deep_nesting_break_the_chain(log: ScoreLog) -> None:
    """Nothing can be smuggled beside an entry, and absurd JSON is a broken chain, not a crash."""
    lines = log.path.read_text().splitlines()
    record = json.loads(lines[1])
    record["note"] = "added"
    log.path.write_text("\n".join([lines[0], json.dumps(record), lines[2]]) + "\n")
    with pytest.raises(ChainBroken, match="line 2"):
        read(log.path)
    log.path.write_text(lines[0] + "\n" + "[" * 200_000 + "\n")
    with pytest.raises(ChainBroken, match="line 2"):
        read(log.path)


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_failed_write_leaves_the_log_as_it_was(log: ScoreLog, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disk full while appending: infrastructure error, file unchanged, the same entry can be appended afterwards."""
    before, real_fsync = log.path.read_bytes(), os.fsync

    def broken(path: Path, data: bytes) -> None:
        with path.open("ab", buffering=0) as file:
            file.write(data[: len(data) // 2] if failing == "write" else data)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(score_log, "_append_fsync", broken)
    with pytest.raises(InfrastructureError, match="No space left"):
        log.append(entry(4))
    assert log.path.read_bytes() == before
    monkeypatch.undo()
    assert os.fsync is real_fsync
    log.append(entry(4))
    assert [e.n for e in read(log.path)[0]] == [1, 2, 3, 4]


def test_entries_of_another_writer_are_never_cut_off(log: ScoreLog) -> None:
    """Two harnesses on one log: the one that comes later is refused and what the other recorded stays."""
    other = ScoreLog(log.path)
    other.append(entry(4, raw=4.0))
    other.append(entry(5, raw=5.0))
    before = log.path.read_bytes()
    with pytest.raises(InfrastructureError, match="another process"):
        log.append(entry(4, raw=-1.0))
    assert log.path.read_bytes() == before
    assert [e.raw for e in read(log.path)[0]] == [1.0, 1.0, 1.0, 4.0, 5.0]


def test_debris_of_a_failed_append_never_joins_the_next_line(log: ScoreLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even taking back fails, the next successful append starts from the last good byte."""

    def broken(path: Path, data: bytes) -> None:
        with path.open("ab", buffering=0) as file:
            file.write(data[:30])
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def cannot_truncate(path: Path, size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(score_log, "_append_fsync", broken)
        patch.setattr(score_log, "_truncate_fsync", cannot_truncate)
        with pytest.raises(InfrastructureError):
            log.append(entry(4))
    log.append(entry(4))
    assert [e.n for e in read(log.path)[0]] == [1, 2, 3, 4]
