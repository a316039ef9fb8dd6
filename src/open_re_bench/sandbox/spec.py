"""What a sandbox and a process in it are to be: the settings, with their units."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from open_re_bench.sandbox.built_toolchain import Toolchain
from open_re_bench.sandbox.mounts import MEGABYTE, Bind

OPEN_FILES = 4096
FILE_MB = 8192  # largest single file; sparse files of absurd size fail early


class SandboxSpec(BaseModel):
    """What a sandbox is to be.

    Attributes:
        toolchain: Python environment shown at ``/opt/toolchain``; None for the base interpreter only.
        memory_mb: Limit on the memory of all its processes together, files in memory included (per process where
            there are no control groups); None for no limit.
        pids: Limit on the number of processes and threads.
        disk_mb: Size limit of ``/home/agent``, ``/tmp`` and ``/dev/shm``, each.
        network: Whether it shares the host's network. Without, only its own loopback.
        binds: Further host files and folders, read-only unless they say otherwise.
        door: Host folder shown read-only at ``/run/open-re-bench``: Unix sockets in it (mode 0666) are the only way
            out of a sandbox without network.
        state: Host folder that keeps ``/home/agent`` across sandboxes; None for a private one that ends with it.
        cpus: Cores it may use; None for those of the thread that starts it.
        path: Folders inside put in front of ``PATH``.
        environment: Variables added to every process's.
        devices: Device files shown inside (GPUs).
        seccomp: ``default``, or ``none`` for debugging only.
        hostname: The name it gives itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    toolchain: Toolchain | None = None
    memory_mb: int | None = Field(default=4096, ge=16)
    pids: int = Field(default=512, ge=2)
    disk_mb: int = Field(default=1024, ge=1)
    network: bool = False
    binds: tuple[Bind, ...] = ()
    door: Path | None = None
    state: Path | None = None
    cpus: tuple[int, ...] | None = None
    path: tuple[str, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    devices: tuple[Path, ...] = ()
    seccomp: Literal["default", "none"] = "default"
    hostname: str = "workshop"


class Limits(BaseModel):
    """Limits of one process, inherited by each of its children (``setrlimit(2)``); None sets no limit of that kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address_space_mb: int | None = None
    data_mb: int | None = None
    file_mb: int | None = FILE_MB
    cpu_seconds: int | None = None
    open_files: int | None = OPEN_FILES
    processes: int | None = None
    stack_mb: int | None = None

    def pairs(self) -> list[tuple[int, int, int]]:
        """(resource, soft, hard) for process 1 to apply, never above what this process may have; no core files ever."""
        wanted = (
            (resource.RLIMIT_AS, self.address_space_mb, MEGABYTE),
            (resource.RLIMIT_DATA, self.data_mb, MEGABYTE),
            (resource.RLIMIT_FSIZE, self.file_mb, MEGABYTE),
            (resource.RLIMIT_CPU, self.cpu_seconds, 1),
            (resource.RLIMIT_NOFILE, self.open_files, 1),
            (resource.RLIMIT_NPROC, self.processes, 1),
            (resource.RLIMIT_STACK, self.stack_mb, MEGABYTE),
        )
        pairs = [(resource.RLIMIT_CORE, 0, 0)]
        for which, value, unit in wanted:
            if value is not None:
                allowed = resource.getrlimit(which)[1]
                limit = value * unit if allowed == resource.RLIM_INFINITY else min(value * unit, allowed)
                pairs.append((which, limit, limit))
        return pairs
