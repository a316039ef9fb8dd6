"""What fails after the participant has submitted: its work is over all the same, and only the measuring is repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from open_re_bench import registry
from open_re_bench.environment import Failure
from open_re_bench.harness import attempt_folder, live_attempt
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.planning import plan_attempts
from open_re_bench.harness.regrade import Verdict, regrade
from open_re_bench.people.person import PersonFolder, PersonRecord
from open_re_bench.running import runner
from open_re_bench.scoring.pipeline import Score, score_submission
from open_re_bench.scoring.score_log import ScoreEntry
from open_re_bench.scoring.score_log import read as read_score_log


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
