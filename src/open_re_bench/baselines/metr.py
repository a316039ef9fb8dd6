"""METR's public run files (``data/external/all_runs.jsonl`` of METR/eval-analysis-public) as a run table.

The same 1,8xx attempts were published with three meanings of ``score``, without a field that tells which:

* ``paper`` (January 2025, first): (raw - start) / (reference - start), floored at 0, not capped;
* ``human-mean`` (22 January): the same divided by the environment's mean human score;
* ``clipped`` (28 January and later): the second, capped at 1. One attempt known to be a cheat is set to 0, four more
  are included, and o1-preview is merged into o1. What lies above the mean human can't be recovered.

They are told apart by their human rows, whose raw scores are public (README tables). All three are brought back to the
``paper`` meaning here.

Time: agents carry ``time_limit`` (seconds) and wall-clock timestamps that include pauses, so only the limit is used.
People carry ``time_limit = 0``, ``started_at = 0`` and ``completed_at`` = working milliseconds; tokens and dollars
are multiples of that time, not measurements: tokens are dropped, dollars kept as METR's price of the person's time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from open_re_bench.baselines.human_table import HUMAN_AGENT, human_attempts
from open_re_bench.baselines.originals import (
    BY_FAMILY,
    DEFAULT_REFERENCES,
    EIGHT_HOUR_MINUTES,
    EIGHT_HOURS_S,
    Original,
    References,
)
from open_re_bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

Variant = Literal["paper", "human-mean", "clipped"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
EXPLANATIONS: dict[Variant, str] = {
    "paper": "score is normalised as in the paper (start 0, reference 1), not capped",
    "human-mean": "score is the paper's divided by the mean human score of the environment; multiplied back",
    "clipped": "score is the paper's divided by the mean human score, then capped at 1; scores above the mean human "
    "are lower bounds, o1 includes o1-preview",
}

FAMILY_PREFIX = "ai_rd_"
ARTEFACT_RUN_IDS = frozenset({"33", "44", "81", "123", "140", "157", "187"})
"""One human row per environment with raw score exactly 1.0 and exactly 480 minutes, absent from the READMEs: a
placeholder, not an attempt."""
MATCH_TOLERANCE = 2e-5  # README raw scores are printed with 6 significant digits
MATCH_SHARE = 0.9  # share of human rows that must fit a variant; the wrong ones fit below a fifth
MS_PER_MINUTE = 60_000


class _Row(BaseModel):
    """The fields of a run that are used; METR's files hold more."""

    model_config = ConfigDict(extra="ignore")

    run_id: str | int
    task_id: str
    alias: str = Field(min_length=1, max_length=200)
    model: str | None = None
    time_limit: float = Field(ge=0, allow_inf_nan=False)
    started_at: float = Field(ge=0, allow_inf_nan=False)
    completed_at: float = Field(ge=0, allow_inf_nan=False)
    score: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    dollar_equivalent: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    total_tokens: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @property
    def family(self) -> str:
        return self.task_id.split("/", 1)[0]

    @property
    def human(self) -> bool:
        return self.alias == HUMAN_AGENT

    @property
    def minutes(self) -> float:
        return (self.completed_at - self.started_at) / MS_PER_MINUTE


@dataclass(frozen=True)
class Imported:
    """An imported run file.

    Attributes:
        table: The run table.
        variant: Which meaning of ``score`` the file had.
        notes: What was recognised, converted and left out, one sentence each.
        left_out: Reason -> number of rows.
        artefacts: Run ids of the placeholder rows that were dropped.
    """

    table: pd.DataFrame
    variant: Variant
    notes: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    artefacts: tuple[str, ...] = ()


def import_runs(path: Path, *, references: References = DEFAULT_REFERENCES, variant: Variant | None = None) -> Imported:
    """Import a METR run file.

    Args:
        path: JSON lines.
        references: Named set of reference scores to normalise with.
        variant: Meaning of ``score``; default: recognised by the human rows.

    Raises:
        UserError: not such a file, or a variant that can't be told.
        ImportFailed: any faulty row; nothing is imported.
    """
    from open_re_bench.analysis.runs import run_table

    lines, others = _read(path)
    kept = {number: row for number, row in lines.items() if not _placeholder(row)}
    artefacts = tuple(str(row.run_id) for row in lines.values() if _placeholder(row))
    variant = variant or recognise([row for row in kept.values() if row.human], path.name)
    notes = [f"{variant}: {EXPLANATIONS[variant]}"]
    left_out: dict[str, int] = {}
    if artefacts:
        left_out["placeholder human rows (raw score exactly 1.0)"] = len(artefacts)
        notes.append(f"dropped {len(artefacts)} placeholder human rows: runs {', '.join(sorted(artefacts, key=int))}")
    if others:
        left_out["rows of other task suites"] = others
        notes.append(f"left out {others} rows of other task suites")
    people = sum(row.human for row in kept.values())
    if people:
        notes.append(f"{people} human rows: working time from completed_at; synthetic token counts dropped")
    if len(kept) > people:
        notes.append(
            "agent rows: budget from time_limit; timestamps include pauses and are not used; cheats not removed"
        )
    table = run_table(
        (_run(row, path.name, number, variant, references) for number, row in kept.items()),
        source=path.name,
        where=[f"line {number}" for number in kept],
    )
    return Imported(table, variant, tuple(notes), left_out, artefacts)


def recognise(humans: list[_Row], source: str) -> Variant:
    """Which variant the human rows fit.

    Raises:
        UserError: no human rows, or none of the variants fits.
    """
    if not humans:
        raise UserError(
            f"{source}: no human rows to recognise the meaning of `score` by",
            f"say it with --variant ({', '.join(VARIANTS)})",
        )
    known: dict[str, list[float]] = {}
    for attempt in human_attempts():
        known.setdefault(attempt.original.family, []).append(attempt.original.normalised(attempt.raw))
    share: dict[Variant, float] = {}
    for candidate in VARIANTS:
        fits = Counter(
            any(
                abs(row.score - _published(value, BY_FAMILY[row.family], candidate))
                <= MATCH_TOLERANCE * max(1.0, row.score)
                for value in known[row.family]
            )
            for row in humans
        )
        share[candidate] = fits[True] / len(humans)
    # `clipped` also fits part of the others' rows: the best fit wins, and a tie means that nothing exceeds the cap.
    best = max(VARIANTS, key=lambda v: (share[v], -VARIANTS.index(v)))
    if share[best] < MATCH_SHARE:
        raise UserError(
            f"{source}: the human rows fit no known meaning of `score` "
            f"({', '.join(f'{v} {s:.0%}' for v, s in share.items())})",
            f"say it with --variant ({', '.join(VARIANTS)})",
        )
    return best


def _read(path: Path) -> tuple[dict[int, _Row], int]:
    """Rows of the seven environments by line number, and the number of rows of other suites."""
    from open_re_bench.analysis.runs import ImportFailed, RowProblem

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read", "give the path of a METR run file (JSON lines)") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not UTF-8 text", "give a METR run file (JSON lines)") from error
    problems: list[RowProblem] = []
    rows: dict[int, _Row] = {}
    seen: dict[str, int] = {}
    others = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            problems.append(RowProblem(where, "", "not JSON (truncated?)"))
            continue
        if not isinstance(fields, dict):
            problems.append(RowProblem(where, "", "not a JSON object"))
            continue
        task = fields.get("task_id")
        if isinstance(task, str) and not task.startswith(FAMILY_PREFIX):
            others += 1
            continue
        if "score" not in fields and "score_cont" in fields:
            raise UserError(
                f"{path.name}: rows hold score_cont, not score: a time-horizon file",
                "its scores are capped and binarised; import data/external/all_runs.jsonl of January 2025",
            )
        try:
            row = _Row.model_validate(fields)
        except ValidationError as error:
            problems += [RowProblem(where, ".".join(str(part) for part in e["loc"]), e["msg"]) for e in error.errors()]
            continue
        if row.family not in BY_FAMILY:
            problems.append(RowProblem(where, "task_id", f"unknown task family {row.family[:60]!r}"))
        elif row.time_limit == 0 and not row.human:
            problems.append(RowProblem(where, "time_limit", "0 for an agent"))
        elif str(row.run_id) in seen:
            problems.append(RowProblem(where, "run_id", f"same run as line {seen[str(row.run_id)]}"))
        else:
            seen[str(row.run_id)] = number
            rows[number] = row
    if problems:
        raise ImportFailed(path.name, problems)
    if not rows:
        raise UserError(f"{path.name} holds no attempt at a RE-Bench environment", "is it a METR run file?")
    return rows, others


def _placeholder(row: _Row) -> bool:
    """One of the seven placeholder rows."""
    return row.human and row.completed_at == EIGHT_HOURS_S * 1000 and str(row.run_id) in ARTEFACT_RUN_IDS


def _published(normalised: float, original: Original, variant: Variant) -> float:
    """The paper's score as the variant publishes it."""
    if variant == "paper":
        return normalised
    divided = normalised / original.human_divisor
    return min(1.0, divided) if variant == "clipped" else divided


def _run(row: _Row, source: str, number: int, variant: Variant, references: References) -> dict[str, Any]:
    original = BY_FAMILY[row.family]
    score = row.score if variant == "paper" else row.score * original.human_divisor
    message = ""
    raw: float | None = None
    if variant == "clipped" and row.score >= 1.0:
        message = f"capped when published: at least {score:.3f}"
    elif score > 0:
        raw = original.start + score * (original.reference["data"] - original.start)
    else:
        message = "score 0: the raw score is not public"
    if references != "data":
        bound = original.start + score * (original.reference["data"] - original.start)
        score = original.normalised(bound, references)
    budget = row.time_limit
    if row.human:
        low, high = EIGHT_HOUR_MINUTES
        usual = low <= row.minutes <= high
        budget = EIGHT_HOURS_S if usual else 60 * row.minutes
        if not usual:
            message = "; ".join(filter(None, (f"not an 8-hour attempt: {row.minutes:g} minutes", message)))
    tokens = None if row.human or row.total_tokens is None else int(row.total_tokens)
    return {
        "attempt_id": f"metr/{row.run_id}",
        "source": f"{source}:{number}",
        "environment": original.environment,
        "scale": "paper",
        "human_comparison": "direct",
        "final_rule": original.final,
        "participant_kind": "human" if row.human else "agent",
        "agent": row.alias,
        "budget_s": budget,
        "used_s": 60 * row.minutes if row.human else None,
        "raw": raw,
        "normalised": score,
        "message": message,
        "cost_usd": row.dollar_equivalent,
        "total_tokens": tokens,
        "started_at": "" if row.human else datetime.fromtimestamp(row.started_at / 1000, UTC).isoformat(),
    }
