"""What attempts of one Inspect task work with: participant, models, sandbox; built before anything is written.

Whatever can be wrong with a command line shows here, as one line with its mend: an attempt that was written down and
then could not start would stay in the log directory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspect_ai.model import GenerateConfig, Model, get_model

from open_re_bench import registry
from open_re_bench.agents import participants
from open_re_bench.errors import CannotRunHere, UserError
from open_re_bench.harness.attempt_folder import AttemptPlan
from open_re_bench.inspect_internals import (
    PrerequisiteError,
    docker_prerequisites,
    plain_message,
    plain_text,
    registry_find_sandboxenv,
)

if TYPE_CHECKING:
    from inspect_ai.agent import Agent
    from inspect_ai.solver import Solver

NO_MODEL = "none/none"


@dataclass(frozen=True)
class Crew:
    """Who and what works in the attempts of one Inspect task."""

    participant: Agent | Solver
    model: Model
    model_roles: dict[str, Model]


def crew(plan: AttemptPlan, finalise_only: bool = False, model_args: Mapping[str, Any] | None = None) -> Crew:
    """The crew of an attempt.

    Args:
        plan: Its plan.
        finalise_only: Nobody works any more and the participant's model is not needed, nor its key.
        model_args: Added to the plan's own arguments of the model.

    Raises:
        UserError: environment, participant or a model cannot be had.
    """
    registry.environment(plan.environment, plan.scale)
    if not plan.agent and not finalise_only:
        raise UserError("`inspect eval` planned it and names who works", "repeat that command with the same -T batch")
    if finalise_only:
        participant: Agent | Solver = participants.nobody()
        model = _model(NO_MODEL)
    else:
        participant = participants.participant(plan.agent, plan.agent_args)
        given = {**plan.model_args, **(model_args or {})}
        settings = {name: given.pop(name) for name in sorted(GenerateConfig.model_fields.keys() & given.keys())}
        model = _model(plan.model or NO_MODEL, settings, **given)
    # Also where nobody works any more: what was submitted may need the coder to be scored.
    return Crew(participant, model, {role: _model(name, role=role) for role, name in plan.model_roles.items()})


def _model(name: str, settings: Mapping[str, Any] | None = None, **more: Any) -> Model:
    try:
        config = GenerateConfig.model_validate(settings or {})
        # Not memoised: the provider's address may come from the environment, which the cache's key does not hold.
        return get_model(name, memoize=False, config=config, **more)
    except PrerequisiteError as error:
        raise CannotRunHere(
            f"model {name!r} cannot be used here: {plain_message(error)}", "install or set that (docs/agents.md)"
        ) from error
    except (ValueError, TypeError, OSError) as error:
        said = plain_text(str(error)) or type(error).__name__
        raise UserError(f"model {name!r}: {said}", "write it like openai/gpt-5, with arguments it takes") from error


def check_sandbox(name: str) -> None:
    """Refuses a sandbox that Inspect does not know or that has nothing to run on.

    Args:
        name: Inspect sandbox provider.

    Raises:
        UserError: unknown.
        CannotRunHere: Docker is missing or does not run.
    """
    try:
        registry_find_sandboxenv(name)
    except ValueError as error:
        raise UserError(
            f"sandbox {name!r}: {plain_text(str(error))}", "leave --sandbox out, or write docker"
        ) from error
    if name == "docker":
        try:
            asyncio.run(docker_prerequisites())
        except PrerequisiteError as error:
            raise CannotRunHere(
                f"sandbox 'docker' cannot be used here: {plain_message(error)}", "start it, or leave --sandbox out"
            ) from error
