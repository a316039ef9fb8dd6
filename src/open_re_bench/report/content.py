"""What a report says, before it is a page: verdict, figures, matrix and cautions per scale; a section per attempt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from open_re_bench.analysis.bootstrap import DRAWS, SEED
from open_re_bench.analysis.budgets import CurvePoint
from open_re_bench.analysis.drawing import Colours, Figure
from open_re_bench.analysis.figures import (
    attempts_figure,
    budget_figure,
    cost_figure,
    flag_figure,
    percentile_figure,
    traces_figure,
)
from open_re_bench.analysis.figures.budget import HumanCurve, WithinAttempt
from open_re_bench.analysis.humans import rank_on_line
from open_re_bench.analysis.logs import Skipped
from open_re_bench.analysis.runs import flags_of, trace_of
from open_re_bench.analysis.summary import (
    EIGHT_HOURS_S,
    HUMANS,
    LENGTH_DIGITS,
    Overview,
    countable,
    curves,
    odd_human_length,
    overview,
    samples_by_length,
    with_participants,
)
from open_re_bench.analysis.traces import mean_over_time
from open_re_bench.attempt import ScoringRecord
from open_re_bench.report.cautions import Caution, cautions

if TYPE_CHECKING:
    import pandas as pd

    from open_re_bench.analysis.best_of_k import FloatArray

WITHIN_GRID = 60  # points of the thin within-attempt line; it spans one attempt's length on a log axis


@dataclass(frozen=True)
class Cell:
    """One participant at one environment."""

    mean: float
    best: float
    attempts: int


@dataclass(frozen=True)
class ScaleSection:
    """Everything about the attempts of one scale.

    Attributes:
        scale: Name.
        demonstration: Every attempt is simulated; the figures then show them all the same.
        humans: How METR's experts may appear: direct, indirect or none.
        cautions, overviews, figures: In display order.
        best: Participant -> best complete allocation of its largest budget.
        ranks: Participant -> percentile among METR's experts (direct comparison only).
        environments: Columns of the matrix.
        matrix: Participant -> environment -> cell.
    """

    scale: str
    demonstration: bool
    humans: str
    cautions: Sequence[Caution]
    overviews: Sequence[Overview]
    figures: Sequence[Figure]
    best: Mapping[str, CurvePoint]
    ranks: Mapping[str, float]
    environments: Sequence[str]
    matrix: Mapping[str, Mapping[str, Cell]]


@dataclass(frozen=True)
class AttemptSection:
    """One attempt, ready to show."""

    anchor: str
    row: Mapping[str, Any]
    flags: tuple[str, ...]
    trace: tuple[ScoringRecord, ...]
    receipt: str
    diff: str = ""
    ledger: Sequence[tuple[str, float]] = field(default_factory=tuple)


def scale_sections(
    table: pd.DataFrame,
    human_table: pd.DataFrame | None,
    skipped: Sequence[Skipped] = (),
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> list[ScaleSection]:
    """One section per scale, the scale with most attempts first."""
    order = table["scale"].value_counts().index
    return [
        _section(str(scale), table[table["scale"] == scale], human_table, skipped if i == 0 else (), draws, seed)
        for i, scale in enumerate(order)
    ]


def _section(
    scale: str,
    table: pd.DataFrame,
    human_table: pd.DataFrame | None,
    skipped: Sequence[Skipped],
    draws: int,
    seed: int,
) -> ScaleSection:
    labelled = with_participants(table)
    results = labelled[labelled["failure"] != "infrastructure"]
    demonstration = bool(len(results)) and bool(results["simulated"].all())
    counted = with_participants(countable(table, simulated=demonstration))
    overviews = overview(table, simulated=demonstration, draws=draws, seed=seed)
    colours = Colours(labelled["participant"].unique(), [HUMANS])
    figures: list[Figure] = []
    lines: dict[str, list[CurvePoint]] = {}
    ranks: dict[str, float] = {}
    status = _human_status(counted)
    if len(counted):
        # The table's own people (METR's rows of an import, or people on our harness) are participants like any other.
        lines = curves(table, simulated=demonstration, draws=draws, seed=seed)
        experts = _experts(human_table, counted, status)
        human_points = (
            curves(experts, environments=sorted(experts["environment"].unique()), draws=draws, seed=seed).get(
                HUMANS, []
            )
            if experts is not None
            else []
        )
        figures.append(
            budget_figure(
                lines,
                colours,
                humans=HumanCurve(human_points, status == "direct") if human_points else None,
                within=_within(counted),
                scale=scale,
            )
        )
        shown_experts = with_participants(countable(experts)) if experts is not None else None
        figures.append(attempts_figure(counted, colours, human_rows=shown_experts, direct=status == "direct"))
        figures += [f for f in (traces_figure(counted, colours),) if f]
        if experts is not None and status == "direct":
            samples = samples_by_length(countable(experts)).get(EIGHT_HOURS_S, [])
            scores = {
                o.participant: o.scores["zero"].value for o in overviews if o.kind == "agent" and "zero" in o.scores
            }
            if samples and scores:
                ranks = {name: rank_on_line(score, samples) for name, score in scores.items()}
                note = "Agents: mean score of one attempt of their most common length."
                figures.append(percentile_figure(samples, scores, colours, note))
        figures += [f for f in (cost_figure(lines, _costs(counted), colours), flag_figure(results, colours)) if f]
    for figure in figures:
        figure.name = f"{scale}-{figure.name}"
    return ScaleSection(
        scale=scale,
        demonstration=demonstration,
        humans=status,
        cautions=cautions(labelled, overviews, skipped),
        overviews=overviews,
        figures=figures,
        best={name: found for name, points in lines.items() if (found := _furthest(points)) is not None},
        ranks=ranks,
        environments=sorted(counted["environment"].unique()) if len(counted) else [],
        matrix=_matrix(counted),
    )


def _human_status(counted: pd.DataFrame) -> str:
    """direct only when every environment says so; none as soon as one says none."""
    found = set(counted["human_comparison"]) if len(counted) else {"none"}
    if "none" in found:
        return "none"
    return "direct" if found == {"direct"} else "indirect"


def _experts(human_table: pd.DataFrame | None, counted: pd.DataFrame, status: str) -> pd.DataFrame | None:
    """METR's 8-hour attempts at the environments of this section, unless people of the same kind are in it already."""
    if human_table is None or status == "none":
        return None
    if ((counted["participant_kind"] == "human") & (counted["scale"] == "paper")).any():
        return None
    experts = human_table[
        human_table["environment"].isin(counted["environment"].unique()) & ~odd_human_length(human_table)
    ]
    return experts if len(experts) else None


def _furthest(points: Sequence[CurvePoint]) -> CurvePoint | None:
    best = [p for p in points if p.best]
    return best[-1] if best else None


def _within(counted: pd.DataFrame) -> dict[str, WithinAttempt]:
    """Mean score over time within attempts of each participant's longest length, where all have a score log.

    Flagged attempts are worth 0 throughout, as in the curve the line lies beside.
    """
    found = {}
    for name, group in counted.groupby("participant"):
        length = float(group["budget_s"].round(LENGTH_DIGITS).max())
        longest = group[group["budget_s"].round(LENGTH_DIGITS) == length]
        if (longest["trace"] == "[]").any():
            continue
        times = np.geomspace(max(length / 100, 1.0), length, WITHIN_GRID)
        by_environment = [g for _, g in longest.groupby("environment")]
        score: FloatArray = mean_over_time(
            [
                [() if flags_of(flags) else trace_of(cell) for cell, flags in zip(g["trace"], g["flags"], strict=True)]
                for g in by_environment
            ],
            [g["final_rule"].iloc[0] for g in by_environment],
            times,
        )
        found[str(name)] = WithinAttempt(times, score, len(longest))
    return found


def _costs(counted: pd.DataFrame) -> dict[tuple[str, float], float]:
    lengths = counted["budget_s"].round(LENGTH_DIGITS)
    agents = counted["participant_kind"] != "human"
    means = counted[agents].groupby(["participant", lengths[agents]])["cost_usd"].mean().dropna()
    keys = [(str(name), float(str(length))) for name, length in means.index]
    return dict(zip(keys, means.astype("float64"), strict=True))


def _matrix(counted: pd.DataFrame) -> dict[str, dict[str, Cell]]:
    matrix: dict[str, dict[str, Cell]] = {}
    grouped = counted.groupby(["participant", "environment"])["score"].agg(["mean", "max", "size"])
    for row in grouped.reset_index().to_dict("records"):
        cell = Cell(float(row["mean"]), float(row["max"]), int(row["size"]))
        matrix.setdefault(str(row["participant"]), {})[str(row["environment"])] = cell
    return matrix


def attempt_sections(table: pd.DataFrame, diffs: Mapping[str, str] | None = None) -> list[AttemptSection]:
    """One section per attempt, by environment, participant, then score."""
    ordered = with_participants(table).sort_values(
        ["scale", "environment", "participant", "normalised"], ascending=[True, True, True, False], kind="stable"
    )
    sections = []
    for number, row in enumerate(ordered.to_dict("records"), start=1):
        ledger = [(part, float(row[f"{part}_s"])) for part in ("working", "scoring", "waiting", "paused")]
        sections.append(
            AttemptSection(
                anchor=f"attempt-{number}",
                row={str(k): v for k, v in row.items()},
                flags=flags_of(row["flags"]),
                trace=trace_of(row["trace"]),
                receipt="" if row["receipt"] == "{}" else json.dumps(json.loads(row["receipt"]), indent=1),
                diff=(diffs or {}).get(row["attempt_id"], ""),
                ledger=[(part, seconds) for part, seconds in ledger if seconds > 0],
            )
        )
    return sections
