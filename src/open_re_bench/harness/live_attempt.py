"""A running attempt: its ledger, its score log, its workshop; scoring on request and the final result.

Knows nothing of Inspect: agents, people and scripts all come here through the door, the tools or the scorer.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import anyio

from open_re_bench.attempt import AttemptRecord, LedgerRecord, SpendingRecord
from open_re_bench.environment import Environment, Failure, Instance, ServiceRefusal, Submission
from open_re_bench.errors import InfrastructureError
from open_re_bench.harness.attempt_folder import AttemptFolder, AttemptPlan, now_text
from open_re_bench.harness.ledger import Ledger
from open_re_bench.harness.result import attempt_record, select
from open_re_bench.monitor.evidence import Evidence, stored_submissions
from open_re_bench.monitor.rules import examine
from open_re_bench.scoring import collection
from open_re_bench.scoring.pipeline import Circumstances, Score, score_submission
from open_re_bench.scoring.score_log import ScoreEntry, ScoreLog


class Workshop(Protocol):
    """What an attempt needs of the sandbox its participant works in."""

    async def snapshot(self) -> bytes:
        """A tar of ~/solution, made inside the sandbox."""
        ...

    async def freeze(self) -> None:
        """Stops every process of the participant."""
        ...

    async def thaw(self) -> None:
        """Lets them go on."""
        ...

    async def kill_participant(self) -> None:
        """Ends every process of the participant, for good."""
        ...


Held = Callable[[], AbstractAsyncContextManager[None]]
Result = TypeVar("Result")


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


@dataclass(frozen=True)
class Machine:
    """How an attempt shares the machine with others (`quiet`, `sandbox.leases`).

    Attributes:
        scoring: Held while a submission is scored: the whole machine where time is measured.
        share: Held during other work for the attempt: no timed scoring runs meanwhile.
        cores: Cores that scorings are bound to; None for all of them.
    """

    scoring: Held = _nothing
    share: Held = _nothing
    cores: tuple[int, ...] | None = None

    def on_cores(self, work: Callable[[], Result]) -> Result:
        """Runs `work` in the calling thread, it and whatever it starts bound to `cores`."""
        before = os.sched_getaffinity(0)
        if self.cores:
            os.sched_setaffinity(0, self.cores)
        try:
            return work()
        finally:
            os.sched_setaffinity(0, before)


async def _to_its_end(work: Callable[[], Result]) -> Result:
    """Runs `work` in a thread and stays until it has ended, also when cancelled: a thread cannot be stopped halfway.

    Inspect's limits and its user cancel by scopes: they take effect at the first wait after this one.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as error:  # this task's own, which no scope holds off
                cancelled = error
    if cancelled is not None:
        raise cancelled
    return running.result()


class LiveAttempt:
    """One attempt while a harness serves it.

    Args:
        plan: What was planned.
        folder: Where its state is kept.
        instance: The laid-out instance.
        workshop: The participant's sandbox.
        ledger: The budget ledger.
        machine: How it shares the machine, so that timed scorings meet a quiet one.
        on_scored: Called with each new log entry (the Inspect log mirrors them).
        minimum_interval_s: Seconds between two scorings; the environment's, but the attack kit does without.
    """

    def __init__(
        self,
        plan: AttemptPlan,
        folder: AttemptFolder,
        instance: Instance,
        workshop: Workshop,
        ledger: Ledger,
        machine: Machine | None = None,
        on_scored: Callable[[ScoreEntry], Awaitable[None]] | None = None,
    ) -> None:
        self.plan, self.folder, self.instance, self.workshop = plan, folder, instance, workshop
        self.ledger, self.log = ledger, ScoreLog(folder.score_log)
        self._machine, self.on_scored = machine or Machine(), on_scored
        self._lock = asyncio.Lock()
        self._last_scored = -float("inf")
        self.minimum_interval_s = instance.environment.spec.minimum_interval_s
        self.closed = folder.has_ended
        self._damaged: list[str] = []  # what the choice of the final submission had to pass over
        self.serving = 0  # calls of metered services that are under way

    @property
    def environment(self) -> Environment:
        """The environment being attempted."""
        return self.instance.environment

    @property
    def remaining_s(self) -> float:
        """Budget left in seconds, never below 0."""
        return max(0.0, self.plan.budget_s - self.ledger.tick().budget_s)

    async def score(self, caller: str) -> ScoreEntry:
        """Collects ~/solution, scores it and logs the result.

        Args:
            caller: Which way the request came (``tool``, ``command``, ``person``, ...), for the log.

        Raises:
            ServiceRefusal: too soon after the last one, or the attempt has ended.
        """
        async with self._lock:
            self._refuse_if_closed_or_too_soon()
            asked = self.ledger.tick()
            with self.ledger.scoring() as free:
                score, submission = await self._collect_and_score(final=False)
            if not free:
                charged = self.ledger.tick().budget_s - asked.budget_s
            else:
                charged = _build_seconds(score)
                self.ledger.charge(charged)
            entry = self._entry("intermediate", asked, score, submission, charged, caller)
            self.log.append(entry)
            self._last_scored = time.monotonic()
        if self.on_scored is not None:
            await self.on_scored(entry)
        return entry

    def _refuse_if_closed_or_too_soon(self) -> None:
        if self.closed:
            raise ServiceRefusal("the attempt has ended; nothing is scored any more")
        if self.ledger.paused:
            raise ServiceRefusal("the clock is stopped; start it again to score")
        wait = self.minimum_interval_s - (time.monotonic() - self._last_scored)
        if wait > 0:
            raise ServiceRefusal(f"the last scoring was too recent; ask again in {wait:.0f} s")

    async def _collect_and_score(self, final: bool) -> tuple[Score, Submission | None]:
        async with self._still():
            try:
                async with self._machine.share():
                    submission = await self._collect()
            except collection.SubmissionRefused as refusal:
                return self._refused(str(refusal)), None
            return await self._run_scorer(submission, final), submission

    async def _collect(self) -> Submission:
        stream = await self.workshop.snapshot()
        rules = self.environment.spec.submission
        return await asyncio.to_thread(collection.collect_tar, stream, rules, self.folder.submissions)

    @asynccontextmanager
    async def _still(self) -> AsyncIterator[None]:
        """The workshop stands still: files don't change while collected, and free scoring is not free compute."""
        await self.workshop.freeze()
        try:
            yield
        finally:
            await self.workshop.thaw()

    async def _run_scorer(self, submission: Submission, final: bool) -> Score:
        circumstances = Circumstances(reasons=self.plan.local_reasons, model_roles=self.plan.model_roles)
        work = partial(score_submission, self.instance, submission, final=final, circumstances=circumstances)
        score: Score | None = None
        try:
            async with self._machine.scoring():
                score = await _to_its_end(partial(self._machine.on_cores, work))
        except asyncio.CancelledError:
            if score is None:
                raise
            # Cancelled while the machine is given back: what was scored counts. Inspect cancels again at the next wait.
        return score

    def _refused(self, message: str) -> Score:
        return Score(
            environment=self.plan.environment,
            scale=self.plan.scale,
            raw=None,
            normalised=0.0,
            valid=False,
            message=message,
            failure=Failure.PARTICIPANT,
        )

    def _entry(
        self,
        kind: str,
        asked: object,
        score: Score,
        submission: Submission | None,
        charged: float,
        caller: str,
    ) -> ScoreEntry:
        totals = LedgerRecord.model_validate(asked, from_attributes=True)
        return ScoreEntry(
            n=len(self.log.entries) + 1,
            kind=kind,
            asked_at=now_text(),
            budget_s=totals.budget_s,
            working_s=totals.working_s,
            waiting_s=totals.waiting_s,
            scoring_s=totals.scoring_s,
            paused_s=totals.paused_s,
            charged_s=charged,
            raw=score.raw,
            normalised=score.normalised,
            valid=score.valid,
            failure=score.failure.value if score.failure else None,
            message=score.message,
            submission=submission.digest if submission else None,
            details=score.details,
            receipt=score.receipt.model_dump(mode="json") if score.receipt else {},
            caller=caller,
        )

    async def finalise(
        self, commands: Sequence[str] = (), earlier_spending: SpendingRecord | None = None
    ) -> AttemptRecord:
        """Ends the attempt: kills the participant's processes, snapshots, selects, re-scores with a fresh seed.

        Args:
            commands: What the participant typed or had its tools run, for the monitor.
            earlier_spending: What its models had used before this harness served it, for the record.

        Idempotent: a finished attempt returns the result it has.

        Raises:
            InfrastructureError: a scoring failed on our side. There is no result yet; measured again when resumed.
        """
        self.closed = True  # before waiting for the lock: scorings that queue for it must not delay the end
        self.folder.mark_ended()  # before anything that may fail: whoever has submitted does not work on
        async with self._lock:
            done = self.folder.read_result()
            if done is not None:
                return done
            await self.workshop.kill_participant()
            while self.ledger.paused:  # submitted while the clock was stopped
                self.ledger.resume()
            await self._score_closing_state()
            chosen, stored = await asyncio.to_thread(self._chosen)
            final: Score | None = None
            if stored is not None:
                asked = self.ledger.tick()
                with self.ledger.scoring(asked_for=False):
                    final = await self._run_scorer(stored, final=True)
                entry = self._entry("final", asked, final, stored, 0.0, "harness")
                self.log.append(entry)
                _refuse_failure_of_ours(final, "final")
            async with self._machine.share():
                flags = await asyncio.to_thread(self._flags, commands)
            record = attempt_record(
                self.plan, self.environment, self.log, self.ledger.tick(), chosen, final, self._damaged
            )
            record = record.model_copy(update={"flags": flags, "earlier_spending": earlier_spending})
            self.ledger.save()
            self.folder.write_result(record)
            return record

    def _chosen(self) -> tuple[ScoreEntry | None, Submission | None]:
        """The entry that becomes the result, and its submission.

        Entries whose stored submission was damaged (a power cut, a disk) are passed over, and the result says so: an
        attempt that could never be finished would lose the others too.
        """
        self._damaged = []
        entries = list(self.log.entries)
        while (chosen := select(entries, self.environment)) is not None and chosen.submission is not None:
            try:
                return chosen, collection.load(self.folder.submissions, chosen.submission)
            except (FileNotFoundError, ValueError) as error:
                self._damaged.append(f"scoring {chosen.n} was passed over: {error}")
                entries.remove(chosen)
        return chosen, None

    async def _score_closing_state(self) -> None:
        """Scores what lies in ~/solution at the end, unless that very content was scored already."""
        asked = self.ledger.tick()
        try:
            async with self._machine.share():
                submission = await self._collect()
        except collection.SubmissionRefused as refusal:
            if not self.log.entries:
                self.log.append(self._entry("closing", asked, self._refused(str(refusal)), None, 0.0, "harness"))
            return
        scored = {entry.submission for entry in self.log.entries if entry.failure != Failure.INFRASTRUCTURE}
        if submission.digest in scored:
            return
        with self.ledger.scoring(asked_for=False):
            score = await self._run_scorer(submission, final=False)
        self.log.append(self._entry("closing", asked, score, submission, 0.0, "harness"))
        _refuse_failure_of_ours(score, "closing")  # or an older entry would silently be taken for it

    def _flags(self, commands: Sequence[str]) -> tuple[str, ...]:
        entries = self.log.entries
        evidence = Evidence(
            submissions=stored_submissions(self.folder.submissions, (entry.submission for entry in entries)),
            entries=entries,
            commands=commands,
            ceiling=self.environment.scale.ceiling,
        )
        return tuple(str(flag) for flag in examine(evidence))


def _refuse_failure_of_ours(score: Score, kind: str) -> None:
    if score.failure is Failure.INFRASTRUCTURE:
        why = score.details.get("error") or score.message
        raise InfrastructureError(
            f"the {kind} scoring failed on our side ({why}); nothing is lost: `re-bench resume` measures again"
        )


def _build_seconds(score: Score) -> float:
    seconds = score.details.get("build_s", 0.0)
    return float(seconds) if isinstance(seconds, (int, float)) else 0.0
