"""Participants by name: which agents exist, what kind they are, which model they need.

Besides ours: ``package/name`` is any agent or solver registered with Inspect, ``module:function`` or
``file.py:function`` a function that builds one.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from open_re_bench.attempt import ParticipantKind
from open_re_bench.errors import UserError
from open_re_bench.registry import nearest

if TYPE_CHECKING:
    from inspect_ai.agent import Agent
    from inspect_ai.solver import Solver


@dataclass(frozen=True)
class ParticipantEntry:
    """A participant of ours.

    Attributes:
        factory: ``module:function`` that builds the agent.
        kind: What its results count as.
        needs_model: Whether ``--model`` must be given.
        summary: One line for `re-bench run --help`.
    """

    factory: str
    kind: ParticipantKind
    needs_model: bool
    summary: str


PARTICIPANTS: dict[str, ParticipantEntry] = {
    "react": ParticipantEntry("open_re_bench.agents.react:react_agent", "agent", True, "tool loop (default)"),
    "modular": ParticipantEntry("open_re_bench.agents.modular:modular_agent", "agent", True, "the paper's simple loop"),
    "aide": ParticipantEntry("open_re_bench.agents.aide:aide_agent", "agent", True, "tree search over whole solutions"),
    "deepagent": ParticipantEntry(
        "open_re_bench.agents.deep:deep_agent", "agent", True, "Inspect's deep agent: subagents, memory, to-do list"
    ),
    "replay": ParticipantEntry("open_re_bench.agents.react:react_agent", "scripted", False, "a recorded transcript"),
    "start": ParticipantEntry("open_re_bench.agents.scripted:start_agent", "scripted", False, "the starting files"),
    "reference": ParticipantEntry(
        "open_re_bench.agents.scripted:reference_agent", "scripted", False, "the reference solution"
    ),
    "human": ParticipantEntry("open_re_bench.agents.human:human_agent", "human", False, "a person (`re-bench human`)"),
}


def entry(name: str) -> ParticipantEntry:
    """The participant `name`, ours or from elsewhere.

    Raises:
        UserError: unknown; offers the nearest names.
    """
    if name in PARTICIPANTS:
        return PARTICIPANTS[name]
    module, _, function = name.rpartition(":")
    if module and function.isidentifier():
        return ParticipantEntry(name, "agent", True, "a function that builds an agent")
    if "/" in name and ":" not in name:
        return ParticipantEntry("", "agent", True, "an agent registered with Inspect")
    raise UserError(
        f"unknown agent {name!r}", nearest(name, list(PARTICIPANTS)) + " (or package/agent, or module:function)"
    )


def model_for(agent: str, environment: str, scale: str, model: str | None) -> str:
    """The Inspect model name an attempt runs with.

    Raises:
        UserError: the agent needs a model and none was given.
    """
    if agent == "human":
        raise UserError("a person needs a place to sit", "use `re-bench human ENV`")
    if agent == "replay":
        return f"replay/{environment}/{scale}"
    if not entry(agent).needs_model:
        return ""
    if not model:
        raise UserError(f"agent {agent} needs a model", "give --model provider/name, such as --model openai/gpt-5")
    return model


def participant(agent: str, arguments: Mapping[str, Any] | None = None) -> Agent | Solver:
    """Builds the agent `agent`.

    Args:
        agent: Its name.
        arguments: Given to the function that builds it.

    Raises:
        UserError: unknown, its package cannot be imported, or it does not take such arguments.
    """
    from open_re_bench.inspect_internals import PrerequisiteError, is_registry_object, plain_message

    known, given = entry(agent), dict(arguments or {})
    try:
        built = _call(known.factory, given) if known.factory else _registered(agent, given)
    except (ImportError, AttributeError, LookupError, OSError, SyntaxError, TypeError, ValueError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"agent {agent!r} cannot be built ({first})", "install its package, check its name and its --agent-arg"
        ) from error
    except PrerequisiteError as error:
        raise UserError(f"agent {agent!r} cannot be built ({plain_message(error)})", "install what it needs") from error
    if not is_registry_object(built):
        raise UserError(f"{agent!r} built no agent of Inspect's", "decorate the function with @agent or @solver")
    made: Agent | Solver = built
    return made


def nobody() -> Agent:
    """A participant that does nothing: an interrupted attempt is ended with what it has."""
    from open_re_bench.agents.scripted import nobody_agent

    return nobody_agent()


def _call(factory: str, arguments: dict[str, Any]) -> Any:
    where, _, function = factory.rpartition(":")
    if where.endswith(".py"):
        file = Path(where).resolve()
        spec = importlib.util.spec_from_file_location(file.stem, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(file.stem, module)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(where)
    return getattr(module, function)(**arguments)


def _registered(name: str, arguments: dict[str, Any]) -> Any:
    from open_re_bench.inspect_internals import ensure_entry_points, registry_create, registry_lookup

    package = name.partition("/")[0]
    importlib.import_module(package)
    ensure_entry_points(package)
    if registry_lookup("agent", name) is not None:
        return registry_create("agent", name, **arguments)
    return registry_create("solver", name, **arguments)
