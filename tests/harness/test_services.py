"""Metered services: calls queue, and time that only the machine's other work cost is given back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import JsonValue

from open_re_bench.environment import ServiceRefusal
from open_re_bench.harness.concurrent_service import ConcurrentService
from open_re_bench.harness.ledger import Ledger
from open_re_bench.harness.session import _serialised


class Clock:
    def __init__(self) -> None:
        self.now = 0.0


class Run:
    """A service whose calls take 10 s, of which 7 were the machine's doing; notes how many overlap."""

    def __init__(self, clock: Clock, delay: float = 7.0) -> None:
        self.clock, self.delay = clock, delay
        self.inside = self.most = 0

    def __call__(self, request: dict[str, JsonValue]) -> dict[str, JsonValue]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.clock.now += 10.0
        self.inside -= 1
        if request.get("fails"):
            raise ServiceRefusal("no")
        return {}

    def take_delay(self) -> float:
        return self.delay


def handler(
    tmp_path: Path, clock: Clock, service: Any, own_cpu_s: float = 0.0, quiet: Any = nullcontext
) -> tuple[Any, Ledger]:
    ledger = Ledger(tmp_path / "ledger.json", 12, None, now=lambda: clock.now, wall=lambda: clock.now)
    attempt = SimpleNamespace(closed=False, ledger=ledger, serving=0)
    session: Any = SimpleNamespace(
        attempt=attempt,
        participant_cpu_s=lambda: clock.now / 10.0 * own_cpu_s,
        quiet=SimpleNamespace(serving=quiet),
    )
    return _serialised(service, session), ledger


def used_after(ledger: Ledger, clock: Clock, seconds: float) -> float:
    clock.now += seconds
    return ledger.tick().budget_s


def test_what_a_busy_machine_cost_is_given_back(tmp_path: Path) -> None:
    """A call of 10 s with 3 s of computing costs 3 s in the end, whether it succeeds or is refused."""
    clock = Clock()
    handle, ledger = handler(tmp_path, clock, Run(clock))
    asyncio.run(handle({}))
    with pytest.raises(ServiceRefusal):
        asyncio.run(handle({"fails": True}))
    assert used_after(ledger, clock, 100.0) == pytest.approx(3.0 + 3.0 + 100.0)


def test_who_keeps_the_machine_busy_has_worked(tmp_path: Path) -> None:
    """What the participant's own processes computed during a call is not given back as a busy machine's doing."""
    clock = Clock()
    handle, ledger = handler(tmp_path, clock, Run(clock), own_cpu_s=5.0)
    asyncio.run(handle({}))
    assert used_after(ledger, clock, 100.0) == pytest.approx(3.0 + 5.0 + 100.0)
    (tmp_path / "greedy").mkdir()
    handle, ledger = handler(tmp_path / "greedy", clock, Run(clock), own_cpu_s=40.0)
    asyncio.run(handle({}))
    assert used_after(ledger, clock, 100.0) == pytest.approx(10.0 + 100.0)


def test_no_more_is_given_back_than_was_charged(tmp_path: Path) -> None:
    """A service that claims more delay than the call was charged cannot lengthen an attempt."""
    clock = Clock()
    handle, ledger = handler(tmp_path, clock, Run(clock, delay=1000.0))
    asyncio.run(handle({}))
    assert used_after(ledger, clock, 100.0) == pytest.approx(100.0)
    with ledger.scoring():
        asyncio.run(handle({}))  # a scoring was free anyway
    assert used_after(ledger, clock, 50.0) == pytest.approx(150.0)


def test_calls_queue(tmp_path: Path) -> None:
    """Calls that arrive together run one after another; the queue behind one's own calls is not given back."""
    clock = Clock()
    service = Run(clock)
    handle, ledger = handler(tmp_path, clock, service)

    async def three() -> None:
        await asyncio.gather(*(handle({}) for _ in range(3)))

    asyncio.run(three())
    assert service.most == 1
    assert used_after(ledger, clock, 100.0) == pytest.approx(3 * 3.0 + 100.0)


def test_other_services_are_charged_in_full(tmp_path: Path) -> None:
    """A plain function as a service knows no delay: its calls cost the time they take."""
    clock = Clock()

    def plain(request: dict[str, JsonValue]) -> dict[str, JsonValue]:
        clock.now += 10.0
        return {}

    handle, ledger = handler(tmp_path, clock, plain)
    asyncio.run(handle({}))
    assert used_after(ledger, clock, 1.0) == pytest.approx(11.0)


def test_no_call_starts_while_the_clock_stands(tmp_path: Path) -> None:
    """Calls at once hold the clock while they run; those still in line when it is stopped are refused, not run."""
    ledger = Ledger(tmp_path / "ledger.json", 12)
    attempt = SimpleNamespace(closed=False, ledger=ledger, serving=0)
    calls = threading.Semaphore(0)
    go_on = threading.Event()

    def service(request: dict[str, JsonValue]) -> dict[str, JsonValue]:
        calls.release()
        assert go_on.wait(30)
        return {}

    async def run() -> list[object]:
        handle = ConcurrentService(service, attempt, at_once=2, quiet=nullcontext)
        asked = [asyncio.create_task(handle({})) for _ in range(8)]
        for _ in range(2):
            await asyncio.to_thread(calls.acquire)
        assert attempt.serving == 2
        ledger.pause()
        go_on.set()
        answers: list[object] = await asyncio.gather(*asked, return_exceptions=True)
        handle.close()
        return answers

    answers = asyncio.run(asyncio.wait_for(run(), 60))
    assert sorted(type(answer).__name__ for answer in answers) == ["ServiceRefusal"] * 6 + ["dict"] * 2
    assert not calls.acquire(blocking=False), "a call began after the clock was stopped"
    assert attempt.serving == 0


@pytest.mark.parametrize("at_once", [1, 8])
def test_calls_hold_off_timed_scorings(tmp_path: Path, at_once: int) -> None:
    """Whether its calls run one by one or together, a service runs only while no timed scoring can."""
    held = []

    @asynccontextmanager
    async def quiet() -> AsyncIterator[None]:
        held.append("begins")
        yield
        held.append("ends")

    def service(request: dict[str, JsonValue]) -> dict[str, JsonValue]:
        held.append("runs")
        return {}

    async def run() -> None:
        handle, ledger = handler(tmp_path, Clock(), service, quiet=quiet)
        if at_once > 1:
            attempt = SimpleNamespace(closed=False, ledger=ledger, serving=0)
            handle = ConcurrentService(service, attempt, at_once, quiet)
        await handle({})

    asyncio.run(run())
    assert held == ["begins", "runs", "ends"]
