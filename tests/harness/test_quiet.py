"""Leases: timed scorings never overlap with anything that disturbs them."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from open_re_bench.environment import ServiceRefusal
from open_re_bench.harness.ledger import Ledger
from open_re_bench.harness.quiet import QuietMachine
from open_re_bench.sandbox.machine_locks import no_timed_scoring, scoring_alone


class StillableWorkshop:
    """Counts whether it may run; the real ones are frozen by the sandbox."""

    def __init__(self) -> None:
        self.frozen = 0

    async def freeze(self) -> None:
        self.frozen += 1

    async def thaw(self) -> None:
        self.frozen -= 1


pytestmark = pytest.mark.usefixtures("private_cache")


def make(tmp_path: Path, name: str, timed: bool) -> tuple[QuietMachine, StillableWorkshop, Ledger]:
    workshop, ledger = StillableWorkshop(), Ledger(tmp_path / f"{name}.json", 12)
    return QuietMachine(ledger, workshop, timed), workshop, ledger


def test_ten_attempts_never_overlap_a_timed_scoring(tmp_path: Path) -> None:
    """While one timed scoring runs, every other workshop is frozen and no other scoring runs."""
    violations: list[str] = []
    scored: list[str] = []
    inside: set[str] = set()

    async def attempt(name: str, timed: bool, all_: dict[str, StillableWorkshop]) -> None:
        machine, workshop, _ = make(tmp_path, name, timed)
        all_[name] = workshop
        await machine.enter()
        watch = asyncio.create_task(machine.keep_watch())
        for _ in range(2):
            await asyncio.sleep(0.01)
            await workshop.freeze()
            async with machine.lease():
                inside.add(name)
                await asyncio.sleep(0.03)
                if timed:
                    running = [other for other, w in all_.items() if other != name and not w.frozen]
                    violations.extend(running)
                    violations.extend(inside - {name})
                inside.discard(name)
            await workshop.thaw()
            scored.append(name)
        watch.cancel()
        # an attempt that ends gives its share back
        machine.close()
        all_.pop(name)

    async def run() -> None:
        all_: dict[str, StillableWorkshop] = {}
        await asyncio.gather(*(attempt(f"a{i}", i % 3 != 0, all_) for i in range(10)))

    asyncio.run(asyncio.wait_for(run(), 60))
    assert violations == []
    assert len(scored) == 20


def test_stepping_aside_is_waiting(tmp_path: Path) -> None:
    """The seconds an attempt is frozen for another's timing are waiting, and its workshop goes on afterwards."""

    async def run() -> None:
        timer, _, _ = make(tmp_path, "timer", True)
        other, workshop, ledger = make(tmp_path, "other", False)
        await timer.enter()
        await other.enter()
        watch = asyncio.create_task(other.keep_watch())
        async with timer.lease():
            assert workshop.frozen == 1
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.3)
        assert workshop.frozen == 0
        ledger.tick()
        assert ledger.totals.waiting_s >= 0.2
        watch.cancel()

    asyncio.run(run())


def test_a_newcomer_waits_for_a_timed_scoring(tmp_path: Path) -> None:
    """Neither an attempt nor a sandbox is set up while somebody measures, and the measuring waits for set-ups."""

    async def run() -> None:
        timer, _, _ = make(tmp_path, "timer", True)
        newcomer, _, ledger = make(tmp_path, "newcomer", False)
        await timer.enter()
        async with timer.lease():
            entering = asyncio.create_task(newcomer.enter())
            starting = asyncio.create_task(set_up())
            await asyncio.sleep(0.3)
            assert not entering.done()
            assert not starting.done()
        await asyncio.wait_for(asyncio.gather(entering, starting), 10)
        ledger.tick()
        assert ledger.totals.waiting_s >= 0.25
        assert ledger.totals.budget_s < 0.2
        newcomer.close()
        async with no_timed_scoring():
            wanted = asyncio.create_task(timer.lease().__aenter__())
            await asyncio.sleep(0.3)
            assert not wanted.done()
        await asyncio.wait_for(wanted, 10)
        timer.close()

    async def set_up() -> None:
        async with no_timed_scoring():
            pass

    asyncio.run(asyncio.wait_for(run(), 60))


@pytest.mark.parametrize("timed", [True, False])
def test_scorings_outside_of_attempts_take_part(tmp_path: Path, timed: bool) -> None:
    """`re-bench score` of a timed environment stills running workshops; any other waits for timed scorings only."""

    async def run() -> None:
        other, workshop, _ = make(tmp_path, "other", True)
        await other.enter()
        watch = asyncio.create_task(other.keep_watch())
        seen: list[int] = []

        def score() -> None:
            with scoring_alone(timed):
                seen.append(workshop.frozen)

        await asyncio.wait_for(asyncio.to_thread(score), 10)
        assert seen == [1 if timed else 0]
        async with other.lease():
            scoring = asyncio.create_task(asyncio.to_thread(score))
            await asyncio.sleep(0.3)
            assert not scoring.done()
        await asyncio.wait_for(scoring, 10)
        watch.cancel()
        other.close()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_work_for_an_attempt_never_overlaps_a_timed_scoring(tmp_path: Path) -> None:
    """Collecting a submission, looking through it, and scoring without a clock all wait for, and hold up, timing."""

    async def run() -> None:
        timer, _, _ = make(tmp_path, "timer", True)
        other, _, _ = make(tmp_path, "other", False)
        await timer.enter()
        await other.enter()
        watch = asyncio.create_task(other.keep_watch())
        inside: set[str] = set()
        overlaps: list[set[str]] = []

        async def hold(name: str, lease: AbstractAsyncContextManager[None]) -> None:
            async with lease:
                inside.add(name)
                overlaps.append(set(inside))
                await asyncio.sleep(0.05)
                inside.remove(name)

        for _ in range(5):
            await asyncio.gather(
                hold("timed", timer.lease()), hold("collecting", other.share()), hold("scoring", other.lease())
            )
        assert all(len(together) == 1 for together in overlaps)
        watch.cancel()
        timer.close()
        other.close()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_call_of_a_service_never_overlaps_a_timed_scoring(tmp_path: Path) -> None:
    """Calls under way hold up another attempt's timing, and calls without end do not keep it waiting: those that come
    meanwhile begin after it. The attempt's own timed scoring waits for its calls as well."""

    async def run() -> None:
        timer, _, _ = make(tmp_path, "timer", True)
        other, workshop, ledger = make(tmp_path, "other", False)
        await timer.enter()
        await other.enter()
        watch = asyncio.create_task(other.keep_watch())
        under_way: dict[str, int] = {"timer": 0, "other": 0}
        seen: list[dict[str, int]] = []
        together: list[int] = []
        ended = asyncio.Event()

        async def calls(name: str, machine: QuietMachine) -> None:
            while not ended.is_set():
                async with machine.serving():
                    under_way[name] += 1
                    together.append(under_way[name])
                    await asyncio.sleep(0.03)
                    under_way[name] -= 1

        calling = [asyncio.create_task(calls(name, it)) for name, it in (("timer", timer), ("other", other)) * 3]
        for _ in range(3):
            await asyncio.sleep(0.05)
            async with timer.lease():
                seen.append(dict(under_way))
                assert workshop.frozen == 1
                await asyncio.sleep(0.1)
                seen.append(dict(under_way))
            async with other.share():  # its own scoring: nothing begins, nothing is held up
                pass
        ended.set()
        await asyncio.gather(*calling)
        assert seen == [{"timer": 0, "other": 0}] * 6
        assert max(together) == 3, "calls of one attempt go on together"
        ledger.tick()
        assert ledger.totals.waiting_s >= 0.2
        watch.cancel()
        timer.close()
        with pytest.raises(ServiceRefusal):
            await timer.serving().__aenter__()
        other.close()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_calls_do_not_begin_while_their_attempt_is_scored(tmp_path: Path) -> None:
    """A queue of calls is not worked off for free while the workshop stands still for a scoring that is not charged."""

    async def run() -> None:
        machine, _, _ = make(tmp_path, "own", False)
        await machine.enter()
        async with machine.lease():
            call = asyncio.create_task(machine.serving().__aenter__())
            await asyncio.sleep(0.2)
            assert not call.done()
        await asyncio.wait_for(call, 10)
        machine.close()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_cancelled_timed_scoring_leaves_services_working(tmp_path: Path) -> None:
    """An attempt that lost its share when its timed scoring was cancelled takes it again for the next call."""

    async def run() -> None:
        machine, _, _ = make(tmp_path, "own", True)
        await machine.enter()
        machine._workshops.release()
        machine._holds_share = False
        async with asyncio.timeout(10), machine.serving():
            assert machine._holds_share
        machine.close()

    asyncio.run(asyncio.wait_for(run(), 60))
