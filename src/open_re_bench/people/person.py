"""What is kept about a person's attempt, beside what every attempt keeps: consent, session record, questionnaire.

Below the attempt's folder, readable by the harness's user only::

    person.json          pseudonym, mode, consent (`PersonRecord`)
    session.jsonl        what happened when: attached, started, stopped, scored, noted, ... (`SessionEvent` per line)
    terminals/           one recording per terminal (`recording`), unless the person declined
    questionnaire.json   answers at the end (`Questionnaire`)

A name is never asked for: a pseudonym is drawn, or given by whoever runs the study and keeps the list elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from open_re_bench.errors import UserError
from open_re_bench.harness.attempt_folder import AttemptFolder, now_text

AGENT = "human"
CONSENT_VERSION = 1  # raised when `CONSENT` changes its meaning
CONSENT = """\
What is kept about you: what your terminals show (not what you type unseen,
such as passwords), when the clock ran, every scored version of your files,
your notes and your answers to a few questions at the end, under a pseudonym.
It stays on this machine until whoever runs this study shares it. You may stop
at any time, and have all of it deleted later (re-bench human --delete). You
may decline the recording of your terminals and take part all the same.
"""
SELF_ADMINISTERED = "self-administered: the person controls the machine that keeps the clock"
PSEUDONYM = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")

Mode = Literal["self-administered", "proctored"]


class PersonRecord(BaseModel):
    """``person.json``.

    Attributes:
        pseudonym: Groups the attempts of one person; part of the attempt's id.
        mode: `proctored` where the person could reach nothing but the terminal.
        login_uid: User id of the proctored person's login; None when self-administered.
        recorded: Whether terminals are recorded.
        consented_at: When the person agreed (UTC); None before.
        consent_version: To which text.
    """

    model_config = ConfigDict(frozen=True)

    pseudonym: str
    mode: Mode = "self-administered"
    login_uid: int | None = None
    recorded: bool = True
    consented_at: str | None = None
    consent_version: int = CONSENT_VERSION


class SessionEvent(BaseModel):
    """One line of ``session.jsonl``.

    Attributes:
        at: Time (UTC).
        event: ``consented``, ``attached``, ``detached``, ``started``, ``stopped``, ``warned``, ``scored``, ``noted``,
            ``submitted``, ``opened`` (a harness took the attempt up) or ``closed`` (it ended or went on purpose).
        budget_s, working_s, scoring_s, waiting_s, paused_s: The ledger at that moment.
        text: A note's words.
    """

    model_config = ConfigDict(frozen=True)

    at: str
    event: str
    budget_s: float = 0.0
    working_s: float = 0.0
    scoring_s: float = 0.0
    waiting_s: float = 0.0
    paused_s: float = 0.0
    text: str = ""


class Question(BaseModel):
    """One question of the exit questionnaire.

    Attributes:
        key: Under which the answer is kept.
        text: What is asked.
        choices: Allowed answers; empty for free text.
        unless: Key and answer of an earlier question that leaves nothing to ask here.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    text: str
    choices: tuple[str, ...] = ()
    unless: tuple[str, str] | None = None

    def is_open(self, answers: Mapping[str, str]) -> bool:
        """Whether the `answers` so far leave it to be asked."""
        return self.key not in answers and (self.unless is None or answers.get(self.unless[0]) != self.unless[1])

    def accepts(self, answer: str) -> str | None:
        """The answer as it is kept; None when it is none of the choices. An empty answer skips the question."""
        answer = answer.strip()
        if not answer or not self.choices:
            return answer[:2000]
        if answer.isdigit() and 1 <= int(answer) <= len(self.choices):
            return self.choices[int(answer) - 1]
        return answer.lower() if answer.lower() in self.choices else None

    def shown(self) -> str:
        """The question with its choices."""
        if not self.choices:
            return f"{self.text}\n> "
        listed = "  ".join(f"{i} {choice}" for i, choice in enumerate(self.choices, 1))
        return f"{self.text}\n  {listed}\n> "


# Experience, expectations and issues as the paper reports them (its Table 6 and its figure on experience), in our own
# words; help and breaks because the paper allowed both and had them reported.
QUESTIONS: tuple[Question, ...] = (
    Question(key="years", text="For how many years have you worked on machine learning?"),
    Question(
        key="experience",
        text="How much experience have you with this very kind of problem?",
        choices=("none", "little", "some", "much"),
    ),
    Question(
        key="expectations",
        text="Did the environment behave as its instructions made you expect?",
        choices=("yes", "partly", "no"),
    ),
    Question(
        key="expectations_text",
        text="What was different from what you expected? (free text, Enter to skip)",
        unless=("expectations", "yes"),
    ),
    Question(
        key="issues",
        text="Technical trouble? minor: solved within an hour, or not in the way; major: it blocked you for longer.",
        choices=("none", "minor", "major"),
    ),
    Question(key="issues_text", text="Which? (free text, Enter to skip)", unless=("issues", "none")),
    Question(
        key="help",
        text="What did you use besides this terminal?",
        choices=("nothing", "own tools", "internet", "assistant", "internet and assistant"),
    ),
    Question(key="unstopped_minutes", text="How many minutes of breaks did you take without stopping the clock?"),
    Question(key="remarks", text="Anything else? (free text, Enter to skip)"),
)


class Questionnaire(BaseModel):
    """``questionnaire.json``: answers by question; skipped ones are missing."""

    version: int = 1
    answers: dict[str, str] = {}
    finished_at: str | None = None


class PersonFolder:
    """The files about a person in an attempt's folder."""

    def __init__(self, folder: AttemptFolder) -> None:
        self.folder = folder
        self.terminals = folder.root / "terminals"
        self._record, self._events = folder.root / "person.json", folder.root / "session.jsonl"
        self._questionnaire = folder.root / "questionnaire.json"

    @property
    def exists(self) -> bool:
        """Whether this is a person's attempt."""
        return self._record.exists()

    def read(self) -> PersonRecord:
        """The record.

        Raises:
            UserError: not a person's attempt.
        """
        try:
            return PersonRecord.model_validate_json(self._record.read_text(encoding="utf-8"))
        except (OSError, ValidationError) as error:
            raise UserError(f"{self.folder.root} is not the attempt of a person", "give <log dir>/attempts/<id>") from (
                error
            )

    def write(self, record: PersonRecord) -> None:
        """Replaces the record."""
        write_private(self._record, record.model_dump_json(indent=1))

    def events(self) -> list[SessionEvent]:
        """The session's record; a line cut off by a crash is left out."""
        if not self._events.exists():
            return []
        found = []
        for line in self._events.read_bytes().split(b"\n"):  # a note may hold what `splitlines` takes for an end
            try:
                found.append(SessionEvent.model_validate_json(line))
            except ValidationError:
                continue
        return found

    def append(self, event: SessionEvent) -> None:
        """Adds an event durably."""
        descriptor = os.open(self._events, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        cut_off = self._events.stat().st_size > 0 and not self._events.read_bytes().endswith(b"\n")  # by a crash
        with open(descriptor, "wb", 0) as file:
            file.write(b"\n" * cut_off + event.model_dump_json().encode() + b"\n")
            os.fsync(file.fileno())

    def replace_events(self, events: Sequence[SessionEvent]) -> None:
        """Replaces the session's record (redaction)."""
        write_private(self._events, "".join(event.model_dump_json() + "\n" for event in events))

    def questionnaire(self) -> Questionnaire:
        """The answers so far."""
        try:
            return Questionnaire.model_validate_json(self._questionnaire.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            return Questionnaire()

    def write_questionnaire(self, answers: Questionnaire) -> None:
        """Replaces the answers."""
        write_private(self._questionnaire, json.dumps(answers.model_dump(mode="json"), indent=1, ensure_ascii=False))

    def next_terminal(self) -> Path:
        """Where the next terminal is recorded."""
        self.terminals.mkdir(exist_ok=True, mode=0o700)
        number = 1 + max((int(file.stem.partition("-")[2]) for file in self.recordings()), default=0)
        return self.terminals / f"terminal-{number}.cast"

    def recordings(self) -> list[Path]:
        """Recordings, oldest first."""
        files = self.terminals.glob("terminal-*.cast")
        return sorted(files, key=lambda file: int(file.stem.partition("-")[2]))

    def consent(self, recorded: bool) -> PersonRecord:
        """The person agreed."""
        was = self.read()
        record = was.model_copy(update={"consented_at": now_text(), "recorded": was.recorded and recorded})
        self.write(record)
        return record


def write_private(path: Path, text: str) -> None:
    """Replaces a file in one step, durably, readable by this user only."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def pseudonym(given: str | None) -> str:
    """`given` when it can be one, else a fresh one.

    Raises:
        UserError: it has other characters than a pseudonym may have.
    """
    if given is None:
        return f"p{secrets.token_hex(3)}"
    if not PSEUDONYM.fullmatch(given):
        raise UserError(
            f"{given!r} is not a pseudonym", "use up to 32 of a-z, 0-9, - and _ (never a name or an address)"
        )
    return given
