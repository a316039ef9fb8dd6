"""Whole sessions of people from the command line: proctored, out of time, interrupted."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from pathlib import Path

import pytest

from open_re_bench.cli import main
from open_re_bench.harness.place import directory_of
from open_re_bench.people import proctoring, recording
from open_re_bench.people.person import SELF_ADMINISTERED, PersonFolder
from open_re_bench.scoring.score_log import read as read_score_log

from .sessions import COMMAND, attach, attempt_in, harness
from .terminal_driver import Typist

NOBODY = 65534
SLEEPER = "sleep 4343"
KERNEL = ("optimize_kernel", "--scale", "test")


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        ([], "one thing at a time"),
        (["optimize_kernel", "--resume", "logs/attempts/x"], "one thing at a time"),
        (["--resume", "."], "not the attempt of a person"),
        ([*KERNEL, "--participant", "Ada Lovelace"], "never a name"),
        (["--redact", "."], "not the attempt of a person"),
    ],
)
def test_wrong_requests_name_the_mend(
    arguments: list[str], mend: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: one line says what to give instead, and nothing was made."""
    monkeypatch.chdir(tmp_path)
    assert main.run(["human", *arguments]) == 2
    said = capsys.readouterr().err
    assert mend in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="a proctored session needs root")
def test_a_proctored_session(tmp_path: Path) -> None:
    """Promise: the login user works, scores and submits through the forced command alone; what decides the attempt
    stays unreadable to that user during and after it; the result is not called self-administered."""
    user = pwd.getpwuid(NOBODY).pw_name
    with harness(tmp_path, *KERNEL, "--proctored", user) as process:
        folder = attempt_in(tmp_path)
        command = proctoring.forced_command(directory_of(proctoring.place_name(NOBODY)))
        with attach(folder) as proctor:
            proctor.expect("this session is proctored")
            assert proctor.end() == 2
        with Typist(["runuser", "-u", user, "--", "sh", "-c", command]) as screen:
            screen.expect("Do you agree")
            screen.enter("yes", "re-bench> ")
            screen.enter("start", r"\$ ")
            screen.enter("task score", "best so far")
            secrets = [folder.plan_file, folder.instance, folder.ledger, folder.score_log, folder.submissions]
            secrets += [*folder.instance.rglob("*"), *PersonFolder(folder).recordings()]
            assert proctoring.readable_by(NOBODY, secrets) == []
            screen.enter("task submit --yes", "Result on fresh inputs")
            for _ in range(9):
                screen.expect("> $")
                screen.type("\r")
            screen.expect("Thank you")
            assert screen.end() == 0
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    assert proctoring.readable_by(NOBODY, [folder.result_file, *(tmp_path / "logs").glob("*.eval")]) == []
    record = folder.read_result()
    assert record is not None
    assert record.valid
    assert SELF_ADMINISTERED not in str(record.receipt)


@pytest.mark.slow
def test_the_end_of_the_budget_ends_everything(tmp_path: Path) -> None:
    """Promise: at the end of the budget every process is killed, the work as it is then is scored, the recording is
    complete, and no more than the budget is charged although the clock was stopped in between."""
    with harness(tmp_path, *KERNEL, "--budget", "6s") as process:
        folder = attempt_in(tmp_path)
        with attach(folder) as screen:
            screen.expect("Do you agree")
            screen.enter("yes", "re-bench> ")
            screen.enter("start", r"\$ ")
            screen.enter(f"echo '# late' >> solution/solution.py; (setsid {SLEEPER} &); echo left", r"[\r\n]left")
            screen.enter("task stop", "stands still")
            time.sleep(7)  # longer than the budget
            screen.enter("start", "runs again")
            screen.enter("echo the last words", r"[\r\n]the last words")
            screen.expect("workshop is closed")
            screen.expect("Result on fresh inputs")
            screen.process.kill()  # no questionnaire
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        assert "--questionnaire" in output
    record = folder.read_result()
    assert record is not None
    assert record.valid
    assert 6.0 <= record.ledger.budget_s < 8.0
    assert record.ledger.paused_s > 7.0
    assert [entry.kind for entry in read_score_log(folder.score_log)[0]] == ["closing", "final"]
    (file,) = PersonFolder(folder).recordings()
    assert "the last words" in recording.shown(file)
    assert subprocess.run(["pgrep", "-f", SLEEPER], capture_output=True, check=False).stdout == b""


@pytest.mark.slow
def test_interrupted_on_purpose_and_ended_with_what_there_is(tmp_path: Path) -> None:
    """Promise: Ctrl-C ends the harness with the line that resumes; `re-bench resume` leaves a person's session to its
    person, and `--finalise` ends it with what it has."""
    with harness(tmp_path, *KERNEL) as process:
        folder = attempt_in(tmp_path)
        with attach(folder) as screen:
            screen.expect("Do you agree")
            screen.enter("yes", "re-bench> ")
            screen.enter("start", r"\$ ")
            screen.enter("task score", "best so far")
            process.send_signal(signal.SIGINT)
            screen.expect("--resume")
            screen.end()
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 4, output
        assert "--resume" in output
    left = subprocess.run([*COMMAND, "resume", "logs"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "re-bench human --resume" in left.stderr
    assert folder.read_result() is None
    done = subprocess.run(
        [*COMMAND, "resume", "logs", "--finalise"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    record = folder.read_result()
    assert record is not None
    assert record.valid
