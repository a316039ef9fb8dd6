"""Sessions of people in tests: the harness in a process of its own, clients on terminals of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from open_re_bench.harness.attempt_folder import AttemptFolder

from .terminal_driver import WAIT_S, Typist

COMMAND = [sys.executable, "-m", "open_re_bench.cli.main"]


@contextmanager
def harness(folder: Path, *arguments: str, ready: str = "go on with:") -> Iterator[subprocess.Popen[str]]:
    """Serves a session with ``logs`` below `folder`; ended at the end, however the test went."""
    command = [*COMMAND, "human", *arguments]
    if "--resume" not in arguments:
        command += ["--log-dir", "logs"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        said = ""
        while ready not in said:
            line = process.stdout.readline()
            assert line, f"the harness ended: {said}"
            said += line
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def attempt_in(folder: Path) -> AttemptFolder:
    """The one attempt of a session."""
    (plan,) = (folder / "logs" / "attempts").glob("*/plan.json")
    return AttemptFolder(plan.parent)


def attach(folder: AttemptFolder) -> Typist:
    """A client on a terminal of its own."""
    return Typist([*COMMAND, "attach", str(folder.root)])


def until(condition: object, seconds: float = WAIT_S) -> None:
    """Waits until a callable says yes."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
