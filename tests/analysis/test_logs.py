"""Inspect logs as run tables, on logs a real eval wrote."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from open_re_bench.analysis import logs as logs_module
from open_re_bench.analysis.logs import load, read_logs
from open_re_bench.analysis.runs import ImportFailed, trace_of
from open_re_bench.attempt import SpendingRecord
from open_re_bench.errors import UserError
from tests.analysis.attempt_logs import TRACE, attempt, write_log


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    return write_log(folder, [attempt("a"), attempt("b", normalised=0.3, flags=("slow",)), attempt("c")], fail=["c"])


def test_every_field_arrives(log: Path) -> None:
    """What the harness wrote is what the table says: result, ledger, trace, receipt, tokens."""
    table = load([log.parent]).table.set_index("attempt_id")
    a = table.loc["a"]
    assert (a["environment"], a["scale"], a["version"], a["agent"], a["model"]) == (
        "optimize_kernel",
        "cpu",
        "1-A",
        "react",
        "mockllm/model",
    )
    assert (a["normalised"], a["raw"], a["used_s"], a["waiting_s"], a["budget_s"]) == (0.61, 1.02, 1740, 20, 1800)
    assert trace_of(a["trace"]) == TRACE
    assert '"b"' not in a["receipt"]
    assert "bbbb" in a["receipt"]  # a long value, dropped from Inspect's own summary
    assert (a["input_tokens"], a["output_tokens"]) == (100, 20)
    assert table.loc["b", "flags"] == '["slow"]'


def test_unscored_sample_is_an_infrastructure_failure(log: Path) -> None:
    """A sample that died before scoring is a row that says so, never a participant's zero."""
    lost = load([log.parent]).table
    lost = lost[lost["failure"] == "infrastructure"]
    assert len(lost) == 1
    assert "sandbox vanished" in lost["message"].iloc[0]


def test_usage_before_a_resumption_counts(tmp_path: Path) -> None:
    """Tokens and cost of a resumed attempt are those of all its harnesses; what is known by sum only is missing."""
    earlier = SpendingRecord(tokens=880, cost_usd=0.5)
    path = write_log(tmp_path, [attempt("once"), attempt("resumed", earlier_spending=earlier)])
    table = read_logs([path]).table.set_index("attempt_id")
    assert table.loc["resumed", "total_tokens"] == 1000
    assert table.loc["resumed", "cost_usd"] == 0.5
    assert table.loc["resumed", ["input_tokens", "output_tokens"]].isna().all()
    assert tuple(table.loc["once", ["input_tokens", "output_tokens", "total_tokens"]]) == (100, 20, 120)


def test_transcripts_are_not_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a log never opens a sample: only header and summaries."""
    opened: list[str] = []
    real = zipfile.ZipFile.open

    def spy(self: zipfile.ZipFile, name: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(name if isinstance(name, str) else name.filename)
        return real(self, name, *args, **kwargs)

    monkeypatch.setattr(zipfile.ZipFile, "open", spy)
    assert len(read_logs([log]).table) == 3
    assert not [name for name in opened if name.startswith("samples/")]


def test_log_without_packed_values_is_read_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log by another writer, whose long values Inspect cut from the summary, still yields trace and receipt."""
    from open_re_bench.attempt import AttemptRecord

    with monkeypatch.context() as patch:
        patch.setattr(AttemptRecord, "to_metadata", lambda self: self.model_dump(mode="json", by_alias=True))
        plain = write_log(tmp_path, [attempt("a")])
    [row] = read_logs([plain]).table.to_dict("records")
    assert trace_of(row["trace"]) == TRACE
    assert "bbbb" in row["receipt"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "not a zip"])
def test_damaged_log_is_named(log: Path, tmp_path: Path, damage: str) -> None:
    """A damaged log is named with what is wrong; the sound one beside it is not imported either."""
    shutil.copy(log, tmp_path / "good.eval")
    content = {"truncated": log.read_bytes()[:2000], "empty": b"", "not a zip": b"hello"}[damage]
    (tmp_path / "bad.eval").write_bytes(content)
    with pytest.raises(ImportFailed, match="nothing was imported") as failure:
        load([tmp_path])
    assert {p.where for p in failure.value.problems} == {"bad.eval"}


def test_broken_record_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that breaks the agreed form names log, sample and field."""
    real = logs_module._record_of
    log = write_log(tmp_path, [attempt("a")])
    monkeypatch.setattr(logs_module, "_record_of", lambda s: {**(real(s) or {}), "normalised": "high"})
    with pytest.raises(ImportFailed) as failure:
        read_logs([log])
    [problem] = failure.value.problems
    assert (problem.where, problem.column) == (f"{log.name}:a", "normalised")


def test_retried_attempt_counts_once(tmp_path: Path) -> None:
    """A second log of the same attempt replaces the first, and the report is told."""
    write_log(tmp_path, [attempt("a", normalised=0.1)])
    write_log(tmp_path, [attempt("a", normalised=0.7)])
    loaded = load([tmp_path])
    assert list(loaded.table["normalised"]) == [0.7]
    assert "superseded" in loaded.skipped[0].reason


def test_lost_attempt_is_superseded_by_its_resumption(tmp_path: Path) -> None:
    """An attempt whose first log died and whose second finished is one result, not one result and one loss."""
    write_log(tmp_path, [attempt("a")], fail=["a"])
    write_log(tmp_path, [attempt("a", normalised=0.7)])
    assert list(load([tmp_path]).table["normalised"]) == [0.7]


def test_participants_files_are_no_logs(tmp_path: Path) -> None:
    """A file called x.eval that a participant left in its home or submission can't break or forge the results."""
    log = write_log(tmp_path, [attempt("a")])
    for folder in ("attempts/a/home", "submissions/aa"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "junk.eval").write_text("junk")
        forged = write_log(tmp_path / "elsewhere", [attempt(f"forged-{folder[0]}", normalised=9.0)])
        forged.rename(tmp_path / folder / "forged.eval")
    assert list(load([tmp_path]).table["source"]) == [log.name]


def test_other_tasks_are_passed_over(tmp_path: Path) -> None:
    """Logs of other Inspect tasks in the same folder are named and left alone."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import exact

    write_log(tmp_path, [attempt("a")])
    eval(
        Task(dataset=[Sample(input="x", target="y")], scorer=exact()),
        model="mockllm/model",
        log_dir=str(tmp_path),
        display="none",
    )
    loaded = load([tmp_path])
    assert len(loaded.table) == 1
    assert len(loaded.skipped) == 1


def test_nothing_found_is_said(tmp_path: Path) -> None:
    """An empty folder or a wrong path is one line with the mend."""
    with pytest.raises(UserError, match="no attempt found"):
        load([tmp_path])
    with pytest.raises(UserError, match="does not exist"):
        load([tmp_path / "nowhere"])
