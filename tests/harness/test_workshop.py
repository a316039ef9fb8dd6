"""A workshop that several wants still at once, and what becomes of it when stilling it fails."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from open_re_bench.harness.workshop import CountedFreeze


class Stubborn:
    """A workshop whose first freeze fails, as where a process waits for a disk, or takes for ever."""

    def __init__(self, hangs: bool = False) -> None:
        self.running, self.calls, self.hangs = True, 0, hangs

    async def snapshot(self) -> bytes:
        return b""

    async def freeze(self) -> None:
        self.calls += 1
        self.running = False
        if self.calls == 1:
            if self.hangs:
                await asyncio.sleep(600)
            raise OSError("the freezer did not stop every process")

    async def thaw(self) -> None:
        await asyncio.sleep(0)
        self.running = True

    async def kill_participant(self) -> None:
        pass


@pytest.mark.parametrize("hangs", [False, True])
def test_a_freeze_that_failed_does_not_count(hangs: bool) -> None:
    """After a freeze that failed or was cancelled the workshop runs, and the next one stills it as ever."""

    async def run() -> None:
        workshop = Stubborn(hangs)
        counted = CountedFreeze(workshop)
        if hangs:
            with anyio.move_on_after(0.05):
                await counted.freeze()
        else:
            with pytest.raises(OSError, match="freezer"):
                await counted.freeze()
        assert workshop.running
        await counted.freeze()
        await counted.freeze()
        assert not workshop.running
        await counted.thaw()
        assert not workshop.running
        await counted.thaw()
        assert workshop.running

    asyncio.run(run())


def test_whoever_is_cancelled_leaves_no_workshop_still() -> None:
    """A cancellation that meets the thaw does not leave the workshop standing for good."""

    async def run() -> None:
        workshop = Stubborn()
        workshop.calls = 1
        counted = CountedFreeze(workshop)
        await counted.freeze()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await counted.thaw()
        assert workshop.running

    asyncio.run(run())
