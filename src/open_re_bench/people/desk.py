"""The place where a person sits: a socket on which terminals of one attempt are opened, in a thread of its own.

It is there before the workshop is and after it has gone, so that a client is told what happens: consent first, the
stopped clock, terminals while it runs, the result and the questionnaire at the end. Inspect's event loop, where the
attempt lives, is only visited for commands (`Link`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import shutil
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from open_re_bench.environment import ServiceRefusal
from open_re_bench.errors import InfrastructureError, UserError
from open_re_bench.harness.messages import duration
from open_re_bench.harness.place import CLIENT, SOCKET, directory_of
from open_re_bench.people import attach_client
from open_re_bench.people.commands import warning
from open_re_bench.people.desk_link import Link, Phase
from open_re_bench.people.person import PersonFolder
from open_re_bench.people.recording import Recording
from open_re_bench.people.seat import Seat
from open_re_bench.people.terminal import Terminal

WARNINGS_S = (1800.0, 600.0, 300.0, 60.0)  # of budget left
WATCH_S = 0.5
WAITING_SHOWN_S = 3.0  # a wait for another attempt's timed scoring this long is worth a word
START_S = 10.0
FAREWELL_S = 2.0
MAX_SEATS = 8
logger = logging.getLogger(__name__)

Conversation = Callable[["Desk", Seat], Awaitable[None]]  # serves one client until it leaves or everything is said


class Desk:
    """Serves one attempt's person.

    Args:
        person: The attempt's files about its person.
        environment: Title shown.
        login_uid: In proctored mode the only user who may sit here; None: only the harness's own user.
        name: What the socket's place is derived from (the login user's name, or the attempt's id).
        converse: What is said to whoever sits here (`conversation.converse`).
    """

    def __init__(
        self, person: PersonFolder, environment: str, login_uid: int | None, name: str, converse: Conversation
    ) -> None:
        self.person, self.environment, self._converse = person, environment, converse
        self.login_uid = login_uid
        self.directory = directory_of(name)
        self.phase, self.result_text = Phase.STARTING, ""
        self.link: Link | None = None
        self._seats: set[Seat] = set()
        self._terminals: list[Terminal] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="desk", daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._warned: set[float] = set()
        self.left = threading.Event()  # set while nobody sits here

    # ---- from the harness's threads ---------------------------------------------------------------------------

    @property
    def socket(self) -> Path:
        """Where clients connect."""
        return self.directory / SOCKET

    def open(self) -> None:
        """Starts listening.

        Raises:
            UserError: another harness serves this attempt, or this login user, already.
            InfrastructureError: the socket does not answer.
        """
        if self._answers():
            raise UserError("this session is being served already", "attach to it, or end the other harness first")
        self._thread.start()
        self.left.set()
        self._await(self._listen())
        shutil.copyfile(attach_client.__file__, self.directory / CLIENT)
        (self.directory / CLIENT).chmod(0o755)
        if not self._answers():
            raise InfrastructureError(f"nobody answers at {self.socket}", "try again")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
            return True

    def serve(self, link: Link) -> None:
        """The workshop is there, its clock stopped."""
        self.link = link
        self._await(self._begin())

    def clock(self, running: bool) -> None:
        """The clock was started or stopped."""
        self._loop.call_soon_threadsafe(self._turn, Phase.RUNNING if running else Phase.STOPPED)

    def measure(self) -> None:
        """The work has ended; the result is being measured. Terminals and their recordings are closed."""
        self.link = None
        self._await(self._end_work())

    def finish(self, text: str, wait_s: float) -> None:
        """Shows the result, then asks the questionnaire; returns when it is answered or nobody is left.

        Args:
            text: The result in words.
            wait_s: How long to wait at most.
        """
        self.result_text = text
        self._loop.call_soon_threadsafe(self._turn, Phase.DONE)
        self.left.wait(wait_s)

    def close(self, last_words: str) -> None:
        """Sends everybody away and stops listening."""
        with contextlib.suppress(Exception):
            self._await(self._stop(last_words))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)
        if not self._thread.is_alive():
            self._loop.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _await(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_S)

    # ---- in the desk's own thread -----------------------------------------------------------------------------

    async def _listen(self) -> None:
        self.socket.unlink(missing_ok=True)  # left by a harness that was killed
        self._server = await asyncio.start_unix_server(self._accept, path=self.socket)
        os.chmod(self.socket, 0o600 if self.login_uid is None else 0o666)  # `_allowed` decides in both cases

    async def _begin(self) -> None:
        self._turn(Phase.STOPPED)
        for _ in self._seats:  # who came while the workshop was made
            self.note("attached")
        self._keep(self._watch())

    async def _end_work(self) -> None:
        self._turn(Phase.MEASURING)
        terminals, self._terminals = self._terminals, []
        for terminal in terminals:
            await terminal.close()

    async def _stop(self, last_words: str) -> None:
        if self._server is not None:
            self._server.close()
        for seat in list(self._seats):
            await seat.farewell(last_words)
        for terminal in self._terminals:
            await terminal.close()
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=FAREWELL_S)

    def _keep(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _turn(self, phase: Phase) -> None:
        if self.phase in (Phase.MEASURING, Phase.DONE) and phase in (Phase.RUNNING, Phase.STOPPED):
            return
        self.phase = phase
        for seat in self._seats:
            seat.interrupt()

    def _allowed(self, writer: asyncio.StreamWriter) -> bool:
        peer: socket.socket = writer.get_extra_info("socket")
        _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        return bool(uid == (os.getuid() if self.login_uid is None else self.login_uid))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seat = Seat(reader, writer)
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not self._allowed(writer) or len(self._seats) >= MAX_SEATS:
            await seat.farewell("This session belongs to another user.\n")
            await seat.close()  # or whoever tries often enough takes all our descriptors
            return
        try:
            if await seat.greet():
                self._seats.add(seat)
                self.left.clear()
                self.note("attached")
                await self._converse(self, seat)
        except (ConnectionError, EOFError):
            await seat.farewell("Left. The clock is as it was.\n")
        except Exception:
            logger.exception("a person's terminal failed")
            await seat.farewell("A failure on our side; attach again. The clock is as it was.\n")
        finally:
            if seat in self._seats:
                self._seats.discard(seat)
                self.note("detached")
            if not self._seats:
                self.left.set()
            await seat.close()

    def note(self, event: str, text: str = "") -> None:
        """Writes an event into the session's record, on the side where the ledger lives."""
        link = self.link
        if link is not None:
            link.loop.call_soon_threadsafe(link.commands.record, event, text)

    async def command(self, name: str, text: str = "") -> str:
        """Carries out a person's command and returns what to say."""
        link = self.link
        if link is None:
            return "The session is not open."
        try:
            return await asyncio.wrap_future(link.ask(functools.partial(link.commands.carry_out, name, text)))
        except ServiceRefusal as refusal:
            return f"Not now: {refusal}."

    async def terminal_for(self, seat: Seat) -> Terminal | None:
        """A terminal that nobody looks at, or a new one; None when the clock stands still meanwhile."""
        for terminal in self._terminals:
            if not terminal.attached and not terminal.ended:
                return terminal
        link = self.link
        if link is None or self.phase is not Phase.RUNNING:
            return None
        process = await asyncio.to_thread(Terminal.open, link.sandbox, seat.term)
        recording = None
        if self.person.read().recorded:
            recording = Recording(self.person.next_terminal(), seat.rows, seat.cols, seat.term)
        terminal = Terminal(process, recording)
        terminal.resize(seat.rows, seat.cols)
        self._terminals.append(terminal)
        return terminal

    async def forget(self, terminal: Terminal) -> None:
        """A shell has ended."""
        if terminal in self._terminals:
            self._terminals.remove(terminal)
            await terminal.close()

    async def _watch(self) -> None:
        """Warns when time runs short, and says when the workshop stands still for somebody else's timed scoring."""
        waited = shown = 0.0
        while self.link is not None:
            ledger, budget = self.link.commands.ledger, self.link.commands.budget_s
            left = budget - ledger.totals.budget_s
            due = {mark for mark in WARNINGS_S if left <= mark < budget} - self._warned
            if due and self.phase is Phase.RUNNING:
                self._warned |= due
                self.note("warned", duration(left))
                await self._announce(warning(left))
            waited = waited + WATCH_S if ledger.state == "waiting" else 0.0
            if waited >= WAITING_SHOWN_S > shown:
                await self._announce("Another attempt is being timed on this machine: yours stands still, uncharged.")
            shown = waited
            await asyncio.sleep(WATCH_S)

    async def _announce(self, text: str) -> None:
        for terminal in self._terminals:
            if terminal.recording is not None:
                terminal.recording.remark(text)
        for seat in list(self._seats):
            await seat.announce(text)


_DESKS: dict[str, Desk] = {}


def register(attempt_id: str, desk: Desk) -> None:
    """The desk at which the person of an attempt sits (one process may serve several)."""
    _DESKS[attempt_id] = desk


def find(attempt_id: str) -> Desk | None:
    """The desk of an attempt served by this process."""
    return _DESKS.get(attempt_id)
