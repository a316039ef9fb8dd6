"""What `environment.toml` may say: the schema of an environment and of its scales, anchors and submission rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

SCALES = ("cpu", "gpu", "paper", "test")  # `test` is internal: seconds, same code path
_MEASURED = ("anchors", "controls", "ladder", "ceiling")  # of a row: they hold for no other row
_SCALE_NAME = re.compile(rf"({'|'.join(SCALES)})(-[a-z][a-z0-9]*)?")


def size_of(scale: str) -> str:
    """The size a scale's name begins with: ``cpu`` of ``cpu`` and of its variant ``cpu-hard``."""
    return scale.partition("-")[0]


def is_scale(name: str) -> bool:
    """Whether `name` can name a scale: one of `SCALES`, or a variant ``<scale>-<word>`` of one."""
    return _SCALE_NAME.fullmatch(name) is not None


def in_order(scales: Iterable[str]) -> list[str]:
    """Scale names as they are listed: by size in the order of `SCALES`, variants after the plain row."""
    return sorted(scales, key=lambda name: (SCALES.index(size_of(name)), name))


class Direction(StrEnum):
    """Whether a smaller or a larger raw score is better."""

    MINIMISE = "minimise"
    MAXIMISE = "maximise"


class FinalRule(StrEnum):
    """Which scored submission counts at the end of an attempt."""

    BEST = "best"
    LAST = "last"


class Strict(BaseModel):
    """Refuses unknown fields: a misspelt one must not be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Anchor(Strict):
    """A raw score that normalisation is pinned to.

    Attributes:
        raw: Raw score (the environment's unit).
        noise_std: Standard deviation of repeated scorings of that solution, in raw units.
        why: The sentence that justifies the number: what was run, how often, on what.
    """

    raw: float
    noise_std: float = Field(ge=0)
    why: str = Field(min_length=20)


class Anchors(Strict):
    """Start (normalised 0) and reference (normalised 1).

    Attributes:
        source: ``fixed`` (numbers below hold everywhere), ``measured`` (start and reference are timed in each
            scoring call; the numbers below are what was seen on the described machine), ``calibrated``
            (`re-bench calibrate` measures them per machine; until then the numbers below are used, class local) or
            ``per_set`` (each fixed set of hidden instances has its own, and the scoring says which hold; the numbers
            below are those of the final scoring's set).
    """

    source: Literal["fixed", "measured", "calibrated", "per_set"]
    start: Anchor
    reference: Anchor

    @model_validator(mode="after")
    def _distinct(self) -> Anchors:
        if self.start.raw == self.reference.raw:
            raise ValueError("start.raw and reference.raw are equal: a score cannot be normalised")
        return self


class Control(Strict):
    """A measured control (constant output, from scratch, one-line fix, ...): none may exceed 0.35 normalised."""

    name: str
    normalised: float
    how: str


class Rung(Strict):
    """A step of the public ladder: a letter and a score only, since an idea's name is half a solution."""

    rung: str = Field(pattern=r"^[A-Z]$")
    normalised: float


class Scale(Strict):
    """One row of the one dial: what an environment needs and how it is anchored at that size.

    Attributes:
        hardware: The declared hardware class, in words.
        cores, memory_gb, gpus: What one attempt needs.
        budget_minutes: Default working-time budget of an attempt.
        prepare_minutes: About how long `prepare` takes on that hardware.
        toolchain: Python toolchain that sandboxes mount (`sandbox.toolchain`), or "none".
        system_tools: Commands that must exist on the host's PATH (mounted read-only), e.g. ``cc``.
        data_variable: Environment variable that names the folder of the user's own data, which `prepare` reads.
        download_mb: Everything `prepare` fetches, toolchain included.
        unavailable: Why this row cannot run yet; empty when it can.
        anchors: None only where `unavailable` says why.
        ceiling: Normalised score past which the monitor flags: what the hardware's roofline allows; None: no bound.
        constants: The numbers that make this scale, read by prepare/score/task.md; never a fork of code.
        human_comparison: Whether METR's human scores may stand beside these results.
    """

    hardware: str
    cores: int = Field(ge=1)
    memory_gb: float = Field(gt=0)
    gpus: int = Field(default=0, ge=0)
    budget_minutes: float = Field(gt=0)
    prepare_minutes: float = Field(default=0, ge=0)
    toolchain: str = "none"
    system_tools: tuple[str, ...] = ()
    data_variable: str = Field(default="", pattern=r"^[A-Z0-9_]*$")
    download_mb: float = Field(default=0, ge=0)
    unavailable: str = ""
    anchors: Anchors | None = None
    controls: tuple[Control, ...] = ()
    ladder: tuple[Rung, ...] = ()
    ceiling: float | None = None
    constants: Mapping[str, JsonValue] = Field(default_factory=dict)
    human_comparison: Literal["direct", "indirect", "none"] = "none"
    human_comparison_reason: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Scale:
        if self.anchors is None and not self.unavailable:
            raise ValueError("anchors are missing: give them, or say in `unavailable` why this scale cannot run")
        if self.human_comparison != "direct" and not self.human_comparison_reason:
            raise ValueError("human_comparison_reason is missing: one sentence on why it is not direct")
        return self

    def constant(self, name: str) -> Any:
        """The constant `name` of this scale; KeyError names it when the row lacks it."""
        return self.constants[name]


class SubmissionRules(Strict):
    """What may leave the workshop: a declared list of regular files, copied by content.

    Attributes:
        required: Paths relative to ~/solution that must exist.
        optional: Glob patterns (pathlib syntax, relative to ~/solution) of further files that are taken when present.
        max_files, max_bytes: Limits over the whole submission.
        max_file_bytes: Limit of one file.
    """

    required: tuple[str, ...] = Field(min_length=1)
    optional: tuple[str, ...] = ()
    max_files: int = Field(default=64, ge=1)
    max_bytes: int = Field(default=16_000_000, ge=1)
    max_file_bytes: int = Field(default=16_000_000, ge=1)

    @field_validator("required", "optional")
    @classmethod
    def _relative(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if pattern.startswith(("/", "~")) or ".." in Path(pattern).parts:
                raise ValueError(f"{pattern!r} must be relative to ~/solution and stay inside it")
        return patterns


class EnvironmentSpec(Strict):
    """`environment.toml`, validated.

    Attributes:
        version: Comparability version ``<number>-<letter>``: the number changes when scores stop being comparable,
            the letter when only the interface does. CI fails when the scorer, the task text or assets change
            without a bump.
        free_scorings_per_hour: Scorings beyond this rate are charged to the budget.
        minimum_interval_s: Seconds between two scorings of one attempt.
        score_visible: Whether the participant sees scores during the attempt.
        timed_scoring: True where a scoring measures time: it gets the machine for itself.
        simulated: True where a simulator stands in for a model: labelled everywhere, left out of headline means.
        scales: Rows by name. A variant ``<scale>-<word>`` (``cpu-hard``) is another problem of the same size: it states
            what differs from the row ``<scale>`` and its own anchors, controls and rungs. Results of variants are kept
            as far apart as those of scales.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    summary: str
    original_id: str
    version: str = Field(pattern=r"^\d+-[A-Z]$")
    task_version: int = Field(ge=1)
    direction: Direction
    raw_unit: str
    final: FinalRule
    score_visible: bool = True
    free_scorings_per_hour: float = Field(default=12, ge=0)
    minimum_interval_s: float = Field(default=0, ge=0)
    timed_scoring: bool = False
    simulated: bool = False
    submission: SubmissionRules
    scales: Mapping[str, Scale]

    @field_validator("scales", mode="before")
    @classmethod
    def _known_scales(cls, scales: Any) -> Any:
        if not isinstance(scales, Mapping):
            return scales  # the field's own type names what is wrong
        unknown = sorted(name for name in scales if not is_scale(name))
        if unknown:
            raise ValueError(f"unknown scale {unknown[0]!r}: use one of {', '.join(SCALES)}, or cpu-hard for a variant")
        return {name: _completed(name, row, scales) for name, row in scales.items()}


def _completed(name: str, row: Any, rows: Mapping[str, Any]) -> Any:
    """`row` with what it does not state taken from the plain row of its size; what was measured is never taken."""
    if name == size_of(name) or not isinstance(row, Mapping):
        return row
    plain = rows.get(size_of(name))
    if not isinstance(plain, Mapping):
        raise ValueError(f"scale {name!r} is a variant of {size_of(name)!r}, which is missing")
    inherited = {key: value for key, value in plain.items() if key not in _MEASURED}
    both = (plain.get("constants", {}), row.get("constants", {}))
    if not all(isinstance(constants, Mapping) for constants in both):
        return {**inherited, **row}  # the field's own type names what is wrong
    return {**inherited, **row, "constants": {**both[0], **both[1]}}
