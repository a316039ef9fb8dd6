"""From a collected submission to a score with a receipt: the one path every scoring takes.

collect -> run in the scoring sandbox -> judge on the host -> normalise -> receipt. Whether an agent, a person, a
script, `re-bench score`, the conformance battery or `regrade` asks makes no difference here.
"""

from __future__ import annotations

import shutil
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue

from open_re_bench import assets as prepared
from open_re_bench import receipt as receipts
from open_re_bench import registry, rules_line, versions
from open_re_bench.environment import Environment, Failure, Instance, Judgement, Scoring, Submission, normalise
from open_re_bench.errors import UserError
from open_re_bench.sandbox import capability
from open_re_bench.scoring import calibration, collection
from open_re_bench.scoring.instances import draw_seed

INFRASTRUCTURE_RETRIES = 1  # a failure of ours is tried once more, visibly, before it is reported


class Score(BaseModel):
    """A score as every caller gets it.

    Attributes:
        raw: Raw score in the environment's unit; None when invalid.
        normalised: 0 at the start solution, 1 at the reference, floored at 0, no cap; 0 when invalid.
        message: What the participant may read.
        failure: Who caused an invalid score.
        warnings: What a comparison with other results must mention.
    """

    model_config = ConfigDict(frozen=True)

    environment: str
    scale: str
    raw: float | None
    normalised: float
    valid: bool
    message: str
    failure: Failure | None = None
    details: dict[str, JsonValue] = {}
    warnings: tuple[str, ...] = ()
    receipt: receipts.Receipt | None = None


@dataclass(frozen=True)
class Circumstances:
    """What decides whether a result can be official.

    Attributes:
        workspace: True when the files came from a folder worked on without harness.
        reasons: Further reasons why the result is local (self-administered person, simulated model, ...).
        model_roles: Models that served code of the attempt, by role; kept in the receipt.
    """

    workspace: bool = False
    reasons: tuple[str, ...] = ()
    model_roles: Mapping[str, str] = field(default_factory=dict)


def score_submission(
    instance: Instance,
    submission: Submission,
    *,
    final: bool = False,
    seed: int | None = None,
    circumstances: Circumstances | None = None,
) -> Score:
    """Scores a collected submission.

    Args:
        instance: The attempt's instance.
        submission: Collected files.
        final: The fresh-seed re-score at the end of an attempt.
        seed: Scoring seed; None draws a fresh one (only `regrade` and tests give one).
        circumstances: What the result's class depends on besides machine and code.

    Returns:
        A score; failures are attributed, never raised. An exception in trusted code is an infrastructure failure.
    """
    drawn = draw_seed() if seed is None else seed
    judgement = _judge(instance, submission, drawn, final)
    for _ in range(INFRASTRUCTURE_RETRIES):
        if judgement.failure is not Failure.INFRASTRUCTURE:
            break
        drawn = draw_seed() if seed is None else seed
        again = _judge(instance, submission, drawn, final)
        details: dict[str, JsonValue] = {**again.details, "retried_after": judgement.message}
        judgement = again.model_copy(update={"details": details})
    return _as_score(instance, submission, drawn, judgement, circumstances or Circumstances())


def score_folder(
    instance: Instance,
    folder: Path,
    store: Path,
    *,
    final: bool = False,
    seed: int | None = None,
    circumstances: Circumstances | None = None,
) -> Score:
    """Collects the folder `folder` (files as they would lie in ~/solution) into `store` and scores it.

    A folder that breaks a submission rule gives an invalid score attributed to the participant.
    """
    bound = instance.environment
    try:
        submission = collection.collect_directory(folder, bound.spec.submission, store)
    except collection.SubmissionRefused as refusal:
        return refused(bound, str(refusal))
    return score_submission(instance, submission, final=final, seed=seed, circumstances=circumstances)


def refused(bound: Environment, message: str) -> Score:
    """The score of a submission that could not be collected: the participant's doing, no receipt."""
    return Score(
        environment=bound.name,
        scale=bound.scale_name,
        raw=None,
        normalised=0.0,
        valid=False,
        message=message,
        failure=Failure.PARTICIPANT,
    )


def _judge(instance: Instance, submission: Submission, seed: int, final: bool) -> Judgement:
    from threadpoolctl import threadpool_limits

    module = registry.hook(instance.environment, "score")
    if module is None:
        raise UserError(f"{instance.environment.name} has no score.py", "restore the file")
    scratch = Path(tempfile.mkdtemp(prefix="open-re-bench-scoring-"))
    try:
        scoring = Scoring(instance=instance, seed=seed, scratch=scratch, final=final)
        # Linear algebra in several threads spins at every step: with more threads than free cores a scoring of seconds
        # takes half an hour. Measured with two scorings at once on two busy cores.
        with threadpool_limits(limits=1):
            judgement: Judgement = module.score(submission, scoring)
        return judgement
    except UserError as error:
        return Judgement.invalid(f"the scorer could not run: {error}", Failure.INFRASTRUCTURE)
    except Exception as error:
        return Judgement.invalid(
            "the scorer failed on our side; this does not count against you",
            Failure.INFRASTRUCTURE,
            error=f"{type(error).__name__}: {error}"[:500],
            traceback=traceback.format_exc()[-4000:],
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _as_score(
    instance: Instance, submission: Submission, seed: int, judgement: Judgement, circumstances: Circumstances
) -> Score:
    bound = instance.environment
    start, reference = anchors_in_force(bound, judgement)
    why_local = tuple(reasons_for_local(bound, circumstances))
    valid = judgement.raw is not None
    fingerprint = versions.fingerprint(bound.folder, bound.spec)
    found = prepared.find(bound)
    receipt = receipts.Receipt(
        environment=bound.name,
        scale=bound.scale_name,
        version=bound.spec.version,
        task_version=bound.spec.task_version,
        rules_version=rules_line.VERSION,
        package_version=receipts.software_version(),
        fingerprint=fingerprint.model_dump(),
        assets_sha256=found[1].sha256 if found else "",
        protected_sha256=versions.protected_digest(bound.folder),
        submission_sha256=submission.digest,
        instance_seed=f"{instance.seed:032x}",
        scoring_seed=f"{seed:032x}",
        machine=receipts.machine(),
        isolation=capability.detect().model_dump(mode="json"),
        scored_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        start_raw=start,
        reference_raw=reference,
        result_class="local" if why_local else "official",
        why_local=why_local,
        model_roles=dict(circumstances.model_roles),
    )
    return Score(
        environment=bound.name,
        scale=bound.scale_name,
        raw=judgement.raw,
        normalised=normalise(judgement.raw, start, reference) if valid else 0.0,
        valid=valid,
        message=judgement.message,
        failure=judgement.failure,
        details=judgement.details,
        warnings=judgement.comparability,
        receipt=receipt,
    )


def anchors_in_force(bound: Environment, judgement: Judgement | None = None) -> tuple[float, float]:
    """Raw start and reference scores in force.

    Those of this very call where the environment tells them; else calibrated on this machine where that is asked for
    and was done; else the declared ones.
    """
    anchors = bound.scale.anchors
    if anchors is None:
        raise UserError(f"{bound.name} has no anchors at scale {bound.scale_name}", bound.scale.unavailable)
    start, reference = anchors.start.raw, anchors.reference.raw
    if anchors.source == "calibrated" and (here := calibration.find(bound)) is not None:
        start, reference = here.start.raw, here.reference.raw
    if judgement is not None and judgement.start_raw is not None and judgement.reference_raw is not None:
        start, reference = judgement.start_raw, judgement.reference_raw
    return start, reference


def reasons_for_local(bound: Environment, circumstances: Circumstances) -> list[str]:
    """Why a result cannot be official; empty when it can."""
    reasons = list(circumstances.reasons)
    machine, scale = receipts.machine(), bound.scale
    if circumstances.workspace:
        reasons.append("worked on without the harness")
    if machine.cores < scale.cores or machine.memory_gb < scale.memory_gb or len(machine.gpus) < scale.gpus:
        reasons.append(f"smaller than the declared hardware ({scale.hardware})")
    if scale.anchors is not None and scale.anchors.source == "calibrated" and calibration.find(bound) is None:
        reasons.append("anchors not calibrated on this machine")
    if bound.spec.simulated and circumstances.model_roles:
        reasons.append("the anchors were measured with another model")
    missing = capability.detect().missing()
    if missing:
        reasons.append(f"isolation lacks: {', '.join(missing)}")
    if versions.changed(bound.folder, bound.spec):
        reasons.append(f"code differs from what version {bound.spec.version} recorded")
    return reasons
