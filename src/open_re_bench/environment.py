"""The contract of an environment: read this first.

An environment is a folder (see ``docs/writing-an-environment.md``)::

    environments/<name>/
        environment.toml   `EnvironmentSpec` (`specification`), checked when it is read
        task.md            what the participant reads (Jinja; one text for agents and people)
        start/             the files a participant begins with, copied to ~/solution
        kit/               the only package code a participant can import (mounted read-only at /opt/kit)
        prepare.py         prepare(build: AssetBuild) -> None
        score.py           score(submission: Submission, scoring: Scoring) -> Judgement
                           lay_out(layout: Layout) -> None                      (optional: per-attempt files)
        services.py        open_services(instance: Instance) -> Mapping[str, Service]  (optional: metered services)
        worker.py          what runs in the scoring sandbox beside the submission  (optional)
        protected.zip      reference and better solutions, cheats, hidden answers, replay transcripts
        README.md          for people, with "Differences from the original"

Data flows one way: environment -> sandbox -> score log -> run table -> report. Nothing here imports any of those.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from open_re_bench.specification import (
    SCALES,
    Anchor,
    Anchors,
    Control,
    Direction,
    EnvironmentSpec,
    FinalRule,
    Rung,
    Scale,
    Strict,
    SubmissionRules,
)

if TYPE_CHECKING:
    import numpy as np  # imported when a generator is drawn: the command line starts without it

__all__ = [
    "SCALES",
    "Anchor",
    "Anchors",
    "AssetBuild",
    "Assets",
    "Control",
    "DelayedService",
    "Direction",
    "Environment",
    "EnvironmentSpec",
    "Failure",
    "FinalRule",
    "Instance",
    "Judgement",
    "Layout",
    "Rung",
    "Scale",
    "Scoring",
    "Service",
    "ServiceRefusal",
    "Submission",
    "SubmissionRules",
    "SubmittedFile",
    "normalise",
    "seeded_rng",
]


class Failure(StrEnum):
    """Who caused a failure. Only infrastructure failures are retried, visibly, and never cost a participant."""

    PARTICIPANT = "participant"
    TASK = "task"
    INFRASTRUCTURE = "infrastructure"
    BUDGET = "budget"


class SubmittedFile(Strict):
    """One collected file: path relative to the submission's root, size in bytes, SHA-256 of its content."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Submission:
    """A collected submission: regular files only, on the host, read-only.

    Attributes:
        root: Host directory that holds exactly `files`.
        files: Sorted by path.
        digest: SHA-256 over the sorted (path, sha256) pairs: the submission's content address.
    """

    root: Path
    files: tuple[SubmittedFile, ...]
    digest: str

    def read_bytes(self, path: str) -> bytes:
        """Content of the submitted file `path`; KeyError when it was not submitted."""
        if all(file.path != path for file in self.files):
            raise KeyError(path)
        return (self.root / path).read_bytes()


@dataclass(frozen=True)
class Assets:
    """Prepared assets of an environment at a scale.

    Attributes:
        public: Host directory mounted read-only at /opt/assets in the workshop.
        hidden: Host directory that only the trusted side reads (answers, private streams).
    """

    public: Path
    hidden: Path


@dataclass(frozen=True)
class AssetBuild:
    """What `prepare` gets.

    Attributes:
        environment: The bound environment (spec, scale, folder).
        assets: Empty directories to fill; they become visible atomically when `prepare` returns.
        rebuild: True: derive trained assets again rather than unpacking shipped ones (losses are compared).
        progress: Called with one short line per step.
    """

    environment: Environment
    assets: Assets
    rebuild: bool
    progress: Callable[[str], None]


@dataclass(frozen=True)
class Instance:
    """The variation drawn for one attempt, from a secret seed that exists only on the host.

    Attributes:
        seed: 128-bit secret; derive generators with `rng` only.
        public: Host directory whose files are copied to ~/ of the workshop at the start of the attempt.
        hidden: Host directory that only the trusted side reads.
    """

    environment: Environment
    assets: Assets
    seed: int
    public: Path
    hidden: Path

    def rng(self, label: str) -> np.random.Generator:
        """A generator for `label`, a function of the instance seed and the label alone."""
        return seeded_rng(self.seed, label)


Layout = Instance  # what `lay_out` gets: it writes into `public` and `hidden`


@dataclass(frozen=True)
class Scoring:
    """One scoring call.

    Attributes:
        instance: The attempt's instance (environment, assets, hidden files).
        seed: Fresh 128-bit secret of this call, drawn by the host; inputs that decide the score derive from it
            after the untrusted process has started.
        scratch: Private host directory, removed afterwards.
        final: True for the re-score that is the attempt's result.
    """

    instance: Instance
    seed: int
    scratch: Path
    final: bool = False

    @property
    def environment(self) -> Environment:
        """The environment being scored."""
        return self.instance.environment

    def rng(self, label: str) -> np.random.Generator:
        """A generator for `label`, a function of this call's seed and the label alone."""
        return seeded_rng(self.seed, label)


class Judgement(BaseModel):
    """What an environment's `score` returns; the harness turns it into a `Score`.

    Attributes:
        raw: Raw score; None when invalid. Never NaN, infinite or a number that could look good.
        message: What the participant reads: a fixed vocabulary and trusted numbers, never text that a hidden
            input or the submission produced.
        details: Host-side diagnostics for the log (plain JSON), never shown where scores are hidden. ``build_s``
            is charged to the budget: seconds that the submission's own build step took.
        failure: Who caused it, when `raw` is None.
        start_raw, reference_raw: Anchors of this very call: measured in it (`Anchors.source == "measured"`), or
            those of the set of hidden instances it scored on (``per_set``).
        comparability: Warnings that travel with the score ("reference without AVX-512", ...).
    """

    model_config = ConfigDict(frozen=True)

    raw: float | None
    message: str
    details: dict[str, JsonValue] = Field(default_factory=dict)
    failure: Failure | None = None
    start_raw: float | None = None
    reference_raw: float | None = None
    comparability: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _valid_or_attributed(self) -> Judgement:
        if self.raw is None and self.failure is None:
            raise ValueError("an invalid score must be attributed: set failure")
        if self.raw is not None and not math.isfinite(self.raw):
            raise ValueError("raw must be finite; use raw=None with a failure")
        if self.raw is not None and self.failure is not None:
            raise ValueError("a valid score has no failure")
        return self

    @classmethod
    def invalid(cls, message: str, failure: Failure = Failure.PARTICIPANT, **details: JsonValue) -> Judgement:
        """An invalid scoring, attributed to `failure`."""
        return cls(raw=None, message=message, failure=failure, details=details)


class Service(Protocol):
    """A metered host-side service the workshop reaches by name (``services.py``).

    Called with plain JSON from untrusted code, returns plain JSON; raises `ServiceRefusal` for a refusal with a
    message the participant may read. Calls of one attempt are serialised unless ``services.py`` says
    ``CALLS_AT_ONCE = N``: then up to N calls of each service run at once, from threads.
    """

    def __call__(self, request: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Answers one request."""
        ...


@runtime_checkable
class DelayedService(Service, Protocol):
    """A service that knows which part of a call's time was the machine's doing rather than the participant's.

    The harness asks once after each call and gives that much of what it charged meanwhile back (`Ledger.credit`).
    """

    def take_delay(self) -> float:
        """Seconds since the last time it was asked that passed only because the host was busy or slow to start."""
        ...


class ServiceRefusal(Exception):
    """A service refuses a request; the text goes to the participant, so it holds trusted words only."""


@dataclass(frozen=True)
class Environment:
    """An environment bound to one scale.

    Attributes:
        spec: The whole `environment.toml`.
        scale_name, scale: The chosen row.
        folder: The environment's folder.
        package: Its import path, from which prepare/score/services are imported when needed.
    """

    spec: EnvironmentSpec
    scale_name: str
    scale: Scale
    folder: Path
    package: str

    @property
    def name(self) -> str:
        """Registry name, e.g. ``optimize_kernel``."""
        return self.spec.name


def seeded_rng(seed: int, label: str) -> np.random.Generator:
    """PCG64 generator keyed by SHA-256 of (seed, label): independent streams from one secret."""
    import numpy as np

    key = hashlib.sha256(f"{seed:x}/{label}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key, "big")))


def normalise(raw: float | None, start: float, reference: float) -> float:
    """``(raw - start) / (reference - start)``, floored at 0, no cap; 0 for an invalid score (paper, section 3.1).

    Works for both directions, since the sign of ``reference - start`` carries it.
    """
    if raw is None or not math.isfinite(raw):
        return 0.0
    return max(0.0, (raw - start) / (reference - start))
