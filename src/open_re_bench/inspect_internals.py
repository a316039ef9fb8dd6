"""Every use of Inspect that is not public API, in one place; importing it imports Inspect."""

from __future__ import annotations

from inspect_ai._util.entrypoints import ensure_entry_points
from inspect_ai._util.error import PrerequisiteError
from inspect_ai._util.registry import is_registry_object, registry_create, registry_lookup
from inspect_ai.log._samples import sample_active

__all__ = [
    "PrerequisiteError",
    "ensure_entry_points",
    "is_registry_object",
    "registry_create",
    "registry_lookup",
    "solver_name",
]


def solver_name() -> str:
    """Name of the agent of the running sample; ``solver`` when Inspect does not know it."""
    active = sample_active()
    return (active.agent_name if active is not None else None) or "solver"
