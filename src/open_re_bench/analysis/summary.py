"""From a run table to statistics: who took part, what counts, curves, effort, comparisons.

What counts: attempts that failed for our own reasons are no results and are left out; simulated ones (a simulator or a
demonstration) stay out of headline means unless asked for; flagged ones count as zero, are dropped, or count as
scored. Every headline is given all three ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np

from open_re_bench.analysis.best_of_k import Short, weight_matrix
from open_re_bench.analysis.bootstrap import (
    DRAWS,
    LEVEL,
    SEED,
    Estimate,
    Interval,
    Sample,
    estimate,
    percentile_interval,
    resampled_score_at_k,
)
from open_re_bench.analysis.budgets import CurvePoint, budget_curve
from open_re_bench.analysis.runs import participant_label
from open_re_bench.attempt import FinalRule
from open_re_bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

Flagged = Literal["zero", "dropped", "counted"]
FLAGGED: tuple[Flagged, ...] = get_args(Flagged)
DEFAULT_FLAGGED: Flagged = "zero"  # what the paper does with cheats; a person's decision will clear or confirm a flag
HUMANS = "human experts"
EIGHT_HOURS_S = 28_800.0  # nominal length of METR's human attempts
MIN_RATE_HOURS = 1 / 60  # a script that ends within a minute has no meaningful rate per hour
LENGTH_DIGITS = 3  # budgets are grouped to the millisecond


@dataclass(frozen=True)
class Overview:
    """One participant at one scale, over all its attempts of its most common length.

    Attributes:
        participant: Label.
        kind: agent, scripted or human.
        attempts, environments: Sizes.
        length_s: Length of the attempts.
        scores: Treatment of flagged attempts -> mean over environments of the mean score, with interval.
        flagged: Number of flagged attempts.
        scorings_per_hour: Mean over attempts; None without logs of scorings.
        cost_usd: Mean cost of an attempt; None when unknown.
        tokens: Mean tokens of an attempt; None when unknown.
    """

    participant: str
    kind: str
    attempts: int
    environments: tuple[str, ...]
    length_s: float
    scores: dict[Flagged, Estimate]
    flagged: int
    scorings_per_hour: float | None
    cost_usd: float | None
    tokens: float | None


@dataclass(frozen=True)
class Difference:
    """Difference between two participants, first minus second.

    Attributes:
        k: Best of how many.
        length_s: Length of the attempts of both.
        value, low, high: Mean over common environments, with interval. Bounds are NaN where a side has a single
            attempt: one attempt says nothing about its spread. The mean's are so as soon as one environment's are,
            else an interval that lacks a part of the spread could leave out 0.
        environments: The same per environment.
        attempts: Environment -> number of attempts of the first and the second.
        only_first, only_second: Environments without a partner, left out.
    """

    k: int
    length_s: float
    value: float
    low: float
    high: float
    environments: dict[str, Interval]
    attempts: dict[str, tuple[int, int]]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


def with_participants(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column ``participant``: the label used in every figure."""
    people = table["participant_kind"] == "human"
    labels = [participant_label(a, m) for a, m in zip(table["agent"], table["model"], strict=True)]
    return table.assign(participant=np.where(people, HUMANS, labels))


def countable(table: pd.DataFrame, flagged: Flagged = DEFAULT_FLAGGED, *, simulated: bool = False) -> pd.DataFrame:
    """The attempts that count, with a column ``score``.

    Args:
        table: A run table.
        flagged: Treatment of flagged attempts.
        simulated: Keep simulated attempts.

    Returns:
        A new frame; infrastructure failures are gone.
    """
    if flagged not in FLAGGED:
        raise UserError(f"flagged attempts cannot be {flagged!r}", f"use one of {', '.join(FLAGGED)}")
    kept = table[table["failure"] != "infrastructure"]
    if not simulated:
        kept = kept[~kept["simulated"]]
    suspicious = kept["flags"] != "[]"
    if flagged == "dropped":
        kept = kept[~suspicious]
    score = kept["normalised"].astype("float64")
    if flagged == "zero":
        score = score.mask(kept["flags"] != "[]", 0.0)
    return kept.assign(score=score)


def odd_human_length(table: pd.DataFrame) -> pd.Series[bool]:
    """Rows of METR's people who did not work 8 hours: listed in tables, left out of curves."""
    eight_hours = (table["budget_s"] - EIGHT_HOURS_S).abs() < 1
    return (table["participant_kind"] == "human") & (table["scale"] == "paper") & ~eight_hours


def samples_by_length(counted: pd.DataFrame) -> dict[float, list[Sample]]:
    """One participant's attempts as samples, grouped by length (budget granted, seconds)."""
    lengths = counted["budget_s"].round(LENGTH_DIGITS)
    groups: dict[float, list[Sample]] = {}
    for length in sorted(lengths.unique()):
        for environment, group in counted[lengths == length].groupby("environment", sort=True):
            final = cast(FinalRule, str(group["final_rule"].iloc[0]))
            scores = group["score"].to_numpy(dtype=np.float64)
            groups.setdefault(float(length), []).append(Sample(str(environment), scores, final))
    return groups


def curves(
    table: pd.DataFrame,
    *,
    flagged: Flagged = DEFAULT_FLAGGED,
    simulated: bool = False,
    environments: Sequence[str] | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    level: float = LEVEL,
    replacement: bool = False,
    short: Short = "cap",
) -> dict[str, list[CurvePoint]]:
    """Score against total budget for every participant of a table of one scale.

    Args:
        table: Run table; people's attempts of 8 hours form the human curve, other lengths their own points.
        environments: Environments of the comparison; default: all that count in the table.
        flagged, simulated: As in `countable`.
        draws, seed, level, replacement, short: As in `bootstrap.estimate`.

    Returns:
        Label -> points by budget.
    """
    counted = with_participants(countable(table, flagged, simulated=simulated))
    wanted = list(environments) if environments is not None else sorted(counted["environment"].unique())
    counted = counted[counted["environment"].isin(wanted) & ~odd_human_length(counted)]
    return {
        str(label): budget_curve(
            samples_by_length(group),
            environments=wanted,
            draws=draws,
            seed=seed,
            level=level,
            replacement=replacement,
            short=short,
        )
        for label, group in counted.groupby("participant", sort=True)
    }


def overview(table: pd.DataFrame, *, simulated: bool = False, draws: int = DRAWS, seed: int = SEED) -> list[Overview]:
    """One row per participant, best first (agents before scripted before people at equal score)."""
    rows = []
    labelled = with_participants(countable(table, "counted", simulated=simulated))
    for label, group in labelled.groupby("participant", sort=True):
        length = float(group["budget_s"].round(LENGTH_DIGITS).mode().max())
        usual = group[group["budget_s"].round(LENGTH_DIGITS) == length]
        scores: dict[Flagged, Estimate] = {}
        for way in FLAGGED:
            samples = samples_by_length(countable(usual, way, simulated=True)).get(length)
            if samples:
                [scores[way]] = estimate(samples, [1], draws=draws, seed=seed)
        hours = usual["used_s"] / 3600
        rates = (usual["scorings"].astype("float64") / hours).where(hours >= MIN_RATE_HOURS).dropna()
        rows.append(
            Overview(
                participant=str(label),
                kind=str(usual["participant_kind"].iloc[0]),
                attempts=len(usual),
                environments=tuple(sorted(usual["environment"].unique())),
                length_s=length,
                scores=scores,
                flagged=int((usual["flags"] != "[]").sum()),
                scorings_per_hour=_mean(rates),
                cost_usd=_mean(usual["cost_usd"].dropna()),
                tokens=_mean(usual["total_tokens"].dropna()),
            )
        )
    kinds = {"agent": 0, "human": 1, "scripted": 2}
    return sorted(rows, key=lambda r: (kinds.get(r.kind, 3), -_headline(r), r.participant))


def compare(
    first: pd.DataFrame,
    second: pd.DataFrame,
    ks: Sequence[int],
    *,
    flagged: Flagged = DEFAULT_FLAGGED,
    simulated: bool = False,
    draws: int = DRAWS,
    seed: int = SEED,
    level: float = LEVEL,
) -> list[Difference]:
    """Differences between two participants, paired by environment and attempt length.

    The attempts of the two are independent, so they are resampled independently within each environment; the pairing
    removes the differences between environments.

    Args:
        first, second: Run tables of one participant each, at the same scale.
        ks: Best of how many; a k that exceeds the attempts of a side in some environment is left out.

    Returns:
        One entry per common length and k; empty when nothing is common.
    """
    sides = [samples_by_length(countable(side, flagged, simulated=simulated)) for side in (first, second)]
    tails = [(1 - level) / 2, (1 + level) / 2]
    found = []
    for length in sorted(set(sides[0]) & set(sides[1])):
        a, b = ({s.environment: s for s in side[length]} for side in sides)
        common = sorted(set(a) & set(b))
        if not common:
            continue
        usable = [k for k in ks if all(s.final == "last" or s.n >= k for name in common for s in (a[name], b[name]))]
        points = {name: _points(a[name], usable) - _points(b[name], usable) for name in common}
        # Two seeds: with one, equal n would give both sides the same ranks and a falsely narrow difference.
        resampled = {
            name: resampled_score_at_k(a[name], usable, draws=draws, seed=seed)
            - resampled_score_at_k(b[name], usable, draws=draws, seed=seed + 1)
            for name in common
        }
        for column, k in enumerate(usable):
            known = {name: a[name].n > 1 and b[name].n > 1 for name in common}
            per_environment = {
                name: percentile_interval(points[name][column], resampled[name][:, column], tails, known=known[name])
                for name in common
            }
            value = float(np.mean([points[name][column] for name in common]))
            mean = np.mean([resampled[name][:, column] for name in common], axis=0)
            whole = percentile_interval(value, mean, tails, known=all(known.values()))
            found.append(
                Difference(
                    k=k,
                    length_s=length,
                    value=whole.value,
                    low=whole.low,
                    high=whole.high,
                    environments=per_environment,
                    attempts={name: (a[name].n, b[name].n) for name in common},
                    only_first=tuple(sorted(set(a) - set(b))),
                    only_second=tuple(sorted(set(b) - set(a))),
                )
            )
    return found


def _points(sample: Sample, ks: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    points = sample.scores @ weight_matrix(sample.n, ks, final=sample.final)
    return cast("np.ndarray[tuple[int], np.dtype[np.float64]]", points)


def _mean(values: pd.Series[float]) -> float | None:
    return float(values.mean()) if len(values) else None


def _headline(row: Overview) -> float:
    way = row.scores.get(DEFAULT_FLAGGED)
    return way.value if way is not None else 0.0
