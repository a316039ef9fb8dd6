"""Inspect logs as a run table, without loading a transcript.

One sample is one attempt: `open_re_bench.attempt` says where its record lies. Everything comes from the log's header
and sample summaries through Inspect's dataframes (milliseconds per log, whatever its transcripts weigh). Only a log
whose writer did not pack long values costs a read of the sample itself, without messages, events and store.

A sample that ended before it was scored (killed, sandbox lost) is an infrastructure failure: it becomes a row, so that
it shows up in warnings, and the statistics leave it out.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from open_re_bench.analysis.runs import ImportFailed, RowProblem, concat, read_table, run_table
from open_re_bench.attempt import SCORE_NAME, AttemptRecord, SpendingRecord, TaskRecord
from open_re_bench.errors import UserError
from open_re_bench.monitor.decisions import FILE as DECISIONS
from open_re_bench.monitor.decisions import apply_decisions, read_decisions

if TYPE_CHECKING:
    import pandas as pd

LOG_SUFFIXES = (".eval", ".json")
TABLE_SUFFIXES = (".csv", ".parquet")
PARTICIPANTS_FILES = {"attempts", "submissions"}
NEVER_READ = {"messages", "events", "store", "attachments", "output"}
CUT = "Key removed from summary"


@dataclass(frozen=True)
class Skipped:
    """A file or sample that holds no attempt of ours, and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class Loaded:
    """A run table and what was passed over on the way."""

    table: pd.DataFrame
    skipped: tuple[Skipped, ...] = ()


def load(paths: Sequence[Path]) -> Loaded:
    """Run table of logs, log directories and run-table files, in any mixture.

    Args:
        paths: ``.eval``/``.json`` logs, directories (searched recursively for ``.eval``), ``.csv``/``.parquet`` tables.
            Decisions about flags (``decisions.json`` in a directory) are applied.

    Raises:
        UserError: a path that is none of these, or nothing found at all.
        ImportFailed: faulty rows; nothing is imported.
    """
    logs: list[Path] = []
    tables: list[pd.DataFrame] = []
    for path in paths:
        if path.is_dir():
            logs += log_files(path)
        elif not path.exists():
            raise UserError(f"{path} does not exist", "give a log, a log directory or a run table")
        elif path.suffix in TABLE_SUFFIXES:
            tables.append(read_table(path))
        elif path.suffix in LOG_SUFFIXES:
            logs.append(path)
        else:
            raise UserError(f"{path.name} is no log and no run table", "use .eval, .csv or .parquet")
    skipped: tuple[Skipped, ...] = ()
    if logs:
        from_logs = read_logs(list(dict.fromkeys(logs)))
        skipped = from_logs.skipped
        tables.insert(0, from_logs.table)
    table = concat(tables) if tables else None
    if table is None or table.empty:
        _refuse_unfinished([path for path in paths if path.is_dir()])
        raise UserError("no attempt found", "run one first (`re-bench run`), or give the directory of its logs")
    decided = [entry for path in paths if path.is_dir() for entry in read_decisions(path / DECISIONS)]
    return Loaded(apply_decisions(table, decided), skipped)


def _refuse_unfinished(folders: Sequence[Path]) -> None:
    """Raises a `UserError` that says how to go on when attempts were planned in `folders` and none has a result."""
    for folder in folders:
        planned = [plan for plan in folder.glob("attempts/*/plan.json") if not (plan.parent / "result.json").exists()]
        if planned:
            go_on = f"go on with `re-bench resume {shlex.quote(str(folder))}`"
            raise UserError(f"{folder}: {len(planned)} attempt(s), none finished", go_on)


def log_files(folder: Path) -> list[Path]:
    """Inspect logs of a log directory, at any depth.

    Files below ``attempts/`` and ``submissions/`` are left alone whatever their names: participants wrote them.
    """
    return sorted(p for p in folder.rglob("*.eval") if not PARTICIPANTS_FILES & set(p.relative_to(folder).parts[:-1]))


def read_logs(logs: Sequence[Path]) -> Loaded:
    """Run table of Inspect logs.

    Args:
        logs: Log files. Files of other tasks are skipped and named.

    Raises:
        ImportFailed: an unreadable log, or a record that breaks the agreed form; nothing is imported.
    """
    by_log, problems = _readable(logs)
    skipped: list[Skipped] = []
    rows: list[dict[str, Any]] = []
    where: list[str] = []
    for log, samples in by_log.items():
        if not samples:
            skipped.append(Skipped(log.name, "no finished sample"))
        for sample in samples:
            name = f"{log.name}:{sample['id']}"
            try:
                row = _row(sample, log)
            except ValidationError as error:
                problems += [RowProblem(name, ".".join(str(p) for p in e["loc"]), e["msg"]) for e in error.errors()]
                continue
            if row is None:
                skipped.append(Skipped(name, "no attempt of Open RE-Bench"))
                continue
            rows.append(row)
            where.append(name)
    if problems:
        raise ImportFailed(
            f"{len(logs)} log(s)",
            problems,
            "move it out of the directory, or recover it with `inspect log recover` if its run was killed",
        )
    rows, where, superseded = _drop_superseded(rows, where)
    return Loaded(run_table(rows, source="logs", where=where), (*skipped, *superseded))


def _readable(logs: Sequence[Path]) -> tuple[dict[Path, list[dict[str, Any]]], list[RowProblem]]:
    """Sample summaries by log; when any log can't be read, all are read singly to name the guilty ones."""
    # A hostile or truncated file can fail anywhere in zip, JSON or pydantic code, and a batch does not say which.
    try:
        return _samples(logs), []
    except Exception:
        found: dict[Path, list[dict[str, Any]]] = {}
        problems = []
        for log in logs:
            try:
                found |= _samples([log])
            except Exception as error:
                problems.append(RowProblem(log.name, "", f"not a readable Inspect log ({_first_line(error)})"))
        return found, problems


def _samples(logs: Sequence[Path]) -> dict[Path, list[dict[str, Any]]]:
    """Sample summaries by log, as plain mappings."""
    from inspect_ai.analysis import EvalColumn, SampleColumn, samples_df

    columns = [
        EvalColumn("location", path=lambda log: log.location),
        EvalColumn("task_metadata", path=lambda log: log.eval.metadata or {}),
        SampleColumn("id", path="id", type=str),
        SampleColumn("epoch", path="epoch"),
        SampleColumn("record", path=_record_of),
        SampleColumn("usage", path=_usage_of),
        SampleColumn("error", path="error"),
        SampleColumn("started_at", path=lambda sample: str(sample.started_at or "")),
    ]
    by_location = {log.absolute().as_posix(): log for log in logs}
    found: dict[Path, list[dict[str, Any]]] = {log: [] for log in logs}
    frame = samples_df(list(by_location), columns=columns, quiet=True)
    if frame.empty:
        return found
    cut = {by_location[_path(x)] for x in frame["location"][frame["record"].fillna("").str.contains(CUT)]}
    for log in cut:
        # Written without packed keys: the record is in the sample itself.
        full = [*columns[:4], SampleColumn("record", path=_record_of, full=True), *columns[5:]]
        found[log] = _plain(samples_df([str(log)], columns=full, quiet=True, exclude_fields=NEVER_READ))
    for sample in _plain(frame):
        log = by_location[_path(sample["location"])]
        if log not in cut:
            found[log].append(sample)
    return found


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    cells = frame.astype("object").where(frame.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in cells.to_dict("records")]


def _path(location: str) -> str:
    return location.removeprefix("file://")


def _record_of(sample: Any) -> dict[str, Any] | None:
    """Metadata of the attempt's score; packed logs need nothing else."""
    score = (sample.scores or {}).get(SCORE_NAME)
    if score is None or not isinstance(score.metadata, dict):
        return None
    metadata: dict[str, Any] = score.metadata
    if any(key.startswith("packed_") for key in metadata):
        return {key: value for key, value in metadata.items() if not (isinstance(value, str) and CUT in value)}
    return metadata


def _usage_of(sample: Any) -> dict[str, Any]:
    usage = list((sample.model_usage or {}).values())
    costs = [u.total_cost for u in usage if u.total_cost is not None]
    return {
        "input_tokens": sum(u.input_tokens for u in usage),
        "output_tokens": sum(u.output_tokens for u in usage),
        "total_tokens": sum(u.total_tokens for u in usage),
        "cost_usd": sum(costs) if costs else None,
    }


def _row(sample: dict[str, Any], log: Path) -> dict[str, Any] | None:
    """One run-table row; None when the sample is no attempt of ours."""
    task_metadata = json.loads(sample.get("task_metadata") or "{}")
    if "environment" not in task_metadata or "budget_s" not in task_metadata:
        return None
    task = TaskRecord.model_validate(task_metadata)
    common = {
        "source": log.name,
        "environment": task.environment,
        "scale": task.scale,
        "version": task.version,
        "human_comparison": task.human_comparison,
        "final_rule": task.final_rule,
        "budget_s": task.budget_s,
        "started_at": sample.get("started_at") or "",
        **json.loads(sample.get("usage") or "{}"),
    }
    record_json = sample.get("record")
    if not record_json:
        return (
            common
            | {
                "attempt_id": str(sample["id"]),  # the harness names samples so: a later log of it will supersede this
                "participant_kind": "agent",
                "agent": "unknown",
                "normalised": 0.0,
                "valid": False,
                "failure": "infrastructure",
                "message": f"never scored: {sample.get('error') or 'the run ended early'}"[:500],
            }
        )
    record = AttemptRecord.model_validate(json.loads(record_json))
    if record.earlier_spending is not None:
        common |= _whole_usage(common, record.earlier_spending)
    return common | {
        "attempt_id": record.attempt_id,
        "environment": record.environment,
        "scale": record.scale,
        "version": record.version,
        "task_version": record.task_version,
        "participant_kind": record.participant_kind,
        "agent": record.agent,
        "model": record.model,
        "used_s": record.ledger.budget_s,
        "working_s": record.ledger.working_s,
        "waiting_s": record.ledger.waiting_s,
        "scoring_s": record.ledger.scoring_s,
        "paused_s": record.ledger.paused_s,
        "raw": record.raw,
        "normalised": record.normalised,
        "best_logged_raw": record.best_logged_raw,
        "best_logged_normalised": record.best_logged_normalised,
        "valid": record.valid,
        "failure": record.failure or "",
        "message": record.message,
        "scorings": record.scorings,
        "flags": json.dumps(record.flags),
        "class": record.result_class,
        "isolation": record.isolation,
        "simulated": record.simulated,
        "submission_sha256": record.submission_sha256 or "",
        "trace": json.dumps([entry.to_metadata() for entry in record.trace], separators=(",", ":")),
        "receipt": json.dumps(record.receipt, separators=(",", ":")),
    }


def _whole_usage(last: dict[str, Any], earlier: SpendingRecord) -> dict[str, Any]:
    """Usage of a resumed attempt, whose last log counts from the resumption on; in and out are not known apart."""
    costs = [cost for cost in (last.get("cost_usd"), earlier.cost_usd or None) if cost is not None]
    return {
        "input_tokens": None,
        "output_tokens": None,
        "total_tokens": (last.get("total_tokens") or 0) + earlier.tokens,
        "cost_usd": sum(costs) if costs else None,
    }


def _drop_superseded(
    rows: list[dict[str, Any]], where: list[str]
) -> tuple[list[dict[str, Any]], list[str], list[Skipped]]:
    """Keep the last log of an attempt that was resumed or retried: same attempt id, later start."""
    latest: dict[str, int] = {}
    for i, row in enumerate(rows):
        known = latest.get(row["attempt_id"])
        if known is None or (row["failure"] != "infrastructure", row["started_at"]) >= (
            rows[known]["failure"] != "infrastructure",
            rows[known]["started_at"],
        ):
            latest[row["attempt_id"]] = i
    kept = set(latest.values())
    dropped = [
        Skipped(where[i], "superseded by a later log of the same attempt") for i in range(len(rows)) if i not in kept
    ]
    order = sorted(kept)
    return [rows[i] for i in order], [where[i] for i in order], dropped


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
