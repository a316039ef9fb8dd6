"""The Inspect provider beyond conformance: background jobs, partial output, memory, attaching, any task."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from inspect_ai.util import SandboxUnavailableError

from open_re_bench.inspect_internals import PrerequisiteError
from open_re_bench.sandbox.provider import BwrapConfig, BwrapSandbox

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def sandbox() -> AsyncIterator[BwrapSandbox]:
    config = BwrapConfig(memory_mb=256, pids=64, disk_mb=64)
    made = await BwrapSandbox.sample_init("test", config, {})
    try:
        yield made["default"].as_type(BwrapSandbox)
    finally:
        await BwrapSandbox.sample_cleanup("test", config, made, False)


async def test_background_jobs_do_not_hold_a_call(sandbox: BwrapSandbox) -> None:
    """Promise: starting a training run in the background returns at once, and the run goes on."""
    started = time.monotonic()
    result = await sandbox.exec(["bash", "-c", "(sleep 1; echo done > later) & echo started"], timeout=30)
    assert time.monotonic() - started < 0.9
    assert result.stdout == "started\n"
    await asyncio.sleep(1.5)
    assert await sandbox.read_file("later") == "done\n"


async def test_timeouts_hand_over_what_was_written(sandbox: BwrapSandbox) -> None:
    """Promise: the model sees the output of a command that ran too long."""
    with pytest.raises(TimeoutError) as caught:
        await sandbox.exec(["bash", "-c", "echo partial; echo trouble >&2; sleep 60"], timeout=1)
    assert getattr(caught.value, "truncated_output", "") == "partial\ntrouble\n"


async def test_frozen_time_is_not_running_time(sandbox: BwrapSandbox) -> None:
    """Promise: a command that waits for a scoring (frozen meanwhile) does not run into its own time limit."""
    call = asyncio.create_task(sandbox.exec(["sleep", "0.7"], timeout=1))
    await asyncio.sleep(0.2)
    await sandbox.freeze()
    await asyncio.sleep(1.5)
    await sandbox.thaw()
    assert (await call).success


async def test_cancelled_calls_end_their_command(sandbox: BwrapSandbox) -> None:
    """Promise: a cancelled tool call leaves nothing running."""
    call = asyncio.create_task(sandbox.exec(["bash", "-c", "sleep 780 & sleep 780"]))
    await asyncio.sleep(0.3)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    for _ in range(50):
        count = (await sandbox.exec(["bash", "-c", "pgrep -c -f 'sleep 78[0]'"], timeout=10)).stdout
        if count == "0\n":
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"{count} left")


async def test_lack_of_memory_is_named(sandbox: BwrapSandbox) -> None:
    """Promise: a process killed for memory is attributed in the output, once, and the sandbox stays the same one."""
    if sandbox.sandbox.oom_kills() is None:
        pytest.skip("kills are not counted without control groups, which the guarantees say")
    before = sandbox.sandbox.pid
    hog = "x = []\nwhile True: x.append(bytearray(20_000_000))"
    result = await sandbox.exec(["python3", "-c", hog], timeout=60)
    assert result.returncode == 137
    assert "killed for lack of memory: this sandbox has 256 MB" in result.stderr
    again = await sandbox.exec(["echo", "fine"], timeout=10)
    assert again.stdout == "fine\n"
    assert again.stderr == ""
    assert sandbox.sandbox.pid == before


async def test_a_sandbox_that_ended_is_not_replaced(sandbox: BwrapSandbox) -> None:
    """Promise: when its process 1 is gone, calls say so; nobody goes on in a fresh, empty one."""
    await asyncio.to_thread(sandbox.sandbox.kill)
    for call in (sandbox.exec(["true"]), sandbox.read_file("x"), sandbox.write_file("x", "y")):
        with pytest.raises(SandboxUnavailableError, match="not restarted"):
            await call


async def test_many_calls_at_once(sandbox: BwrapSandbox) -> None:
    """Promise: concurrent calls neither wait for each other nor mix up their output."""
    results = await asyncio.gather(*(sandbox.exec(["sh", "-c", f"sleep 0.3; echo {n}"], timeout=60) for n in range(20)))
    assert [int(result.stdout) for result in results] == list(range(20))


async def test_people_can_attach(sandbox: BwrapSandbox) -> None:
    """Promise: the printed command opens a terminal of the sandbox's own, as the participant."""
    connection = await sandbox.connection()
    script = "tty; id -un; stty size >/dev/null && echo terminal\nexit 3\n"
    command = [*shlex.split(connection.command), "--", "bash", "--norc"]
    done = await asyncio.to_thread(
        subprocess.run, command, input=script.encode(), capture_output=True, timeout=60, check=False
    )
    text = done.stdout.decode()
    assert "/dev/pts/" in text, done
    assert "agent" in text
    assert "terminal" in text
    assert done.returncode == 3


async def test_wrong_configuration_names_the_field(tmp_path: Path) -> None:
    """Promise: a configuration file with a mistake is refused before anything starts, by field."""
    path = tmp_path / "sandbox.toml"
    path.write_text("memory_mb = 4\n")
    with pytest.raises(PrerequisiteError) as caught:
        await BwrapSandbox.task_init("test", str(path))
    assert "memory_mb" in str(caught.value.message)
    path.write_text("memory_mb = 64\ndisk_mb = 16\n")
    made = await BwrapSandbox.sample_init("test", str(path), {})
    assert made["default"].as_type(BwrapSandbox).sandbox.spec.memory_mb == 64
    await BwrapSandbox.sample_cleanup("test", None, made, True)


async def test_a_snapshot_is_held_once(sandbox: BwrapSandbox) -> None:
    """Promise: the largest memory that a participant can make the host use for a snapshot is about its size."""
    size = 32 << 20
    await sandbox.exec(["sh", "-c", f"mkdir out && head -c {size} /dev/zero > out/large"])
    tracemalloc.start()
    try:
        assert len(await sandbox.snapshot(["out"])) > size
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * size
