"""Which sandbox this machine can give, and what that one guarantees.

Found out by starting one and looking, never by reading settings: half of the settings that matter (seccomp filters of
a container, AppArmor profiles) can't be read.
"""

from __future__ import annotations

import os
import subprocess
from functools import lru_cache
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from open_re_bench.errors import InfrastructureError
from open_re_bench.sandbox import kept_home, launch
from open_re_bench.sandbox.bubblewrap import Sandbox, best_mode
from open_re_bench.sandbox.diagnosis import setting
from open_re_bench.sandbox.spec import SandboxSpec

PROBE_SECONDS = 20.0
# One word per line, in the order of `_Observed`. Run by the participant inside a sandbox that holds nothing but us.
PROBE = r"""
grep -c ':' /proc/net/dev
readlink /proc/self/ns/mnt /proc/self/ns/pid /proc/self/ns/ipc /proc/self/ns/uts /proc/self/ns/net | sort | tr '\n' ' '
echo
awk '/^Seccomp:/ {print $2}' /proc/self/status
if unshare --user true 2>/dev/null; then echo open; else echo blocked; fi
stat -c %u /proc/1
id -u
awk '/^NoNewPrivs:/ {print $2}' /proc/self/status
"""
DELEGATE = "start it as `systemd-run --user --scope -p Delegate=yes re-bench ...`, or as root"


class Row(NamedTuple):
    """One line of the guarantees' table."""

    name: str
    value: str
    full: bool


class Guarantees(BaseModel):
    """What a sandbox on this machine guarantees; kept in every receipt.

    Attributes:
        mode: ``root`` or ``unprivileged``.
        bubblewrap: Its version.
        namespaces: Own mount, pid, ipc, host name and network namespaces, none shared with the host.
        network: What is reachable.
        separate_users: Participant, process 1 of the sandbox and the harness are three different users.
        memory_limit: ``total`` over all processes (control group) or ``per process`` only.
        process_limit: ``total`` (control group) or ``per user``.
        freezer: ``control group`` (nothing inside can resist) or ``signal`` (one SIGSTOP to all).
        cpu_accounting: ``control group`` (exact) or ``processes`` (ended children in ticks, unwaited ones missing).
        disk_quota: Private folders in memory have fixed sizes.
        kept_home_quota: So has a home that is kept on disk across sandboxes (`kept_home`).
        system_call_filter: A filter is in force, new privileges are off.
        nested_namespaces_blocked: A process inside can't make user namespaces.
        oom_attributed: Kills for lack of memory are counted by the kernel, so that they can be told apart.
    """

    model_config = ConfigDict(frozen=True)

    mode: Literal["root", "unprivileged"]
    bubblewrap: str
    namespaces: bool
    network: Literal["loopback", "shared"]
    separate_users: bool
    memory_limit: Literal["total", "per process"]
    process_limit: Literal["total", "per user"]
    freezer: Literal["control group", "signal"]
    cpu_accounting: Literal["control group", "processes"]
    disk_quota: bool
    kept_home_quota: bool
    system_call_filter: bool
    nested_namespaces_blocked: bool
    oom_attributed: bool

    def rows(self) -> list[Row]:
        """The table for `doctor` and the docs: name, what holds here, whether that is the full guarantee."""

        def yes(value: bool) -> str:
            return "yes" if value else "no"

        group = "control group"
        return [
            Row("private namespaces", yes(self.namespaces), self.namespaces),
            Row("network", self.network, self.network == "loopback"),
            Row("separate users", yes(self.separate_users), self.separate_users),
            Row("memory limit", self.memory_limit, self.memory_limit == "total"),
            Row("process limit", self.process_limit, self.process_limit == "total"),
            Row("freezer", self.freezer, self.freezer == group),
            Row("CPU accounting", self.cpu_accounting, self.cpu_accounting == group),
            Row("disk quota", yes(self.disk_quota), self.disk_quota),
            Row("disk quota of a kept home", yes(self.kept_home_quota), self.kept_home_quota),
            Row("system call filter", yes(self.system_call_filter), self.system_call_filter),
            Row("nested namespaces blocked", yes(self.nested_namespaces_blocked), self.nested_namespaces_blocked),
            Row("out-of-memory attributed", yes(self.oom_attributed), self.oom_attributed),
        ]

    def missing(self) -> tuple[str, ...]:
        """Names of the guarantees that do not hold in full; `official` results need it to be empty."""
        return tuple(row.name for row in self.rows() if not row.full)


class Note(NamedTuple):
    """Something about the machine that `doctor` should say."""

    message: str
    mend: str


def _observe(mode: launch.Mode) -> Guarantees:
    with Sandbox(SandboxSpec(memory_mb=256, pids=64, disk_mb=16), mode=mode) as sandbox:
        done = sandbox.run(["sh", "-c", PROBE], timeout=PROBE_SECONDS)
        words = done.stdout.decode(errors="replace").splitlines()
        if done.code != 0 or len(words) != 7:
            reason = done.stderr.decode(errors="replace").strip() or "no message"
            raise InfrastructureError(f"the sandbox's self-test failed: {reason}", "report this")
        interfaces, namespaces, seccomp, nested, first_uid, own_uid, no_new = words
        ours = {os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "pid", "ipc", "uts", "net")}
        controllers = sandbox.controllers
    return Guarantees(
        mode=mode,
        bubblewrap=bubblewrap_version(),
        namespaces=len(namespaces.split()) == 5 and not ours & set(namespaces.split()),
        network="loopback" if interfaces == "1" else "shared",
        separate_users=first_uid != own_uid,
        memory_limit="total" if "memory" in controllers else "per process",
        process_limit="total" if "pids" in controllers else "per user",
        freezer="control group" if "freezer" in controllers else "signal",
        cpu_accounting="control group" if "cpuacct" in controllers else "processes",
        disk_quota=True,
        kept_home_quota=mode == "root" and kept_home.images_work(),
        system_call_filter=seccomp == "2" and no_new == "1",
        nested_namespaces_blocked=nested == "blocked",
        oom_attributed="memory" in controllers,
    )


def bubblewrap_version() -> str:
    """Version of the bubblewrap found.

    Raises:
        CannotRunHere: none found.
    """
    done = subprocess.run([launch.bwrap_path(), "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip().rpartition(" ")[2] or "unknown"


@lru_cache(maxsize=1)
def detect() -> Guarantees:
    """The best mode that works here and what it guarantees; started and looked at once per process.

    Raises:
        CannotRunHere: no sandbox starts; says why and what to do.
    """
    return best_mode(_observe)


def notes() -> list[Note]:
    """What `doctor` should say about this machine beyond the table."""
    found = []
    guarantees = detect()
    if guarantees.freezer == "signal" or guarantees.memory_limit == "per process":
        found.append(Note("no control groups delegated to this user: limits hold per process", DELEGATE))
    if guarantees.mode == "unprivileged" and os.geteuid() == 0:
        found.append(Note("root here may not map user ids (a container?)", "run on the host for full guarantees"))
    if not guarantees.kept_home_quota:
        found.append(
            Note("a workshop's home on disk has no size limit here", "run as root with loop devices, on the host")
        )
    scope = setting("/proc/sys/kernel/yama/ptrace_scope")
    if scope in ("2", "3") and os.geteuid() != 0:
        found.append(
            Note(
                f"kernel.yama.ptrace_scope is {scope}: scorings can't write a worker's memory",
                "`sudo sysctl kernel.yama.ptrace_scope=1`",
            )
        )
    pages = setting("/sys/kernel/mm/transparent_hugepage/enabled") or ""
    if "[never]" in pages:
        found.append(
            Note(
                "transparent huge pages are off: timings are noisier",
                "`echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled`",
            )
        )
    return found
