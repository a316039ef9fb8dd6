"""What a person may ask for: the clock, the score, the end. One implementation for the workshop's ``task`` command
(through the door) and for the prompt that the harness shows (through the desk).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pydantic import JsonValue

from open_re_bench.environment import ServiceRefusal
from open_re_bench.harness import messages
from open_re_bench.harness.attempt_folder import now_text
from open_re_bench.harness.door import Handler
from open_re_bench.harness.ledger import Ledger
from open_re_bench.harness.session import Session
from open_re_bench.people.person import PersonFolder, SessionEvent
from open_re_bench.scoring.workspace import task_text

NOTE_CHARACTERS = 4000
COMMANDS = ("start", "stop", "status", "score", "submit", "note", "instructions")
BUDGET = "budget"  # the desk's own
STOPPED = "The clock is stopped and everything in the workshop stands still. `start` goes on."
STATES = {
    "paused": "The clock is stopped.",
    "scoring": "A scoring is under way; the workshop stands still meanwhile.",
    "waiting": "Waiting for the machine, which is not charged.",
    "working": "The clock runs.",
}
"""What `status` says first, by `Ledger.state`."""


class PersonCommands:
    """The commands of one attempt, in the event loop of its session.

    Args:
        session: The attempt, with its clock stopped and its workshop frozen.
        person: Where the session's record is kept.
        on_clock: Called when the clock has been started (True) or stopped (False).
    """

    def __init__(self, session: Session, person: PersonFolder, on_clock: Callable[[bool], None]) -> None:
        self._session, self._person, self._on_clock = session, person, on_clock
        self._attempt = session.attempt
        self._turning = asyncio.Lock()
        self.submitted = asyncio.Event()

    @property
    def ledger(self) -> Ledger:
        """The attempt's ledger."""
        return self._attempt.ledger

    @property
    def budget_s(self) -> float:
        """Granted working time in seconds."""
        return self._attempt.plan.budget_s

    def handlers(self) -> dict[str, Handler]:
        """Services of the door: ``task.start`` and so on."""
        return {f"task.{name}": self._handler(name) for name in COMMANDS}

    def _handler(self, name: str) -> Handler:
        async def handle(request: dict[str, JsonValue]) -> dict[str, JsonValue]:
            text = await self.carry_out(name, str(request.get("text", "")))
            # Whoever asked inside stands still with the clock and reads the answer when it runs again.
            return {"text": "The clock was stopped; it runs again." if name == "stop" else text}

        return handle

    async def carry_out(self, name: str, text: str = "") -> str:
        """Carries out a command and says how it went.

        Raises:
            ServiceRefusal: not now, or unknown.
        """
        if self._attempt.closed:
            raise ServiceRefusal("the session has ended")
        commands: dict[str, Callable[[str], Awaitable[str]]] = {
            "start": self._start,
            "stop": self._stop,
            "status": self._status,
            "score": self._score,
            "submit": self._submit,
            "note": self._note,
            "instructions": self._instructions,
            BUDGET: self._budget,
        }
        if name not in commands:
            raise ServiceRefusal(f"unknown command; known: {', '.join(COMMANDS)}")
        return await commands[name](text)

    def record(self, event: str, text: str = "") -> None:
        """Writes an event into the session's record, with the ledger as it is now."""
        totals = self._attempt.ledger.tick()
        self._attempt.ledger.save()  # what the record says was charged is not forgotten in a crash
        self._person.append(
            SessionEvent(
                at=now_text(),
                event=event,
                text=text,
                **totals.model_dump(include={"budget_s", "working_s", "scoring_s", "waiting_s", "paused_s"}),
            )
        )

    async def _start(self, _: str) -> str:
        async with self._turning:
            if not self._attempt.ledger.paused:
                return f"The clock is running. {self._session.budget_text()}"
            self._attempt.ledger.resume()
            await self._attempt.workshop.thaw()
            self.record("started")
            self._on_clock(True)
        return f"The clock runs. {self._session.budget_text()}"

    async def _stop(self, _: str) -> str:
        async with self._turning:
            if self._attempt.ledger.paused:
                return STOPPED
            self._refuse_while_served()
            # First still, then uncharged: nothing ever runs for free.
            await self._attempt.workshop.freeze()
            try:
                self._refuse_while_served()  # what the workshop asked for in its last moment
            except ServiceRefusal:
                await self._attempt.workshop.thaw()
                raise
            self._attempt.ledger.pause()
            self.record("stopped")
            self._on_clock(False)
        return f"{STOPPED} {self._session.budget_text()}"

    def _refuse_while_served(self) -> None:
        if self._attempt.ledger.scoring_now:
            raise ServiceRefusal("a scoring is under way; stop the clock when it has ended")
        if self._attempt.serving:
            raise ServiceRefusal("a request of yours is being served; stop the clock when it is answered")

    async def _status(self, _: str) -> str:
        lines = [f"{STATES[self._attempt.ledger.state]} {self._session.budget_text()}"]
        if self._attempt.log.entries and not self._attempt.ledger.scoring_now:  # which counts already
            lines.append(f"The last scoring took about {self._took()}.")
        lines.append(self._session.log_text())
        return "\n".join(lines)

    async def _budget(self, _: str) -> str:
        return self._session.budget_text()

    async def _score(self, _: str) -> str:
        text = await self._session.score_text("person")
        self.record("scored")
        free = self._attempt.log.entries[-1].charged_s == 0
        return f"{text}\nThis scoring took about {self._took()}{', not charged' if free else ''}."

    def _took(self) -> str:
        """How long the last scoring took, without waiting for the machine: what the next one may take."""
        scored_s = self._attempt.ledger.tick().scoring_s - self._attempt.log.entries[-1].scoring_s
        return messages.duration(max(1.0, scored_s))

    async def _submit(self, _: str) -> str:
        self.record("submitted")
        self.submitted.set()
        return "Submitted. Your result is being measured."

    async def _note(self, text: str) -> str:
        if not text.strip():
            raise ServiceRefusal("say what to note: note TEXT")
        self.record("noted", text.strip()[:NOTE_CHARACTERS])
        return "Noted."

    async def _instructions(self, _: str) -> str:
        if self._attempt.ledger.paused:
            raise ServiceRefusal("reading is work: start the clock first")
        return task_text(self._session.environment, self._attempt.plan.budget_s)


def warning(left_s: float) -> str:
    """What a person is told when time runs short."""
    left = messages.duration(left_s)
    return f"{left} left. What lies in ~/solution at the end is scored if it was not; the task says which score counts."
