"""Carries planned attempts out with Inspect, and takes them up again after a crash."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inspect_ai
from inspect_ai.log import EvalLog
from inspect_ai.model import get_model

from open_re_bench.agents import participants
from open_re_bench.attempt import AttemptRecord
from open_re_bench.harness import pricing
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.task import attempt_task

MODEL_RETRIES = 20  # Inspect retries for ever by default; one deterministic error then costs weeks
MODEL_ATTEMPT_TIMEOUT_S = 600  # a request in flight counts as work until it is known to have failed
# What attempts of one Inspect task have in common: all that the task takes from the first of them, its record included.
SHARED = {"environment", "scale", "version", "budget_s", "participant_kind", "agent", "agent_args"}
SHARED |= {"model", "model_roles", "max_cost", "max_tokens", "prices"}


@dataclass(frozen=True)
class RunOptions:
    """How attempts are carried out.

    Attributes:
        sandbox: Inspect sandbox provider.
        max_attempts: Attempts at once at most; None: as many as the machine has hardware for (`sandbox.leases`).
        max_retries: Tries of one model request; with Inspect's growing pauses 20 of them bridge about six hours.
        finalise_only: The participant does not work any more; the attempt ends with what it has.
        display: Inspect's own display (``none`` under our live table).
        model_args: Passed to the model provider.
    """

    sandbox: str = "bwrap"
    max_attempts: int | None = None
    max_retries: int = MODEL_RETRIES
    finalise_only: bool = False
    display: str = "none"
    model_args: dict[str, Any] | None = None


def carry_out(folders: Sequence[AttemptFolder], log_dir: Path, options: RunOptions) -> list[EvalLog]:
    """Carries out (or resumes) attempts; those that have `SHARED` in common share an Inspect task.

    Args:
        folders: Planned attempts without a result.
        log_dir: Inspect's log directory.
        options: See `RunOptions`.

    Returns:
        Inspect's logs. The attempts' results also lie in their folders.
    """
    groups: dict[str, list[AttemptFolder]] = defaultdict(list)
    for folder in folders:
        groups[folder.read_plan().model_dump_json(include=SHARED)].append(folder)
    tasks = []
    for members in groups.values():
        plan = members[0].read_plan()
        pricing.register(plan.models, plan.prices)
        nobody = options.finalise_only
        participant = participants.nobody() if nobody else participants.participant(plan.agent, plan.agent_args)
        task = attempt_task(members, participant, options.sandbox)
        # Not memoised: the provider's address may come from the environment, which the cache's key does not hold.
        task.model = get_model(plan.model or "none/none", memoize=False, **(options.model_args or {}))
        task.model_roles = {
            role: get_model(model, role=role, memoize=False) for role, model in plan.model_roles.items()
        }
        tasks.append(task)
    # Inspect prints through the root logger; what matters to a user is in our table and in the log itself.
    logging.getLogger("inspect_ai").setLevel(logging.ERROR)
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
            lines.append(log.error.message.splitlines()[0] if log.error.message else "the run failed")
        lines.extend(
            f"{sample.id}: {sample.error.message.splitlines()[0][:300]}"
            for sample in log.samples or []
            if sample.error is not None
        )
    return lines
