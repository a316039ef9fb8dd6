"""One harness at a time carries an attempt out: a second one would overwrite its ledger and its score log."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from open_re_bench import registry
from open_re_bench.cli import main
from open_re_bench.errors import ExitCode, UserError
from open_re_bench.harness import attempt_folder
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.planning import plan_attempts
from open_re_bench.people.person import PersonFolder, PersonRecord

from .conftest import bash_step, finish, start_run, write_transcript

TAKE = """
import sys, time
from pathlib import Path
from open_re_bench.harness.attempt_folder import AttemptFolder
lock = AttemptFolder(Path(sys.argv[1])).take()
print("taken", flush=True)
time.sleep(600)
"""


def planned(log_dir: Path, agent: str = "start") -> AttemptFolder:
    bound = registry.environment("optimize_kernel", "test")
    kind = "human" if agent == "human" else "scripted"
    (plan,) = plan_attempts(bound, runs=1, budget_s=60, agent=agent, model="", kind=kind, batch="t", simulated=True)
    return attempt_folder.create(log_dir, plan)


def test_an_attempt_has_one_harness_and_a_killed_one_leaves_it_free(tmp_path: Path) -> None:
    """While a process has an attempt no other gets it; when that one is killed the attempt is free at once."""
    folder = planned(tmp_path)
    assert not folder.is_taken
    holder = subprocess.Popen([sys.executable, "-c", TAKE, str(folder.root)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        assert folder.is_taken
        with pytest.raises(UserError, match="another process"):
            folder.take()
    finally:
        holder.kill()
        holder.communicate()
    assert not folder.is_taken
    folder.take().close()


def test_resume_leaves_alone_what_is_being_carried_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`re-bench resume` of a log directory in which a run is still at work says so and touches nothing of it."""
    lock = planned(tmp_path).take()
    try:
        assert main.run(["resume", str(tmp_path)]) == ExitCode.OK
        assert "being carried out by another process" in capfd.readouterr().err
        assert list(tmp_path.glob("*.eval")) == []
    finally:
        lock.close()


def test_a_persons_session_that_is_served_is_not_served_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`re-bench human --resume` of a session that another harness serves is one line."""
    folder = planned(tmp_path, "human")
    PersonFolder(folder).write(PersonRecord(pseudonym="p1"))
    lock = folder.take()
    try:
        assert main.run(["human", "--resume", str(folder.root)]) == ExitCode.USAGE
    finally:
        lock.close()
    err = capfd.readouterr().err
    assert "being served already" in err
    assert err.count("\n") == 1


def test_a_running_attempt_is_taken_and_an_ended_one_is_free(tmp_path: Path) -> None:
    """Whoever looks while the participant works finds the attempt taken; its end gives it back."""
    mark = tmp_path / "logs"
    process = start_run(mark, write_transcript(tmp_path / "t.jsonl", [bash_step("sleep 3")]))
    seen = False
    while process.poll() is None:
        seen = seen or any(AttemptFolder(plan.parent).is_taken for plan in mark.glob("attempts/*/plan.json"))
        time.sleep(0.1)
    finish(process)
    assert seen
    (plan,) = mark.glob("attempts/*/plan.json")
    assert not AttemptFolder(plan.parent).is_taken
