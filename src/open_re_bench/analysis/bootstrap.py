"""Percentile bootstrap over attempts within environments, environments fixed and equally weighted.

The paper's interval and METR's (``get_cross_task_summary_statistics`` in eval-analysis-public, January 2025): per
environment resample the n attempts with replacement, apply the same score@k estimator, average the b-th resample over
environments, take percentiles. Here the draws are seeded, all k share them, and a draw costs no Python call: scores
are sorted once, a draw is a sorted vector of n ranks, and its score@k is a dot product with the weights of
`best_of_k`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from open_re_bench.analysis.best_of_k import FloatArray, Short, checked_scores, weight_matrix
from open_re_bench.attempt import FinalRule

DRAWS = 5_000  # METR's default; the 95 % bounds then move by about 0.003 between seeds
SEED = 20_241_122  # any constant would do: results must not change between two calls
LEVEL = 0.95
CHUNK_ELEMENTS = 1 << 21  # ranks held at once: 16 MB of doubles after the gather, small enough for a laptop's cache


@dataclass(frozen=True)
class Sample:
    """Final scores of independent attempts at one environment.

    Attributes:
        environment: Name; also selects the random stream, so the order of environments does not matter.
        scores: Normalised final scores, shape ``[n]``.
        final: The environment's final rule.
    """

    environment: str
    scores: FloatArray
    final: FinalRule = "best"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", np.sort(checked_scores(self.scores)))

    @property
    def n(self) -> int:
        """Number of attempts."""
        return len(self.scores)


@dataclass(frozen=True)
class Interval:
    """A point estimate with its percentile interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """score@k averaged over environments.

    Attributes:
        k: Best of how many attempts.
        value, low, high: Point estimate (exact) and percentile interval. Bounds are NaN where every environment has a
            single attempt: resampling one attempt says nothing about its spread.
        environments: Per environment the same, for those that entered the mean.
        attempts: Number of attempts per environment, all environments.
        short: Environments with fewer than k attempts (never silently dropped: see `policy`).
        policy: ``cap``: short ones entered with k = n (a lower bound); ``nan``: they were left out.
        shaky: Environments where k > n/2: few distinct subsets, intervals too narrow (`coverage`).
    """

    k: int
    value: float
    low: float
    high: float
    environments: Mapping[str, Interval]
    attempts: Mapping[str, int]
    short: tuple[str, ...] = ()
    policy: Short = "cap"
    shaky: tuple[str, ...] = ()
    draws: int = field(default=0, compare=False)


def resampled_score_at_k(
    sample: Sample,
    ks: Sequence[int],
    *,
    draws: int = DRAWS,
    seed: int = SEED,
    replacement: bool = False,
    short: Short = "cap",
) -> FloatArray:
    """score@k of `draws` resamples of one environment's attempts.

    Returns:
        Shape ``[draws, len(ks)]``.
    """
    n = sample.n
    weights = weight_matrix(n, ks, final=sample.final, replacement=replacement, short=short)
    out = np.empty((draws, len(ks)))
    rng = np.random.default_rng([seed, _stream(sample.environment)])
    # 16-bit ranks where they fit: generating and sorting them is what costs.
    rank_type = np.uint16 if n <= np.iinfo(np.uint16).max else np.uint32
    rows = max(1, CHUNK_ELEMENTS // n)
    for start in range(0, draws, rows):
        count = min(rows, draws - start)
        ranks = rng.integers(0, n, size=(count, n), dtype=rank_type)
        if sample.final != "last":  # the mean does not care about order
            ranks.sort(axis=1)
        out[start : start + count] = sample.scores[ranks] @ weights
    return out


def estimate(
    samples: Sequence[Sample],
    ks: Sequence[int],
    *,
    draws: int = DRAWS,
    seed: int = SEED,
    level: float = LEVEL,
    replacement: bool = False,
    short: Short = "cap",
) -> list[Estimate]:
    """score@k over environments with percentile intervals.

    Args:
        samples: One per environment; names must differ.
        ks: Numbers of attempts to take the best of.
        draws: Bootstrap resamples; 0 skips them (bounds are NaN).
        seed: Of the resampling.
        level: Of the interval, in (0, 1).
        replacement: With-replacement form of score@k.
        short: Treatment of environments with fewer than k attempts (the mean rule needs only one).

    Returns:
        One estimate per k.

    Raises:
        ValueError: no sample, or a name twice.
    """
    names = [sample.environment for sample in samples]
    if not samples:
        raise ValueError("no environment to average over")
    if len(set(names)) != len(names):
        raise ValueError("an environment occurs twice")
    points = {
        s.environment: s.scores @ weight_matrix(s.n, ks, final=s.final, replacement=replacement, short=short)
        for s in samples
    }
    resamples = {
        s.environment: resampled_score_at_k(s, ks, draws=draws, seed=seed, replacement=replacement, short=short)
        for s in samples
    }
    tails = [(1 - level) / 2, (1 + level) / 2]
    attempts = {s.environment: s.n for s in samples}
    results = []
    for column, k in enumerate(ks):
        too_few = () if replacement else tuple(s.environment for s in samples if s.final == "best" and s.n < k)
        shaky = tuple(s.environment for s in samples if s.final == "best" and 2 * k > s.n)
        used = [name for name in names if short == "cap" or name not in too_few]
        per_environment = {
            name: percentile_interval(points[name][column], resamples[name][:, column], tails, known=attempts[name] > 1)
            for name in used
        }
        if used:
            value = float(np.mean([points[name][column] for name in used]))
            mean = np.mean([resamples[name][:, column] for name in used], axis=0)
            whole = percentile_interval(value, mean, tails, known=any(attempts[name] > 1 for name in used))
        else:
            whole = Interval(np.nan, np.nan, np.nan)
        results.append(
            Estimate(
                k=k,
                value=whole.value,
                low=whole.low,
                high=whole.high,
                environments=per_environment,
                attempts=attempts,
                short=too_few,
                policy=short,
                shaky=shaky,
                draws=draws,
            )
        )
    return results


def percentile_interval(value: float, draws: FloatArray, tails: Sequence[float], *, known: bool = True) -> Interval:
    """The interval between two quantiles of `draws`; NaN without draws, or where they don't know the spread."""
    if draws.size == 0 or not known:
        return Interval(float(value), np.nan, np.nan)
    low, high = np.quantile(draws, tails)
    return Interval(float(value), float(low), float(high))


def _stream(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
