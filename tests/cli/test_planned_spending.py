"""`run --dry-run` says what attempts would take and which limits they keep; wrong options are one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from open_re_bench.cli import main
from open_re_bench.errors import ExitCode

PAID = "openai/gpt-5"


def answer(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    """Exit code, parsed stdout, stderr of ``run optimize_kernel --dry-run --json`` with `arguments`."""
    capfd.readouterr()
    code = main.run(["run", "optimize_kernel", "--scale", "test", "--dry-run", "--json", *arguments])
    out, err = capfd.readouterr()
    return code, json.loads(out) if out.strip() else None, err


@pytest.fixture
def prices(tmp_path: Path) -> str:
    file = tmp_path / "prices.yaml"
    file.write_text(f"{PAID}: {{input: 1.0, output: 10.0}}\n")
    return str(file)


def test_estimates_per_attempt(capfd: pytest.CaptureFixture[str], prices: str) -> None:
    """Time, tokens and dollars of each attempt and of all; a paid model gets a limit by default and says so."""
    code, said, err = answer(
        capfd, "--model", PAID, "--budget", "4h", "--runs", "2", "--model-cost-config", prices
    )  # fmt: skip
    assert code == ExitCode.OK
    assert said["working_hours"] == 8
    first = said["attempts"][0]
    assert first["estimated_input_tokens"] == 14_500_000  # half of the paper's 29 M in 8 hours
    assert first["estimated_cost_usd"] == pytest.approx(14.5 + 2.495)
    assert said["estimated_cost_usd"] == pytest.approx(2 * first["estimated_cost_usd"])
    assert first["max_cost"] == 80.0
    assert "$80.00 at most" in err


def test_free_runs_cost_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Recordings and scripted participants need no limit and estimate nothing."""
    code, said, err = answer(capfd, "--agent", "start")
    assert (code, said["estimated_cost_usd"], said["attempts"][0]["max_cost"]) == (ExitCode.OK, 0.0, None)
    assert "at most" not in err


def test_roles_and_arguments_are_planned(capfd: pytest.CaptureFixture[str], prices: str) -> None:
    """The coder and the agent's arguments are part of the plan, so that a resume uses the same."""
    code, said, _ = answer(
        capfd, "--model", PAID, "--model-role", "coder=ollama/small", "--max-tokens", "5000",
        "--agent-arg", "seed=3", "--agent", "aide",
    )  # fmt: skip
    assert code == ExitCode.OK
    plan = said["attempts"][0]
    assert plan["model_roles"] == {"coder": "ollama/small"}
    assert plan["agent_args"] == {"seed": 3}
    assert (plan["max_cost"], plan["max_tokens"]) == (None, 5000)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", PAID), "the price of openai/gpt-5 is not known and nothing limits its use"),
        (("--model", PAID, "--max-cost", "3"), "--max-cost cannot be kept"),
        (("--agent", "start", "--model-role", "coder=openai/x"), "the price of openai/x is not known"),
        (("--model", PAID, "--max-tokens", "9", "--model-role", f"coder={PAID}"), "is the evaluated model"),
        (("--agent", "start", "--model-role", "judge=ollama/x"), "unknown role 'judge'"),
        (("--agent", "start", "--agent-arg", "=3"), "names nothing"),
        (("--agent", "start", "--agent-arg", "a=["), "is not YAML"),
        (("--agent", "start", "--model-arg", "temperature=1"), "agent start uses no model"),
        (("--model", "ollama/x", "--model-arg", "api_key=k"), "PROVIDER_API_KEY"),
        (("--agent", "start", "--budget", ""), "is not a budget"),
        (("--agent", "start", "--budget", "2"), "write it like 90s, 30m or 2h"),
        (("--agent", "start", "--budget", "1m30"), "is not a budget"),
        (("--model", "ollama/x", "--agent", "nosuch/agent"), "No module named 'nosuch'"),
        (("--agent", "start", "--sandbox", "nope"), "'nope' not recognized"),
    ],
)
def test_wrong_options_are_one_line(arguments: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing runs, and one line says what to give instead."""
    code, out, err = answer(capfd, *arguments)
    assert code == ExitCode.USAGE
    assert out is None
    assert said in err
    assert len(err.strip().splitlines()) <= 2


def test_settings_of_the_model_are_planned(capfd: pytest.CaptureFixture[str]) -> None:
    """`--model-arg` is part of the plan, so that a resume asks the model alike."""
    code, said, _ = answer(
        capfd, "--model", PAID, "--max-tokens", "5000", "--model-arg", "temperature=0.5", "--model-arg", "user=x"
    )  # fmt: skip
    assert code == ExitCode.OK
    assert said["attempts"][0]["model_args"] == {"temperature": 0.5, "user": "x"}


@pytest.mark.parametrize(("text", "hours"), [("90s", 0.025), ("1h30m", 1.5), ("1h 30min", 1.5), ("0.5h", 0.5)])
def test_budgets(text: str, hours: float, capfd: pytest.CaptureFixture[str]) -> None:
    """A budget may have several parts."""
    code, said, _ = answer(capfd, "--agent", "start", "--budget", text)
    assert (code, said["working_hours"]) == (ExitCode.OK, pytest.approx(hours))
