"""Services that bear several calls at once: a bounded number of threads for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from typing import Protocol

from pydantic import JsonValue

from open_re_bench.environment import Service, ServiceRefusal
from open_re_bench.harness.door import Handler


class Clocked(Protocol):
    """What a service needs to know of the attempt."""

    closed: bool
    serving: int

    @property
    def ledger(self) -> _Pausable:
        """The ledger."""
        ...


class _Pausable(Protocol):
    @property
    def paused(self) -> bool: ...


class ConcurrentService:
    """Calls of one service off the event loop, up to `at_once` together; refused once the attempt ended or pauses.

    In threads of its own: calls that wait for a model would otherwise fill the loop's few shared threads, which the
    model's client needs to get on. Further calls stand in line before them, so that each is looked at again in the
    moment in which it would start: none begins while the clock stands, and one under way holds the clock (`serving`).

    Args:
        service: Thread-safe.
        attempt: Whose service it is.
        at_once: How many calls run together.
        quiet: Held around each call (`QuietMachine.serving`).
    """

    def __init__(
        self,
        service: Service,
        attempt: Clocked,
        at_once: int,
        quiet: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self._service, self._attempt, self._quiet = service, attempt, quiet
        self._free = asyncio.Semaphore(at_once)
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="service")

    async def __call__(self, request: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Answers one request."""
        self._refuse_unless_running()
        async with self._free, self._quiet():
            self._refuse_unless_running()  # while the call stood in line
            loop, context = asyncio.get_running_loop(), copy_context()  # the sample's: its log books what is used
            self._attempt.serving += 1
            try:
                return await loop.run_in_executor(self._pool, lambda: context.run(self._service, request))
            finally:
                self._attempt.serving -= 1

    def close(self) -> None:
        """Drops waiting calls; running ones end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _refuse_unless_running(self) -> None:
        if self._attempt.closed or self._attempt.ledger.paused:
            raise ServiceRefusal("the clock is not running")


def close_all(handlers: dict[str, Handler]) -> None:
    """Closes those of `handlers` that have threads."""
    for handler in handlers.values():
        if isinstance(handler, ConcurrentService):
            handler.close()
