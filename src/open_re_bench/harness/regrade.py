"""Regrading: anyone can verify an attempt's records and score its stored submission again.

What is checked, in this order: the plan can be read; the score log's hash chain holds; the result says what the log's
final entry says and everything else in it follows from plan and log; every stored submission still has its content
address; receipts belong to this attempt, to this environment's version and to the same assets; and a fresh-seed scoring
of the chosen submission agrees within noise. Someone who owns the host can still forge all of these records together
consistently, but not the last check: the submission must really score that well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from open_re_bench import assets, registry, versions
from open_re_bench.attempt import AttemptRecord
from open_re_bench.environment import Environment
from open_re_bench.errors import CannotRunHere, UserError
from open_re_bench.harness.attempt_folder import AttemptFolder, AttemptPlan
from open_re_bench.harness.derived_records import derived_problems, dropped_flags
from open_re_bench.monitor.evidence import Evidence, stored_submissions
from open_re_bench.sandbox.machine_locks import scoring_alone
from open_re_bench.scoring import collection, instances
from open_re_bench.scoring.pipeline import Circumstances, Score, anchors_in_force, score_submission
from open_re_bench.scoring.score_log import ChainBroken, ScoreEntry
from open_re_bench.scoring.score_log import read as read_score_log

SIGMAS = 4.0  # two scorings of one submission differ by more than this only once in 16,000 times
OTHER_MACHINE_TOLERANCE = 0.05  # normalised; instruction sets and caches differ, and the receipt says so


class Verdict(StrEnum):
    """What regrading an attempt came to."""

    AGREES = "agrees"
    DIFFERS = "differs"
    TAMPERED = "tampered"
    UNFINISHED = "unfinished"
    CANNOT_RESCORE = "cannot be re-scored"


class Regrade(BaseModel):
    """One attempt regraded.

    Attributes:
        problems: What was found, one line each; empty when everything holds.
        recorded, rescored: Normalised scores; None where there is none.
        tolerance: Largest difference that noise explains, normalised.
    """

    model_config = ConfigDict(frozen=True)

    attempt_id: str
    verdict: Verdict
    problems: tuple[str, ...] = ()
    recorded: float | None = None
    rescored: float | None = None
    tolerance: float | None = None


def regrade(folder: AttemptFolder, rescore: bool = True, bound: Environment | None = None) -> Regrade:
    """Verifies the records of an attempt and scores its chosen submission again.

    Args:
        folder: The attempt's folder (in a log directory or an unpacked bundle).
        rescore: False: records only, nothing is run.
        bound: The attempt's environment at its scale; None for the installed one of that name.

    Raises:
        UserError: not an attempt's folder, or its environment is not installed.
    """
    plan, result = folder.read_plan(), folder.read_result()
    name = plan.attempt_id
    try:
        entries, head = read_score_log(folder.score_log, tolerate_partial_tail=result is None)
    except ChainBroken as broken:
        return Regrade(attempt_id=name, verdict=Verdict.TAMPERED, problems=(broken.message,))
    if result is None:
        return Regrade(attempt_id=name, verdict=Verdict.UNFINISHED, problems=("the attempt has no result yet",))
    bound = bound or registry.environment(plan.environment, plan.scale)
    problems = [
        *_result_problems(plan, result, entries, head),
        *_submission_problems(folder, entries),
        *_receipt_problems(plan, entries),
        *derived_problems(plan, result, entries),
    ]
    if problems:
        return Regrade(attempt_id=name, verdict=Verdict.TAMPERED, problems=tuple(problems), recorded=result.normalised)
    notes = [*_version_notes(bound, entries), *dropped_flags(result, _evidence(folder, entries, bound))]
    if not rescore or result.submission_sha256 is None:
        return Regrade(attempt_id=name, verdict=Verdict.AGREES, problems=tuple(notes), recorded=result.normalised)
    try:
        score = _rescore(bound, plan, folder, result.submission_sha256)
        lacking = score.message if score.failure == "infrastructure" else None
    except CannotRunHere as refusal:
        lacking = str(refusal)
    if lacking is not None:
        return Regrade(
            attempt_id=name,
            verdict=Verdict.CANNOT_RESCORE,
            problems=(*notes, lacking),
            recorded=result.normalised,
        )
    tolerance = _tolerance(bound, other_machine=_other_machine(entries, score))
    close = score.valid == result.valid and abs(score.normalised - result.normalised) <= tolerance
    if not close:
        notes.append(f"scored {score.normalised:.3f} now, {result.normalised:.3f} then")
    return Regrade(
        attempt_id=name,
        verdict=Verdict.AGREES if close else Verdict.DIFFERS,
        problems=tuple(notes),
        recorded=result.normalised,
        rescored=score.normalised,
        tolerance=tolerance,
    )


def _result_problems(plan: AttemptPlan, result: AttemptRecord, entries: Sequence[ScoreEntry], head: str) -> list[str]:
    problems = []
    if (result.attempt_id, result.environment, result.scale) != (plan.attempt_id, plan.environment, plan.scale):
        problems.append("result.json belongs to another attempt")
    if result.receipt.get("score_log_head") != head:
        problems.append("the score log does not end where the result says it ended")
    final = next((entry for entry in reversed(entries) if entry.kind == "final"), None)
    if final is None:
        if result.valid:
            problems.append("the result is valid but the score log has no final scoring")
        return problems
    if (final.raw, final.normalised, final.valid) != (result.raw, result.normalised, result.valid):
        problems.append("the result's score is not that of the log's final scoring")
    if final.submission != result.submission_sha256:
        problems.append("the result names another submission than the log's final scoring")
    scored = [entry for entry in entries if entry.kind != "final" and entry.submission == final.submission]
    if not any(entry.valid for entry in scored):
        problems.append("the final scoring is of a submission that was never validly scored before")
    return problems


def _evidence(folder: AttemptFolder, entries: Sequence[ScoreEntry], bound: Environment) -> Evidence:
    texts = stored_submissions(folder.submissions, (entry.submission for entry in entries))
    return Evidence(submissions=texts, entries=entries, ceiling=bound.scale.ceiling)


def _submission_problems(folder: AttemptFolder, entries: Sequence[ScoreEntry]) -> list[str]:
    problems = []
    for digest in sorted({entry.submission for entry in entries if entry.submission}):
        try:
            collection.load(folder.submissions, digest)
        except FileNotFoundError:
            problems.append(f"submission {digest[:12]} is missing")
        except ValueError:
            problems.append(f"submission {digest[:12]} was changed after it was stored")
    return problems


def _receipt_problems(plan: AttemptPlan, entries: Sequence[ScoreEntry]) -> list[str]:
    problems = []
    for entry in entries:
        if not entry.receipt:
            continue
        said = (entry.receipt.get("environment"), entry.receipt.get("scale"), entry.receipt.get("instance_seed"))
        if said != (plan.environment, plan.scale, plan.instance_seed):
            problems.append(f"scoring {entry.n}: its receipt belongs to another attempt")
        if entry.receipt.get("submission_sha256") != entry.submission:
            problems.append(f"scoring {entry.n}: its receipt names another submission")
    seeds = [entry.receipt.get("scoring_seed") for entry in entries if entry.receipt]
    if len(seeds) != len(set(map(str, seeds))):
        problems.append("two scorings used the same seed: one of them was copied")
    return problems


def _version_notes(bound: Environment, entries: Sequence[ScoreEntry]) -> list[str]:
    """Differences that make numbers hard to compare without being anybody's fault."""
    receipts = [entry.receipt for entry in entries if entry.receipt]
    if not receipts:
        return []
    notes, last = [], receipts[-1]
    if last.get("version") != bound.spec.version:
        notes.append(f"scored under version {last.get('version')}, installed is {bound.spec.version}")
    elif last.get("fingerprint") != versions.fingerprint(bound.folder, bound.spec).model_dump():
        notes.append("the installed environment's code differs from the one that scored")
    found = assets.find(bound)
    if found is not None and last.get("assets_sha256") != found[1].sha256:
        notes.append("prepared assets differ from those used then")
    return notes


def _rescore(bound: Environment, plan: AttemptPlan, folder: AttemptFolder, digest: str) -> Score:
    found, _ = assets.prepare(bound)
    instance = instances.lay_out(bound, found, folder.instance, int(plan.instance_seed, 16))
    submission = collection.load(folder.submissions, digest)
    circumstances = Circumstances(reasons=("regraded",), model_roles=plan.model_roles)
    with _models(plan), scoring_alone(bound.spec.timed_scoring):
        return score_submission(instance, submission, final=True, circumstances=circumstances)


def _models(plan: AttemptPlan) -> AbstractContextManager[None]:
    """The attempt's coder, where it had one; Inspect is imported only then."""
    if not plan.model_roles:
        return nullcontext()
    from open_re_bench.harness.gateway import outside_a_sample

    return outside_a_sample(plan.model_roles)


def _tolerance(bound: Environment, other_machine: bool) -> float:
    anchors = bound.scale.anchors
    if anchors is None:
        return 0.0
    start, reference = anchors_in_force(bound)
    noise = max(anchors.start.noise_std, anchors.reference.noise_std) / abs(reference - start)
    tolerance = SIGMAS * math.sqrt(2.0) * noise
    return max(tolerance, OTHER_MACHINE_TOLERANCE) if other_machine else tolerance


def _other_machine(entries: Sequence[ScoreEntry], score: Score) -> bool:
    then = next((entry.receipt.get("machine") for entry in reversed(entries) if entry.receipt), None)
    now = score.receipt.machine.model_dump(mode="json") if score.receipt else None
    return then != now


def find_attempts(paths: Sequence[Path]) -> list[AttemptFolder]:
    """Attempts below `paths`: log directories, unpacked bundles or attempts' own folders.

    Raises:
        UserError: a path holds none.
    """
    found: list[AttemptFolder] = []
    for path in paths:
        here = (
            [path] if (path / "plan.json").exists() else sorted(p.parent for p in path.glob("**/attempts/*/plan.json"))
        )
        if not here and (path / "manifest.json").is_file():
            raise UserError(
                f"{path} holds no attempt of an agent or a person: nothing to regrade",
                "what scripted participants did is never packed",
            )
        if not here:
            raise UserError(f"{path} holds no attempts", "give a --log-dir of `re-bench run` or an unpacked bundle")
        found.extend(AttemptFolder(folder) for folder in here)
    return found
