"""Parts of a running attempt killed under it: scoring sandbox, workshop, model server. Whose failure it is, is said."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from inspect_ai.log import list_eval_logs, read_eval_log

from open_re_bench import registry
from open_re_bench.harness import attempt_folder
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.planning import plan_attempts
from open_re_bench.running import runner
from open_re_bench.scoring.score_log import read as read_score_log

from ..harness import model_server
from ..harness.conftest import SCORE, bash_step, finish, start_run, write_transcript

ROUNDS = 1
SEED = int(os.environ.get("OPEN_RE_BENCH_KILL_SEED", "20261121"))
SLOW_ROUNDS = int(os.environ.get("OPEN_RE_BENCH_SCORER_KILLS", "20"))
WAIT_S = 90.0


def sandboxes(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Sandboxes of a run, oldest first (the workshop's is the first)."""
    try:
        children = psutil.Process(process.pid).children()
    except psutil.NoSuchProcess:
        return []
    found = []
    for child in children:
        try:
            if child.name() == "bwrap":
                found.append((child.create_time(), child))
        except psutil.NoSuchProcess:
            continue
    return [child for _, child in sorted(found, key=lambda pair: pair[0])]


def wait_for_sandboxes(process: subprocess.Popen[str], number: int) -> list[psutil.Process]:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline and process.poll() is None:
        found = sandboxes(process)
        if len(found) >= number:
            return found
        time.sleep(0.01)
    return []


def only(log_dir: Path) -> AttemptFolder:
    (plan,) = (log_dir / "attempts").glob("*/plan.json")
    return AttemptFolder(plan.parent)


def check_scorer_killed(tmp_path: Path, kills: int, seed: int) -> None:
    """Kills scoring sandboxes at random moments, one a run; the failure is ours, retried, and costs nothing."""
    rng = random.Random(seed)
    transcript = write_transcript(tmp_path / "t.jsonl", [SCORE])
    number = done = 0
    while done < kills:
        number += 1
        log_dir = tmp_path / f"run-{number}"
        process = start_run(log_dir, transcript)
        found = wait_for_sandboxes(process, 2)
        assert found, f"seed={seed} round={number}: no scoring sandbox was seen"
        time.sleep(rng.uniform(0.0, 0.6))
        victims = sandboxes(process)[1:]
        for victim in victims[-1:]:
            victim.send_signal(signal.SIGKILL)
        done += len(victims[-1:])
        finish(process)
        entries, _ = read_score_log(only(log_dir).score_log)
        hint = f"seed={seed} round={number} killed={len(victims[-1:])}"
        assert all(entry.failure in (None, "infrastructure") for entry in entries), hint
        record = only(log_dir).read_result()
        assert record is not None, hint
        assert record.valid, f"{hint}: {record.message}"


def test_a_killed_scorer_is_our_failure_and_retried(tmp_path: Path) -> None:
    """The quick subset."""
    check_scorer_killed(tmp_path, ROUNDS, 1)


@pytest.mark.slow
def test_killed_scorers(tmp_path: Path) -> None:
    """Twenty scorers killed at random moments: never a participant's zero."""
    check_scorer_killed(tmp_path, SLOW_ROUNDS, SEED)


def test_a_killed_workshop_is_said_and_can_be_resumed(tmp_path: Path) -> None:
    """A workshop that dies is an error that names it, never a silent restart; scores and conversation are kept, the
    attempt resumes.
    """
    transcript = write_transcript(tmp_path / "t.jsonl", [SCORE, bash_step("sleep 60"), SCORE])
    log_dir = tmp_path / "logs"
    process = start_run(log_dir, transcript)
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        plans = list((log_dir / "attempts").glob("*/score-log.jsonl")) if log_dir.exists() else []
        if plans and plans[0].stat().st_size:
            break
        time.sleep(0.05)
    (workshop,) = wait_for_sandboxes(process, 1)[:1]
    time.sleep(0.5)
    workshop.send_signal(signal.SIGKILL)
    output, _ = process.communicate(timeout=200)
    assert "FAILED" in output
    assert "sandbox has ended" in output
    before, _ = read_score_log(only(log_dir).score_log)
    assert len(before) == 1
    finish(start_run(log_dir, write_transcript(tmp_path / "q.jsonl", [SCORE, bash_step("echo later"), SCORE])))
    newest = read_eval_log(list_eval_logs(str(log_dir))[0])
    assert newest.samples
    said = [message.text for message in newest.samples[0].messages]
    assert any("Scoring 1" in text for text in said), "the agent forgot its first scoring"
    after, _ = read_score_log(only(log_dir).score_log)
    assert after[:1] == before
    record = only(log_dir).read_result()
    assert record is not None
    assert record.valid


def test_a_killed_model_server_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider's process dies in the middle of a request and comes back: the wait is not charged."""
    steps = write_transcript(tmp_path / "steps.jsonl", [bash_step("echo a"), SCORE])

    def serve(faults: dict[int, str]) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, model_server.__file__, str(steps), json.dumps(faults)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    first, url = serve({1: "slow"})
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    monkeypatch.setenv("LOCAL_BASE_URL", url)
    monkeypatch.setenv("LOCAL_API_KEY", "none")
    bound = registry.environment("optimize_kernel", "test")
    (plan,) = plan_attempts(
        bound, runs=1, budget_s=300, agent="react", model="openai-api/local/recorded", kind="agent", batch="killed"
    )
    folder = attempt_folder.create(tmp_path, plan)
    second: list[subprocess.Popen[str]] = []

    def kill_and_restart() -> None:
        time.sleep(3.0)
        first.kill()
        first.wait()
        time.sleep(3.0)
        second.append(subprocess.Popen([sys.executable, model_server.__file__, str(steps), "{}", str(port)], text=True))

    import threading

    thread = threading.Thread(target=kill_and_restart)
    thread.start()
    try:
        runner.carry_out([folder], tmp_path, runner.RunOptions())
    finally:
        thread.join()
        for process in second:
            process.kill()
    record = folder.read_result()
    assert record is not None
    assert record.valid
