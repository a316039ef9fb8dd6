"""The result of an attempt: which of its scorings it comes from, and the record that is made of it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from open_re_bench.attempt import AttemptRecord, LedgerRecord, ScoringRecord
from open_re_bench.environment import Direction, Environment, Failure, FinalRule
from open_re_bench.harness.attempt_folder import AttemptPlan
from open_re_bench.harness.ledger import LedgerTotals
from open_re_bench.harness.model_roles import CODER
from open_re_bench.scoring.pipeline import Score
from open_re_bench.scoring.score_log import ScoreEntry, ScoreLog


def select(entries: list[ScoreEntry], environment: Environment) -> ScoreEntry | None:
    """The log entry whose submission becomes the result: the best valid one, or the last valid one.

    Returns:
        None when nothing valid was ever scored.
    """
    valid = [entry for entry in entries if entry.kind != "final" and entry.valid and entry.raw is not None]
    if not valid:
        return None
    if environment.spec.final is FinalRule.LAST:
        return valid[-1]
    sign = 1.0 if environment.spec.direction is Direction.MAXIMISE else -1.0
    # By normalised score first: where anchors are measured in each call, raw scores of two calls are not comparable.
    return max(valid, key=lambda entry: (entry.normalised, sign * (entry.raw or 0.0), -entry.n))


def attempt_record(
    plan: AttemptPlan,
    environment: Environment,
    log: ScoreLog,
    totals: LedgerTotals,
    chosen: ScoreEntry | None,
    final: Score | None,
    passed_over: Sequence[str] = (),
) -> AttemptRecord:
    """The result of an attempt, without the monitor's flags.

    Args:
        plan: What was planned.
        environment: What was attempted.
        log: Its score log, the final scoring included.
        totals: Its ledger at the end.
        chosen: The entry whose submission became the result; None without any.
        final: The final scoring of that submission.
        passed_over: What was better but could not be read any more, one line each; the result says so.
    """
    entries = [entry for entry in log.entries if entry.kind != "final"]
    last = log.entries[-1] if log.entries else None
    failure = final.failure if final is not None else None
    receipt: dict[str, JsonValue] = final.receipt.model_dump(mode="json") if final and final.receipt else {}
    receipt["score_log_head"] = log.head
    message = final.message if final else (last.message if last else "nothing was ever scored")
    whose = failure.value if failure else (None if final else (last.failure if last else "participant"))
    if passed_over:
        message = "; ".join([message, *passed_over])
        whose = whose if final else Failure.INFRASTRUCTURE.value
    return AttemptRecord(
        attempt_id=plan.attempt_id,
        environment=plan.environment,
        scale=plan.scale,
        version=plan.version,
        task_version=str(plan.task_version),
        rules_version=plan.rules_version,
        agent=plan.agent,
        model=plan.model,
        model_roles=plan.model_roles,
        participant_kind=plan.participant_kind,
        raw=final.raw if final else None,
        normalised=final.normalised if final else 0.0,
        valid=bool(final and final.valid),
        message=message,
        failure=whose,
        best_logged_raw=chosen.raw if chosen else None,
        best_logged_normalised=chosen.normalised if chosen else None,
        scorings=sum(entry.kind == "intermediate" for entry in entries),
        trace=tuple(
            ScoringRecord(
                n=entry.n, budget_s=entry.budget_s, raw=entry.raw, normalised=entry.normalised, valid=entry.valid
            )
            for entry in entries
        ),
        ledger=LedgerRecord(
            working_s=totals.working_s,
            waiting_s=totals.waiting_s,
            scoring_s=totals.scoring_s,
            paused_s=totals.paused_s,
            budget_s=totals.budget_s,
        ),
        receipt=receipt,
        submission_sha256=chosen.submission if chosen else None,
        result_class=final.receipt.result_class if final and final.receipt else "local",
        isolation=str(final.receipt.isolation.get("mode", "")) if final and final.receipt else "",
        simulated=plan.simulated or (environment.spec.simulated and CODER not in plan.model_roles),
    )
