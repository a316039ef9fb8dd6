"""The tasks are plain Inspect: ``inspect eval`` works, and so do Inspect's own agents."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai.agent import Agent, AgentState, agent, react
from inspect_ai.log import list_eval_logs, read_eval_log
from inspect_ai.model import get_model
from inspect_ai.tool import bash

from open_re_bench.attempt import AttemptRecord, TaskRecord
from open_re_bench.errors import UserError
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.session import current_session
from open_re_bench.running.environment_tasks import environment_task

from ..harness.conftest import SCORE, bash_step, write_transcript

INSPECT = str(Path(sys.executable).parent / "inspect")


def task_arguments(**changed: object) -> dict[str, object]:
    values = {"scale": "test", "budget": "5m", "runs": 1, "sandbox": "bwrap", "log_dir": None, "batch": None}
    return {**values, **changed}


def test_inspect_eval_from_the_command_line(tmp_path: Path) -> None:
    """`inspect eval open_re_bench/optimize_kernel -T scale=test` runs an attempt and logs its record."""
    transcript = write_transcript(tmp_path / "t.jsonl", [SCORE])
    done = subprocess.run(
        [
            *(INSPECT, "eval", "open_re_bench/optimize_kernel", "-T", "scale=test", "-T", "budget=5m"),
            *("--model", "replay/any/test", "-M", f"transcript={transcript}", "--display", "plain"),
            *("--log-dir", str(tmp_path / "logs")),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "INSPECT_LOG_DIR": str(tmp_path / "logs")},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (info,) = list_eval_logs(str(tmp_path / "logs"))
    log = read_eval_log(info)
    assert log.status == "success"
    assert TaskRecord.model_validate(log.eval.metadata).environment == "optimize_kernel"
    assert log.samples
    assert log.samples[0].scores
    record = AttemptRecord.model_validate(log.samples[0].scores["attempt"].metadata)
    assert record.valid
    assert record.simulated
    assert record.agent == "react"
    assert record.model.startswith("replay/")


def test_inspects_own_react_agent(tmp_path: Path) -> None:
    """Inspect's react with nothing but a shell can score through the command and gets a result."""
    transcript = write_transcript(tmp_path / "t.jsonl", [bash_step("score"), bash_step("score --log")])
    task = environment_task("optimize_kernel", **task_arguments(log_dir=str(tmp_path)))  # type: ignore[arg-type]
    (log,) = inspect_eval(
        task,
        solver=react(tools=[bash(timeout=60)]),
        model=get_model("replay/any/test", transcript=str(transcript), memoize=False),
        log_dir=str(tmp_path),
        display="none",
    )
    assert log.status == "success"
    (plan,) = tmp_path.glob("attempts/*/plan.json")
    record = AttemptFolder(plan.parent).read_result()
    assert record is not None
    assert record.valid
    assert record.scorings == 1


def test_epochs_never_share_an_attempt(tmp_path: Path) -> None:
    """Of two epochs of one attempt one is refused, at once or by the mend `-T runs=K`; the other has its result."""
    transcript = write_transcript(tmp_path / "t.jsonl", [SCORE])
    task = environment_task("optimize_kernel", **task_arguments(log_dir=str(tmp_path)))  # type: ignore[arg-type]
    (log,) = inspect_eval(
        task,
        model=get_model("replay/any/test", transcript=str(transcript), memoize=False),
        epochs=2,
        log_dir=str(tmp_path),
        display="none",
    )
    assert log.samples
    errors = [sample.error.message for sample in log.samples if sample.error is not None]
    assert len(errors) == 1
    assert "state folder" in errors[0] or "-T runs=K" in errors[0]
    assert sum(bool(sample.scores) for sample in log.samples) == 1


@agent(name="stumbles")
def stumbling_agent() -> Agent:
    """Fails the first time, then scores."""
    tries: list[int] = []

    async def execute(state: AgentState) -> AgentState:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("stumbled")
        await current_session().score_text("scripted")
        return state

    return execute


def test_a_failed_sample_can_be_tried_again(tmp_path: Path) -> None:
    """`--retry-on-error`: the attempt goes on in a second workshop, and when it has ended its door's folder is gone."""
    task = environment_task("optimize_kernel", **task_arguments(log_dir=str(tmp_path)))  # type: ignore[arg-type]
    (sample,) = task.dataset
    assert sample.sandbox is not None
    door = Path(sample.sandbox.config.door)
    assert door.exists()
    (log,) = inspect_eval(
        task,
        solver=stumbling_agent(),
        model=get_model("none/none"),
        retry_on_error=1,
        log_dir=str(tmp_path),
        display="none",
    )
    assert log.samples
    assert log.samples[0].error is None
    (first,) = log.samples[0].error_retries or []
    assert "stumbled" in first.message
    (plan,) = tmp_path.glob("attempts/*/plan.json")
    record = AttemptFolder(plan.parent).read_result()
    assert record is not None
    assert record.valid
    assert not door.exists()


def test_only_our_own_watch_counts_work(tmp_path: Path) -> None:
    """Inspect's working limit knows nothing of free scorings or of standing aside, so that none is set: attempts end by
    the ledger, and the wall clock is the backstop.
    """
    task = environment_task("optimize_kernel", **task_arguments(log_dir=str(tmp_path)))  # type: ignore[arg-type]
    assert task.working_limit is None
    assert task.time_limit is not None


@pytest.mark.parametrize("budget", ["0", "-3m", "soon", "nan", "5 fortnights", ""])
def test_bad_budgets_are_refused(tmp_path: Path, budget: str) -> None:
    """A budget that is no duration is one line that shows the form."""
    with pytest.raises(UserError, match="90s, 30m or 2h"):
        environment_task("optimize_kernel", **task_arguments(budget=budget, log_dir=str(tmp_path)))  # type: ignore[arg-type]
