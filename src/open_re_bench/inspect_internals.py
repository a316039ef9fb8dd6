"""Every use of Inspect that is not public API, in one place; importing it imports Inspect."""

from __future__ import annotations

import re

from inspect_ai._util.entrypoints import ensure_entry_points
from inspect_ai._util.error import PrerequisiteError
from inspect_ai._util.registry import is_registry_object, registry_create, registry_lookup
from inspect_ai.log._samples import sample_active
from inspect_ai.util._sandbox.docker.prereqs import validate_prereqs as docker_prerequisites
from inspect_ai.util._sandbox.registry import registry_find_sandboxenv

__all__ = [
    "PrerequisiteError",
    "docker_prerequisites",
    "ensure_entry_points",
    "is_registry_object",
    "plain_message",
    "plain_text",
    "registry_create",
    "registry_find_sandboxenv",
    "registry_lookup",
    "solver_name",
]

# What Inspect decorates its messages with. Not rich's own parser: it would take `list[str]` for a style, too.
_MARKUP = re.compile(r"\[/?(?:bold|italic|dim|blue|cyan|green|red|yellow|magenta)\]")


def plain_text(message: str) -> str:
    """A message of Inspect's in one line, without its colours."""
    return " ".join(_MARKUP.sub("", message).split()).removesuffix(".")


def plain_message(error: PrerequisiteError) -> str:
    """What `error` says, in one line."""
    return plain_text(str(error.message)).removeprefix("ERROR: ")


def solver_name() -> str:
    """Name of the agent of the running sample; ``solver`` when Inspect does not know it."""
    active = sample_active()
    return (active.agent_name if active is not None else None) or "solver"
