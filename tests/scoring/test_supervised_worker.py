"""The supervisor against real processes in a real sandbox: honest ones, and ones that try to gain time."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from open_re_bench.errors import CannotRunHere
from open_re_bench.sandbox import PIPE, Sandbox, SandboxSpec
from open_re_bench.scoring.supervised_worker import Misdeed, SupervisedWorker, WorkerFailed

# A worker that squares numbers in a memory block; `WORK` is what the untrusted part does with one request.
SCRIPT = """
import ctypes, mmap, os, signal, struct, sys, threading, time
block = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
numbers = memoryview(block).cast("q")
def work(count):
    for i in range(count):
        numbers[1000 + i] = numbers[i] ** 2
{setup}
os.write(1, struct.pack("<Q", ctypes.addressof(ctypes.c_char.from_buffer(block))))
while True:
    message = os.read(0, 16)
    if not message:
        break
    status = 0
    nonce, count = message[:8], struct.unpack("<q", message[8:])[0]
    {work}
    os.write(1, nonce + bytes([status]))
"""
REQUEST = struct.Struct("<q")


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[SupervisedWorker, int]]]:
    """A function (work, setup) that starts a worker and returns it with the address of its block."""
    with ExitStack() as stack:

        def go(work: str = "work(count)", setup: str = "") -> tuple[SupervisedWorker, int]:
            try:
                sandbox = stack.enter_context(Sandbox(SandboxSpec(memory_mb=512, pids=32, disk_mb=16)))
            except CannotRunHere as error:
                pytest.skip(str(error))
            script = SCRIPT.format(work=work, setup=setup)
            process = stack.enter_context(sandbox.spawn(["python3", "-c", script], stdin=PIPE, stdout=PIPE))
            assert process.stdin is not None
            assert process.stdout is not None
            worker = SupervisedWorker(sandbox, process.pid, process.stdin.fileno(), process.stdout.fileno())
            return worker, struct.unpack("<Q", worker.hear(8, 10.0))[0]

        yield go


def squares(worker: SupervisedWorker, address: int, count: int = 50, read_after_s: float = 0.0) -> np.ndarray:
    inputs = np.random.default_rng(1).integers(-1000, 1000, count)
    worker.write(address, inputs)
    worker.write(address + 8000, np.full(count, 7))
    worker.call(REQUEST.pack(count), 5.0)
    time.sleep(read_after_s)
    out = np.empty(count, np.int64)
    worker.read_into(address + 8000, out)
    return out - inputs**2


def test_results_are_read_from_memory(start: Callable[..., tuple[SupervisedWorker, int]]) -> None:
    """Inputs written while the worker is stopped are what it computes on; outputs come from its memory."""
    worker, address = start()
    for _ in range(3):
        assert not squares(worker, address).any()
    worker.settle()


def test_cpu_time_is_that_of_the_whole_tree(start: Callable[..., tuple[SupervisedWorker, int]]) -> None:
    """Threads and child processes are charged, sleeping is not."""
    burn = "t = time.process_time()\nwhile time.process_time() - t < 0.2: pass"
    for work in (
        f"exec({burn!r})",
        f"thread = threading.Thread(target=exec, args=({burn!r}, globals())); thread.start(); thread.join()",
        f"pid = os.fork() or (exec({burn!r}), os._exit(0)); os.waitpid(pid, 0)",
    ):
        worker, _ = start(work)
        assert 0.19e9 < worker.call(REQUEST.pack(1), 10.0).cpu_ns < 2e9
    worker, _ = start("time.sleep(0.2)")
    reply = worker.call(REQUEST.pack(1), 10.0)
    assert reply.cpu_ns < 0.1e9
    assert reply.wall_ns > 0.19e9


def test_clocks_of_the_worker_do_not_matter(start: Callable[..., tuple[SupervisedWorker, int]]) -> None:
    """A worker that replaces its clocks is timed as any other."""
    burn = "n = sum(range(3_000_000))"
    honest, _ = start(burn)
    liar, _ = start(burn, setup="time.process_time = time.perf_counter = time.monotonic = lambda: 0.0")
    times = [min(worker.call(REQUEST.pack(1), 10.0).cpu_ns for _ in range(5)) for worker in (honest, liar)]
    assert 0.4 < times[1] / times[0] < 2.5


def test_a_late_thread_is_stopped_before_the_output_is_read(
    start: Callable[..., tuple[SupervisedWorker, int]],
) -> None:
    """Replying first and computing later leaves the poison in place."""
    worker, address = start("threading.Timer(0.5, work, (count,)).start()")
    assert squares(worker, address, read_after_s=1.0).any()  # had it not been stopped, it would have computed by now


def test_nothing_runs_between_requests(start: Callable[..., tuple[SupervisedWorker, int]]) -> None:
    """A thread that would compute all the time gets no time while the worker is stopped."""
    worker, _ = start(setup="threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()")
    before = worker.call(REQUEST.pack(1), 5.0)
    time.sleep(0.3)
    worker.settle()
    assert before.cpu_ns > 0


class Leaky:
    """A cage whose stop does not hold, as when a process wakes itself from SIGSTOP."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def freeze(self) -> None:
        pass

    def thaw(self) -> int:
        return 0

    def cpu_ns(self) -> int:
        return self._sandbox.cpu_ns()


def test_running_while_stopped_is_found_out() -> None:
    """CPU time that passes while the worker should stand still fails it, at the next request or at the end."""
    spin = "threading.Thread(target=exec, args=('while True: pass',), daemon=True).start()"
    script = SCRIPT.format(work="work(count)", setup=spin)
    with (
        Sandbox(SandboxSpec(memory_mb=512, pids=32, disk_mb=16)) as sandbox,
        sandbox.spawn(["python3", "-c", script], stdin=PIPE, stdout=PIPE) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        worker = SupervisedWorker(Leaky(sandbox), process.pid, process.stdin.fileno(), process.stdout.fileno())
        worker.hear(8, 10.0)
        time.sleep(0.2)
        for check in (worker.settle, lambda: worker.call(REQUEST.pack(1), 1.0)):
            with pytest.raises(WorkerFailed) as failure:
                check()
            assert failure.value.misdeed is Misdeed.RAN_WHILE_STOPPED


@pytest.mark.parametrize(
    ("work", "misdeed"),
    [
        ("os._exit(0)", Misdeed.CRASHED),
        ("os.kill(os.getpid(), signal.SIGSEGV)", Misdeed.CRASHED),
        ("os.close(1)", Misdeed.CRASHED),
        ("nonce = bytes(8)", Misdeed.BAD_REPLY),
        ("os.write(1, nonce + bytes(1))", Misdeed.BAD_REPLY),
        ("exec('while True: pass')", Misdeed.TIMED_OUT),
    ],
)
def test_misdeeds_are_named(work: str, misdeed: Misdeed, start: Callable[..., tuple[SupervisedWorker, int]]) -> None:
    """Ending, writing on the channel and never replying are told apart, at the next call at the latest.

    A worker that replied too early may be stopped before it writes its second reply; it then waits for the next call.
    """
    worker, _ = start(work)

    def twice() -> None:
        for _ in range(2):
            worker.call(REQUEST.pack(1), 0.3)

    with pytest.raises(WorkerFailed) as failure:
        twice()
    assert failure.value.misdeed is misdeed


def test_unmapped_memory_is_the_workers_fault(start: Callable[..., tuple[SupervisedWorker, int]]) -> None:
    """Memory that the scorer was promised and that is gone fails the worker, not the scorer."""
    worker, _ = start()
    with pytest.raises(WorkerFailed) as failure:
        worker.write(4096, np.zeros(8))
    assert failure.value.misdeed is Misdeed.MEMORY_CHANGED


def test_memory_is_only_touched_while_it_stands_still(
    start: Callable[..., tuple[SupervisedWorker, int]],
) -> None:
    """Reading or writing a running worker is a defect of the caller, except for pokes within a series."""
    worker, address = start()

    def requests() -> Iterator[bytes]:
        yield REQUEST.pack(1)
        with pytest.raises(RuntimeError, match="must be stopped"):
            worker.write(address, np.zeros(1))
        worker.poke(address, np.array([12]))
        yield REQUEST.pack(1)

    worker.series(requests(), 5.0)
    out = np.empty(1, np.int64)
    worker.read_into(address + 8000, out)
    assert out[0] == 144


def test_status_bytes_are_kept(start: Callable[..., tuple[SupervisedWorker, int]]) -> None:
    """The largest status of a series survives, for the message."""
    worker, _ = start("status = 1 if count == 5 else 0")
    assert worker.series([REQUEST.pack(n) for n in (1, 5, 2)], 5.0).status == 1
    assert worker.call(REQUEST.pack(2), 5.0).status == 0
