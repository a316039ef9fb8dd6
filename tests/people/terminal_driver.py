"""Drives a real terminal: starts a program on a pseudo-terminal of its own, waits for what it shows, types."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

WAIT_S = 60.0  # a busy machine's worst case; nothing here measures time


class Typist:
    """A program on a terminal, and somebody who reads and types.

    Args:
        command: The program.
        cwd: Its working directory.
        rows, cols: The window.
        env: Its environment; None for this process's.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path | None = None,
        rows: int = 30,
        cols: int = 100,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._fd, theirs = os.openpty()
        self.resize(rows, cols)
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self.seen = ""
        self._at = 0

    def resize(self, rows: int, cols: int) -> None:
        """Gives the window another size."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def _read(self, seconds: float) -> bool:
        if not select.select([self._fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)

    def expect(self, pattern: str, seconds: float = WAIT_S) -> re.Match[str]:
        """Waits until the screen shows `pattern` after what was expected last."""
        deadline, going = time.monotonic() + seconds, True
        while True:
            found = re.compile(pattern).search(self.seen, self._at)
            if found:
                self._at = found.end()
                return found
            assert going, f"{pattern!r} never came; the program ended: ...{self.seen[-1500:]!r}"
            assert time.monotonic() < deadline, f"{pattern!r} did not come: ...{self.seen[self._at :][-1500:]!r}"
            going = self._read(0.2)

    def type(self, text: str) -> None:
        """Types `text`."""
        os.write(self._fd, text.encode())

    def enter(self, line: str, pattern: str, seconds: float = WAIT_S) -> re.Match[str]:
        """Types a line and waits for what it leads to (after the echo of the line itself)."""
        self.type(f"{line}\r")
        return self.expect(pattern, seconds)

    def end(self, seconds: float = WAIT_S) -> int:
        """Waits for the program's end; its exit code."""
        deadline = time.monotonic() + seconds
        while self._read(0.2) and self.process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on: ...{self.seen[-1500:]!r}"
        return self.process.wait(timeout=max(1.0, deadline - time.monotonic()))

    def __enter__(self) -> Typist:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._fd)
