"""A quiet machine for timed scorings: nothing else of ours runs on it meanwhile, in this process or another.

Each attempt holds ``workshops`` (`sandbox.machine_locks`) shared from before its workshop is filled until it ends; a
timed scoring holds it exclusively. While ``intent`` is taken the other attempts freeze their workshops within
`POLL_S`, give up their share and go on when it is free again. Their ledgers call this waiting.

Scorings that measure no time, collecting a submission and the setting up of an attempt keep the attempt's share: a
timed scoring waits for them, and they for it. So do calls of metered services, which run outside of the workshop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from open_re_bench.environment import ServiceRefusal
from open_re_bench.harness.ledger import Ledger
from open_re_bench.sandbox.machine_locks import INTENT, POLL_S, WORKSHOPS, FileLock, lock_directory, machine_wanted


class Freezable(Protocol):
    """A workshop that can be stilled."""

    async def freeze(self) -> None:
        """Stops it."""
        ...

    async def thaw(self) -> None:
        """Lets it go on."""
        ...


class QuietMachine:
    """One attempt's part in keeping the machine quiet.

    Args:
        ledger: Told when the attempt waits for the machine.
        workshop: Frozen while another attempt's timed scoring has the machine.
        timed: Whether this environment's scorings measure time.
    """

    def __init__(self, ledger: Ledger, workshop: Freezable, timed: bool) -> None:
        directory = lock_directory()
        self._ledger, self._workshop, self._timed = ledger, workshop, timed
        self._intent, self._workshops = FileLock(directory / INTENT), FileLock(directory / WORKSHOPS)
        self._busy = asyncio.Lock()  # held while the share must not be given up, and while it is given up
        self._holds_share = self._closed = False
        self._services = 0  # calls under way

    async def enter(self) -> None:
        """Takes the attempt's share; its workshop may run from now on."""
        with self._ledger.waiting():
            await self._take_share()

    async def keep_watch(self) -> None:
        """Yields the machine to other attempts' timed scorings until closed."""
        while not self._closed:
            await asyncio.sleep(POLL_S)
            if self._closed or self._busy.locked() or self._services or not machine_wanted(self._intent):
                continue
            async with self._busy:
                await self._step_aside()

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[None]:
        """Held around a scoring: the whole machine for a timed one, the attempt's own share for any other."""
        if not self._timed:
            async with self.share():
                yield
            return
        async with self._waited_for():
            while self._services:  # its own, not the machine's doing: not waiting
                await asyncio.sleep(POLL_S)
            try:
                with self._ledger.waiting():
                    self._workshops.release()
                    self._holds_share = False
                    await self._intent.take(exclusive=True)
                    await self._workshops.take(exclusive=True)
                yield
            finally:
                self._workshops.release()
                self._intent.release()
                with self._ledger.waiting():
                    await self._take_share()

    @asynccontextmanager
    async def share(self) -> AsyncIterator[None]:
        """Held around work of the harness's own for this attempt: no timed scoring runs meanwhile."""
        async with self._waited_for():
            with self._ledger.waiting():
                await self._take_share()  # a cancelled timed scoring may have left without
            yield

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Held around a call of a metered service, any number at once: no timed scoring runs meanwhile.

        None begins while the attempt stands aside, is scored, or another wants the machine: calls without end would
        keep that one waiting for ever. Not booked as waiting: until the workshop stands still its participant goes on.

        Raises:
            ServiceRefusal: the attempt has ended.
        """
        while not self._closed and (self._busy.locked() or machine_wanted(self._intent) or not self._share_taken()):
            await asyncio.sleep(POLL_S)
        if self._closed:
            raise ServiceRefusal("the attempt has ended")
        self._services += 1
        try:
            yield
        finally:
            self._services -= 1

    def close(self) -> None:
        """Gives everything back; the watch ends."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._intent.close()
            self._workshops.close()

    @asynccontextmanager
    async def _waited_for(self) -> AsyncIterator[None]:
        """Until this attempt is not standing aside; the seconds until then are waiting."""
        with self._ledger.waiting():
            await self._busy.acquire()
        try:
            yield
        finally:
            self._busy.release()

    async def _take_share(self) -> None:
        while not self._closed and not self._share_taken():
            await asyncio.sleep(POLL_S)

    def _share_taken(self) -> bool:
        # Not while somebody wants the machine: a newcomer would keep them waiting for as long as it is set up.
        if not self._holds_share and not machine_wanted(self._intent):
            self._holds_share = self._workshops.attempt(exclusive=False)
        return self._holds_share

    async def _step_aside(self) -> None:
        with self._ledger.waiting():
            await self._workshop.freeze()
            try:
                self._workshops.release()
                self._holds_share = False
                await self._take_share()
            finally:
                await self._workshop.thaw()
