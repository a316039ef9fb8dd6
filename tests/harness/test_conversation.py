"""Which conversation a resumed agent remembers: that of the newest log in which its attempt came to speak."""

from __future__ import annotations

import os
from pathlib import Path

from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSample, EvalSpec, write_eval_log
from inspect_ai.log import EvalError as SampleError
from inspect_ai.model import ChatMessageAssistant, ChatMessageUser

from open_re_bench.harness import attempt_folder, conversation
from open_re_bench.harness.attempt_folder import AttemptFolder, AttemptPlan, now_text


def planned(log_dir: Path) -> AttemptFolder:
    plan = AttemptPlan(
        attempt_id="a-1",
        environment="no_environment",
        scale="test",
        version="1-a",
        task_version=1,
        budget_s=10.0,
        agent="react",
        model="x/y",
        participant_kind="agent",
        instance_seed="00",
        planned_at=now_text(),
    )
    return attempt_folder.create(log_dir, plan)


def logged(log_dir: Path, age_s: float, *said: str) -> None:
    """A run that ended well although its one sample did not, so many seconds ago."""
    sample = EvalSample(
        id="a-1",
        epoch=1,
        input="task",
        target="",
        messages=[ChatMessageUser(content="task"), *(ChatMessageAssistant(content=text) for text in said)],
        error=SampleError(message="the sandbox has ended", traceback="", traceback_ansi=""),
    )
    spec = EvalSpec(created=now_text(), task="t", dataset=EvalDataset(), model="x/y", config=EvalConfig())
    path = log_dir / f"2026-01-01T00-00-00_t_{int(age_s)}.eval"
    write_eval_log(EvalLog(eval=spec, status="success", samples=[sample]), str(path))
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age_s))


def remembered(log_dir: Path, folder: AttemptFolder) -> list[str]:
    conversation.recover(log_dir, [folder])
    return [message.text for message in conversation.load(folder)]


def test_an_error_of_ours_does_not_cost_the_conversation(tmp_path: Path) -> None:
    """A sample that ended in an error is remembered although its run ended well, and the newest one is taken."""
    folder = planned(tmp_path)
    logged(tmp_path, 200, "old")
    logged(tmp_path, 100, "old", "new")
    assert remembered(tmp_path, folder) == ["task", "old", "new"]


def test_a_set_up_that_failed_hides_nothing(tmp_path: Path) -> None:
    """Where resuming failed before the agent came to speak, the next resumption goes back to what it said before."""
    folder = planned(tmp_path)
    logged(tmp_path, 200, "before")
    logged(tmp_path, 100)
    assert remembered(tmp_path, folder) == ["task", "before"]
