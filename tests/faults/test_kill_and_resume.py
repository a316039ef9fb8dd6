"""A harness killed with SIGKILL at any moment: nothing scored is lost, no second is invented, the attempt goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from inspect_ai.log import list_eval_logs, read_eval_log

from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.regrade import Verdict, regrade
from open_re_bench.scoring.score_log import ScoreEntry
from open_re_bench.scoring.score_log import read as read_score_log

from ..harness.conftest import SCORE, bash_step, finish, start_run, write_transcript

SEED = int(os.environ.get("OPEN_RE_BENCH_KILL_SEED", "20261121"))
QUICK_KILLS = 1  # two more in `test_resuming_twice...`; hundreds of cheaper ones in `test_stores_killed`
SLOW_KILLS = int(os.environ.get("OPEN_RE_BENCH_KILLS", "200"))  # a campaign can be run in parts, each with its seed
LONGEST_S = 9.0  # an uninterrupted run of the recording takes about this long after its start-up


def recording(path: Path) -> Path:
    steps = [
        bash_step("echo one >> ~/kept.txt; rm ~/task.md"),
        SCORE,
        bash_step("echo '# a' >> solution/solution.py; sleep 0.5"),
        SCORE,
        bash_step("echo two >> ~/kept.txt; sleep 0.5"),
        bash_step("score"),
        bash_step("cat ~/kept.txt; ls ~/task.md"),
    ]
    return write_transcript(path, steps)


def folder_of(log_dir: Path) -> AttemptFolder | None:
    plans = list((log_dir / "attempts").glob("*/plan.json"))
    return AttemptFolder(plans[0].parent) if plans else None


def budget_of(folder: AttemptFolder) -> float:
    return float(json.loads(folder.ledger.read_text())["budget_s"]) if folder.ledger.exists() else 0.0


def entries_of(folder: AttemptFolder) -> list[ScoreEntry]:
    return read_score_log(folder.score_log, tolerate_partial_tail=True)[0]


def kill_after(process: subprocess.Popen[str], seconds: float, log_dir: Path) -> bool:
    """Waits until the attempt is under way, then `seconds` more, then kills without warning; False: it had ended."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        folder = folder_of(log_dir)
        if folder is not None and folder.ledger.exists():
            break
        time.sleep(0.02)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def check_campaign(tmp_path: Path, kills: int, seed: int) -> None:
    """Kills runs at random moments, resuming each time; checks the invariants after every kill."""
    random_ = random.Random(seed)
    transcript = recording(tmp_path / "t.jsonl")
    done = attempt = 0
    while done < kills:
        attempt += 1
        log_dir = tmp_path / f"run-{attempt}"
        before: list[ScoreEntry] = []
        used = 0.0
        while done < kills:
            process = start_run(log_dir, transcript)
            done += kill_after(process, random_.uniform(0.0, LONGEST_S), log_dir)
            folder = folder_of(log_dir)
            if folder is None:
                continue
            hint = f"seed={seed} kill={done} in {log_dir}"
            now = entries_of(folder)
            assert now[: len(before)] == before, f"a recorded score was lost, changed or reordered: {hint}"
            assert budget_of(folder) >= used - 1e-9, f"budget used decreased: {hint}"
            before, used = now, budget_of(folder)
            if folder.read_result() is not None:
                break
        folder = folder_of(log_dir)
        if folder is None:
            continue
        if folder.read_result() is None:
            finish(start_run(log_dir, transcript))
        assert entries_of(folder)[: len(before)] == before
        record = folder.read_result()
        assert record is not None
        assert record.valid, f"seed={seed}: {record.message}"
        assert record.ledger.budget_s >= used - 1e-9
        outcome = regrade(folder, rescore=False)
        assert outcome.verdict is Verdict.AGREES, f"seed={seed}: {outcome.problems}"
        assert not alive(folder), f"seed={seed}: processes of the workshop survived"


def alive(folder: AttemptFolder) -> str:
    return subprocess.run(
        ["pgrep", "-af", f"bwrap.*{folder.root.name}"], capture_output=True, text=True, check=False
    ).stdout


def test_killed_at_a_random_moment_resumes_and_finishes(tmp_path: Path) -> None:
    """The quick subset of the kill campaign."""
    check_campaign(tmp_path, QUICK_KILLS, SEED)


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path) -> None:
    """No invariant breaks in 200 kills at random moments (seeded; the seed is printed on failure)."""
    check_campaign(tmp_path, SLOW_KILLS, SEED + 1)


def test_resuming_twice_keeps_files_scores_and_conversation(tmp_path: Path) -> None:
    """Two kills in a row: files, scores and budget are kept, and the agent goes on where its conversation stopped."""
    transcript, log_dir = recording(tmp_path / "t.jsonl"), tmp_path / "logs"

    def until(scorings: int) -> None:
        process = start_run(log_dir, transcript)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and process.poll() is None:
            folder = folder_of(log_dir)
            if folder is not None and folder.score_log.exists() and len(entries_of(folder)) >= scorings:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    until(1)
    folder = folder_of(log_dir)
    assert folder is not None
    first, spent = entries_of(folder), budget_of(folder)
    assert len(first) >= 1
    until(2)
    second = entries_of(folder)
    assert second[: len(first)] == first
    assert budget_of(folder) >= spent
    finish(start_run(log_dir, transcript))
    record = folder.read_result()
    assert record is not None
    assert record.valid
    logs = [read_eval_log(info) for info in list_eval_logs(str(log_dir)) if "recovered" not in info.name]
    last = max(logs, key=lambda log: log.eval.created)
    assert last.samples
    messages = last.samples[0].messages
    assert any("restarted" in message.text for message in messages)
    outputs = [message.text.split() for message in messages if message.role == "tool"]
    listings = [words for words in outputs if "two" in words]  # what `cat ~/kept.txt` printed
    assert listings, outputs
    assert listings[-1].count("one") == 1, "the agent forgot its first turn and did it again"
    assert "cannot access" in " ".join(listings[-1]), "a start file that the participant deleted was put back"
