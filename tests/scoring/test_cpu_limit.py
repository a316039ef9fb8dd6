"""The end of runs that work or wait too long."""

from __future__ import annotations

import threading
import time

import pytest

from open_re_bench.errors import InfrastructureError
from open_re_bench.sandbox import Sandbox, SandboxSpec
from open_re_bench.scoring import cpu_limit
from open_re_bench.scoring.cpu_limit import CpuLimit, Ended

SPEC = SandboxSpec(memory_mb=256, pids=64, disk_mb=16)
FORKS = "for _ in 1 2 3; do python3 -c 'while True: pass' & done; wait"


def test_children_cannot_share_the_work_out() -> None:
    """The CPU time of the whole tree counts, however many processes it is spread over."""
    with Sandbox(SPEC) as sandbox:
        with CpuLimit(sandbox, 0.6) as guard:
            done = sandbox.run(["sh", "-c", FORKS])
        assert guard.ended is Ended.WORKED
        assert done.code != 0
        assert sandbox.cpu_ns() < 5e9


def test_whoever_only_waits_is_ended_too() -> None:
    """A run that sleeps does not hold the scorer longer than one that works."""
    with Sandbox(SPEC) as sandbox, CpuLimit(sandbox, 0.5) as guard:
        done = sandbox.run(["sleep", "1000"])
    assert guard.ended is Ended.WAITED
    assert done.code != 0


def test_a_busy_machine_is_not_the_runs_fault() -> None:
    """Who stands in line for a core is not taken to wait, however long it takes."""
    tree = _Starved()
    with CpuLimit(tree, 0.3) as guard:
        time.sleep(1)
    assert guard.ended is None
    tree.in_line = False
    with CpuLimit(tree, 0.3) as guard:
        assert tree.killed.wait(10)
    assert guard.ended is Ended.WAITED


def test_work_that_cannot_be_counted_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree that always wants to run and never shows CPU time does not hold its scorer for ever."""
    monkeypatch.setattr(cpu_limit, "STARVED", 4)
    tree = _Starved()
    with CpuLimit(tree, 0.1) as guard:
        assert tree.killed.wait(10)
    assert guard.ended is Ended.WORKED


def test_nothing_runs_unwatched() -> None:
    """When the tree cannot be looked at any more, it is ended and the error reaches whoever waits."""
    tree = _Starved()
    tree.broken = True
    with pytest.raises(InfrastructureError), CpuLimit(tree, 60):
        tree.killed.wait(10)
    assert tree.killed.is_set()


def test_a_run_within_its_limit_ends_by_itself() -> None:
    """Nothing is ended early, and turns are taken meanwhile."""
    turns: list[float] = []
    with Sandbox(SPEC) as sandbox, CpuLimit(sandbox, 60, lambda: turns.append(time.monotonic()), 0.1) as guard:
        done = sandbox.run(["sleep", "1"])
    assert guard.ended is None
    assert done.code == 0
    assert turns


def test_an_error_in_a_turn_reaches_whoever_waits() -> None:
    """A turn that fails is not lost in its thread, and the run is not ended for it."""

    def failing() -> None:
        raise InfrastructureError("the yardstick failed", "run `re-bench doctor`")

    with Sandbox(SPEC) as sandbox, pytest.raises(InfrastructureError), CpuLimit(sandbox, 60, failing, 0.1):
        assert sandbox.run(["sleep", "0.5"]).code == 0


class _Starved:
    """A tree that gets no core: it would run if it could."""

    def __init__(self) -> None:
        self.in_line = True
        self.broken = False
        self.killed = threading.Event()

    def cpu_ns(self) -> int:
        return 0

    def wants_to_run(self) -> bool:
        if self.broken:
            raise InfrastructureError("the sandbox is gone", "run `re-bench doctor`")
        return self.in_line

    def kill_participant(self) -> None:
        self.killed.set()
