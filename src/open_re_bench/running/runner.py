"""Carries planned attempts out with Inspect, and takes them up again after a crash."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inspect_ai
from inspect_ai.log import EvalLog

from open_re_bench.attempt import AttemptRecord
from open_re_bench.errors import CannotRunHere, UserError
from open_re_bench.harness import pricing
from open_re_bench.harness.attempt_folder import AttemptFolder, AttemptPlan
from open_re_bench.harness.task import attempt_task
from open_re_bench.inspect_internals import PrerequisiteError, plain_message, plain_text
from open_re_bench.running.crew import NO_MODEL, Crew, crew

MODEL_RETRIES = 20  # Inspect retries for ever by default; one deterministic error then costs weeks
MODEL_ATTEMPT_TIMEOUT_S = 600  # a request in flight counts as work until it is known to have failed
# What attempts of one Inspect task have in common: all that the task takes from the first of them, its record included.
SHARED = {"environment", "scale", "version", "budget_s", "participant_kind", "agent", "agent_args", "model_args"}
SHARED |= {"model", "model_roles", "max_cost", "max_tokens", "prices"}

MESSAGE_CHARACTERS = 300


@dataclass(frozen=True)
class RunOptions:
    """How attempts are carried out.

    Attributes:
        sandbox: Inspect sandbox provider.
        max_attempts: Attempts at once at most; None: as many as the machine has hardware for (`sandbox.leases`).
        max_retries: Tries of one model request; with Inspect's growing pauses 20 of them bridge about six hours.
        finalise_only: The participant does not work any more; the attempt ends with what it has.
        display: Inspect's own display (``none`` under our live table).
        model_args: Added to the plans' own arguments of the model.
    """

    sandbox: str = "bwrap"
    max_attempts: int | None = None
    max_retries: int = MODEL_RETRIES
    finalise_only: bool = False
    display: str = "none"
    model_args: dict[str, Any] | None = None


def group(plan: AttemptPlan) -> str:
    """What tells the Inspect task of `plan` from others."""
    return plan.model_dump_json(include=SHARED)


def assemble(
    plans: Sequence[AttemptPlan],
    options: RunOptions,
    refused: Callable[[AttemptPlan, UserError], None] | None = None,
) -> dict[str, Crew]:
    """The crews of `plans` by `group`.

    Args:
        plans: Of attempts that are to be carried out.
        options: See `RunOptions`.
        refused: Called once for a group that cannot be built; its crew is left out. None: such a group raises.

    Raises:
        UserError: a participant or a model cannot be built.
    """
    crews: dict[str, Crew | None] = {}
    for plan in plans:
        key = group(plan)
        if key in crews:
            continue
        try:
            crews[key] = crew(plan, options.finalise_only, options.model_args)
        except UserError as error:
            if refused is None:
                raise
            crews[key] = None
            refused(plan, error)
    return {key: built for key, built in crews.items() if built is not None}


def carry_out(
    folders: Sequence[AttemptFolder],
    log_dir: Path,
    options: RunOptions,
    crews: Mapping[str, Crew] | None = None,
) -> list[EvalLog]:
    """Carries out (or resumes) attempts; those that have `SHARED` in common share an Inspect task.

    Args:
        folders: Planned attempts without a result.
        log_dir: Inspect's log directory.
        options: See `RunOptions`.
        crews: As `assemble` built them for these attempts; None: they are built here.

    Returns:
        Inspect's logs, none when interrupted. The attempts' results also lie in their folders.

    Raises:
        UserError: a participant or a model cannot be built.
        CannotRunHere: the sandbox lacks something on this machine.
    """
    groups: dict[str, list[AttemptFolder]] = defaultdict(list)
    for folder in folders:
        groups[group(folder.read_plan())].append(folder)
    if crews is None:
        crews = assemble([members[0].read_plan() for members in groups.values()], options)
    tasks = []
    for key, members in groups.items():
        plan = members[0].read_plan()
        pricing.register([*plan.models, NO_MODEL], plan.prices)
        task = attempt_task(members, crews[key].participant, options.sandbox)
        task.model, task.model_roles = crews[key].model, dict(crews[key].model_roles)
        tasks.append(task)
    # Inspect prints through the root logger; what matters to a user is in our table and in the log itself.
    logging.getLogger("inspect_ai").setLevel(logging.ERROR)
    try:
        return inspect_ai.eval(
            tasks,
            log_dir=str(log_dir),
            display=options.display,  # type: ignore[arg-type]
            max_samples=options.max_attempts or _as_many_as_leases_allow(folders, options),
            max_tasks=len(tasks) if options.max_attempts is None else None,
            max_retries=options.max_retries,
            attempt_timeout=MODEL_ATTEMPT_TIMEOUT_S,
            fail_on_error=False,
            log_buffer=1,
            score=True,
        )
    except PrerequisiteError as error:
        raise CannotRunHere(plain_message(error), "mend that, then `re-bench resume`") from error


def _as_many_as_leases_allow(folders: Sequence[AttemptFolder], options: RunOptions) -> int | None:
    """In our own sandbox attempts queue for hardware; Inspect's limit would only keep free hardware idle."""
    return len(folders) if options.sandbox == "bwrap" else None


def results(folders: Sequence[AttemptFolder]) -> list[AttemptRecord]:
    """Results of those attempts that have one."""
    return [record for folder in folders if (record := folder.read_result()) is not None]


def failures(logs: Sequence[EvalLog]) -> list[str]:
    """One line per attempt that ended in an error of ours."""
    lines = []
    for log in logs:
        if log.error is not None:
            lines.append(_line(log.error.message) or "the run failed")
        lines.extend(
            f"{sample.id}: {_line(sample.error.message)}" for sample in log.samples or [] if sample.error is not None
        )
    return lines


def _line(message: str) -> str:
    """All of a message, for the mend often stands in its last line."""
    return plain_text(message)[:MESSAGE_CHARACTERS]
