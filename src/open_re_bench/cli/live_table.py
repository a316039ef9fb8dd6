"""The live table of a run: one row per attempt; plain lines where there is no terminal."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from open_re_bench.harness.attempt_folder import AttemptFolder, AttemptPlan
from open_re_bench.harness.messages import duration
from open_re_bench.harness.session import Session, live_sessions
from open_re_bench.sandbox.leases import QUEUED

REFRESH_S = 0.5
SILENCE_SHOWN_S = 60.0  # a wait this long is worth a word
HEARTBEAT_S = 60.0  # where there is no terminal, a line at least this often shows that the run lives
HEADINGS = ("attempt", "scale", "agent", "state", "time used", "waiting", "scorings", "best", "last")
# Columns of a terminal below which rich would cut the names of attempts -> what then makes room: it is in the attempt's
# name, in its result or in the log.
LEFT_OUT = {120: ("scale", "waiting"), 100: ("agent", "scorings")}


class LiveTable:
    """Shows attempts until closed; a context manager around the run.

    Args:
        folders: The attempts.
        console: Where to draw.
    """

    def __init__(self, folders: Sequence[AttemptFolder], console: Console) -> None:
        self._plans = [(folder, folder.read_plan()) for folder in folders]
        self._console, self._stop = console, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="live-table")
        self._said: dict[str, int] = {}
        self._queued: set[str] = set()

    def __enter__(self) -> LiveTable:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        if not self._console.is_terminal:
            self._run_plain()
            return
        with Live(self._table(), console=self._console, refresh_per_second=4, transient=True) as live:
            while not self._stop.wait(REFRESH_S):
                live.update(self._table())

    def _run_plain(self) -> None:
        spoke = time.monotonic()
        while True:
            ended = self._stop.wait(REFRESH_S)
            for _, plan in self._plans:
                session = live_sessions().get(plan.attempt_id)
                entries = list(session.attempt.log.entries) if session else []
                for entry in entries[self._said.get(plan.attempt_id, 0) :]:
                    spoke = time.monotonic()
                    shown = f"normalised {entry.normalised:.3f}" if entry.valid else f"invalid ({entry.failure})"
                    self._console.print(
                        f"{plan.attempt_id}  {entry.kind} scoring {entry.n} at {duration(entry.budget_s)}: {shown}",
                        highlight=False,
                    )
                self._said[plan.attempt_id] = len(entries) or self._said.get(plan.attempt_id, 0)
                if session is None and plan.attempt_id in QUEUED and plan.attempt_id not in self._queued:
                    self._queued.add(plan.attempt_id)
                    text = f"{plan.attempt_id}  waits for hardware ({QUEUED[plan.attempt_id]}), not charged"
                    self._console.print(text, highlight=False)
                if session and time.monotonic() - spoke > HEARTBEAT_S:
                    spoke = time.monotonic()
                    self._console.print(f"{plan.attempt_id}  {state_of(session)}", highlight=False)
            if ended:
                return

    def _table(self) -> Table:
        table = Table(title=None, expand=False)
        left_out = [heading for room, some in LEFT_OUT.items() if self._console.width < room for heading in some]
        shown = [i for i, heading in enumerate(HEADINGS) if heading not in left_out]
        for i in shown:
            table.add_column(HEADINGS[i], no_wrap=True)
        for folder, plan in self._plans:
            row = _row(folder, plan)
            table.add_row(*(row[i] for i in shown))
        return table


def _row(folder: AttemptFolder, plan: AttemptPlan) -> list[str]:
    session, done = live_sessions().get(plan.attempt_id), folder.read_result()
    head = [plan.attempt_id, plan.scale, plan.agent]
    if done is not None:
        used, waited = done.ledger.budget_s, done.ledger.waiting_s
        result = f"{done.normalised:.3f}" if done.valid else "invalid"
        return [*head, "done", _of(used, plan.budget_s), duration(waited), str(done.scorings), result, result]
    if session is None:
        return [*head, "queued" if plan.attempt_id in QUEUED else "starting", "", "", "", "", ""]
    totals, entries = session.attempt.ledger.totals, session.attempt.log.entries
    valid = [entry for entry in entries if entry.valid]
    best = f"{max(entry.normalised for entry in valid):.3f}" if valid else "–"
    last = (f"{entries[-1].normalised:.3f}" if entries[-1].valid else "invalid") if entries else "–"
    return [
        *head,
        state_of(session),
        _of(totals.budget_s, plan.budget_s),
        duration(totals.waiting_s),
        str(len(entries)),
        best,
        last,
    ]


def state_of(session: Session) -> str:
    """``working``, ``scoring``, ``waiting``, ``paused`` or ``finishing``; a long wait says how long it lasts."""
    if session.silent_s > SILENCE_SHOWN_S:
        return f"silent for {duration(session.silent_s)}"
    return "finishing" if session.attempt.closed else session.attempt.ledger.state


def _of(used: float, budget: float) -> str:
    return f"{duration(used)} / {duration(budget)}"


def where(path: Path) -> str:
    """A path as short as it stays usable from the current directory, quoted for a shell."""
    try:
        return shlex.quote(str(path.resolve().relative_to(Path.cwd())))
    except ValueError:
        return shlex.quote(str(path))
