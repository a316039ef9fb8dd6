"""The record of one attempt: what the harness writes into an Inspect log and the analysis reads back.

One Inspect sample is one attempt. Three models cross that boundary:

* ``TaskRecord``     -> ``Task(metadata=...)``: what was attempted, under which rule and budget;
* ``ScoringRecord``  -> ``score.metadata`` of each intermediate ``ScoreEvent``: one entry of the score log;
* ``AttemptRecord``  -> ``sample.scores["attempt"].metadata``: the result (the score's value is ``normalised``).

All are written with ``to_metadata()`` and read with ``model_validate``. A missing number is ``None``, never NaN:
JSON has no NaN, and a NaN that slips through an average hides the attempt it belongs to. Unknown keys are kept, so
that an older analysis can read a newer log.

Inspect's sample summaries keep score metadata only up to 1 kB per key. They are what makes reading thousands of logs
cheap (milliseconds each, whatever the transcript's size), so ``AttemptRecord.to_metadata`` adds its long values a
second time, packed into keys that survive; ``model_validate`` reads either form.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

SCORE_NAME = "attempt"
"""Key of the final score in ``sample.scores``."""

SCHEMA_VERSION = 1
"""Raised when a key changes its meaning; new optional keys do not raise it."""

PACKED_KEYS = ("trace", "receipt", "flags")
PACKED_PREFIX = "packed_"
PACKED_CHUNK = 1000
"""Characters per packed key: below the 1,024 that Inspect's summaries keep of a text."""
MAX_UNPACKED_BYTES = 16_000_000
"""A log from elsewhere must not be able to fill the memory."""

ParticipantKind = Literal["agent", "scripted", "human"]
ResultClass = Literal["official", "local"]
Failure = Literal["participant", "task", "infrastructure", "budget"]
HumanComparison = Literal["direct", "indirect", "none"]
FinalRule = Literal["best", "last"]


def _finite_or_none(value: object) -> object:
    """NaN and infinities are "no score": they have no JSON form and no place in an average."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


OptionalFloat = Annotated[float | None, BeforeValidator(_finite_or_none)]
Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    def to_metadata(self) -> dict[str, Any]:
        """Plain JSON-able mapping, by the names used in the log (``class``, not ``result_class``)."""
        return self.model_dump(mode="json", by_alias=True)


class LedgerRecord(_Record):
    """Where the attempt's time went, in seconds (design section 6)."""

    working_s: Seconds = 0.0
    """Agent or person working, model generation included."""
    waiting_s: Seconds = 0.0
    """Retries, rate limits, queues: not charged."""
    scoring_s: Seconds = 0.0
    """Official scorings, charged or not."""
    paused_s: Seconds = 0.0
    """Clock stopped on purpose: not charged."""
    budget_s: Seconds = 0.0
    """Charged against the budget so far: working time plus charged scorings."""


class SpendingRecord(_Record):
    """What models have used."""

    tokens: int = Field(default=0, ge=0)
    """All of them, cache included."""
    cost_usd: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """US dollars; 0 where prices are not known."""


class ScoringRecord(_Record):
    """One entry of the score log: a scoring the participant asked for."""

    n: int = Field(ge=1)
    """1 for the attempt's first scoring."""
    budget_s: Seconds
    """Budget used when the scoring was asked for: the x axis of the score-over-time trace."""
    raw: OptionalFloat = None
    normalised: float = Field(ge=0.0, allow_inf_nan=False)
    valid: bool


class TaskRecord(_Record):
    """What the attempt was about: ``Task.metadata``."""

    environment: str
    scale: str
    version: str
    """Comparability version from environment.toml, such as ``1-A``."""
    human_comparison: HumanComparison = "none"
    final_rule: FinalRule = "best"
    budget_s: Seconds
    """Budget granted."""


class AttemptRecord(_Record):
    """The result of one attempt: metadata of the final score."""

    schema_version: int = SCHEMA_VERSION
    attempt_id: str
    environment: str
    scale: str
    version: str
    task_version: str
    """Hash or version of the task text the participant read."""
    rules_version: int | None = None
    """Version of the sentence on cheating in that text (`rules_line`); None in records from before it was counted."""

    agent: str
    model: str = ""
    """Empty for scripted participants and people."""
    model_roles: dict[str, str] = Field(default_factory=dict)
    """Models that served code of the attempt, by role (``coder``)."""
    participant_kind: ParticipantKind

    raw: OptionalFloat = None
    """Fresh-seed re-score of the selected submission, in the environment's raw unit; None without a valid score."""
    normalised: float = Field(ge=0.0, allow_inf_nan=False)
    """The result: (raw - start) / (reference - start), floored at 0, no cap; 0 when ``valid`` is false."""
    valid: bool
    message: str = ""
    failure: Failure | None = None
    """Who is to blame when there is no valid result; infrastructure failures are not results at all."""

    best_logged_raw: OptionalFloat = None
    best_logged_normalised: OptionalFloat = None
    scorings: int = Field(default=0, ge=0)
    """Number of scorings the participant asked for."""
    trace: tuple[ScoringRecord, ...] = ()
    """The score log again, so that curves need not read events and transcripts (seconds per long attempt)."""

    ledger: LedgerRecord = LedgerRecord()
    earlier_spending: SpendingRecord | None = None
    """What the models of a resumed attempt had used before: Inspect's log counts only what came after. None for an
    attempt that was not resumed, and in records from before it was kept."""
    receipt: dict[str, JsonValue] = Field(default_factory=dict)
    submission_sha256: str | None = None

    result_class: ResultClass = Field(default="local", validation_alias="class", serialization_alias="class")
    isolation: str = ""
    """Sandbox mode the attempt ran in, as in the receipt."""
    flags: tuple[str, ...] = ()
    """Reasons to look twice at this attempt; they never change the score by themselves."""
    simulated: bool = False
    """True where a simulator stands in for a model (``EnvironmentSpec.simulated``) or the attempt is a demonstration:
    labelled everywhere and left out of headline means."""

    def to_metadata(self) -> dict[str, Any]:
        """As in every record, plus the long values packed for Inspect's summaries."""
        metadata = super().to_metadata()
        text = json.dumps({key: metadata[key] for key in PACKED_KEYS}, separators=(",", ":"))
        packed = base64.b64encode(zlib.compress(text.encode())).decode()
        chunks = [packed[i : i + PACKED_CHUNK] for i in range(0, len(packed), PACKED_CHUNK)]
        return metadata | {f"{PACKED_PREFIX}{i:03}": chunk for i, chunk in enumerate(chunks)}

    @model_validator(mode="before")
    @classmethod
    def _unpack(cls, data: Any) -> Any:
        """Take packed values from their chunks; the plain keys may have been cut by Inspect's summaries."""
        if not isinstance(data, dict):
            return data
        names = sorted(key for key in data if isinstance(key, str) and key.startswith(PACKED_PREFIX))
        if not names:
            return data
        try:
            packed = base64.b64decode("".join(data[name] for name in names), validate=True)
            text = zlib.decompressobj().decompress(packed, MAX_UNPACKED_BYTES)
            unpacked = json.loads(text)
            values = {key: unpacked[key] for key in PACKED_KEYS}
        except (TypeError, KeyError, ValueError, zlib.error) as error:
            raise ValueError(f"damaged {PACKED_PREFIX}* keys") from error
        return {key: value for key, value in data.items() if key not in names} | values
