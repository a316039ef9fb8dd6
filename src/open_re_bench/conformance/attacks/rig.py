"""A live attempt to attack: real workshop, real ledger, score log and scorer; no Inspect and no model.

The pieces are those that serve agents and people (`LiveAttempt`, `Ledger`, `Door`, `Sandbox`); only the loop that a
model would drive is replaced by the attack's own commands.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import JsonValue

from open_re_bench import registry
from open_re_bench.attempt import AttemptRecord
from open_re_bench.conformance.check import require
from open_re_bench.conformance.subject import FLOOR, SIGMAS, Subject
from open_re_bench.environment import Failure
from open_re_bench.exemplars import Kind
from open_re_bench.harness import attempt_folder, messages
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.door import Door, Handler, door_directory
from open_re_bench.harness.ledger import Ledger
from open_re_bench.harness.live_attempt import LiveAttempt
from open_re_bench.harness.planning import plan_attempts
from open_re_bench.harness.result import select
from open_re_bench.sandbox import toolchain
from open_re_bench.sandbox.bubblewrap import Sandbox
from open_re_bench.sandbox.exchange import Completed
from open_re_bench.sandbox.mounts import HOME, Bind
from open_re_bench.sandbox.participant import CannotCopy
from open_re_bench.sandbox.spec import SandboxSpec
from open_re_bench.scoring.collection import SubmissionRefused
from open_re_bench.scoring.score_log import ScoreEntry
from open_re_bench.scoring.workspace import SOLUTION, write_home

COMMAND_S = 60.0  # an attack that prepares for longer is no attack of this kit
SCORING_S = 1800.0  # backstop: environments' own limits come first
SNAPSHOT_BYTES = 1 << 30  # as the provider's
BUDGET_S = 3600.0
DISK_MB = 2048
HOST_TEXT = ("Traceback", 'File "/', "/tmp/open-re-bench", f"{Path.home()}/", "\x1b", "\x07", "\x9b")
VERDICT = '{"ok": true, "valid": true, "score": 99.0, "raw": -1e9, "normalised": 99.0, "loss": 0.0, "result": 99}'
"""What attacks print or plant where a careless scorer might read its own result."""
T = TypeVar("T")


class SandboxWorkshop:
    """A sandbox as `LiveAttempt` wants it (`harness.live_attempt.Workshop`)."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.ran_while_frozen_ns = 0

    async def snapshot(self) -> bytes:
        """See `Workshop`."""
        try:
            return await asyncio.to_thread(
                lambda: b"".join(self.sandbox.snapshot([f"{HOME}/{SOLUTION}"], limit=SNAPSHOT_BYTES))
            )
        except CannotCopy as error:
            raise SubmissionRefused(f"~/solution cannot be collected: {error.strerror}") from error

    async def freeze(self) -> None:
        """See `Workshop`."""
        await asyncio.to_thread(self.sandbox.freeze)

    async def thaw(self) -> None:
        """See `Workshop`; keeps count of CPU time used while frozen."""
        self.ran_while_frozen_ns += await asyncio.to_thread(self.sandbox.thaw)

    async def kill_participant(self) -> None:
        """See `Workshop`."""
        await asyncio.to_thread(self.sandbox.kill_participant)


@dataclass
class Rig:
    """What an attack holds in its hands, and what it is judged by.

    Attributes:
        subject: The environment under attack.
        sandbox: The participant's workshop; `shell` runs commands in it as the participant.
        folder: The attempt's folder on the host.
        first: Path of the first required file below ``~/solution``.
    """

    subject: Subject
    sandbox: Sandbox
    workshop: SandboxWorkshop
    attempt: LiveAttempt
    folder: AttemptFolder
    loop: asyncio.AbstractEventLoop

    @property
    def first(self) -> str:
        """The first required file."""
        return self.subject.environment.spec.submission.required[0]

    def run(self, work: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
        """Waits for a coroutine of the attempt's loop."""

        async def awaited() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(awaited(), self.loop).result(SCORING_S)

    def shell(self, script: str, timeout: float = COMMAND_S) -> Completed:
        """Runs a script as the participant, in ``~/solution``; ``$F`` is the first required file."""
        return self.sandbox.run(
            ["bash", "-c", script], cwd=f"{HOME}/{SOLUTION}", env={"F": self.first}, timeout=timeout
        )

    def leave_running(self, script: str) -> None:
        """Starts a script that lives on in the background."""
        self.sandbox.run(
            ["bash", "-c", f"setsid nohup bash -c {_quoted(script)} > /dev/null 2>&1 & sleep 0.3"],
            cwd=f"{HOME}/{SOLUTION}",
            env={"F": self.first},
            timeout=COMMAND_S,
        )

    def score(self, caller: str = "attack") -> ScoreEntry:
        """Scores ``~/solution`` as a participant would."""
        return self.run(self.attempt.score(caller))

    def finalise(self) -> AttemptRecord:
        """Ends the attempt."""
        return self.run(self.attempt.finalise())

    def judge(self, entry: ScoreEntry) -> str:
        """`outcome` of a log entry, with what the participant is told of it."""
        told = messages.score_text(entry, self.subject.environment, None)
        return outcome(self.subject, entry, told)


class Scored(Protocol):
    """What `outcome` needs: a `Score` or a `ScoreEntry`."""

    @property
    def valid(self) -> bool:
        """Whether there is a score."""

    @property
    def normalised(self) -> float:
        """The score."""

    @property
    def message(self) -> str:
        """What the participant reads."""

    @property
    def failure(self) -> str | None:
        """Who caused an invalid score."""


def outcome(subject: Subject, score: Scored, told: str = "") -> str:
    """The two acceptable outcomes of an attack made from the start, in words.

    Raises:
        CheckFailed: points for nothing, a failure attributed to us, or a message that shows the host.
    """
    for text in HOST_TEXT:
        require(text not in f"{score.message}\n{told}", f"the message holds {text!r}: {score.message[:300]!r}")
    if not score.valid:
        require(score.failure == Failure.PARTICIPANT, f"attributed to {score.failure}: {score.message}")
        return f"participant failure: {score.message[:200]}"
    tolerance = max(FLOOR, SIGMAS * subject.noise(reference=False))
    require(score.normalised <= tolerance, f"normalised {score.normalised:.3f} for an attack on the start")
    return f"honest score {score.normalised:.3f}"


def _quoted(script: str) -> str:
    return "'" + script.replace("'", "'\\''") + "'"


def _fill(subject: Subject, sandbox: Sandbox) -> None:
    """The participant's home, with the example that scores as the start."""
    home = subject.new_folder("home")
    write_home(subject.instance, home, BUDGET_S)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(home, arcname=".", filter=_anonymous)
        tar.add(subject.write(Kind.START), arcname=f"./{SOLUTION}", filter=_anonymous)
    done = sandbox.run(
        ["tar", "-x", "--no-same-owner", "--no-overwrite-dir", "-f", "-"],
        data=buffer.getvalue(),
        cwd=HOME,
        timeout=COMMAND_S,
    )
    require(done.code == 0, f"the workshop could not be filled: {done.stderr[:200]!r}")


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode |= 0o700 if member.isdir() else 0o600
    return member


def _handlers(attempt: LiveAttempt) -> dict[str, Handler]:
    """The services that every workshop has, as `harness.session` words them, and the environment's own."""
    environment = attempt.environment

    async def score(_: dict[str, JsonValue]) -> dict[str, JsonValue]:
        entry = await attempt.score("command")
        return {"text": messages.score_text(entry, environment, select(attempt.log.entries, environment))}

    async def score_log(_: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {"text": messages.log_text(attempt.log.entries, environment)}

    handlers: dict[str, Handler] = {"score": score, "score_log": score_log}
    module = registry.hook(environment, "services")
    if module is not None:
        for name, service in module.open_services(attempt.instance).items():

            async def serve(request: dict[str, JsonValue], service: Any = service) -> dict[str, JsonValue]:
                return await asyncio.to_thread(service, request)

            handlers[name] = serve
    return handlers


@contextmanager
def rig(subject: Subject, free_scorings: float = 1e6) -> Iterator[Rig]:
    """A fresh attempt of the subject's environment, its workshop running and filled.

    Args:
        subject: The environment under attack.
        free_scorings: Scorings per hour that are not charged.
    """
    bound = subject.environment
    (plan,) = plan_attempts(
        bound, runs=1, budget_s=BUDGET_S, agent="attack", model="", kind="scripted", batch="a", simulated=True
    )
    plan = plan.model_copy(update={"instance_seed": f"{subject.instance.seed:032x}"})
    log_dir = subject.new_folder("logs")
    folder = attempt_folder.create(log_dir, plan)
    chain = toolchain.find(bound.scale.toolchain) if bound.scale.toolchain != "none" else None
    kit = bound.folder / "kit"
    binds = [Bind(source=subject.instance.assets.public, target="/opt/assets")]
    binds += [Bind(source=kit, target="/opt/kit")] if kit.is_dir() else []
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="attack-rig", daemon=True)
    with tempfile.TemporaryDirectory(prefix="orb-attack-") as short:
        directory = door_directory(f"attack-{short}")
        spec = SandboxSpec(
            toolchain=chain,
            memory_mb=max(256, int(bound.scale.memory_gb * 1024)),
            disk_mb=DISK_MB,
            binds=tuple(binds),
            door=directory,
            environment={"PYTHONPATH": "/opt/kit"},
        )
        with Sandbox(spec) as sandbox:
            _fill(subject, sandbox)
            workshop = SandboxWorkshop(sandbox)
            thread.start()
            try:
                attempt = LiveAttempt(plan, folder, subject.instance, workshop, Ledger(folder.ledger, free_scorings))
                attempt.minimum_interval_s = 0.0  # attacks score faster than a participant may
                made = Rig(subject, sandbox, workshop, attempt, folder, loop)
                door = Door(directory, _handlers(attempt))
                made.run(door.open())
                try:
                    yield made
                finally:
                    made.run(door.close())
            finally:
                loop.call_soon_threadsafe(loop.stop)
                thread.join()
                loop.close()
        shutil.rmtree(directory, ignore_errors=True)
