"""What planned attempts will take: limits, time, tokens, money; said before anything runs (``run --dry-run``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from open_re_bench.cli.console import emit_json, emit_table, minutes, note
from open_re_bench.errors import UserError

if TYPE_CHECKING:
    from open_re_bench.harness.attempt_folder import AttemptPlan


def arguments(given: Sequence[str], option: str) -> dict[str, Any]:
    """Arguments from texts such as ``user=agent`` or ``tools={"required": ["x"]}``; values are YAML.

    Raises:
        UserError: no name, or not YAML.
    """
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise UserError(f"{option} {text!r} names nothing", f"write it like {option} NAME=VALUE")
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"{option} {text!r} is not YAML", "quote the value") from error
    return found


def model_arguments(given: Sequence[str]) -> dict[str, Any]:
    """Arguments of the participant's model; plans keep them, so that a key is none, and an address decides on costs.

    Raises:
        UserError: malformed, or a key or an address.
    """
    found = arguments(given, "--model-arg")
    for name in ("api_key", "base_url"):
        if name in found:
            raise UserError(
                f"--model-arg {name} would be kept in the plan", f"set the provider's variable, PROVIDER_{name.upper()}"
            )
    return found


def shared_fields(
    model: str | None,
    model_roles: Sequence[str],
    max_cost: float | None,
    max_tokens: int | None,
    cost_file: Path | None,
) -> dict[str, Any]:
    """Fields of `AttemptPlan` that all attempts of a run have in common, from the options as typed.

    Raises:
        UserError: a role or a file of prices that cannot be used.
    """
    from open_re_bench.harness.model_roles import parse_roles
    from open_re_bench.harness.pricing import read_prices

    return {
        "model_roles": parse_roles(model_roles, model),
        "max_cost": max_cost,
        "max_tokens": max_tokens,
        "prices": read_prices(cost_file) if cost_file is not None else {},
    }


def with_limits(plans: Sequence[AttemptPlan]) -> list[AttemptPlan]:
    """`plans` with the limits they will keep; a default is said.

    Raises:
        UserError: a model's price is unknown and nothing bounds its use.
    """
    from open_re_bench.harness.pricing import limits

    limited, remarks = [], []
    for plan in plans:
        kept = limits(plan.models, plan.prices, plan.budget_s, plan.max_cost, plan.max_tokens)
        limited.append(plan.model_copy(update={"max_cost": kept.max_cost, "max_tokens": kept.max_tokens}))
        remarks += [kept.remark] if kept.remark else []
    for remark in dict.fromkeys(remarks):
        note(remark)
    return limited


def say_plan(plans: Sequence[AttemptPlan], as_json: bool) -> None:
    """Prints what would run and what it would take."""
    rows = [(plan, *_estimate(plan)) for plan in plans]
    hours = sum(plan.budget_s for plan in plans) / 3600
    if as_json:
        costs = [cost for *_, cost in rows]
        emit_json(
            {
                "attempts": [
                    {
                        **plan.model_dump(mode="json", exclude={"instance_seed"}),
                        "working_hours": plan.budget_s / 3600,
                        "estimated_input_tokens": given,
                        "estimated_output_tokens": got,
                        "estimated_cost_usd": cost,
                    }
                    for plan, given, got, cost in rows
                ],
                "working_hours": hours,
                "estimated_input_tokens": sum(given for _, given, _, _ in rows),
                "estimated_output_tokens": sum(got for _, _, got, _ in rows),
                "estimated_cost_usd": None if None in costs else sum(cost or 0.0 for cost in costs),
            }
        )
        return
    emit_table(
        ("attempt", "agent", "model", "budget", "tokens in", "tokens out", "about", "at most"),
        [
            (
                plan.attempt_id,
                plan.agent,
                " ".join([plan.model or "-", *(f"{role}={model}" for role, model in plan.model_roles.items())]),
                minutes(plan.budget_s / 60),
                f"{given / 1e6:.2f} M",
                f"{got / 1e3:.0f} k",
                "?" if cost is None else f"${cost:.2f}",
                _limit(plan),
            )
            for plan, given, got, cost in rows
        ],
    )
    note(f"at most {hours:.2f} h of working time, one after the other; waiting and scoring come on top")
    if any(given for _, given, _, _ in rows):
        note("tokens at the rate of the paper's agents (29 M in and 499 k out per 8 h), cost without cache discounts")


def _estimate(plan: AttemptPlan) -> tuple[int, int, float | None]:
    """Input tokens, output tokens, dollars (None: the price is unknown) of the participant's model."""
    from open_re_bench.harness import pricing
    from open_re_bench.harness.model_roles import is_mock

    if not plan.model or is_mock(plan.model):
        return 0, 0, 0.0
    hours, price = plan.budget_s / 3600, pricing.price_of(plan.model, plan.prices)
    return (
        round(hours * pricing.INPUT_TOKENS_PER_HOUR),
        round(hours * pricing.OUTPUT_TOKENS_PER_HOUR),
        pricing.estimated_cost(price, plan.budget_s) if price is not None else None,
    )


def _limit(plan: AttemptPlan) -> str:
    given = [f"${plan.max_cost:.2f}"] if plan.max_cost is not None else []
    given += [f"{plan.max_tokens} tokens"] if plan.max_tokens is not None else []
    return ", ".join(given) or "-"
