"""The participant's sandbox as an attempt sees it, for our own provider and, with fewer guarantees, for any other."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import anyio
from inspect_ai.util import SandboxEnvironment

from open_re_bench.errors import InfrastructureError
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.live_attempt import Workshop
from open_re_bench.sandbox.participant import CannotCopy
from open_re_bench.sandbox.provider import BwrapSandbox
from open_re_bench.scoring.collection import SubmissionRefused
from open_re_bench.scoring.workspace import SOLUTION

HOME = "/home/agent"
FILL_TIMEOUT_S = 120


class BwrapWorkshop:
    """A workshop in our own sandbox: frozen while its submission is scored, killed when the attempt ends."""

    def __init__(self, sandbox: BwrapSandbox) -> None:
        self._sandbox = sandbox

    async def snapshot(self) -> bytes:
        """See `Workshop`."""
        try:
            return await self._sandbox.snapshot([f"{HOME}/{SOLUTION}"])
        except CannotCopy as error:
            raise SubmissionRefused(f"~/solution cannot be collected: {error.strerror}") from error

    async def freeze(self) -> None:
        """See `Workshop`."""
        await self._sandbox.freeze()

    async def thaw(self) -> None:
        """See `Workshop`."""
        await self._sandbox.thaw()

    async def kill_participant(self) -> None:
        """See `Workshop`."""
        await self._sandbox.kill_participant()


class PlainWorkshop:
    """A workshop in any other Inspect sandbox: no freezing, and killing is best effort; results are local."""

    def __init__(self, sandbox: SandboxEnvironment) -> None:
        self._sandbox = sandbox

    async def snapshot(self) -> bytes:
        """See `Workshop`."""
        archive = ".open-re-bench-snapshot.tar"
        result = await self._sandbox.exec(
            ["sh", "-c", f'cd && tar -C {SOLUTION} -cf "{archive}" . && pwd'], timeout=FILL_TIMEOUT_S
        )
        if not result.success:
            raise InfrastructureError(f"the workshop's files cannot be read: {result.stderr[:200]}", "see its log")
        path = f"{result.stdout.strip()}/{archive}"
        content = await self._sandbox.read_file(path, text=False)
        await self._sandbox.exec(["rm", "-f", path], timeout=FILL_TIMEOUT_S)
        return content

    async def freeze(self) -> None:
        """Does nothing: other providers cannot freeze."""

    async def thaw(self) -> None:
        """Does nothing."""

    async def kill_participant(self) -> None:
        """Signals every process that its user may signal."""
        await self._sandbox.exec(["sh", "-c", "kill -9 -1 2>/dev/null; true"], timeout=FILL_TIMEOUT_S)


class CountedFreeze:
    """Counts freezes of a workshop: it runs only while nobody wants it still (scoring, pause, another's timing)."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop, self._wanted, self._lock = workshop, 0, asyncio.Lock()

    async def snapshot(self) -> bytes:
        """See `Workshop`. Works on a frozen workshop too: the snapshot is taken by a process of the harness's own."""
        return await self._workshop.snapshot()

    async def freeze(self) -> None:
        """Stills the workshop until as many `thaw` calls follow."""
        async with self._lock:
            if self._wanted == 0:
                try:
                    await self._workshop.freeze()
                except BaseException:  # failed or cancelled halfway: nobody will thaw it, and the next one tries again
                    with anyio.CancelScope(shield=True):
                        await self._workshop.thaw()
                    raise
            self._wanted += 1

    async def thaw(self) -> None:
        """Undoes one `freeze`."""
        with anyio.CancelScope(shield=True):  # whoever was cancelled must not leave it still
            async with self._lock:
                self._wanted = max(0, self._wanted - 1)
                if self._wanted == 0:
                    await self._workshop.thaw()

    async def kill_participant(self) -> None:
        """See `Workshop`."""
        await self._workshop.kill_participant()


def cpu_clock(sandbox: SandboxEnvironment) -> Callable[[], float]:
    """CPU seconds that the participant's processes have used so far; always 0 where the provider cannot tell."""
    try:
        ours = sandbox.as_type(BwrapSandbox)
    except TypeError:
        return lambda: 0.0
    return lambda: ours.cpu_ns() / 1e9


def workshop_for(sandbox: SandboxEnvironment) -> Workshop:
    """The adapter for `sandbox`."""
    try:
        return BwrapWorkshop(sandbox.as_type(BwrapSandbox))
    except TypeError:
        return PlainWorkshop(sandbox)


def leased_cores(sandbox: SandboxEnvironment) -> tuple[int, ...] | None:
    """The cores that an attempt in `sandbox` holds; None where it takes no part in sharing the machine."""
    try:
        lease = sandbox.as_type(BwrapSandbox).lease
    except TypeError:
        return None
    return lease.holding.cores if lease is not None else None


async def fill_new_home(sandbox: SandboxEnvironment, home: Path, folder: AttemptFolder) -> None:
    """Fills the workshop of an attempt, a kept home only once: what the participant deleted there stays deleted.

    Raises:
        InfrastructureError: as `fill_home`; or it cannot be remembered.
    """
    try:
        kept = sandbox.as_type(BwrapSandbox).state_dir is not None
    except TypeError:
        kept = False
    if kept and folder.filled_file.exists():
        return
    await fill_home(sandbox, home)
    if kept:
        await sandbox.exec(["sync", "-f", "."], cwd=HOME, timeout=FILL_TIMEOUT_S)  # files before mark, in a power cut
        folder.mark_filled()


async def fill_home(sandbox: SandboxEnvironment, home: Path, overwrite: bool = False) -> None:
    """Copies the prepared home directory `home` (host) into the workshop.

    Args:
        sandbox: The workshop.
        home: Host directory; its files appear below the participant's home.
        overwrite: Replace files that are there; otherwise they are kept (a resumed attempt keeps its work).

    One tar stream through the sandbox's own `tar`, so that no path is resolved on the host.

    Raises:
        InfrastructureError: the sandbox could not unpack it.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(home.rglob("*")):
            info = tar.gettarinfo(path, arcname=path.relative_to(home).as_posix())
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            if path.is_file():
                with path.open("rb") as source:
                    tar.addfile(info, source)
            else:
                tar.addfile(info)
    result = await sandbox.exec(
        ["tar", "-x", "--no-same-owner", "--overwrite" if overwrite else "--skip-old-files", "-f", "-"],
        input=buffer.getvalue(),
        cwd=HOME if isinstance(workshop_for(sandbox), BwrapWorkshop) else None,
        timeout=FILL_TIMEOUT_S,
    )
    if not result.success:
        raise InfrastructureError(f"the workshop could not be filled: {result.stderr[:300]}", "run `re-bench doctor`")
