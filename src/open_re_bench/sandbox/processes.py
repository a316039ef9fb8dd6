"""What the host sees in /proc of a sandbox's processes."""

from __future__ import annotations

import os
import time

from open_re_bench.sandbox.channel import process_cpu_ns

_STOPPED = frozenset("TtZX")  # stopped, traced, ended
# Runs or stands in line for a core. Not D: whoever made a child with vfork is in it for as long as the child sleeps.
_WANTS_TO_RUN = frozenset("R")
_POLL_SECONDS = 0.0005
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def of_namespace(pid: int) -> list[int]:
    """Host-side pids of every process in the pid namespace of process ``pid``, itself included."""
    try:
        wanted = os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return []
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.readlink(f"/proc/{name}/ns/pid") == wanted:
                    found.append(int(name))
            except OSError:
                continue
    return found


def tree_cpu_ns(pid: int) -> int:
    """CPU time of the processes below process 1 of a namespace: what lives exactly, ended children in ticks of 10 ms.

    Children that were never waited for by their parent (it ignores SIGCHLD) are not in it.
    """
    total = 0
    for process in of_namespace(pid):
        try:
            with open(f"/proc/{process}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            total += (int(fields[13]) + int(fields[14])) * TICK_NS  # cutime, cstime
            if process != pid:
                total += process_cpu_ns(process)
        except (OSError, IndexError, ValueError):
            continue
    return total


def wait_stopped(pid: int, seconds: float) -> bool:
    """Waits until every thread of the processes below process 1 of a namespace has stopped after a SIGSTOP.

    The signal takes effect when a thread next runs: one that is waiting in a system call has to be scheduled for it.

    Returns:
        False when some thread still was not stopped after `seconds` (it may keep waking itself).
    """
    deadline = time.monotonic() + seconds
    while any(_states(process) - _STOPPED for process in of_namespace(pid) if process != pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def want_to_run(pid: int) -> bool:
    """Whether any thread of the processes below process 1 of a namespace runs or would, if it were given a core."""
    return any(_states(process) & _WANTS_TO_RUN for process in of_namespace(pid) if process != pid)


def _states(pid: int) -> set[str]:
    """States of a process's threads; none when it has just ended."""
    states = set()
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/stat", "rb") as file:
                states.add(file.read().rpartition(b")")[2].split()[0].decode())
    except (OSError, IndexError):
        return set()
    return states
