"""`Sandbox`: a set of namespaces on this machine in which untrusted code runs."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from open_re_bench.errors import CannotRunHere, InfrastructureError
from open_re_bench.sandbox import cgroup, kept_home, launch, mounts, runtime, seccomp
from open_re_bench.sandbox.channel import Control, Reply, SandboxGone, host_pid, receive
from open_re_bench.sandbox.diagnosis import refused
from open_re_bench.sandbox.inside.wire import STARTED
from open_re_bench.sandbox.mounts import MEGABYTE
from open_re_bench.sandbox.participant import Participant
from open_re_bench.sandbox.spec import Limits, SandboxSpec

Result = TypeVar("Result")

START_SECONDS = 30.0  # about 0.05 s on an idle machine
KILL_SECONDS = 10.0
BOOT = f"import sys; sys.path.insert(0, {mounts.INSIDE_PARENT!r}); from inside.server import main; main()"
SETTINGS = "settings.json"  # beside the attach socket, for those who come through it


class Sandbox(Participant):
    """A running sandbox. Use as a context manager, or call `start` and `kill`.

    Every method may be called from any thread. The sandbox ends with this process, however that ends.
    """

    def __init__(self, spec: SandboxSpec | None = None, *, mode: launch.Mode | None = None) -> None:
        self.spec = spec = spec or SandboxSpec()
        self.mode: launch.Mode = working_mode() if mode is None else mode
        self._folder: runtime.RuntimeFolder | None = None
        self._range: runtime.Lease | None = None
        self._monitor: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        environment = mounts.environment(spec.toolchain is not None, spec.hostname)
        environment["PATH"] = ":".join([*spec.path, environment["PATH"]])
        super().__init__({**environment, **spec.environment})

    # ---- life -------------------------------------------------------------------------------------------------

    def start(self) -> Sandbox:
        """Start it.

        Raises:
            CannotRunHere: bubblewrap or the kernel refuses, with the mend.
            InfrastructureError: it did not come up in time.
        """
        try:
            self._start()
        except BaseException:
            self.kill()
            raise
        return self

    def _start(self) -> None:
        spec = self.spec
        # Bubblewrap is started by another thread, so the bounds of this one would not reach it by themselves.
        cores = spec.cpus or tuple(sorted(os.sched_getaffinity(0)))
        self._folder = runtime.RuntimeFolder.create()
        self._group = cgroup.create(self._folder.name)
        if self._group is not None:
            self._folder.record(self._group.paths)
            memory = None if spec.memory_mb is None else spec.memory_mb * MEGABYTE
            self._group.limit(memory, spec.pids + 1, cores)
        # Without control groups what can be limited is each process (memory) and each user (processes).
        self._limits = Limits(
            data_mb=None if "memory" in self.controllers else spec.memory_mb,
            processes=None if "pids" in self.controllers else spec.pids,
        )
        settings = {"environment": self._environment, "limits": self._limits.model_dump()}
        (self._folder.path / SETTINGS).write_text(json.dumps(settings))
        base = self._lease_ids()
        etc = self._folder.path / "etc"
        mounts.write_etc(etc, spec.hostname, base)
        plan = mounts.build(
            etc=etc,
            etc_writable=self.mode == "root",
            inside=launch.compiled_inside(),
            toolchain=spec.toolchain.path if spec.toolchain else None,
            home=kept_home.prepare(spec.state, spec.disk_mb, base) if spec.state else None,
            disk_mb=spec.disk_mb,
            door=spec.door,
            binds=spec.binds,
            devices=spec.devices,
        )
        with self._descriptors(base) as (control, spawn, listener, filter_fd, namespace, entries):
            cpus = ",".join(map(str, cores))
            inner = [mounts.python_executable(), "-I", "-S", "-c", BOOT]
            inner += [str(control), str(spawn), str(listener), cpus, *map(str, entries)]
            command = launch.command(
                self.mode,
                plan,
                hostname=spec.hostname,
                network=spec.network,
                seccomp=filter_fd,
                namespace=namespace,
                inner=inner,
            )
            passed = [fd for fd in (control, spawn, listener, filter_fd, namespace, *entries) if fd is not None]
            with open(self._folder.path / "log", "wb") as log:
                self._monitor = launch.popen(
                    command,
                    pass_fds=passed,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                    cwd="/",
                )
        reply = self._first_reply()
        assert reply.descriptor is not None
        self._pidfd = reply.descriptor
        self._pid = host_pid(reply.descriptor)

    def _lease_ids(self) -> int | None:
        if self.mode != "root":
            return None
        state = self.spec.state
        kept = kept_home.kept_range(state) if state is not None else None
        self._range = runtime.lease_range(kept)
        if state is not None and kept is None and not kept_home.keep_range(state, runtime.range_base(self._range)):
            self._range.release()
            self._range = runtime.lease_range(kept_home.kept_range(state))
        return runtime.range_base(self._range)

    @contextmanager
    def _descriptors(self, base: int | None) -> Iterator[tuple[int, int, int, int | None, int | None, list[int]]]:
        """Everything that process 1 inherits; our copies are closed afterwards."""
        assert self._folder is not None
        opened: list[int] = []
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        spawn_ours, spawn_theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = Control(ours, spawn_ours if self.mode == "root" else None)
        self._hello = ours
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            listener.bind(str(self.attach_socket))
            listener.listen(16)
            files = self._group.entry_files() if self._group is not None else []
            entries = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in files]
            opened += entries
            filter_fd = None
            if self.spec.seccomp != "none":
                filter_fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
                opened.append(filter_fd)
                os.write(filter_fd, seccomp.program(self.spec.seccomp))
                os.lseek(filter_fd, 0, os.SEEK_SET)
            namespace = None
            if base is not None:
                namespace = launch.user_namespace(base)
                opened.append(namespace)
            yield theirs.fileno(), spawn_theirs.fileno(), listener.fileno(), filter_fd, namespace, entries
        finally:
            theirs.close()
            spawn_theirs.close()
            listener.close()
            for descriptor in opened:
                os.close(descriptor)

    def _first_reply(self) -> Reply:
        assert self._folder is not None
        assert self._monitor is not None
        self._hello.settimeout(START_SECONDS)
        try:
            reply = receive(self._hello)
        except TimeoutError:
            reply = None
        finally:
            self._hello.settimeout(None)
        if reply is not None and reply.kind == STARTED and reply.descriptor is not None:
            return reply
        with suppress(subprocess.TimeoutExpired):
            self._monitor.wait(1.0)
        text = (self._folder.path / "log").read_text(errors="replace").strip()
        raise refused(self.mode, text)

    def kill(self) -> None:
        """End every process in it and the namespaces with them; returns when the kernel says that they are gone."""
        with self._lock:
            if self._pidfd >= 0:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            if self._control is not None:
                self._control.close()
            if self._group is not None:
                with suppress(OSError):
                    self._group.thaw()  # a frozen process can't even die
            if self._pidfd >= 0:
                # Process 1 counts as ended only after every process of its namespace is gone.
                if not select.select([self._pidfd], [], [], KILL_SECONDS)[0]:
                    raise InfrastructureError("a sandbox did not end within 10 s", "see `ps` for its processes")
                os.close(self._pidfd)
                self._pidfd = -1
            if self._monitor is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._monitor.wait(KILL_SECONDS if self._pid >= 0 else 0.5)
                if self._monitor.poll() is None:
                    self._monitor.kill()
                    self._monitor.wait()
                self._monitor = None
            if self._guardian is not None:
                self._guardian.communicate()
                self._guardian = None
            if self._folder is not None:
                # Not daemonic: the interpreter waits for it. Removing control groups takes the kernel 20 ms.
                threading.Thread(target=_tidy, args=(self._group, self._folder), name="sandbox-tidy").start()
                self._folder = None
            if self._range is not None:
                self._range.release()
                self._range = None

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def alive(self) -> bool:
        """Whether its process 1 runs."""
        return self._pidfd >= 0 and not select.select([self._pidfd], [], [], 0)[0]

    @property
    def pid(self) -> int:
        """Host-side pid of its process 1."""
        return self._pid

    @property
    def name(self) -> str:
        """Its name, unique on this machine while it lives."""
        return self._folder.name if self._folder else ""

    @property
    def attach_socket(self) -> Path:
        """Socket through which other processes of this user reach it (`attach`)."""
        assert self._folder is not None
        return self._folder.path / "attach"

    @property
    def control(self) -> Control:
        """The wire to process 1.

        Raises:
            SandboxGone: not started or already ended.
        """
        if self._pidfd < 0:
            raise SandboxGone("the sandbox is not running")
        return super().control


def _tidy(group: cgroup.ControlGroup | None, folder: runtime.RuntimeFolder) -> None:
    if group is not None:
        group.remove()
    folder.remove()


def best_mode(attempt: Callable[[launch.Mode], Result]) -> Result:
    """What `attempt` gives in the first privilege mode in which it can run here.

    Raises:
        CannotRunHere: it can in none; the reason is the better mode's.
    """
    if os.geteuid() != 0:
        return attempt("unprivileged")
    try:
        return attempt("root")
    except CannotRunHere as error:
        try:
            return attempt("unprivileged")
        except CannotRunHere:
            raise error from None


@lru_cache(maxsize=1)
def working_mode() -> launch.Mode:
    """The best mode in which a sandbox starts here; tried once per process.

    Raises:
        CannotRunHere: none does.
    """
    if os.geteuid() != 0:
        return "unprivileged"  # the only one there is: starting says soon enough if it does not work

    def start(mode: launch.Mode) -> launch.Mode:
        with Sandbox(SandboxSpec(disk_mb=16), mode=mode):
            return mode

    return best_mode(start)
