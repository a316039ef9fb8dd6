"""Inspect sandbox provider ``bwrap``: for our harness and, by ``--sandbox bwrap``, for any Inspect task.

No daemon, no image, no configuration file. One sandbox per sample; commands run through its process 1, so that a tool
call costs about what an ordinary subprocess does; background jobs live until the sample ends and never hold a call.
"""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import shlex
import sys
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any, Literal, overload

from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxConnection,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
)
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import override

from open_re_bench.errors import UserError
from open_re_bench.inspect_internals import PrerequisiteError
from open_re_bench.sandbox import leases, runtime, toolchain
from open_re_bench.sandbox.asyncio_driver import run_exchange
from open_re_bench.sandbox.bubblewrap import Sandbox, working_mode
from open_re_bench.sandbox.channel import CannotStart, SandboxGone
from open_re_bench.sandbox.exchange import Completed, run_blocking
from open_re_bench.sandbox.inhabited import KILL_GRACE_SECONDS, not_started
from open_re_bench.sandbox.inside.wire import STAGE_EXECUTE, STAGE_USER
from open_re_bench.sandbox.machine_locks import no_timed_scoring
from open_re_bench.sandbox.mounts import AGENT, HOME, ROOT_HOME, Bind
from open_re_bench.sandbox.spec import SandboxSpec
from open_re_bench.sandbox.toolchain import Toolchain

POLLING_SECONDS = 0.1  # sandbox services poll through `exec`, which costs milliseconds here
SNAPSHOT_LIMIT_BYTES = 1 << 30
NO_TOOLCHAIN = "none"


class BwrapConfig(BaseModel):
    """Configuration of a ``bwrap`` sandbox (in a task, or ``--sandbox bwrap:file.toml``).

    Attributes:
        toolchain: Name of a toolchain (`toolchain.SETS`), or ``none``; built on first use.
        memory_mb: Memory of all processes together.
        pids: Number of processes and threads.
        disk_mb: Size of the home (when in memory), ``/tmp`` and ``/dev/shm``, each.
        network: Share the host's network; results are then never official.
        read_only_binds: Host path -> path inside.
        door: Host folder shown at ``/run/open-re-bench``.
        state_dir: Host folder that keeps the participant's home across harness restarts.
        path: Folders put in front of ``PATH``.
        environment: Variables of every command.
        cpus: Cores it may use.
        devices: Device files shown inside.
        lease: What it waits for before it starts, and holds until it ends (`leases`): its cores become `cpus`, its GPUs
            are shown inside. None: it takes no part in sharing the machine.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    toolchain: str = NO_TOOLCHAIN
    memory_mb: int | None = Field(default=4096, ge=16)
    pids: int = Field(default=1024, ge=2)
    disk_mb: int = Field(default=2048, ge=1)
    network: bool = False
    read_only_binds: dict[str, str] = Field(default_factory=dict)
    door: str | None = None
    state_dir: str | None = None
    path: tuple[str, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    cpus: tuple[int, ...] | None = None
    devices: tuple[str, ...] = ()
    lease: leases.Demand | None = None

    def __hash__(self) -> int:  # Inspect keeps configurations in sets
        return hash(self.model_dump_json())

    def spec(self, built: Toolchain | None, held: leases.Holding | None = None) -> SandboxSpec:
        """The sandbox that this asks for, on the hardware it holds."""
        devices = (*self.devices, *(leases.gpu_devices(held.gpus) if held else ()))
        return SandboxSpec(
            toolchain=built,
            memory_mb=self.memory_mb,
            pids=self.pids,
            disk_mb=self.disk_mb,
            network=self.network,
            binds=tuple(Bind(source=Path(host), target=inside) for host, inside in self.read_only_binds.items()),
            door=Path(self.door) if self.door else None,
            state=Path(self.state_dir) if self.state_dir else None,
            path=self.path,
            environment=self.environment,
            cpus=self.cpus or (held.cores if held else None),
            devices=tuple(Path(device) for device in devices),
        )


class BwrapSandbox(SandboxEnvironment):
    """A sample's sandbox in Inspect. `sandbox` is the one it wraps."""

    def __init__(self, sandbox: Sandbox, lease: leases.Lease | None = None) -> None:
        super().__init__()
        self.sandbox, self.lease = sandbox, lease
        self._oom_reported = 0

    # ---- life -------------------------------------------------------------------------------------------------

    @override
    @classmethod
    async def task_init(cls, task_name: str, config: SandboxEnvironmentConfigType | None) -> None:
        try:
            wanted = _configuration(config)
            await asyncio.to_thread(runtime.sweep)
            await asyncio.to_thread(working_mode)
            if wanted.toolchain != NO_TOOLCHAIN:
                await asyncio.to_thread(toolchain.ensure, wanted.toolchain, lambda line: print(line, file=sys.stderr))
        except UserError as error:
            raise PrerequisiteError(str(error)) from error

    @override
    @classmethod
    async def sample_init(
        cls, task_name: str, config: SandboxEnvironmentConfigType | None, metadata: dict[str, str]
    ) -> dict[str, SandboxEnvironment]:
        wanted = _configuration(config)
        built = (
            await asyncio.to_thread(toolchain.ensure, wanted.toolchain) if wanted.toolchain != NO_TOOLCHAIN else None
        )
        # Inspect starts a sample's clocks after this: waiting for hardware costs an attempt nothing.
        owner = metadata.get("__sample_id__", task_name)
        lease = await leases.take(str(owner), wanted.lease) if wanted.lease else None
        try:
            sandbox = Sandbox(wanted.spec(built, lease.holding if lease else None))
            async with no_timed_scoring():
                await asyncio.to_thread(sandbox.start)
        except BaseException:
            if lease is not None:
                lease.release()
            raise
        return {"default": cls(sandbox, lease)}

    @override
    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        for environment in environments.values():
            ours = environment.as_type(BwrapSandbox)
            try:
                await asyncio.to_thread(ours.sandbox.kill)
            finally:
                if ours.lease is not None:
                    ours.lease.release()

    @override
    @classmethod
    async def cli_cleanup(cls, id: str | None) -> None:
        for name in await asyncio.to_thread(runtime.sweep):
            print(f"removed what the sandbox {name} left")

    @override
    @classmethod
    def config_deserialize(cls, config: dict[str, Any]) -> BaseModel:
        return BwrapConfig.model_validate(config)

    @override
    def default_polling_interval(self) -> float:
        return POLLING_SECONDS

    @override
    async def connection(self, *, user: str | None = None) -> SandboxConnection:
        if not self.sandbox.alive:
            raise ConnectionError("the sandbox is not running")
        command = [sys.executable, "-m", "open_re_bench.sandbox.attach", str(self.sandbox.attach_socket)]
        return SandboxConnection(
            type="bwrap",
            command=shlex.join([*command, "--user", user or AGENT]),
            container=self.sandbox.name,
        )

    # ---- commands ---------------------------------------------------------------------------------------------

    @override
    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        folder = HOME if cwd is None else os.path.join(HOME, cwd)
        completed = await self._complete(cmd, _bytes(input), folder, env, user or AGENT, timeout)
        stdout = completed.stdout.decode(errors="replace")
        stderr = completed.stderr.decode(errors="replace")
        if (killed := self._newly_killed()) > 0:
            stderr += self._memory_message(killed)
        if completed.timed_out:
            error = TimeoutError(f"Command timed out after {timeout} seconds")
            # The attribute that Inspect hands on to the model (as its own docker provider does).
            error.truncated_output = stdout + stderr  # type: ignore[attr-defined]
            raise error
        return ExecResult(completed.code == 0, completed.code, stdout, stderr)

    async def _complete(
        self, cmd: list[str], data: bytes, cwd: str, env: dict[str, str] | None, user: str, timeout: float | None
    ) -> Completed:
        try:
            exchange = self.sandbox.exchange(
                cmd,
                data=data,
                user=user,
                cwd=cwd,
                env=env,
                output_limit=SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE,
            )
            try:
                await self._drive(exchange, timeout)
                return self.sandbox.finish(exchange)
            finally:
                exchange.close()
        except SandboxGone as error:
            raise SandboxUnavailableError(self._gone()) from error
        except CannotStart as error:
            if error.stage == STAGE_USER and error.errno == errno.EPERM:
                raise SandboxUserUnsupportedError(
                    f"this sandbox has the one user {AGENT!r}: no {user!r} in unprivileged mode"
                ) from error
            if error.stage == STAGE_USER:
                return Completed(1, b"", f"no such user in the sandbox: {user}\n".encode(), False, 0, False, 0)
            if error.stage == STAGE_EXECUTE and error.errno == errno.EACCES:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), cmd[0]) from error
            return not_started(error, cmd, cwd)

    async def _drive(self, exchange: Any, timeout: float | None) -> None:
        frozen = self.sandbox.frozen_seconds
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # Inspect on trio
            import anyio.to_thread

            await anyio.to_thread.run_sync(run_blocking, exchange, timeout, KILL_GRACE_SECONDS, frozen)
        else:
            await run_exchange(exchange, timeout, KILL_GRACE_SECONDS, frozen)

    def _newly_killed(self) -> int:
        killed = self.sandbox.oom_kills() or 0 if self.sandbox.alive else self._oom_reported
        new, self._oom_reported = killed - self._oom_reported, killed
        return new

    def _memory_message(self, killed: int) -> str:
        number = "a process was" if killed == 1 else f"{killed} processes were"
        limit = f"{self.sandbox.spec.memory_mb} MB for all processes and files in memory"
        return f"\n[{number} killed for lack of memory: this sandbox has {limit}]\n"

    def _gone(self) -> str:
        return "the sandbox has ended and is not restarted: its processes and unsaved files are lost"

    # ---- files ------------------------------------------------------------------------------------------------

    @override
    async def write_file(self, file: str, contents: str | bytes) -> None:
        try:
            await asyncio.to_thread(self.sandbox.write_file, _inside(file), _bytes(contents))
        except SandboxGone as error:
            raise SandboxUnavailableError(self._gone()) from error

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    @override
    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        path = _inside(file)
        # Inspect stages as root, and reads back by this call, what it keeps in root's home (checkpoints).
        staged = PurePosixPath(ROOT_HOME) in PurePosixPath(path).parents
        user = "root" if staged and self.sandbox.mode == "root" else AGENT
        limit, limit_text = SandboxEnvironmentLimits.MAX_READ_FILE_SIZE, SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR
        try:
            content = await asyncio.to_thread(self.sandbox.read_file, path, limit=limit, user=user)
        except SandboxGone as error:
            raise SandboxUnavailableError(self._gone()) from error
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise OutputLimitExceededError(limit_text, None) from None
            raise
        return content.decode() if text else content

    # ---- for the harness --------------------------------------------------------------------------------------

    @property
    def state_dir(self) -> Path | None:
        """Host folder that keeps the participant's home; another sandbox can be started on it later."""
        return self.sandbox.spec.state

    async def freeze(self) -> None:
        """Stop every process of the participant (`Sandbox.freeze`)."""
        await asyncio.to_thread(self.sandbox.freeze)

    async def thaw(self) -> int:
        """Let them go on; CPU nanoseconds used meanwhile (`Sandbox.thaw`)."""
        return await asyncio.to_thread(self.sandbox.thaw)

    async def kill_participant(self) -> None:
        """End every process of the participant (`Sandbox.kill_participant`)."""
        await asyncio.to_thread(self.sandbox.kill_participant)

    def cpu_ns(self) -> int:
        """CPU time of the participant's whole tree (`Sandbox.cpu_ns`)."""
        return self.sandbox.cpu_ns()

    async def snapshot(self, folders: list[str], *, limit: int = SNAPSHOT_LIMIT_BYTES) -> bytes:
        """A tar of folders, member names relative to each folder, made inside (`Sandbox.snapshot`)."""

        def collect() -> bytes:
            whole = io.BytesIO()  # its value is not copied; joining chunks would hold everything twice
            whole.writelines(self.sandbox.snapshot(folders, limit=limit))
            return whole.getvalue()

        return await asyncio.to_thread(collect)


def _bytes(content: str | bytes | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""


def _inside(file: str) -> str:
    return os.path.join(HOME, file)


def _configuration(config: SandboxEnvironmentConfigType | None) -> BwrapConfig:
    """The configuration from what Inspect hands over: nothing, a model, or the name of a TOML or JSON file.

    Raises:
        PrerequisiteError: the file can't be read or is wrong; names the field.
    """
    if config is None:
        return BwrapConfig()
    if isinstance(config, BwrapConfig):
        return config
    if isinstance(config, BaseModel):
        raise PrerequisiteError(f"the bwrap sandbox takes a BwrapConfig, not a {type(config).__name__}")
    try:
        text = Path(config).read_text()
        return BwrapConfig.model_validate(tomllib.loads(text) if config.endswith(".toml") else json.loads(text))
    except (OSError, ValueError) as error:
        reason = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            reason = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        raise PrerequisiteError(f"sandbox configuration {config}: {reason}") from error
