"""The task under Inspect's own `human_cli`: somebody logs in on a terminal, scores, and submits."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from inspect_ai.log import list_eval_logs, read_eval_log

from open_re_bench.attempt import AttemptRecord

from ..people.terminal_driver import Typist

INSPECT = str(Path(sys.executable).parent / "inspect")
LOGIN_S = 120.0


def login_command(run: subprocess.Popen[str], shown: Path) -> list[str]:
    """The line that Inspect prints for whoever is to log in."""
    deadline = time.monotonic() + LOGIN_S
    while time.monotonic() < deadline and run.poll() is None:
        found = re.search(r"following command:\s+(\S.*?)\n\s*\n", shown.read_text(), re.DOTALL)
        if found:
            return shlex.split(found[1])
        time.sleep(0.2)
    raise AssertionError(shown.read_text())


def test_a_person_under_inspects_human_cli_scores_and_submits(tmp_path: Path) -> None:
    """The printed login line works; instructions, clock, `score` and `task submit` do; the attempt has a result."""
    shown = tmp_path / "shown.txt"
    with shown.open("w") as output:
        run = subprocess.Popen(
            [
                *(INSPECT, "eval", "open_re_bench/optimize_kernel", "-T", "scale=test", "-T", "budget=10m"),
                *("--solver", "inspect_ai/human_cli", "-S", "answer=false", "-S", "intermediate_scoring=true"),
                *("--model", "none/none", "--display", "plain", "--log-dir", str(tmp_path / "logs")),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "INSPECT_LOG_DIR": str(tmp_path / "logs")},
        )
    try:
        with Typist(login_command(run, shown), rows=60) as person:
            person.expect("prefix_sum")  # the task text
            person.expect(r"\$ ")
            person.enter("score", "Scoring 1: valid")
            person.enter("task submit", r"Yes \(y\) or No \(n\)")
            person.enter("y", "Thank you")
        assert run.wait(timeout=LOGIN_S) == 0, shown.read_text()
    finally:
        if run.poll() is None:
            run.kill()
            run.wait()
    (info,) = list_eval_logs(str(tmp_path / "logs"))
    (sample,) = read_eval_log(info).samples or []
    assert sample.scores
    record = AttemptRecord.model_validate(sample.scores["attempt"].metadata)
    assert record.valid
    assert record.scorings == 1
    assert record.ledger.budget_s > 0
