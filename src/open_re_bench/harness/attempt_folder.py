"""The folder of an attempt on the host: everything that must survive a killed harness.

Layout (documented in ``docs/files-and-formats.md``)::

    <log dir>/attempts/<attempt id>/
        plan.json          what was asked for (`AttemptPlan`); readable by this user only: it holds the instance seed
        instance/          public and hidden files of the instance
        home/              the participant's home directory, and what is known of it
        ledger.json        budget totals
        spending.json      tokens and dollars its models have used
        score-log.jsonl    hash-chained score log
        result.json        the attempt's result (`AttemptRecord`), written once at the very end
        ended              there once the participant works no more: from then on a resumed harness only measures
        lock               held by the harness that carries the attempt out (``flock``: it ends with the process)
    <log dir>/submissions/<digest>/   content-addressed submissions of all attempts
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from open_re_bench.attempt import AttemptRecord, ParticipantKind
from open_re_bench.errors import CannotRunHere, InfrastructureError, UserError
from open_re_bench.harness.model_roles import is_mock
from open_re_bench.harness.pricing import ModelPrice
from open_re_bench.sandbox.machine_locks import POLL_S, FileLock


class AttemptPlan(BaseModel):
    """What an attempt is: fixed when it is planned, before anything runs.

    Attributes:
        instance_seed: Hex; secret while the attempt runs.
        rules_version: Version of the sentence on cheating in the task text (`rules_line`).
        budget_s: Granted working time in seconds.
        simulated: A demonstration (replayed transcript, mock model), never a measurement.
        local_reasons: Why its result cannot be official, whatever the machine.
        model_roles: Further models by role (``coder``).
        agent_args: Given to the agent when it is built.
        model_args: Settings of the participant's model (temperature, ...) and arguments of its provider.
        max_cost, max_tokens: What its models may spend, in US dollars and in tokens of all kinds; None: no limit.
        prices: Prices of models as given by the user.
    """

    model_config = ConfigDict(frozen=True)

    attempt_id: str
    environment: str
    scale: str
    version: str
    task_version: int
    rules_version: int | None = None
    budget_s: float = Field(gt=0, allow_inf_nan=False)
    agent: str
    model: str
    participant_kind: ParticipantKind
    instance_seed: str = Field(pattern=r"^[0-9a-f]{1,64}$")
    planned_at: str
    simulated: bool = False
    local_reasons: tuple[str, ...] = ()
    model_roles: dict[str, str] = {}
    agent_args: dict[str, JsonValue] = {}
    model_args: dict[str, JsonValue] = {}
    max_cost: float | None = None
    max_tokens: int | None = None
    prices: dict[str, ModelPrice] = {}

    @property
    def models(self) -> list[str]:
        """Every model the attempt uses."""
        return [self.model or "none/none", *self.model_roles.values()]


@dataclass(frozen=True)
class AttemptFolder:
    """Paths of an attempt's folder."""

    root: Path

    @property
    def key(self) -> str:
        """Tells this attempt from every other on the machine: two log directories may hold attempts of one name."""
        return str(self.root.resolve())

    @property
    def plan_file(self) -> Path:
        """``plan.json``."""
        return self.root / "plan.json"

    @property
    def instance(self) -> Path:
        """``instance/``."""
        return self.root / "instance"

    @property
    def home(self) -> Path:
        """``home/``: bound into the workshop as /home/agent."""
        return self.root / "home"

    @property
    def ledger(self) -> Path:
        """``ledger.json``."""
        return self.root / "ledger.json"

    @property
    def spending(self) -> Path:
        """``spending.json``."""
        return self.root / "spending.json"

    @property
    def score_log(self) -> Path:
        """``score-log.jsonl``."""
        return self.root / "score-log.jsonl"

    @property
    def result_file(self) -> Path:
        """``result.json``."""
        return self.root / "result.json"

    @property
    def ended_file(self) -> Path:
        """``ended``."""
        return self.root / "ended"

    @property
    def has_ended(self) -> bool:
        """Whether the participant's work is over: submitted, out of budget, or ended by whoever runs the attempt."""
        return self.ended_file.exists()

    @property
    def filled_file(self) -> Path:
        """``home/filled``: beside what the participant sees, so that it goes when the kept home goes."""
        return self.home / "filled"

    def mark_filled(self) -> None:
        """Remembers durably that the participant's home holds what it starts with."""
        _write_durably(self.filled_file, now_text() + "\n")

    def mark_ended(self) -> None:
        """Remembers durably that the participant's work is over, whatever becomes of the measuring."""
        if not self.has_ended:
            _write_durably(self.ended_file, now_text() + "\n")

    @property
    def lock_file(self) -> Path:
        """``lock``."""
        return self.root / "lock"

    @property
    def submissions(self) -> Path:
        """The content-addressed store shared by all attempts of the log directory."""
        return self.root.parent.parent / "submissions"

    def read_plan(self) -> AttemptPlan:
        """The plan.

        Raises:
            UserError: not an attempt's folder.
        """
        try:
            return AttemptPlan.model_validate_json(self.plan_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.root} is not the folder of an attempt", "give <log dir>/attempts/<id>") from error

    def take(self) -> FileLock:
        """Takes the attempt for this harness until the lock is closed.

        Two of them would overwrite each other's ledger and score log.

        Raises:
            UserError: another harness has it.
        """
        lock = self._lock()
        if not lock.attempt(exclusive=True):
            time.sleep(POLL_S)  # somebody may only have looked (`is_taken`)
            if lock.attempt(exclusive=True):
                return lock
            lock.close()
            raise UserError(
                f"{self.root.name} is being carried out by another process", "wait for its end, or end it and resume"
            )
        return lock

    @property
    def is_taken(self) -> bool:
        """Whether a harness carries the attempt out at this moment."""
        if not self.lock_file.exists():
            return False
        lock = self._lock()
        try:
            return not lock.attempt(exclusive=False)
        finally:
            lock.close()

    def _lock(self) -> FileLock:
        try:
            return FileLock(self.lock_file)
        except OSError as error:
            raise CannotRunHere(
                f"{self.lock_file}: cannot be opened ({error.strerror})", "give a log directory that you can write"
            ) from error

    def name_participant(self, agent: str, model: str, model_roles: Mapping[str, str] | None = None) -> AttemptPlan:
        """Completes a plan that was made before it was known who works (``inspect eval``)."""
        roles = dict(model_roles or {})
        plan = self.read_plan().model_copy(
            update={
                "agent": agent,
                "model": model,
                "model_roles": roles,
                "simulated": any(map(is_mock, (model, *roles.values()))),
            }
        )
        _write_durably(self.plan_file, plan.model_dump_json(indent=1))
        return plan

    def read_result(self) -> AttemptRecord | None:
        """The result; None while the attempt has none.

        Raises:
            UserError: what lies there is no result.
        """
        if not self.result_file.exists():
            return None
        try:
            return AttemptRecord.model_validate_json(self.result_file.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "(top level)"
            mend = "restore it from a backup; the score log beside it is what counts"
            raise UserError(f"{self.result_file}: {where}: {first['msg']}", mend) from error

    def write_result(self, record: AttemptRecord) -> None:
        """Writes the result durably."""
        _write_durably(self.result_file, record.model_dump_json(by_alias=True, indent=1))


def _write_durably(path: Path, text: str) -> None:
    """Replaces a file in one step; readable by this user only, as some hold seeds and the folder above is passable."""
    temporary = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the name itself must survive a power cut
        finally:
            os.close(directory)
    except OSError as error:
        raise InfrastructureError(
            f"{path}: cannot be written ({error.strerror})", "free space there, then `re-bench resume`"
        ) from error


def create(log_dir: Path, plan: AttemptPlan) -> AttemptFolder:
    """Makes the folder of a planned attempt, or finds it when the attempt is being resumed.

    Raises:
        CannotRunHere: the log directory cannot be written.
    """
    folder = AttemptFolder(log_dir.resolve() / "attempts" / plan.attempt_id)
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        folder.submissions.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Not listable by others, but passable: the workshop's user must reach its own home below.
        folder.root.chmod(0o711)
        folder.home.mkdir(exist_ok=True)
        folder.instance.mkdir(exist_ok=True, mode=0o700)
        if not folder.plan_file.exists():
            _write_durably(folder.plan_file, plan.model_dump_json(indent=1))
    except OSError as error:
        raise CannotRunHere(
            f"{log_dir}: cannot be written ({error.strerror})", "give a writable folder with free space as --log-dir"
        ) from error
    return folder


def unfinished(log_dir: Path, unreadable: Callable[[UserError], None] | None = None) -> list[AttemptFolder]:
    """Attempts below `log_dir` that have no result yet, oldest plan first.

    Args:
        log_dir: The log directory.
        unreadable: Called for each attempt whose plan or result is damaged, which is left out. None: that raises.

    Raises:
        UserError: see `unreadable`.
    """
    found = []
    for file in (log_dir.resolve() / "attempts").glob("*/plan.json"):
        folder = AttemptFolder(file.parent)
        try:
            if folder.read_result() is None:
                found.append((folder.read_plan().planned_at, folder))
        except UserError as error:
            if unreadable is None:
                raise
            unreadable(error)
    return [folder for _, folder in sorted(found, key=lambda pair: pair[0])]


def now_text() -> str:
    """The current time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
