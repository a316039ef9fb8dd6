"""The budget ledger of an attempt: what every second was spent on, and which of them are charged.

Four parts add up to wall time: *working* (agent or person, model generation included), *waiting* (retries, rate
limits, queues for a lease), *scoring*, *paused*. Charged are working time, scorings beyond the free allowance and
whatever the submission's own build step took. The total charged never decreases and survives a killed harness.

Inspect knows which seconds a sample spent waiting for a model provider (`sample_limits().working`), and sometimes
learns it only afterwards: a request in flight counts as work until it fails and is retried. The ledger therefore
follows that clock by differences and keeps what was charged too early as credit, which later work uses up first.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from open_re_bench.errors import InfrastructureError

HOUR_S = 3600.0
HEARTBEAT_S = 1.0  # how often the running totals are written; a killed harness loses at most this much


class LedgerTotals(BaseModel):
    """Seconds by part, and what was charged.

    Attributes:
        budget_s: Charged so far: working + charged scoring + build steps.
        credit_s: Working time charged too early, still to be used up.
        free_scorings: Budget times (s) of the scorings that were free, within the last hour.
        stopped_s: Time between a killed harness and its resumption (not part of any other total).
    """

    model_config = ConfigDict(frozen=True)

    working_s: float = 0.0
    waiting_s: float = 0.0
    scoring_s: float = 0.0
    paused_s: float = 0.0
    budget_s: float = 0.0
    credit_s: float = 0.0
    stopped_s: float = 0.0
    free_scorings: tuple[float, ...] = ()

    @property
    def wall_s(self) -> float:
        """Wall time while a harness was running."""
        return self.working_s + self.waiting_s + self.scoring_s + self.paused_s

    @property
    def owed_s(self) -> float:
        """What was charged, less the credit that later work will use up."""
        return self.budget_s - self.credit_s


class Ledger:
    """Keeps the totals of one attempt.

    Args:
        file: Where totals are kept; totals found there are continued.
        free_per_hour: Scorings within any hour of budget time that are free.
        working_clock: Seconds of work so far by another account (Inspect's); None: every unclaimed second is work.
        now: Monotonic clock in seconds.
        wall: Wall clock in seconds since the epoch, to measure how long the harness was gone.
    """

    def __init__(
        self,
        file: Path,
        free_per_hour: float,
        working_clock: Callable[[], float] | None = None,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._file, self._free_per_hour = file, free_per_hour
        self._working_clock, self._now, self._wall = working_clock, now, wall
        self._working = self._waiting = self._scoring = self._paused = 0.0
        self._budget = self._credit = self._stopped = 0.0
        self._free: deque[float] = deque()
        self._pauses = self._scorings = self._waits = 0
        self._charging = False
        self._load()
        self._last = now()
        self._last_work = working_clock() if working_clock else 0.0
        self._written = -HEARTBEAT_S

    def tick(self) -> LedgerTotals:
        """Accounts for the time since the last call and returns the totals."""
        now = self._now()
        passed = max(0.0, now - self._last)
        self._last = max(self._last, now)
        work = passed
        if self._working_clock is not None:
            clock = self._working_clock()
            work, self._last_work = clock - self._last_work, clock
        if self._pauses:
            self._paused += passed
        elif self._waits:  # waiting for the machine inside a scoring is waiting, and never charged
            self._waiting += passed
        elif self._scorings:
            self._scoring += passed
            if self._charging:
                self._budget += passed
        else:
            self._account_work(passed, work)
        if now - self._written >= HEARTBEAT_S:
            self._write(now, durable=False)
        return self.totals

    def _account_work(self, passed: float, work: float) -> None:
        self._credit -= min(work, 0.0)
        wanted = min(max(work, 0.0), passed)
        used = min(self._credit, wanted)
        self._credit -= used
        charged = wanted - used
        self._working += charged
        self._budget += charged
        self._waiting += passed - charged

    @property
    def totals(self) -> LedgerTotals:
        """Totals as of the last tick."""
        return LedgerTotals(
            working_s=self._working,
            waiting_s=self._waiting,
            scoring_s=self._scoring,
            paused_s=self._paused,
            budget_s=self._budget,
            credit_s=self._credit,
            stopped_s=self._stopped,
            free_scorings=tuple(self._free),
        )

    @property
    def state(self) -> str:
        """What the current second counts as: ``paused``, ``waiting``, ``scoring`` or ``working``."""
        if self._pauses:
            return "paused"
        return "waiting" if self._waits else "scoring" if self._scorings else "working"

    @property
    def paused(self) -> bool:
        """Whether the clock is stopped on purpose."""
        return self._pauses > 0

    @property
    def scoring_now(self) -> bool:
        """Whether a scoring is under way, also while it waits for the machine."""
        return self._scorings > 0

    @contextmanager
    def scoring(self, asked_for: bool = True) -> Iterator[bool]:
        """A scoring is under way; yields whether it is free (not charged).

        Args:
            asked_for: The participant asked; False for the harness's own, which are neither charged nor counted.
        """
        self.tick()
        while self._free and self._free[0] <= self._budget - HOUR_S:
            self._free.popleft()
        free = not asked_for or len(self._free) < self._free_per_hour
        if free and asked_for:
            self._free.append(self._budget)
        self._scorings += 1
        self._charging = not free
        try:
            yield free
        finally:
            self.tick()
            self._scorings -= 1
            self._charging = False
            self.save()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The attempt waits for something that is not its doing (a lease, the provider)."""
        self.tick()
        self._waits += 1
        try:
            yield
        finally:
            self.tick()
            self._waits -= 1

    def pause(self) -> None:
        """Stops the clock; counted, so that every `pause` needs its `resume`."""
        self.tick()
        self._pauses += 1
        self.save()

    def resume(self) -> None:
        """Undoes one `pause`."""
        self.tick()
        self._pauses = max(0, self._pauses - 1)
        self.save()

    def charge(self, seconds: float) -> None:
        """Charges `seconds` that passed inside an uncharged scoring but were the participant's own (a build step)."""
        self.tick()
        self._budget += max(0.0, seconds)
        self.save()

    def credit(self, seconds: float) -> None:
        """Gives back `seconds` of charged work that the machine, not the participant, took; later work uses them up."""
        self.tick()
        self._credit += max(0.0, seconds)
        self.save()

    def save(self) -> None:
        """Writes the totals durably.

        Raises:
            InfrastructureError: they cannot be written.
        """
        self._write(self._now(), durable=True)

    def _write(self, now: float, durable: bool) -> None:
        self._written = now
        payload = {**self.totals.model_dump(mode="json"), "written_at": self._wall()}
        temporary = self._file.with_suffix(".new")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(payload, file)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(self._file)
        except OSError as error:
            if durable:
                raise InfrastructureError(
                    f"{self._file}: the ledger cannot be written ({error.strerror})", "free space there, then resume"
                ) from error

    def _load(self) -> None:
        if not self._file.exists():
            return
        try:
            saved = json.loads(self._file.read_text(encoding="utf-8"))
            totals = LedgerTotals.model_validate({k: saved[k] for k in LedgerTotals.model_fields})
            written_at = float(saved.get("written_at", self._wall()))
            if not all(0 <= seconds < math.inf for seconds in (written_at, *_seconds(totals))):
                raise ValueError("a number of seconds is negative or not finite")
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise InfrastructureError(
                f"{self._file}: not a ledger ({error})", "restore it from a backup; the score log beside it is intact"
            ) from error
        self._working, self._waiting = totals.working_s, totals.waiting_s
        self._scoring, self._paused = totals.scoring_s, totals.paused_s
        self._budget, self._credit = totals.budget_s, totals.credit_s
        self._free = deque(totals.free_scorings)
        self._stopped = totals.stopped_s + max(0.0, self._wall() - written_at)


def _seconds(totals: LedgerTotals) -> tuple[float, ...]:
    return (*totals.free_scorings, *totals.model_dump(exclude={"free_scorings"}).values())
