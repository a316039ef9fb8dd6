"""A person's session through real terminals: recorded, paused, killed with SIGKILL, resumed, submitted."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest

from open_re_bench.analysis.logs import load
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.door import door_directory
from open_re_bench.harness.ledger import HEARTBEAT_S, LedgerTotals
from open_re_bench.harness.place import directory_of
from open_re_bench.harness.regrade import Verdict, regrade
from open_re_bench.people import recording
from open_re_bench.people.person import PersonFolder, SessionEvent
from open_re_bench.scoring.score_log import read as read_score_log

from ..people.sessions import attach, attempt_in, harness

PAUSE_S = 2.0
DEAD_S = 1.0
TICK_S = 0.05  # how often the background job says that it is alive
# Says the longest silence of the job, in seconds.
GAPS = (
    "python3 -c \"t=[float(l) for l in open('beat')]; "
    "print('longest', max(b-a for a,b in zip(t,t[1:])), 'of', len(t))\""
)


def ledger_of(folder: AttemptFolder) -> LedgerTotals:
    saved = json.loads(folder.ledger.read_text())
    return LedgerTotals.model_validate({key: saved[key] for key in LedgerTotals.model_fields})


def last(events: list[SessionEvent], name: str) -> SessionEvent:
    return [event for event in events if event.event == name][-1]


def test_a_session_is_paused_killed_resumed_and_submitted(tmp_path: Path) -> None:
    """Promise: a stopped clock charges nothing and runs nothing; SIGKILL of the harness costs no file, score, second
    or recording; the printed line resumes; the result is a row like any other's."""
    with harness(tmp_path, "optimize_kernel", "--scale", "test", "--budget", "10m", "--participant", "p1") as first:
        folder = attempt_in(tmp_path)
        person = PersonFolder(folder)
        with attach(folder) as screen:
            screen.expect("Do you agree")
            screen.enter("yes", "re-bench> ")
            screen.enter("start", r"\$ ")
            screen.enter("echo a mark of mine | tee kept.txt", r"[\r\n]a mark of mine")
            screen.enter("python3 -c 'print(1+1)' && echo '# a mark' >> solution/solution.py", r"[\r\n]2\r")
            screen.type(f"nohup sh -c 'while :; do date +%s.%N >> beat; sleep {TICK_S}; done' > /dev/null 2>&1 &\r")
            screen.enter("task score", "best so far")
            screen.enter("task stop", r"stands still.*\n.*\n.*re-bench> ")
            time.sleep(1.5 * HEARTBEAT_S)
            before = ledger_of(folder)
            time.sleep(PAUSE_S)
            after = ledger_of(folder)
            assert after.budget_s == before.budget_s
            assert after.working_s == before.working_s
            assert after.paused_s - before.paused_s > PAUSE_S - HEARTBEAT_S
            screen.enter("start", "runs again")
            gap = float(screen.enter(GAPS, r"[\r\n]longest ([\d.]+) of").group(1))
            assert gap > PAUSE_S + HEARTBEAT_S, "the background job ran while the clock was stopped"
            screen.enter("task note before the crash", "Noted")
            first.send_signal(signal.SIGKILL)
            screen.expect("re-bench human --resume")
            assert screen.end() == 5
    killed, scores = ledger_of(folder), read_score_log(folder.score_log)[0]
    assert len(scores) == 1
    assert folder.read_result() is None
    (cast,) = person.recordings()
    assert "a mark of mine" in recording.shown(cast)
    assert killed.budget_s >= last(person.events(), "noted").budget_s, "the ledger forgot what the record says"
    time.sleep(DEAD_S)
    for directory in (directory_of(folder.root.name), door_directory(folder.key)):
        shutil.rmtree(directory)  # as a reboot does

    with harness(tmp_path, "--resume", str(folder.root)) as second:
        with attach(folder) as screen:
            screen.expect("re-bench> ")
            assert "agree" not in screen.seen
            screen.enter("start", r"\$ ")
            screen.enter("cat kept.txt; tail -n 1 solution/solution.py", r"[\r\n]a mark of mine\r\n# a mark")
            screen.enter("n=$(wc -l < beat); sleep 0.5; echo $(($(wc -l < beat) - n)) more", r"[\r\n]0 more")
            screen.type("\x1d")
            screen.expect("re-bench> ")
            screen.enter("submit", "y/N")
            screen.enter("y", "Result on fresh inputs")
            for answer in ("7", "some", "yes", "1", "nothing", "0", "that was all"):
                screen.expect("> $")
                screen.type(f"{answer}\r")
            screen.expect("Thank you")
            assert screen.end() == 0
        output, _ = second.communicate(timeout=120)
        assert second.returncode == 0, output
    record = folder.read_result()
    assert record is not None
    assert record.valid
    assert record.participant_kind == "human"
    assert record.result_class == "local"
    assert record.ledger.paused_s >= killed.paused_s
    assert record.ledger.budget_s >= killed.budget_s
    assert ledger_of(folder).stopped_s >= DEAD_S
    # Charged is what ran between each start and the next stop, kill or end, scorings apart: no more.
    events = person.events()
    running, since = 0.0, None
    for event in events:
        seconds = event.budget_s
        if event.event == "started":
            since = seconds
        elif event.event in ("stopped", "closed") and since is not None:
            running, since = running + seconds - since, None
        elif event.event == "opened" and since is not None:
            running, since = running + killed.budget_s - since, None
    assert record.ledger.budget_s == pytest.approx(running, abs=HEARTBEAT_S)
    assert read_score_log(folder.score_log)[0][:1] == scores
    assert regrade(folder, rescore=False).verdict is Verdict.AGREES
    assert len(person.recordings()) == 2
    assert person.questionnaire().answers == {
        "years": "7",
        "experience": "some",
        "expectations": "yes",
        "issues": "none",
        "help": "nothing",
        "unstopped_minutes": "0",
        "remarks": "that was all",
    }
    (row,) = load([tmp_path / "logs"]).table.to_dict("records")
    assert row["agent"] == "human"
    assert row["participant_kind"] == "human"
    assert row["normalised"] == record.normalised
