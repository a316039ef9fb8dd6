"""An end to runs that work too long or wait on purpose, on machines whose wall time says nothing."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

POLL_S = 0.1  # between looks at the CPU time used so far
STARVED = 50  # times its limit that a tree may stand in line; one that does so longer hides the work it does, since
# without a control group the time of ended children that nobody waited for is missing
IDLE = 0.1  # below this share of a core somebody who isn't in line for one is taken to wait


class Endable(Protocol):
    """Anything whose processes can be watched and ended (`open_re_bench.sandbox.Sandbox` is one)."""

    def cpu_ns(self) -> int:
        """CPU time of all its processes, dead ones included, in nanoseconds."""

    def wants_to_run(self) -> bool:
        """Whether anything of it runs, or would if the machine gave it a core."""

    def kill_participant(self) -> None:
        """Ends all its processes."""


class Ended(StrEnum):
    """Why a run was ended."""

    WORKED = "worked"
    WAITED = "waited"


class CpuLimit:
    """While open, ends a tree's processes when they have used too much CPU time, or when they only wait.

    Wall time would punish a submission for a busy machine, so waiting is only what passes while nothing of it runs or
    stands in line for a core; it may last as long as the CPU time may. An error in `turn` is raised on leaving; one in
    looking at the tree ends it first, so that nothing runs unwatched.

    Args:
        tree: Whose processes are watched.
        limit_s: CPU seconds of the whole tree, and seconds of waiting.
        turn: Called every `turn_s` wall seconds, in the watching thread; its time is nobody's.
        turn_s: Wall seconds between two turns.

    Attributes:
        ended: Why the processes were ended; None when they were not.
    """

    def __init__(
        self, tree: Endable, limit_s: float, turn: Callable[[], None] | None = None, turn_s: float = math.inf
    ) -> None:
        self._tree, self._limit_s, self._turn, self._turn_s = tree, limit_s, turn, turn_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._failure: Exception | None = None
        self.ended: Ended | None = None

    def _watch(self) -> None:
        try:
            self._look()
        except Exception as error:  # raised by whoever waits for the run
            self._failure = error
            self._tree.kill_participant()

    def _look(self) -> None:
        began = turned = time.monotonic()
        waited_s = 0.0
        before = last = self._tree.cpu_ns()
        while self.ended is None and not self._over.wait(POLL_S):
            now = self._tree.cpu_ns()
            if now - last < IDLE * POLL_S * 1e9 and not self._tree.wants_to_run():
                waited_s += POLL_S
            last = now
            if self._failure is None and self._turn is not None and time.monotonic() - turned > self._turn_s:
                try:
                    self._turn()
                except Exception as error:  # raised by whoever waits for the run
                    self._failure = error
                turned = time.monotonic()
            starved = time.monotonic() - began > STARVED * self._limit_s
            if starved or (now - before) / 1e9 > self._limit_s:
                self.ended = Ended.WORKED
            elif waited_s > self._limit_s:
                self.ended = Ended.WAITED
        if self.ended is not None:
            self._tree.kill_participant()

    def __enter__(self) -> CpuLimit:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure
