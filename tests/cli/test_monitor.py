"""`re-bench monitor` on stored attempts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from open_re_bench.cli import main
from open_re_bench.errors import ExitCode
from open_re_bench.harness import attempt_folder
from tests.analysis.attempt_logs import attempt
from tests.faults.writer import PLAN


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two finished attempts; the first is flagged."""
    for name, flags in (("first", ["probes: command 3"]), ("second", [])):
        folder = attempt_folder.create(tmp_path / "logs", PLAN.model_copy(update={"attempt_id": name}))
        folder.write_result(attempt(name, flags=flags))
    return tmp_path / "logs"


def test_one_damaged_result_hides_no_other(logs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A result cut short is named and passed over, with exit code 1; the flags of the others are shown."""
    assert main.run(["monitor", str(logs), "--json"]) == ExitCode.OK
    whole = json.loads(capfd.readouterr().out)
    file = logs / "attempts" / "second" / "result.json"
    file.write_bytes(file.read_bytes()[:100])
    assert main.run(["monitor", str(logs), "--json"]) == ExitCode.FINDING
    out, err = capfd.readouterr()
    assert json.loads(out) == whole[:1]
    assert "passed over second" in err
    assert main.run(["monitor", str(logs)]) == ExitCode.FINDING
    assert "probes: command 3" in capfd.readouterr().out


def test_a_verdict_about_no_attempt_is_refused(logs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Who decides and forgets to say about what is told so: a decision is never silently lost."""
    assert main.run(["monitor", str(logs), "--verdict", "cheat"]) == ExitCode.USAGE
    assert "--decide ATTEMPT" in capfd.readouterr().err
    decision = ["--decide", "first", "--verdict", "cheat", "--by", "jo", "--why", "command 3 reads the answers"]
    assert main.run(["monitor", str(logs), *decision]) == ExitCode.OK
    capfd.readouterr()
    assert main.run(["monitor", str(logs), "--json"]) == ExitCode.OK
    assert json.loads(capfd.readouterr().out)[0]["decision"] == "cheat"


def test_a_decision_that_cannot_be_written_is_named(logs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Logs that cannot be written are no failure on our side."""
    (logs / "decisions.json.new").mkdir()  # root, who runs tests in containers, is refused by nothing else
    decision = ["--decide", "first", "--verdict", "cheat", "--by", "jo", "--why", "command 3 reads the answers"]
    assert main.run(["monitor", str(logs), *decision]) == ExitCode.CANNOT_RUN_HERE
    assert f"{logs / 'decisions.json'}: cannot be written (" in capfd.readouterr().err
