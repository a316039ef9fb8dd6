"""What is wrong with a run shows before anything is written; what cannot be taken up does not stop the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from open_re_bench.cli import main
from open_re_bench.errors import ExitCode, UserError
from open_re_bench.harness import attempt_folder
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.pricing import ModelPrice
from open_re_bench.running.crew import crew

from ..harness.conftest import SCORE, _prepared, bash_step, write_transcript

__all__ = ["_prepared"]
KEYS = ("OPENAI_API_KEY", "AZUREAI_OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_CLIENT_ID")


@pytest.fixture(autouse=True)
def _no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(docker.parent), prepend=":")
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> int:
    return main.run(["run", "optimize_kernel", "--scale", "test", "--max-tokens", "9999", *arguments])


def plan(log_dir: Path, number: int, agent: str = "start", model: str = "") -> AttemptFolder:
    """An attempt that is planned and never started."""
    from open_re_bench import registry
    from open_re_bench.harness.planning import plan_attempts

    bound = registry.environment("optimize_kernel", "test")
    (planned,) = plan_attempts(
        bound, runs=1, budget_s=60, agent=agent, model=model, kind="scripted", batch=f"b{number}",
        max_cost=5.0, prices={"openai/gpt-5": ModelPrice(input=1, output=10)},
    )  # fmt: skip
    return attempt_folder.create(log_dir, planned)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--model", "openai/gpt-5"), ExitCode.CANNOT_RUN_HERE, "No OPENAI_API_KEY"),
        (("--model", "anthropic/claude-sonnet-4-5"), ExitCode.CANNOT_RUN_HERE, "pip install anthropic"),
        (("--model", "gpt-5"), ExitCode.USAGE, "write it like openai/gpt-5"),
        (("--model", "nosuch/gpt-5"), ExitCode.USAGE, "not recognized"),
        (("--model", "mockllm/model", "--agent", "nosuch/agent"), ExitCode.USAGE, "No module named 'nosuch'"),
        (("--agent", "start", "--sandbox", "nope"), ExitCode.USAGE, "'nope' not recognized"),
        (("--agent", "start", "--sandbox", "docker"), ExitCode.CANNOT_RUN_HERE, "Cannot connect to the Docker daemon"),
        (("--agent", "start", "--model-role", "coder=openai/x"), ExitCode.CANNOT_RUN_HERE, "No OPENAI_API_KEY"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_set_up_is_one_line_and_leaves_nothing(
    arguments: tuple[str, ...], code: ExitCode, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Promise: a missing key, package, agent or sandbox is the user's line with its mend, and no attempt is planned."""
    if "anthropic" in said:
        with pytest.raises(ImportError):
            import anthropic  # noqa: F401
    assert run(*arguments) == code
    error = capfd.readouterr().err
    assert said in error
    assert "[bold]" not in error
    assert "defect of ours" not in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "logs").exists()


def test_resume_leaves_what_it_cannot_take_up_and_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Promise: a group without its agent and an attempt with a damaged result are said and left, the rest goes on."""
    log_dir = tmp_path / "logs"
    mistyped, twin, damaged = (plan(log_dir, 1, "nosuch/agent"), plan(log_dir, 2, "nosuch/agent"), plan(log_dir, 3))
    damaged.result_file.write_text('{"schema_version": 1, "attempt')
    good, of_inspect = plan(log_dir, 4), plan(log_dir, 5, agent="")
    code = main.run(["resume", str(log_dir)])
    error = capfd.readouterr().err
    assert good.read_result() is not None
    assert code == ExitCode.USAGE
    assert error.count("and those like it: agent 'nosuch/agent' cannot be built") == 1
    assert mistyped.root.name in error
    assert "result.json" in error
    assert f"{of_inspect.root.name} and those like it: `inspect eval` planned it" in error
    assert not mistyped.result_file.exists()
    assert not twin.result_file.exists()
    damaged.result_file.unlink()  # whoever regrades all attempts of the suite later reads this one too


def test_finalising_needs_no_key_and_leaves_what_never_started(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Promise: `resume --finalise` ends an attempt that has worked without its model's key, under that model's name;
    attempts that never started stay as they are and are no zeros."""
    log_dir = tmp_path / "logs"
    never, began = plan(log_dir, 1, "react", "openai/gpt-5"), plan(log_dir, 2, "react", "openai/gpt-5")
    began.ledger.write_text(json.dumps({
        "working_s": 20.0, "waiting_s": 1.0, "scoring_s": 0.0, "paused_s": 0.0, "budget_s": 20.0, "credit_s": 0.0,
        "stopped_s": 0.0, "free_scorings": [], "pauses": 0,
    }))  # fmt: skip
    assert main.run(["resume", str(log_dir), "--finalise"]) == ExitCode.OK
    assert "1 never started: left as they are" in capfd.readouterr().err
    assert never.read_result() is None
    record = began.read_result()
    assert record is not None
    assert (record.model, record.agent, record.valid) == ("openai/gpt-5", "react", True)
    assert record.ledger.budget_s == pytest.approx(20, abs=1)


def test_finalising_only_what_never_started_makes_no_result(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Promise: of attempts that were interrupted before they began none becomes a zero."""
    from open_re_bench.harness.ledger import Ledger

    log_dir = tmp_path / "logs"
    only_planned, set_up = plan(log_dir, 1), plan(log_dir, 2)
    ledger = Ledger(set_up.ledger, free_per_hour=1)
    with ledger.waiting():
        pass
    ledger.save()
    assert main.run(["resume", str(log_dir), "--finalise"]) == ExitCode.OK
    said = capfd.readouterr()
    assert "2 never started" in said.err
    assert "official" not in said.out
    assert (only_planned.read_result(), set_up.read_result()) == (None, None)


FAILING = """
from inspect_ai.agent import Agent, agent
from inspect_ai._util.error import PrerequisiteError

@agent
def failing() -> Agent:
    async def execute(state):
        raise PrerequisiteError("[bold]ERROR[/bold]: list[str] lacks it.\\n\\nInstall with: [bold]pip install x[/bold]")
    return execute
"""


def test_a_failure_is_said_with_its_mend(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Promise: the line of a failed attempt holds all that was said, in one line and without marks of colour."""
    (tmp_path / "failing.py").write_text(FAILING)
    code = run("--agent", "failing.py:failing", "--model", "mockllm/model")
    error = capfd.readouterr().err
    assert code == ExitCode.INFRASTRUCTURE
    (line,) = [line for line in error.splitlines() if line.startswith("failed: ")]
    assert line.endswith("ERROR: list[str] lacks it. Install with: pip install x")


@pytest.mark.parametrize("how", ["run", "dry run"])
def test_a_scale_that_cannot_run_here_is_refused_before_it_is_planned(
    how: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Promise: neither `run` nor `--dry-run` promises a scale that this machine or this release lacks: code 3."""
    arguments = ["--dry-run"] if how == "dry run" else []
    code = main.run(["run", "optimize_kernel", "--scale", "paper", "--agent", "start", *arguments])
    said = capfd.readouterr()
    assert code == ExitCode.CANNOT_RUN_HERE
    assert said.out == ""
    assert "preparing" not in said.err
    assert not (tmp_path / "logs").exists()


def test_arguments_of_the_model_reach_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Promise: `--agent replay --model-arg transcript=FILE` plays that recording, as docs/agents.md says; the document
    of `--json` holds an attempt's keys and no others."""
    from open_re_bench.attempt import AttemptRecord

    transcript = write_transcript(tmp_path / "t.jsonl", [SCORE, bash_step("echo '# a' >> solution/solution.py"), SCORE])
    assert run("--agent", "replay", "--model-arg", f"transcript={transcript}", "--json") == ExitCode.OK
    (attempt,) = json.loads(capfd.readouterr().out)["attempts"]
    assert attempt["scorings"] == 2
    assert attempt.keys() == {field.serialization_alias or name for name, field in AttemptRecord.model_fields.items()}


def test_settings_and_arguments_of_the_model_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: what Inspect sets for every model (temperature, ...) is set, all else is the provider's, and an
    argument that the provider does not take is the user's line."""
    pytest.importorskip("openai", reason="the OpenAI client is a development dependency")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    planned = plan(tmp_path / "logs", 1, "react", "openai/gpt-5").read_plan()
    given = {"temperature": 0.5, "reasoning_effort": "low", "organization": "mine"}
    made = crew(planned.model_copy(update={"model_args": given}))
    assert (made.model.config.temperature, made.model.config.reasoning_effort) == (0.5, "low")
    assert made.model.model_args == {"organization": "mine"}
    for wrong in ({"nonsense": 3}, {"temperature": "hot"}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            crew(planned.model_copy(update={"model_args": wrong}))
