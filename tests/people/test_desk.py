"""The desk: real terminals, a real workshop, a real ledger; only Inspect and the scorer are left out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from open_re_bench import assets, registry
from open_re_bench.errors import UserError
from open_re_bench.harness.attempt_folder import AttemptFolder, create
from open_re_bench.harness.ledger import Ledger
from open_re_bench.harness.live_attempt import LiveAttempt
from open_re_bench.harness.messages import duration
from open_re_bench.harness.planning import plan_attempts
from open_re_bench.harness.quiet import QuietMachine
from open_re_bench.harness.session import Session
from open_re_bench.harness.workshop import CountedFreeze, workshop_for
from open_re_bench.people import desk, proctoring, recording
from open_re_bench.people import person as people
from open_re_bench.people.commands import PersonCommands
from open_re_bench.people.conversation import converse
from open_re_bench.people.desk import Desk
from open_re_bench.people.desk_link import Link
from open_re_bench.people.person import PersonFolder, PersonRecord
from open_re_bench.sandbox import Sandbox, SandboxSpec
from open_re_bench.sandbox.provider import BwrapSandbox
from open_re_bench.scoring import instances

from .terminal_driver import WAIT_S, Typist

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="acting as another user needs root")
NOBODY = 65534
SHORT_WAIT_S = 0.5


class Sitting:
    """A desk with its workshop, as `human_agent` sets it up, in an event loop of its own."""

    def __init__(self, folder: AttemptFolder, login_uid: int | None) -> None:
        self.person = PersonFolder(folder)
        self.plan = folder.read_plan()
        self.login_uid = login_uid
        bound = registry.environment(self.plan.environment, self.plan.scale)
        found, _ = assets.prepare(bound)
        self.instance = instances.lay_out(bound, found, folder.instance, int(self.plan.instance_seed, 16))
        self.folder = folder
        self.desk = Desk(self.person, bound.spec.title, login_uid, self.plan.attempt_id, converse)
        self.loop = asyncio.new_event_loop()
        self.sandbox = Sandbox(SandboxSpec(disk_mb=16))

    async def begin(self) -> None:
        workshop = CountedFreeze(workshop_for(BwrapSandbox(self.sandbox)))
        self.ledger = Ledger(self.folder.ledger, 10)
        self.ledger.pause()
        await workshop.freeze()
        attempt = LiveAttempt(self.plan, self.folder, self.instance, workshop, self.ledger)
        session = Session(attempt, self.instance.environment, QuietMachine(self.ledger, workshop, timed=False))
        self.commands = PersonCommands(session, self.person, self.desk.clock)
        self.commands.record("opened")
        self.desk.serve(Link(self.commands, self.sandbox))
        self.ticking = asyncio.create_task(self.tick())

    async def tick(self) -> None:
        while True:  # as the session's watch does
            self.ledger.tick()
            await asyncio.sleep(0.1)

    def run(self) -> None:
        self.desk.open()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self.begin(), self.loop).result(30)

    def attach(self, user: str | None = None) -> Typist:
        command = [sys.executable, "-m", "open_re_bench.people.attach_client", str(self.desk.socket)]
        if user is not None:
            command = ["runuser", "-u", user, "--", "sh", "-c", proctoring.forced_command(self.desk.directory)]
        return Typist(command)

    def settled(self) -> float:
        """Seconds charged so far, as of the last tick."""
        time.sleep(0.3)
        return self.ledger.totals.budget_s


@contextmanager
def sitting(tmp_path: Path, budget_s: float = 600, login_uid: int | None = None, **record: bool) -> Iterator[Sitting]:
    bound = registry.environment("optimize_kernel", "test")
    (plan,) = plan_attempts(
        bound, runs=1, budget_s=budget_s, agent=people.AGENT, model="", kind="human", batch=f"p1-{secrets.token_hex(4)}"
    )
    folder = create(tmp_path, plan)
    PersonFolder(folder).write(PersonRecord(pseudonym="p1", login_uid=login_uid, **record))
    made = Sitting(folder, login_uid)
    with made.sandbox:
        made.run()
        try:
            yield made
        finally:
            made.desk.close("over\n")
            made.loop.call_soon_threadsafe(made.ticking.cancel)
            made.loop.call_soon_threadsafe(made.loop.call_later, 0.1, made.loop.stop)


def seated(made: Sitting, answer: str = "yes", user: str | None = None) -> Typist:
    """A client that has agreed and started the clock."""
    screen = made.attach(user)
    screen.expect("Do you agree")
    screen.enter(answer, "re-bench> ")
    screen.enter("start", r"\$ ")
    return screen


def test_a_lost_connection_loses_nothing(tmp_path: Path) -> None:
    """Promise: a shell goes on without its client; the next one sees what was missed, and the clock went on."""
    with sitting(tmp_path) as made:
        with seated(made) as screen:
            screen.enter("kept=42; (sleep 1; echo while you were away) &", r"\$ ")
            screen.process.kill()
        before = made.settled()
        with made.attach() as screen:
            screen.expect("while you were away")
            screen.enter("echo still $kept", r"[\r\n]still 42")
        assert made.settled() > before
        assert [event.event for event in made.person.events()][:4] == ["opened", "attached", "consented", "started"]
        assert "detached" in {event.event for event in made.person.events()}


def test_two_terminals_are_two_shells_and_two_recordings(tmp_path: Path) -> None:
    """Promise: each client has a shell of its own, stopped and recorded like the other."""
    with sitting(tmp_path) as made, seated(made) as first, made.attach() as second:
        second.expect(r"\$ ")
        first.enter("mine=first; echo $mine one", r"[\r\n]first one")
        second.enter("echo [$mine] two", r"[\r\n]\[\] two")
        first.type("\x1d")
        first.expect("re-bench> ")
        first.enter("stop", "stands still")
        second.expect("stands still")
        second.enter("start", r"\$")
        first.expect(r"\$")
        shown = [recording.shown(file) for file in made.person.recordings()]
        assert len(shown) == 2
        assert "first one" in shown[0]
        assert "[] two" in shown[1]


def test_a_stopped_clock_stands_for_shells_jobs_and_budget(tmp_path: Path) -> None:
    """Promise: while the clock is stopped nothing inside runs and nothing is charged; typed commands still work."""
    with sitting(tmp_path) as made, seated(made) as screen:
        screen.enter("(while :; do :; done) & echo spinning", r"[\r\n]spinning")
        screen.type("\x1d")
        screen.expect("re-bench> ")
        made.commands._attempt.serving = 1  # an experiment of theirs runs on the host: that would go on for free
        screen.enter("stop", "a request of yours is being served")
        made.commands._attempt.serving = 0
        with made.ledger.scoring(asked_for=False), made.ledger.waiting():  # as one does that queues for the machine
            screen.enter("stop", "a scoring is under way")
        screen.enter("stop", "stands still")
        charged, cpu = made.settled(), made.sandbox.cpu_ns()
        screen.enter("instructions", "start the clock first")
        screen.enter("score", "the clock is stopped")
        screen.enter("note nothing\x7f\x7f\x7f\x7f\x7f\x7f\x7fn\u00f6\x7fo progress", "Noted")
        screen.enter("nonsense", "note TEXT")
        assert made.settled() == charged
        assert made.sandbox.cpu_ns() == cpu
        screen.enter("task start", r"\$")
        screen.enter("kill %1; echo killed", "killed")
        assert made.settled() > charged
        assert [event.text for event in made.person.events() if event.event == "noted"] == ["no progress"]


def test_a_person_is_told_how_long_a_scoring_takes(tmp_path: Path) -> None:
    """Promise: the answer to a scoring ends with how long it took and whether that was charged; `status` repeats it for
    the last one, breaks and waiting for the machine left out."""
    with sitting(tmp_path) as made, seated(made) as screen:
        screen.type("\x1d")
        screen.expect("re-bench> ")
        screen.enter("status", "Nothing was scored yet")
        assert "scoring took" not in screen.seen
        (taken,) = screen.enter("score", r"This scoring took about ([^,]*), not charged").groups()
        screen.enter("stop", "stands still")
        screen.enter("status", rf"The last scoring took about {taken}\.")
        (entry,) = made.commands._attempt.log.entries
        assert taken == duration(max(1.0, made.ledger.totals.scoring_s - entry.scoring_s))


def test_the_clock_runs_for_what_was_asked_in_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a request that arrives while the workshop is being stilled is not served for free: the clock goes on."""
    with sitting(tmp_path) as made, seated(made) as screen:
        attempt = made.commands._attempt
        still = attempt.workshop.freeze

        async def asked_meanwhile() -> None:
            attempt.serving += 1
            await still()

        screen.type("\x1d")
        screen.expect("re-bench> ")
        with monkeypatch.context() as patch:
            patch.setattr(attempt.workshop, "freeze", asked_meanwhile)
            screen.enter("stop", "a request of yours is being served")
        assert not made.ledger.paused
        screen.enter("", r"\$ ")
        screen.enter("echo going on", r"[\r\n]going on")
        attempt.serving = 0
        screen.type("\x1d")
        screen.expect("re-bench> ")
        screen.enter("stop", "stands still")


def test_the_window_reaches_the_shell_and_its_end_leads_to_the_prompt(tmp_path: Path) -> None:
    """Promise: programs know the window's size, also when it changes; `exit` does not end the session."""
    with sitting(tmp_path) as made, seated(made) as screen:
        screen.enter("stty size", r"[\r\n]30 100")
        screen.resize(40, 120)
        screen.enter("sleep 0.2; stty size", r"40 120")
        screen.enter("exit", "The shell has ended")
        screen.enter("status", "The clock runs")
        screen.enter("", r"\$ ")
        screen.enter("echo anew", r"[\r\n]anew")
        screen.type("\x1d")
        screen.expect("re-bench> ")
        screen.enter("detach", "Detached")
        assert screen.end() == 0


def test_recording_can_be_declined_and_so_can_the_whole(tmp_path: Path) -> None:
    """Promise: without consent nothing starts; with it but without recording nothing of a terminal is kept."""
    with sitting(tmp_path) as made:
        with made.attach() as screen:
            screen.expect("Do you agree")
            screen.enter("no", "Nothing was started")
            assert screen.end() == 0
        assert made.person.read().consented_at is None
        with seated(made, "unrecorded") as screen:
            screen.enter("echo unseen", r"[\r\n]unseen")
        assert made.person.recordings() == []
        assert made.person.read().consented_at is not None


def test_two_people_on_one_machine(tmp_path: Path) -> None:
    """Promise: sessions side by side do not touch: neither files nor the clock."""
    with (
        sitting(tmp_path / "a") as one,
        sitting(tmp_path / "b") as other,
        seated(one) as first,
        seated(other) as second,
    ):
        first.enter("echo mine > only-here; ls", r"[\r\n]only-here")
        second.enter("ls only-here", "No such file")
        first.type("\x1d")
        first.expect("re-bench> ")
        first.enter("stop", "stands still")
        charged = one.settled()
        second.enter("echo going on", r"[\r\n]going on")
        before = other.settled()
        assert other.settled() > before
        assert one.settled() == charged


@pytest.mark.slow
def test_standing_still_for_others_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: whoever waits for another attempt's timed scoring is told why nothing moves, and is not charged."""
    monkeypatch.setattr(desk, "WAITING_SHOWN_S", SHORT_WAIT_S)
    with sitting(tmp_path) as made, seated(made) as screen:

        async def another_is_timed() -> None:
            with made.ledger.waiting():
                await asyncio.sleep(SHORT_WAIT_S + 1)

        charged = made.settled()
        waiting = asyncio.run_coroutine_threadsafe(another_is_timed(), made.loop)
        screen.expect("Another attempt is being timed")
        waiting.result(30)
        assert made.ledger.totals.waiting_s > SHORT_WAIT_S
        assert made.settled() - charged < made.ledger.totals.waiting_s


def test_a_session_is_served_once(tmp_path: Path) -> None:
    """Promise: a second harness on the same attempt is refused and the first goes on undisturbed."""
    with sitting(tmp_path) as made, seated(made) as screen:
        second = Desk(made.person, "again", None, made.plan.attempt_id, converse)
        with pytest.raises(UserError, match="served already"):
            second.open()
        screen.enter("echo undisturbed", r"[\r\n]undisturbed")


@pytest.mark.slow
def test_time_running_short_is_announced(tmp_path: Path) -> None:
    """Promise: the last minute is announced in the terminal, once, and the record says so."""
    with sitting(tmp_path, budget_s=61.0) as made, seated(made) as screen:
        screen.expect("left. What lies in ~/solution")
        screen.enter("sleep 1; echo later", r"[\r\n]later")
        assert screen.seen.count("What lies in ~/solution") == 1
        assert [event.event for event in made.person.events()].count("warned") == 1
        (file,) = made.person.recordings()
        assert "left" in "".join(text for _, kind, text in recording.read(file) if kind == "m")


@ROOT_ONLY
def test_only_the_right_user_sits_down(tmp_path: Path) -> None:
    """Promise: a self-administered desk admits its own user only, a proctored one the login user only, whose forced
    command needs nothing but the copied client."""
    nobody = pwd.getpwuid(NOBODY).pw_name
    with sitting(tmp_path / "a") as made, made.attach(nobody) as screen:
        assert screen.end() == 2  # the socket itself refuses
    with sitting(tmp_path / "b", login_uid=NOBODY) as made:
        with made.attach() as screen:
            screen.expect("belongs to another user")
            screen.end()
        with seated(made, user=nobody) as screen:
            screen.enter("id -un", r"[\r\n]agent")
            assert "consented" in {event.event for event in made.person.events()}


def test_whoever_is_turned_away_holds_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a refused client is told so and hung up on, though it never leaves by itself: no descriptor stays."""
    monkeypatch.setattr(desk, "MAX_SEATS", 0)
    with sitting(tmp_path) as made, contextlib.ExitStack() as clients:

        def turned_away() -> None:
            client = clients.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            client.settimeout(WAIT_S)
            client.connect(str(made.desk.socket))
            said = b""
            while part := client.recv(4096):  # to the end: without a hang-up it never comes
                said += part
            assert b"belongs to another user" in said

        turned_away()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            turned_away()
        assert len(os.listdir("/proc/self/fd")) <= before + 20 + 1  # our own ends, and one not closed yet


@ROOT_ONLY
def test_what_decides_an_attempt_is_hidden_from_the_login_user() -> None:
    """Promise: a proctored session begins only where the login user can read nothing that decides it."""
    with tempfile.TemporaryDirectory() as temporary:  # unlike pytest's own, passable for others
        Path(temporary).chmod(0o755)
        readable, closed = Path(temporary) / "readable", Path(temporary) / "closed"
        for path, mode in ((readable, 0o644), (closed, 0o600)):
            path.write_text("x")
            path.chmod(mode)
        assert proctoring.readable_by(NOBODY, [readable, closed]) == [readable]
    with pytest.raises(UserError, match="no user"):
        proctoring.login_uid("nobody-of-that-name")
    with pytest.raises(UserError, match="everything"):
        proctoring.login_uid("root")


def test_the_client_needs_nothing_of_ours(tmp_path: Path) -> None:
    """Promise: the login user's copy runs on the system's Python alone and says what is wrong in one line."""
    from open_re_bench.people import attach_client

    copy = tmp_path / "attach"
    copy.write_text(Path(attach_client.__file__).read_text())
    done = subprocess.run(
        [proctoring.SYSTEM_PYTHON, "-I", str(copy)], capture_output=True, text=True, check=False, env={}
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "ask whoever started it" in done.stderr
