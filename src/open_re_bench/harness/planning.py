"""Plans attempts: ids, budgets and secret seeds, before anything runs (and without importing Inspect)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from open_re_bench import rules_line
from open_re_bench.attempt import ParticipantKind
from open_re_bench.environment import Environment
from open_re_bench.errors import UserError
from open_re_bench.harness import attempt_folder
from open_re_bench.harness.attempt_folder import AttemptPlan
from open_re_bench.scoring.instances import draw_seed

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?) *(s|min|m|h)?")
_BUDGET = re.compile(rf"{_PART.pattern}|(?:[0-9.]+ *(?:s|min|m|h) *)+")


def plan_attempts(
    bound: Environment,
    *,
    runs: int,
    budget_s: float,
    agent: str,
    model: str,
    kind: ParticipantKind,
    batch: str,
    simulated: bool = False,
    local_reasons: Sequence[str] = (),
    **more: Any,
) -> list[AttemptPlan]:
    """Plans `runs` attempts; ids are a function of environment, scale, batch and number, so that a retry finds them.

    Args:
        more: Further fields of `AttemptPlan`: model roles, arguments of the agent, limits, prices.
    """
    return [
        AttemptPlan(
            attempt_id=f"{bound.name}-{bound.scale_name}-{batch}-{number}",
            environment=bound.name,
            scale=bound.scale_name,
            version=bound.spec.version,
            task_version=bound.spec.task_version,
            rules_version=rules_line.VERSION,
            budget_s=budget_s,
            agent=agent,
            model=model,
            participant_kind=kind,
            instance_seed=f"{draw_seed():032x}",
            planned_at=attempt_folder.now_text(),
            simulated=simulated,
            local_reasons=tuple(local_reasons),
            **more,
        )
        for number in range(1, runs + 1)
    ]


def parse_budget(text: str | float, unit_required: bool = False) -> float:
    """Seconds of a budget such as ``90s``, ``30m``, ``2h``, ``1h30m``; a bare number is seconds.

    Args:
        text: As given.
        unit_required: Refuse a bare number: whoever types ``--budget 2`` hardly means two seconds.

    Raises:
        UserError: not a positive duration.
    """
    words = str(text).strip().lower()
    parts = _PART.findall(words) if _BUDGET.fullmatch(words) else []
    try:
        seconds = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    except ValueError:
        seconds = float("nan")
    if not 0 < seconds < float("inf") or (unit_required and not parts[-1][1]):
        raise UserError(f"{text!r} is not a budget", "write it like 90s, 30m or 2h")
    return seconds
