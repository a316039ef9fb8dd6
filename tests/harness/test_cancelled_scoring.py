"""A scoring that is cancelled while it runs: nothing goes on beside what follows, and its score is not lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from open_re_bench import assets, registry
from open_re_bench.harness import attempt_folder, live_attempt
from open_re_bench.harness.ledger import Ledger
from open_re_bench.harness.live_attempt import LiveAttempt, Machine
from open_re_bench.harness.planning import plan_attempts
from open_re_bench.harness.workshop import CountedFreeze
from open_re_bench.scoring import instances
from open_re_bench.scoring.pipeline import Score, score_submission
from open_re_bench.scoring.score_log import read as read_score_log

from .conftest import FileWorkshop


@pytest.mark.parametrize("scope", [True, False])
def test_a_cancelled_scoring_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: bool) -> None:
    """A limit that ends the `score` tool: machine and workshop are held until the scorer has ended; where a scope was
    cancelled (as Inspect does), the score is recorded too.
    """
    bound = registry.environment("optimize_kernel", "test")
    (plan,) = plan_attempts(bound, runs=1, budget_s=60, agent="start", model="", kind="scripted", batch="t")
    folder = attempt_folder.create(tmp_path, plan)
    instance = instances.lay_out(bound, assets.prepare(bound)[0], folder.instance, int(plan.instance_seed, 16))
    started, may_end, ended = threading.Event(), threading.Event(), threading.Event()
    given_back: list[bool] = []

    def slow(*arguments: object, **named: object) -> Score:
        started.set()
        may_end.wait(60)
        try:
            return score_submission(*arguments, **named)  # type: ignore[arg-type]
        finally:
            ended.set()

    @asynccontextmanager
    async def machine() -> AsyncIterator[None]:
        try:
            yield
        finally:
            given_back.append(ended.is_set())
            await asyncio.sleep(0)

    monkeypatch.setattr(live_attempt, "score_submission", slow)

    async def run() -> None:
        workshop = FileWorkshop()
        ledger = Ledger(folder.ledger, 12)
        attempt = LiveAttempt(plan, folder, instance, CountedFreeze(workshop), ledger, Machine(scoring=machine))
        cancel_scope = anyio.CancelScope()

        async def scoring() -> None:
            with cancel_scope:
                await attempt.score("tool")
                await asyncio.sleep(0)
                raise AssertionError("the cancellation was forgotten")

        task = asyncio.create_task(scoring())
        assert await asyncio.to_thread(started.wait, 60)
        if scope:
            cancel_scope.cancel()
        else:
            task.cancel()
        await asyncio.sleep(0.2)
        assert not task.done()
        assert not workshop.running
        may_end.set()
        await asyncio.wait([task])
        assert given_back == [True]
        assert task.cancelled() != scope
        if scope:
            assert workshop.running

    asyncio.run(run())
    assert len(read_score_log(folder.score_log)[0]) == (1 if scope else 0)
