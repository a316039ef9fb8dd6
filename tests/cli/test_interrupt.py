"""Ctrl-C at any moment: one line, exit code 4, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from open_re_bench.errors import ExitCode
from open_re_bench.sandbox import runtime

EXAMPLE = Path(__file__).parents[2] / "examples" / "sorting_network"
WAIT_S = 120


def test_interrupting_a_check_leaves_nothing_behind(tmp_path: Path) -> None:
    """A battery interrupted in the middle ends with one line and code 4; no scratch folder, no sandbox stays."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    command = [sys.executable, "-m", "open_re_bench.cli.main", "check", "--folder", str(EXAMPLE), "--scale", "test"]
    environment = {**os.environ, "TMPDIR": str(scratch), "OPEN_RE_BENCH_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**environment, "PYTHONUNBUFFERED": "1"}
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "no_op" in line:  # sandboxes have started and ended by now, and more are to come
                break
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=WAIT_S)
    assert running.returncode == ExitCode.INTERRUPTED, errors
    assert "Traceback" not in errors
    assert errors.strip().splitlines()[-1] == "re-bench: interrupted; run the same command again to continue"
    assert [path.name for path in scratch.iterdir() if path.name.startswith("open-re-bench")] == []
    runtime.sweep()  # whatever a killed harness of anybody's left on this machine
    assert runtime.sweep(dry_run=True) == []


def test_interrupting_prepare_leaves_no_half_built_assets(tmp_path: Path) -> None:
    """What prepare was building when it was interrupted does not count as prepared and is gone."""
    import shutil

    folder = shutil.copytree(EXAMPLE, tmp_path / "environment")
    (folder / "prepare.py").write_text(
        "import time\ndef prepare(build):\n"
        "    (build.assets.public / 'half.txt').write_text('half')\n"
        "    build.progress('building')\n    time.sleep(60)\n"
    )
    cache = tmp_path / "cache"
    command = [sys.executable, "-m", "open_re_bench.cli.main", "prepare", "--folder", str(folder), "--scale", "test"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPEN_RE_BENCH_CACHE": str(cache)},
    ) as running:
        assert running.stderr is not None
        assert "building" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=WAIT_S)
    assert running.returncode == ExitCode.INTERRUPTED, errors
    assert [path for path in (cache / "assets").rglob("*") if path.is_file() and path.suffix != ".lock"] == []


SLEEPER = """
import asyncio
from pathlib import Path
from inspect_ai.agent import Agent, agent

@agent
def sleeper() -> Agent:
    async def execute(state):
        Path("works").write_text("")
        await asyncio.sleep(600)
        return state
    return execute
"""


def test_interrupting_run_and_resume_says_how_to_go_on(tmp_path: Path) -> None:
    """Promise: Ctrl-C in `run`, and again in the `resume` that it names, ends with code 4 and that line; no result."""
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    run = ["run", "optimize_kernel", "--scale", "test", "--agent", "sleeper.py:sleeper", "--model", "mockllm/model"]
    for arguments in (run, ["resume", "logs"]):
        with subprocess.Popen(
            [sys.executable, "-m", "open_re_bench.cli.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        ) as running:
            deadline = time.monotonic() + WAIT_S
            while not (tmp_path / "works").exists() and running.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate(timeout=WAIT_S)
        assert (tmp_path / "works").exists(), errors
        (tmp_path / "works").unlink()
        assert running.returncode == ExitCode.INTERRUPTED, errors
        assert "Traceback" not in errors
        assert errors.strip().splitlines()[-1] == "1 unfinished; nothing is lost. Go on with: re-bench resume logs"
        assert list(tmp_path.glob("logs/attempts/*/result.json")) == []
