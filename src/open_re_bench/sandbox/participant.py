"""What the host does to the whole process tree of a participant: stop it, count it, end it, copy its files."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

from open_re_bench.sandbox import cgroup, launch, mounts, processes
from open_re_bench.sandbox.inhabited import PIPE, Inhabited
from open_re_bench.sandbox.mounts import AGENT
from open_re_bench.sandbox.spec import Limits

TAR_END_SECONDS = 10.0
UNREADABLE = 2  # tar's exit code when something could not be read at all
STOP_SECONDS = 1.0  # for SIGSTOP to reach every thread; one that keeps waking itself is told by its CPU time


class CannotCopy(OSError):
    """The participant's files cannot be copied as they are; the text is for the participant and names the mend."""


class Participant(Inhabited):
    """The participant's processes in a sandbox, all together."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__(None, environment, Limits())
        self._group: cgroup.ControlGroup | None = None
        self._pid = -1  # of process 1, host-side
        self._lock = threading.RLock()
        self._guardian: subprocess.Popen[bytes] | None = None
        self._frozen_at_ns: int | None = None
        self._frozen_since = 0.0
        self._frozen_total = 0.0

    @property
    def controllers(self) -> frozenset[str]:
        """Control group features in force: ``memory``, ``pids``, ``freezer``, ``cpuacct``."""
        return self._group.controllers if self._group is not None else frozenset()

    @property
    def frozen(self) -> bool:
        """Whether its participant is stopped."""
        return self._frozen_at_ns is not None

    def freeze(self) -> None:
        """Stop every process of the participant; returns when all have stopped. No effect when frozen already.

        With a freezer nothing inside can resist. Without one it is a single SIGSTOP to the whole namespace, which a
        timer that sends SIGCONT can undo: `thaw` therefore reports CPU time used meanwhile.
        """
        with self._lock:
            if self._frozen_at_ns is not None:
                return
            if self._group is not None and "freezer" in self.controllers:
                if self._guardian is None and self._group.version == 1 and (file := self._group.thaw_file()):
                    self._guardian = launch.thaw_on_death(*file)
                self._group.freeze()
            else:
                self.control.call("signal_all", {"signal": int(signal.SIGSTOP)})
                processes.wait_stopped(self._pid, STOP_SECONDS)
            self._frozen_at_ns = self.cpu_ns()
            self._frozen_since = time.monotonic()

    def thaw(self) -> int:
        """Let the participant go on.

        Returns:
            CPU time in nanoseconds that it used while frozen: 0 unless something is wrong (or below the resolution).
        """
        with self._lock:
            if self._frozen_at_ns is None:
                return 0
            used = self.cpu_ns() - self._frozen_at_ns
            if self._group is not None and "freezer" in self.controllers:
                self._group.thaw()
            else:
                self.control.call("signal_all", {"signal": int(signal.SIGCONT)})
            self._not_frozen()
            return max(0, used)

    def _not_frozen(self) -> None:
        if self._frozen_at_ns is not None:
            self._frozen_total += time.monotonic() - self._frozen_since
        self._frozen_at_ns = None

    def frozen_seconds(self) -> float:
        """How long it has been frozen so far, all freezes together; time limits of commands do not run meanwhile."""
        now = time.monotonic() - self._frozen_since if self._frozen_at_ns is not None else 0.0
        return self._frozen_total + now

    def kill_participant(self) -> None:
        """End every process inside but process 1, frozen or not; returns when none is left."""
        with self._lock:
            if self._group is not None:
                self._group.thaw()
            self._not_frozen()
            self.control.call("end_all")

    def cpu_ns(self) -> int:
        """CPU time of the participant's whole process tree since the start, in nanoseconds, read from outside.

        From the control group where there is one: exact, ended processes included. Otherwise summed over what runs
        and what its parents have waited for: a lower bound, with a resolution of 10 ms for ended children.
        """
        used = self._group.cpu_ns() if self._group is not None else None
        return processes.tree_cpu_ns(self._pid) if used is None else used

    def wants_to_run(self) -> bool:
        """Whether anything of the participant runs, or would if the machine gave it a core; else it only waits."""
        return processes.want_to_run(self._pid)

    def memory_peak(self) -> int | None:
        """Largest memory use of the participant so far in bytes; None where it is not counted."""
        return self._group.memory_peak() if self._group is not None else None

    def oom_kills(self) -> int | None:
        """Participant's processes killed for exceeding the memory limit; None where they are not counted."""
        return self._group.oom_kills() if self._group is not None else None

    def snapshot(self, folders: list[str], *, limit: int, user: str = AGENT) -> Iterator[bytes]:
        """A tar stream of folders, made inside the namespace; works while frozen.

        Treat it as hostile: it says what the participant's files say.

        Args:
            folders: Absolute or relative to the home; member names are relative to each. Missing ones are left out, and
                so are those that a link has moved out of the home.
            limit: Largest stream in bytes.

        Raises:
            CannotCopy: more than the limit, or something that its own owner cannot read.
            OSError: tar failed otherwise.
        """
        argv = ["/bin/tar", "--create", "--file=-", "--ignore-failed-read", "--warning=none"]
        for folder in folders:
            path = os.path.join(mounts.HOME, folder)
            real = self.run(["/usr/bin/realpath", "--canonicalize-existing", path], user=user, participant=False)
            moved = path.startswith(mounts.HOME) and not real.stdout.startswith(f"{mounts.HOME}/".encode())
            if moved:
                continue
            if self.run(["/usr/bin/test", "-d", path], user=user, participant=False).code == 0:
                argv += ["--directory", path, "."]
        if len(argv) == 5:
            argv += ["--files-from=/dev/null"]
        with self.spawn(argv, user=user, stdout=PIPE, participant=False) as process:
            assert process.stdout is not None
            total = 0
            while chunk := process.stdout.read(1 << 18):
                total += len(chunk)
                if total > limit:
                    raise CannotCopy(
                        errno.EFBIG,
                        f"it holds more than {limit // 1_000_000:,} MB; move what is not submitted elsewhere",
                    )
                yield chunk
            code = process.wait(TAR_END_SECONDS).code
            if code == UNREADABLE:
                raise CannotCopy(errno.EACCES, "parts of it cannot be read; give yourself permission (chmod -R u+rwX)")
            if code not in (0, 1):  # 1: a file changed while it was read
                raise OSError(5, f"tar ended with code {code}", "snapshot")
