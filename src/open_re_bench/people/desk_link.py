"""How a desk, in its own thread, reaches the attempt in Inspect's event loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from open_re_bench.environment import ServiceRefusal
from open_re_bench.people.commands import PersonCommands
from open_re_bench.sandbox import Sandbox

_KEPT: set[asyncio.Task[None]] = set()  # an event loop holds its tasks weakly


class Phase(Enum):
    """What goes on, as far as the person is concerned."""

    STARTING = "starting"
    STOPPED = "stopped"
    RUNNING = "running"
    MEASURING = "measuring"
    DONE = "done"


@dataclass
class Link:
    """The attempt as the desk sees it.

    Attributes:
        commands: What the person may ask for.
        sandbox: The workshop.
        loop: The event loop they live in.
        context: The running sample's context, which commands need.
    """

    commands: PersonCommands
    sandbox: Sandbox
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def ask(self, make: Callable[[], Coroutine[Any, Any, str]]) -> Future[str]:
        """Runs a coroutine over there (from any thread)."""
        future: Future[str] = Future()

        async def run() -> None:
            try:
                future.set_result(await make())
            except BaseException as error:
                future.set_exception(error if isinstance(error, Exception) else ServiceRefusal("the session has ended"))
                if not isinstance(error, Exception):
                    raise

        def start() -> None:
            task = self.loop.create_task(run())
            _KEPT.add(task)
            task.add_done_callback(_KEPT.discard)

        self.loop.call_soon_threadsafe(start, context=self.context)
        return future
