"""What fails after the participant has submitted: its work is over all the same, and only the measuring is repeated."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from open_re_bench import assets, registry
from open_re_bench.attempt import AttemptRecord
from open_re_bench.environment import Failure, Instance, Submission
from open_re_bench.harness import attempt_folder, live_attempt
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.ledger import Ledger
from open_re_bench.harness.live_attempt import LiveAttempt
from open_re_bench.harness.planning import plan_attempts
from open_re_bench.harness.regrade import Verdict, regrade
from open_re_bench.people.person import PersonFolder, PersonRecord
from open_re_bench.running import runner
from open_re_bench.scoring import instances
from open_re_bench.scoring.pipeline import Score, score_submission
from open_re_bench.scoring.pipeline import refused as score_refused
from open_re_bench.scoring.score_log import ScoreEntry
from open_re_bench.scoring.score_log import read as read_score_log

from .conftest import TAMPERED, FileWorkshop


def planned(log_dir: Path, agent: str = "start") -> AttemptFolder:
    bound = registry.environment("optimize_kernel", "test")
    kind = "human" if agent == "human" else "scripted"
    (plan,) = plan_attempts(bound, runs=1, budget_s=600, agent=agent, model="", kind=kind, batch="t", simulated=True)
    return attempt_folder.create(log_dir, plan)


def entries(folder: AttemptFolder) -> list[ScoreEntry]:
    return read_score_log(folder.score_log)[0]


def test_whoever_has_submitted_does_not_work_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the result is written: resumed, the attempt is measured and its participant not started."""
    folder = planned(tmp_path)

    def full(self: AttemptFolder, record: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(AttemptFolder, "write_result", full)
        assert runner.failures(runner.carry_out([folder], tmp_path, runner.RunOptions()))
    assert folder.read_result() is None
    before = entries(folder)
    assert runner.failures(runner.carry_out([folder], tmp_path, runner.RunOptions())) == []
    record = folder.read_result()
    assert record is not None
    assert record.valid
    assert entries(folder)[: len(before)] == before
    assert [entry.kind for entry in entries(folder)].count("intermediate") == 1


def test_what_holds_seeds_is_readable_by_one_user(tmp_path: Path) -> None:
    """Plan, score log and result say the instance's and the scorings' seeds: no other user of the machine reads them,
    although the attempt's folder is passable.
    """
    folder = planned(tmp_path)
    assert runner.failures(runner.carry_out([folder], tmp_path, runner.RunOptions())) == []
    assert folder.root.stat().st_mode & 0o001
    for file in (folder.plan_file, folder.score_log, folder.result_file):
        assert "seed" in file.read_text()
        assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("failing", ["final", "closing"])
def test_a_failure_of_ours_at_the_end_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Where the last scoring fails on our side there is no result and one line says so; resumed, it is measured."""
    folder = planned(tmp_path)
    options = runner.RunOptions(finalise_only=failing == "closing")  # nobody scores: the state at the end is new

    def fails(*arguments: Any, final: bool, **named: Any) -> Score:
        score = score_submission(*arguments, final=final, **named)
        if final != (failing == "final"):
            return score
        changed = {"raw": None, "normalised": 0.0, "valid": False, "failure": Failure.INFRASTRUCTURE}
        return score.model_copy(update={**changed, "message": "no memory"})

    with monkeypatch.context() as patch:
        patch.setattr(live_attempt, "score_submission", fails)
        (line,) = runner.failures(runner.carry_out([folder], tmp_path, options))
    assert f"the {failing} scoring failed on our side (no memory)" in line
    assert "re-bench resume" in line
    assert folder.read_result() is None
    before = entries(folder)
    assert before[-1].kind == failing
    assert before[-1].failure == "infrastructure"
    assert runner.failures(runner.carry_out([folder], tmp_path, runner.RunOptions())) == []
    record = folder.read_result()
    assert record is not None
    assert record.valid
    assert entries(folder)[: len(before)] == before
    assert regrade(folder, rescore=False).verdict is Verdict.AGREES


def test_a_damaged_submission_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored submission that a power cut emptied: the attempt ends with the next best and its result says so. Where
    none is left that is our failure, not the participant's.
    """

    def by_length(instance: Instance, submission: Submission, **_: object) -> Score:
        score = score_refused(instance.environment, "")
        changed = {"raw": 1.0, "normalised": float(submission.files[0].size), "valid": True, "failure": None}
        return score.model_copy(update=changed)

    def damage(entry: ScoreEntry) -> None:
        file = folder.submissions / str(entry.submission) / "solution.py"
        file.chmod(0o644)
        file.write_bytes(b"")

    async def attempt() -> tuple[ScoreEntry, ScoreEntry]:
        made = LiveAttempt(plan, folder, instance, workshop, Ledger(folder.ledger, 12))
        made.minimum_interval_s = 0.0
        found = []
        for content in (b"x = 12345", b"x = 1"):
            workshop.content = content
            found.append(await made.score("tool"))
        return found[0], found[1]

    async def result() -> AttemptRecord:
        folder.result_file.unlink(missing_ok=True)
        return await LiveAttempt(plan, folder, instance, workshop, Ledger(folder.ledger, 12)).finalise()

    monkeypatch.setattr(live_attempt, "score_submission", by_length)
    folder, workshop = planned(tmp_path), FileWorkshop()
    (folder.root / TAMPERED).touch()  # what is changed here by hand is not for the regrading of the suite's attempts
    plan, bound = folder.read_plan(), registry.environment("optimize_kernel", "test")
    instance = instances.lay_out(bound, assets.prepare(bound)[0], folder.instance, 7)
    best, other = asyncio.run(attempt())
    damage(best)
    record = asyncio.run(result())
    assert record.valid
    assert record.submission_sha256 == other.submission
    assert "scoring 1 was passed over" in record.message
    damage(other)
    workshop.content = None
    record = asyncio.run(result())
    assert (record.valid, record.failure) == (False, "infrastructure")
    assert "scoring 2 was passed over" in record.message


def test_a_person_who_has_submitted_does_not_work_on(tmp_path: Path) -> None:
    """`re-bench human --resume` of a session whose measuring failed measures at once; nobody has to sit down."""
    folder = planned(tmp_path / "logs", "human")
    PersonFolder(folder).write(PersonRecord(pseudonym="p1"))
    folder.mark_ended()
    done = subprocess.run(
        [sys.executable, "-m", "open_re_bench.cli.main", "human", "--resume", str(folder.root)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    record = folder.read_result()
    assert record is not None
    assert record.valid
    assert [entry.kind for entry in entries(folder)] == ["closing", "final"]
