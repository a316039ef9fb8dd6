"""Shared parts of the harness tests: a recording written as Python data, and a run of it in another process."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

RUN = """
import sys
from pathlib import Path
from open_re_bench.harness import attempt_folder
from open_re_bench.running import runner
from open_re_bench import registry
from open_re_bench.harness.planning import plan_attempts
from open_re_bench.harness.conversation import recover

log_dir, transcript, budget, runs = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
agent = sys.argv[5]
bound = registry.environment("optimize_kernel", "test")
folders = attempt_folder.unfinished(log_dir) if (log_dir / "attempts").exists() else []
if folders:
    recover(log_dir, folders)
else:
    plans = plan_attempts(bound, runs=runs, budget_s=budget, agent=agent, model="replay/x/test", kind="scripted",
                          batch="t", simulated=True)
    folders = [attempt_folder.create(log_dir, plan) for plan in plans]
model_args = {"transcript": transcript, "by_call": agent == "aide"}
logs = runner.carry_out(folders, log_dir, runner.RunOptions(model_args=model_args))
for line in runner.failures(logs):
    print("FAILED", line)
"""


def write_transcript(path: Path, steps: Sequence[dict[str, Any]]) -> Path:
    """Writes a recording."""
    path.write_text("\n".join(json.dumps(step) for step in steps))
    return path


def bash_step(command: str) -> dict[str, Any]:
    """A recorded shell call."""
    return {"say": "next", "tool": "bash", "arguments": {"command": command}}


TAMPERED = "tampered-on-purpose"  # marks attempts that a test damages, for the test that regrades all others

SCORE: dict[str, Any] = {"say": "how good?", "tool": "score", "arguments": {}}


def start_run(
    log_dir: Path, transcript: Path, budget_s: float = 600, runs: int = 1, agent: str = "react"
) -> subprocess.Popen[str]:
    """Starts (or resumes) attempts in a process of their own, so that it can be killed."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(log_dir), str(transcript), str(budget_s), str(runs), agent],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = 240) -> str:
    """Waits for a run and returns what it printed."""
    try:
        output, _ = process.communicate(timeout=timeout)
    finally:
        process.kill()  # one that hangs would hold its lease beyond this test
    assert process.returncode == 0, output[-3000:]
    assert "FAILED" not in output, output[-3000:]
    return output


class FileWorkshop:
    """A workshop without a sandbox: one file, or none, lies in its ~/solution."""

    def __init__(self) -> None:
        self.content: bytes | None = b"nothing = 1"
        self.running = True

    async def snapshot(self) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            if self.content is not None:
                info = tarfile.TarInfo("solution.py")
                info.size = len(self.content)
                tar.addfile(info, io.BytesIO(self.content))
        return stream.getvalue()

    async def freeze(self) -> None:
        self.running = False

    async def thaw(self) -> None:
        await asyncio.sleep(0)
        self.running = True

    async def kill_participant(self) -> None:
        pass


@pytest.fixture(scope="session", autouse=True)
def _prepared() -> None:
    """The test-scale kernel environment, prepared once for all harness tests."""
    from open_re_bench import assets, registry

    assets.prepare(registry.environment("optimize_kernel", "test"))
