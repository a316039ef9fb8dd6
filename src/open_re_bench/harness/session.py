"""Serves one attempt inside an Inspect sample: workshop, door, budget watch; found again by tools and scorer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from inspect_ai.agent import AgentState
from inspect_ai.model import ChatMessage, ChatMessageUser
from inspect_ai.scorer import Score as InspectScore
from inspect_ai.scorer import score as inspect_score
from inspect_ai.util import LimitExceededError, StoreModel, background, sample_limits, sandbox, store_as
from pydantic import JsonValue

from open_re_bench import assets, registry
from open_re_bench.attempt import ScoringRecord
from open_re_bench.environment import DelayedService, Environment, Instance, Service, ServiceRefusal
from open_re_bench.harness import gateway, messages
from open_re_bench.harness.attempt_folder import AttemptFolder, AttemptPlan
from open_re_bench.harness.concurrent_service import ConcurrentService, close_all
from open_re_bench.harness.door import Door, Handler, door_directory
from open_re_bench.harness.ledger import Ledger
from open_re_bench.harness.live_attempt import LiveAttempt, Machine
from open_re_bench.harness.quiet import QuietMachine
from open_re_bench.harness.result import select
from open_re_bench.harness.spending import Spending, Spent
from open_re_bench.harness.workshop import CountedFreeze, cpu_clock, fill_new_home, leased_cores, workshop_for
from open_re_bench.sandbox.machine_locks import FileLock
from open_re_bench.scoring import instances
from open_re_bench.scoring.chat import Coder
from open_re_bench.scoring.score_log import ScoreEntry
from open_re_bench.scoring.workspace import write_home

WATCH_INTERVAL_S = 0.25  # how late the end of a budget can be noticed
SILENCE_ALARM_S = 600.0  # an attempt that only waited for this long is said to be silent, once per such time
logger = logging.getLogger(__name__)


class AttemptStore(StoreModel):
    """What a sample's store says of its attempt.

    Attributes:
        attempt_id: Key of the live attempt in this process.
        used_s, budget_s: As of the last scoring, for viewers of the log.
    """

    attempt_id: str = ""
    used_s: float = 0.0
    budget_s: float = 0.0


def _usage() -> Spent:
    limits = sample_limits()
    return Spent(tokens=int(limits.token.usage), cost_usd=limits.cost.usage)


class Session:
    """A live attempt and what serves it in this process."""

    def __init__(self, attempt: LiveAttempt, bound: Environment, quiet: QuietMachine) -> None:
        self.attempt, self.environment, self.quiet = attempt, bound, quiet
        self.pending: ScoreEntry | None = None
        self.door: Door | None = None
        self.silent_s = 0.0
        self.participant_cpu_s: Callable[[], float] = lambda: 0.0
        self.coder: Coder | None = None
        self.spending = Spending(attempt.folder.spending, _usage)
        self.lock: FileLock | None = None

    @property
    def resumed(self) -> bool:
        """Whether an earlier harness already served this attempt."""
        return self.attempt.ledger.totals.stopped_s > 0

    async def score_text(self, caller: str) -> str:
        """Scores and says how it went (for the participant)."""
        entry = await self.attempt.score(caller)
        used = self.attempt.ledger.tick().budget_s
        text = messages.score_text(entry, self.environment, select(self.attempt.log.entries, self.environment))
        return f"{text}\n{messages.budget_line(used, self.attempt.plan.budget_s)}"

    def log_text(self) -> str:
        """The score log (for the participant)."""
        return messages.log_text(self.attempt.log.entries, self.environment)

    def budget_text(self) -> str:
        """Time used and left (for the participant)."""
        return messages.budget_line(self.attempt.ledger.tick().budget_s, self.attempt.plan.budget_s)

    def resumption_messages(self) -> list[ChatMessage]:
        """What a participant is told when its attempt goes on after an interruption."""
        text = (
            "The machine was restarted. Your files are as they were; running processes have ended. "
            f"{self.budget_text()}\nScores so far:\n{self.log_text()}"
        )
        return [ChatMessageUser(content=text)]

    async def mirror(self, entry: ScoreEntry) -> None:
        """Puts a log entry into the Inspect log as an intermediate score event."""
        self.pending = entry
        try:
            await inspect_score(AgentState(messages=[]))
        finally:
            self.pending = None
        store = store_as(AttemptStore)
        store.used_s = entry.budget_s


_SESSIONS: dict[str, Session] = {}


def current_session() -> Session:
    """The session of the running sample.

    Raises:
        RuntimeError: the sample is not an attempt of ours.
    """
    session = _SESSIONS.get(store_as(AttemptStore).attempt_id)
    if session is None:
        raise RuntimeError("no attempt is being served in this sample")
    return session


def live_sessions() -> Mapping[str, Session]:
    """All attempts being served in this process, by attempt id (the live table reads it)."""
    return _SESSIONS


async def open_session(plan: AttemptPlan, folder: AttemptFolder) -> Session:
    """Opens (or, after a crash, reopens) an attempt in the running sample.

    Fills the workshop, starts the ledger, opens the door and watches the budget until the sample ends.

    Raises:
        UserError: not prepared, another harness has the attempt, or the state on disk cannot be used.
    """
    lock = folder.take()  # before anything of the attempt is read
    try:
        session = await _open(plan, folder)
    except BaseException:
        lock.close()
        raise
    session.lock = lock
    return session


async def _open(plan: AttemptPlan, folder: AttemptFolder) -> Session:
    bound = registry.environment(plan.environment, plan.scale)
    person = plan.participant_kind == "human"
    clock = None if person else lambda: sample_limits().working.usage
    ledger = Ledger(folder.ledger, bound.spec.free_scorings_per_hour, clock)
    workshop = CountedFreeze(workshop_for(sandbox()))
    if person:  # a person starts the clock, also after a crash: nobody knows who sits there
        ledger.pause()
    quiet = QuietMachine(ledger, workshop, bound.spec.timed_scoring)
    try:
        with ledger.waiting():
            await quiet.enter()
            instance = await _set_up(bound, plan, folder)
        if person:
            await workshop.freeze()
        return await _serve(plan, folder, instance, workshop, ledger, quiet)
    except BaseException:
        quiet.close()  # or timed scorings of others would wait for this process to end
        raise


async def _set_up(bound: Environment, plan: AttemptPlan, folder: AttemptFolder) -> Instance:
    found, _ = await asyncio.to_thread(assets.prepare, bound)
    instance = await asyncio.to_thread(instances.lay_out, bound, found, folder.instance, int(plan.instance_seed, 16))
    with tempfile.TemporaryDirectory(prefix="orb-home-") as temporary:
        write_home(instance, Path(temporary), plan.budget_s)
        await fill_new_home(sandbox(), Path(temporary), folder)
    return instance


async def _serve(
    plan: AttemptPlan,
    folder: AttemptFolder,
    instance: Instance,
    workshop: CountedFreeze,
    ledger: Ledger,
    quiet: QuietMachine,
) -> Session:
    bound = instance.environment
    cores = None if bound.spec.timed_scoring else leased_cores(sandbox())
    attempt = LiveAttempt(plan, folder, instance, workshop, ledger, Machine(quiet.lease, quiet.share, cores))
    session = Session(attempt, bound, quiet)
    attempt.on_scored = session.mirror
    session.participant_cpu_s = cpu_clock(sandbox())
    store = store_as(AttemptStore)
    store.attempt_id, store.budget_s = plan.attempt_id, plan.budget_s
    _SESSIONS[plan.attempt_id] = session
    # Before services open: they and every scoring inherit the coder of this run, if it has one.
    session.coder = gateway.connect(plan.model)
    session.door = Door(door_directory(folder.key), _handlers(session))
    await session.door.open()
    background(_watch, session)
    background(quiet.keep_watch)
    return session


def _handlers(session: Session) -> dict[str, Handler]:
    async def score(_: dict[str, JsonValue]) -> dict[str, JsonValue]:
        text = await session.score_text("command")
        entry = session.attempt.log.entries[-1]
        shown = session.environment.spec.score_visible
        return {
            "text": text,
            "valid": entry.valid,
            "raw": entry.raw if shown else None,
            "normalised": entry.normalised if shown else None,
        }

    async def score_log(_: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {"text": session.log_text()}

    async def budget(_: dict[str, JsonValue]) -> dict[str, JsonValue]:
        totals, granted = session.attempt.ledger.tick(), session.attempt.plan.budget_s
        return {"text": session.budget_text(), "used_s": totals.budget_s, "left_s": granted - totals.budget_s}

    handlers: dict[str, Handler] = {"score": score, "score_log": score_log, "budget": budget}
    services = registry.hook(session.environment, "services")
    if services is not None:
        for name, service in services.open_services(session.attempt.instance).items():
            at_once = getattr(services, "CALLS_AT_ONCE", 1)
            handlers[name] = (
                _serialised(service, session)
                if at_once == 1
                else ConcurrentService(service, session.attempt, at_once, session.quiet.serving)
            )
    return handlers


def _serialised(service: Service, session: Session) -> Handler:
    """One call of a service at a time, off the event loop; refused once the attempt has ended or while paused.

    Time that a call took only because the machine was busy is given back (`DelayedService`); the queue behind one's
    own calls is not, nor more than was charged while the call ran.
    """
    lock = asyncio.Lock()
    ledger = session.attempt.ledger

    async def handle(request: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if session.attempt.closed or ledger.paused:
            raise ServiceRefusal("the clock is not running")
        async with lock, session.quiet.serving():
            if session.attempt.closed or ledger.paused:  # while the call stood in line
                raise ServiceRefusal("the clock is not running")
            before = ledger.tick().owed_s
            session.attempt.serving += 1
            worked = session.participant_cpu_s()
            try:
                return await asyncio.to_thread(service, request)
            finally:
                session.attempt.serving -= 1
                if isinstance(service, DelayedService):
                    # Whoever keeps the machine busy themselves meanwhile has worked, not waited.
                    delay = service.take_delay() - (session.participant_cpu_s() - worked)
                    ledger.credit(max(0.0, min(delay, ledger.tick().owed_s - before)))

    return handle


async def _watch(session: Session) -> None:
    """Keeps the ledger ticking and ends the sample when the budget is used up."""
    attempt = session.attempt
    active, alarms = attempt.ledger.tick(), 0
    try:
        while not attempt.closed:
            totals = attempt.ledger.tick()
            used = totals.budget_s
            if (totals.working_s, totals.scoring_s, totals.paused_s) != (
                active.working_s,
                active.scoring_s,
                active.paused_s,
            ):
                active, alarms = totals, 0
            session.silent_s = totals.waiting_s - active.waiting_s
            if session.silent_s > SILENCE_ALARM_S * (alarms + 1):
                alarms += 1
                logger.warning("%s has only waited for %.0f s", attempt.plan.attempt_id, session.silent_s)
            excess = session.spending.excess(attempt.plan.max_cost, attempt.plan.max_tokens)
            if excess is not None:
                await attempt.workshop.freeze()
                raise LimitExceededError("custom", value=excess[0], limit=excess[1], message=excess[2])
            if used >= attempt.plan.budget_s:
                await attempt.workshop.freeze()
                raise LimitExceededError(
                    "custom",
                    value=used,
                    limit=attempt.plan.budget_s,
                    message=f"The budget of {messages.duration(attempt.plan.budget_s)} is used up.",
                )
            await asyncio.sleep(WATCH_INTERVAL_S)
    finally:
        with contextlib.suppress(Exception):
            attempt.ledger.save()


async def close_session(session: Session) -> None:
    """Closes the door and forgets the session; the attempt's folder keeps everything."""
    session.quiet.close()
    if session.door is not None:
        await session.door.close()
        close_all(session.door.handlers)
        if session.attempt.folder.result_file.exists():  # nobody comes back to it
            shutil.rmtree(session.door.directory, ignore_errors=True)
    _SESSIONS.pop(session.attempt.plan.attempt_id, None)
    if session.lock is not None:
        session.lock.close()


def as_inspect_score(entry: ScoreEntry) -> InspectScore:
    """A log entry as an intermediate Inspect score."""
    record = ScoringRecord(
        n=entry.n, budget_s=entry.budget_s, raw=entry.raw, normalised=entry.normalised, valid=entry.valid
    )
    return InspectScore(value=entry.normalised, explanation=entry.message, metadata=record.to_metadata())
