"""The run table: one row per attempt, the only input of the analysis.

A table is a pandas frame with exactly the columns below, whatever it was read from: Inspect logs (`logs`), METR's run
files (`open_re_bench.baselines.metr`), a CSV or a parquet file. ``docs/report.md`` is generated from `COLUMNS`.

Reading is all or nothing: every faulty row is named, and then nothing is imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from open_re_bench.attempt import (
    Failure,
    FinalRule,
    HumanComparison,
    ParticipantKind,
    ResultClass,
    ScoringRecord,
)
from open_re_bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["text", "number", "count", "flag", "json"]
MAX_LISTED_PROBLEMS = 20  # a file of another kind fails in every row: the first ones say it all


@dataclass(frozen=True)
class Column:
    """One column of the run table.

    Attributes:
        name: Column name in frames and files.
        kind: ``text`` (missing = empty), ``number`` (float, missing = NaN), ``count`` (integer, missing = NA),
            ``flag`` (true/false), ``json`` (compact JSON text).
        doc: Meaning, with unit.
        required: A row without it is a fault.
        values: Allowed texts, where they are a closed set.
        default: Taken when the whole column is absent.
    """

    name: str
    kind: Kind
    doc: str
    required: bool = False
    values: tuple[str, ...] = ()
    default: Any = None


COLUMNS: tuple[Column, ...] = (
    Column("attempt_id", "text", "Unique name of the attempt.", required=True),
    Column("source", "text", "File (and line) the row was read from, without directories."),
    Column("environment", "text", "Environment name.", required=True),
    Column("scale", "text", "Scale: cpu, gpu, paper (METR's runs), test.", required=True),
    Column("version", "text", "Comparability version, such as 1-A."),
    Column("task_version", "text", "Hash or version of the task text the participant read."),
    Column(
        "human_comparison",
        "text",
        "Whether METR's human scores may stand beside this row.",
        values=get_args(HumanComparison),
        default="none",
    ),
    Column(
        "final_rule",
        "text",
        "Which submission counts: the best or the last.",
        values=get_args(FinalRule),
        default="best",
    ),
    Column(
        "participant_kind",
        "text",
        "agent, scripted or human.",
        required=True,
        values=get_args(ParticipantKind),
    ),
    Column("agent", "text", "Agent (scaffold); `human` for people.", required=True),
    Column("model", "text", "Model name; empty for people and scripted participants."),
    Column("budget_s", "number", "Budget granted, seconds: the length of the attempt.", required=True),
    Column("used_s", "number", "Budget used, seconds: working time plus charged scorings."),
    Column("working_s", "number", "Working time, model generation included, seconds."),
    Column("waiting_s", "number", "Waiting for the model provider, seconds; not charged."),
    Column("scoring_s", "number", "Official scorings, seconds."),
    Column("paused_s", "number", "Clock stopped, seconds; not charged."),
    Column("raw", "number", "Final re-score in the environment's raw unit; missing when there is no valid score."),
    Column("normalised", "number", "The result: start 0, reference 1, floored at 0, no cap.", required=True),
    Column("best_logged_raw", "number", "Best raw score the participant saw during the attempt."),
    Column("best_logged_normalised", "number", "The same, normalised."),
    Column("valid", "flag", "Whether the final re-score is valid.", default=True),
    Column("failure", "text", "Who is to blame without a valid score.", values=("", *get_args(Failure))),
    Column("message", "text", "Message of the final scoring."),
    Column("scorings", "count", "Number of scorings the participant asked for."),
    Column("input_tokens", "count", "Tokens read by models; missing for resumed attempts."),
    Column("output_tokens", "count", "Tokens written by models; missing for resumed attempts."),
    Column("total_tokens", "count", "All tokens, cache included."),
    Column("cost_usd", "number", "Cost of model calls (of the person's time, for METR's people), US dollars."),
    Column("flags", "json", "List of reasons to look twice at this attempt.", default="[]"),
    Column(
        "class",
        "text",
        "official: declared hardware and isolation, unmodified scorer and assets; else local.",
        values=get_args(ResultClass),
        default="local",
    ),
    Column("isolation", "text", "Sandbox mode."),
    Column("simulated", "flag", "A simulator or demonstration: labelled, never in headline means.", default=False),
    Column("submission_sha256", "text", "Content address of the scored submission."),
    Column("started_at", "text", "Start, ISO 8601, UTC."),
    Column("trace", "json", "Score log: list of {n, budget_s, raw, normalised, valid}.", default="[]"),
    Column("receipt", "json", "Receipt of the final scoring.", default="{}"),
)
COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)


@dataclass(frozen=True)
class RowProblem:
    """One fault of one row: where, which column, what."""

    where: str
    column: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.column}: {self.problem}" if self.column else f"{self.where}: {self.problem}"


class ImportFailed(UserError):
    """A source with faulty rows; nothing of it was imported.

    Attributes:
        problems: Every fault found, row by row.
    """

    def __init__(self, source: str, problems: Sequence[RowProblem], mend: str = "") -> None:
        self.problems = tuple(problems)
        shown = "; ".join(str(p) for p in self.problems[:3])
        more = f" (and {len(self.problems) - 3} more)" if len(self.problems) > 3 else ""
        super().__init__(
            f"{source}: {len(self.problems)} faulty row(s), nothing was imported: {shown}{more}",
            mend or "mend or remove these rows and import again",
        )


def run_table(rows: Iterable[dict[str, Any]], *, source: str, where: Sequence[str] | None = None) -> pd.DataFrame:
    """Build a checked run table from plain rows.

    Args:
        rows: Mappings by column name; unknown keys are faults, absent optional ones take the default.
        source: Name for messages.
        where: Per row, how to name it in messages; default ``row 1``, ``row 2``, ...

    Returns:
        Frame with exactly `COLUMN_NAMES`, index 0..n-1.

    Raises:
        ImportFailed: any faulty row.
    """
    import pandas as pd

    return check_table(pd.DataFrame(list(rows)), source=source, where=where)


def check_table(
    frame: pd.DataFrame, *, source: str, where: Sequence[str] | None = None, allow_extra: bool = False
) -> pd.DataFrame:
    """Bring a frame to the run table's columns and types, or name every fault.

    Args:
        frame: Any frame; texts are parsed where numbers are wanted (CSV).
        source: Name for messages.
        where: Per row, how to name it.
        allow_extra: Drop unknown columns instead of calling them a fault.

    Returns:
        Frame with exactly `COLUMN_NAMES` and clean types.

    Raises:
        ImportFailed: a missing column, or any faulty row.
    """
    import pandas as pd

    names = list(where) if where is not None else [f"row {i + 1}" for i in range(len(frame))]
    problems: list[RowProblem] = []
    unknown = [str(c) for c in frame.columns if c not in COLUMN_NAMES]
    if unknown and not allow_extra:
        problems.append(RowProblem("header", ", ".join(unknown[:5]), "unknown column(s)"))
    out: dict[str, Any] = {}
    for column in COLUMNS:
        if column.name not in frame.columns:
            if column.required and len(frame.columns):
                problems.append(RowProblem("header", column.name, "column is missing"))
            out[column.name] = _absent(column, len(frame))
            continue
        out[column.name] = _clean(column, frame[column.name].reset_index(drop=True), names, problems)
    if not problems:
        table = pd.DataFrame(out, columns=list(COLUMN_NAMES))
        problems += _row_rules(table, names)
        if not problems:
            return table
    raise ImportFailed(source, problems)


def read_table(path: Path) -> pd.DataFrame:
    """Read a run table from ``.csv`` or ``.parquet``.

    Raises:
        UserError: no such file, another format, or a truncated file.
        ImportFailed: faulty rows.
    """
    import pandas as pd

    if not path.is_file():
        raise UserError(f"{path} is not a file", "give the path of a run table (.csv or .parquet)")
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix == ".csv":
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8", on_bad_lines="error")
        else:
            raise UserError(f"{path.name}: {path.suffix or 'no suffix'} is not a run table", "use .csv or .parquet")
    except (ValueError, OSError) as error:  # pandas and pyarrow parse errors are both ValueErrors
        raise UserError(f"{path.name} cannot be read: {error}", "the file is damaged or of another kind") from error
    lines = [f"line {i + 2}" if path.suffix == ".csv" else f"row {i + 1}" for i in range(len(frame))]
    return check_table(frame, source=path.name, where=lines)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a run table as ``.csv`` or ``.parquet``; the file appears whole or not at all."""
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"{path.name}: cannot write {path.suffix or 'a file without suffix'}", "use .csv or .parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    if path.suffix == ".csv":
        partial.write_text(csv_text(table), encoding="utf-8")
    else:
        table.to_parquet(partial, index=False)
    partial.replace(path)


def csv_text(table: pd.DataFrame) -> str:
    """The table as CSV; numbers keep ten significant digits, more than any score has."""
    text: str = table.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    return text


def concat(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table out of several; an attempt id that occurs twice with different content is an error."""
    import pandas as pd

    if not tables:
        return run_table([], source="no source")
    whole = pd.concat(tables, ignore_index=True)
    rest = [name for name in COLUMN_NAMES if name != "source"]
    whole = whole.drop_duplicates(subset=rest, ignore_index=True)
    twice = whole["attempt_id"][whole["attempt_id"].duplicated()].tolist()
    if twice:
        raise UserError(
            f"attempt {twice[0]!r} occurs {int((whole['attempt_id'] == twice[0]).sum())} times with different content",
            "leave out one of the sources",
        )
    return whole


def flags_of(cell: str) -> tuple[str, ...]:
    """The flags of one row."""
    return tuple(json.loads(cell))


def trace_of(cell: str) -> tuple[ScoringRecord, ...]:
    """The score log of one row."""
    return tuple(ScoringRecord.model_validate(entry) for entry in json.loads(cell))


def participant_label(agent: str, model: str) -> str:
    """How a participant is called in figures: ``agent · model``, ``agent`` alone without a model."""
    short = model.rsplit("/", 1)[-1]
    return f"{agent} · {short}" if short else agent


def _absent(column: Column, n: int) -> Any:
    import pandas as pd

    if column.kind == "number":
        return pd.Series([float("nan")] * n, dtype="float64")
    if column.kind == "count":
        return pd.Series([pd.NA] * n, dtype="Int64")
    if column.kind == "flag":
        return pd.Series([bool(column.default)] * n, dtype="bool")
    return pd.Series([column.default or ""] * n, dtype="object")


def _clean(column: Column, cells: pd.Series[Any], names: list[str], problems: list[RowProblem]) -> pd.Series[Any]:
    """Cells of one column in the column's type; faults go to `problems`."""
    import pandas as pd

    def fault(bad: Any, what: str) -> None:
        problems.extend(
            RowProblem(names[i], column.name, f"{what}: {_short(cells.iloc[i])}")
            for i in bad.to_numpy().nonzero()[0][:MAX_LISTED_PROBLEMS]
        )

    empty = cells.isna() | cells.map(lambda x: isinstance(x, str) and not x.strip()).astype(bool)
    if column.kind in ("number", "count"):
        numbers = pd.to_numeric(cells.mask(empty), errors="coerce").astype("float64")
        fault(~empty & (numbers.isna() | numbers.abs().eq(float("inf"))), "not a finite number")
        if column.required:
            fault(empty, "missing")
        if column.kind == "count":
            fault(numbers.notna() & ((numbers % 1 != 0) | (numbers < 0)), "not a count")
            return numbers.where(numbers % 1 == 0).astype("Int64")
        return numbers
    if column.kind == "flag":
        words = cells.where(~empty, bool(column.default)).astype(str).str.strip().str.lower()
        fault(~words.isin(["true", "false", "1", "0"]), "neither true nor false")
        return words.isin(["true", "1"])
    texts = cells.where(~empty, column.default or "").astype("object")
    if column.kind == "json":
        texts = texts.map(lambda x: x if isinstance(x, str) else json.dumps(x, separators=(",", ":")))
        fault(~texts.map(lambda x: _is_json(x, list if column.default == "[]" else dict)), "not the JSON expected")
        return texts
    texts = texts.map(str)
    if column.required:
        fault(empty, "missing")
    if column.values:
        fault(~texts.isin([*column.values, *([] if column.required else [column.default or ""])]), "unknown value")
    return texts


def _row_rules(table: pd.DataFrame, names: list[str]) -> list[RowProblem]:
    """Rules that hold between cells: no impossible attempt gets into an average."""
    rules = [
        ("normalised", table["normalised"] < 0, "below 0 (scores are floored at 0)"),
        ("normalised", ~table["valid"] & (table["normalised"] != 0), "an invalid attempt scores 0"),
        ("budget_s", ~(table["budget_s"] > 0), "must be positive"),
        ("attempt_id", table["attempt_id"].duplicated(), "occurs twice"),
    ]
    rules += [
        (name, table[name] < 0, "negative time")
        for name in ("used_s", "working_s", "waiting_s", "scoring_s", "paused_s")
    ]
    problems = [
        RowProblem(names[i], column, what)
        for column, bad, what in rules
        for i in bad.to_numpy().nonzero()[0][:MAX_LISTED_PROBLEMS]
    ]
    for i, cell in enumerate(table["trace"]):
        if cell == "[]":
            continue
        try:
            trace_of(cell)
        except ValueError as error:
            first = str(error).splitlines()[0]
            problems.append(RowProblem(names[i], "trace", f"not a score log ({first})"))
    return problems


def _is_json(text: str, kind: type) -> bool:
    try:
        return isinstance(json.loads(text), kind)
    except ValueError:
        return False


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
