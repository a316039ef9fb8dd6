"""`re-bench run`: plan attempts, carry them out with Inspect, show them live, report."""

from __future__ import annotations

import secrets
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from open_re_bench.cli.console import emit_json, emit_table, json_option, note, number, scale_option
from open_re_bench.cli.planned_spending import arguments, model_arguments, say_plan, shared_fields, with_limits
from open_re_bench.cli.selection import ensure_prepared, several
from open_re_bench.errors import CannotRunHere, ExitCode, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from open_re_bench.api import LoadedEnvironment
    from open_re_bench.attempt import AttemptRecord
    from open_re_bench.harness.attempt_folder import AttemptFolder, AttemptPlan
    from open_re_bench.running.crew import Crew
    from open_re_bench.running.runner import RunOptions


@click.command(name="run")
@click.argument("environments", metavar="ENV...|all", nargs=-1, required=True)
@scale_option
@click.option(
    "--agent",
    default="react",
    show_default=True,
    help="react, modular, aide, deepagent, replay, start, reference, package/agent or module:function.",
)
@click.option("--agent-arg", "agent_args", multiple=True, metavar="NAME=VALUE", help="Given to the agent; YAML.")
@click.option("--model", help="Inspect model, such as openai/gpt-5 or anthropic/claude-sonnet-4-5.")
@click.option(
    "--model-role",
    "model_roles",
    multiple=True,
    metavar="ROLE=MODEL",
    help="A further model, such as coder=openai/gpt-4o-mini.",
)
@click.option(
    "--model-arg",
    "model_args",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the model (temperature, reasoning_effort, ...) or an argument of its provider; YAML.",
)
@click.option("--budget", help="Working time of one attempt, such as 90s, 30m, 8h (default: the scale's).")
@click.option("--runs", default=1, show_default=True, type=click.IntRange(1, 1000), help="Attempts per environment.")
@click.option(
    "--log-dir", default="logs", show_default=True, type=click.Path(path_type=Path), help="Where everything is kept."
)
@click.option("--max-attempts", type=click.IntRange(1), help="Attempts at once.")
@click.option("--max-cost", type=click.FloatRange(min=0, min_open=True), help="Dollars per attempt at most.")
@click.option("--max-tokens", type=click.IntRange(1), help="Tokens of all kinds per attempt at most.")
@click.option(
    "--model-cost-config",
    "cost_file",
    type=click.Path(path_type=Path),
    help="Prices of models, dollars per million tokens (YAML or JSON, as Inspect's).",
)
@click.option("--sandbox", default="bwrap", show_default=True, help="Inspect sandbox; any other makes results local.")
@click.option("--dry-run", is_flag=True, help="Print what would run, its time, estimated tokens and cost; run nothing.")
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="HTML report (default: report.html).")
@json_option
@click.pass_context
def command(
    context: click.Context,
    environments: tuple[str, ...],
    scale: str,
    agent: str,
    agent_args: tuple[str, ...],
    model: str | None,
    model_roles: tuple[str, ...],
    model_args: tuple[str, ...],
    budget: str | None,
    runs: int,
    log_dir: Path,
    max_attempts: int | None,
    max_cost: float | None,
    max_tokens: int | None,
    cost_file: Path | None,
    sandbox: str,
    dry_run: bool,
    report_file: Path | None,
    as_json: bool,
) -> None:
    """Run agents on environments.

    Example: re-bench run optimize_kernel --scale cpu --agent replay --log-dir logs
    """
    chosen = several(environments, None, scale)
    shared = shared_fields(model, model_roles, max_cost, max_tokens, cost_file)
    shared["agent_args"] = arguments(agent_args, "--agent-arg")
    shared["model_args"] = model_arguments(model_args)
    plans = _plan(chosen, agent, model, budget, runs, sandbox, shared)
    _refuse_what_cannot_run(chosen, agent, shared["agent_args"], sandbox)
    if dry_run:
        say_plan(plans, as_json)
        return
    from open_re_bench.harness import attempt_folder
    from open_re_bench.running.runner import RunOptions, assemble

    options = RunOptions(sandbox=sandbox, max_attempts=max_attempts)
    crews = assemble(plans, options)  # before anything is written: what cannot start must not stay in the folder
    for environment in chosen:
        ensure_prepared(environment)
    folders = [attempt_folder.create(log_dir, plan) for plan in plans]
    context.exit(int(carry_out_and_say(folders, log_dir, options, report_file, as_json, crews)))


def _refuse_what_cannot_run(
    chosen: Sequence[LoadedEnvironment], agent: str, agent_args: dict[str, Any], sandbox: str
) -> None:
    """Raises a `UserError` for environments, agent or sandbox that cannot be had here; needs no key of a model."""
    from open_re_bench.agents.participants import participant
    from open_re_bench.requirements import obstacle
    from open_re_bench.running.crew import check_sandbox

    for environment in chosen:
        if reason := obstacle(environment):
            raise CannotRunHere(f"{environment.name} at {environment.scale_name}: {reason}", "see `re-bench list`")
    participant(agent, agent_args)
    check_sandbox(sandbox)


def _plan(
    chosen: Sequence[LoadedEnvironment],
    agent: str,
    model: str | None,
    budget: str | None,
    runs: int,
    sandbox: str,
    shared: dict[str, Any],
) -> list[AttemptPlan]:
    from open_re_bench.agents.participants import entry, model_for
    from open_re_bench.harness.model_roles import is_mock
    from open_re_bench.harness.planning import parse_budget, plan_attempts

    known, batch = entry(agent), secrets.token_hex(4)
    models = [name for name in (model, *shared["model_roles"].values()) if name]
    if shared["model_args"] and not (known.needs_model or agent == "replay"):
        raise UserError(f"agent {agent} uses no model", "leave --model-arg out")
    plans = [
        plan
        for environment in chosen
        for plan in plan_attempts(
            environment,
            runs=runs,
            budget_s=parse_budget(budget, unit_required=True)
            if budget is not None
            else environment.scale.budget_minutes * 60,
            agent=agent,
            model=model_for(agent, environment.name, environment.scale_name, model),
            kind=known.kind,
            batch=batch,
            simulated=agent == "replay" or any(map(is_mock, models)),
            local_reasons=[] if sandbox == "bwrap" else [f"sandbox {sandbox} instead of our own"],
            **shared,
        )
    ]
    return with_limits(plans)


def carry_out_and_say(
    folders: Sequence[AttemptFolder],
    log_dir: Path,
    options: RunOptions,
    report_file: Path | None,
    as_json: bool,
    crews: Mapping[str, Crew],
) -> ExitCode:
    """Carries attempts out under a live table, prints their results and writes the report.

    Returns:
        The exit code: ok, interrupted (attempts can be resumed) or infrastructure (some have no result).
    """
    from rich.console import Console

    from open_re_bench.cli.live_table import LiveTable, where
    from open_re_bench.running import runner

    resume = f"re-bench resume {where(log_dir)}"
    if options.sandbox == "bwrap":
        for line in hardware_lines([folder.read_plan() for folder in folders]):
            note(line)
    failures: list[str] = []
    interrupted = False
    with LiveTable(folders, Console(stderr=True)):
        try:
            logs = runner.carry_out(folders, log_dir, options, crews)
            failures = runner.failures(logs)
            # Inspect takes Ctrl-C itself and returns what has ended, mostly nothing.
            interrupted = not logs or any(log.status == "cancelled" for log in logs)
        except KeyboardInterrupt:
            interrupted = True
    records = runner.results(folders)
    written = write_report(log_dir, report_file) if records else None
    if as_json:
        emit_json(
            {
                "attempts": [as_document(record) for record in records],
                "failures": failures,
                "log_dir": str(log_dir),
                "report": str(written) if written else None,
                "resume": resume if len(records) < len(folders) else None,
            }
        )
    else:
        say_results(records)
        for line in failures:
            note(f"failed: {line}")
        if written:
            note(f"report: {where(written)}")
        note(f"transcripts: re-bench view {where(log_dir)}")
    if len(records) < len(folders):
        note(f"{len(folders) - len(records)} unfinished; nothing is lost. Go on with: {resume}")
    if interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if len(records) == len(folders) else ExitCode.INFRASTRUCTURE


def as_document(record: AttemptRecord) -> dict[str, Any]:
    """A record as ``--json`` prints it: without the keys that are only there for Inspect's summaries."""
    return record.model_dump(mode="json", by_alias=True)


def hardware_lines(plans: Sequence[AttemptPlan]) -> list[str]:
    """What an environment's attempts must know of this machine: that it is too small, or that they take turns."""
    from open_re_bench import registry
    from open_re_bench.requirements import demand
    from open_re_bench.sandbox import leases

    there = leases.capacity()
    lines = []
    for (name, scale), count in Counter((plan.environment, plan.scale) for plan in plans).items():
        wanted = demand(registry.environment(name, scale).scale)
        at_once = there.at_once(wanted)
        if short := there.shortfall(wanted):
            lines.append(f"{name}: {short}")
        elif count > at_once:
            lines.append(f"{name}: {at_once} of {count} attempts fit this machine at once ({wanted} each); others wait")
    return lines


def say_results(records: Sequence[AttemptRecord]) -> None:
    """Prints one row per finished attempt."""
    from open_re_bench.harness.messages import duration

    emit_table(
        ("environment", "scale", "agent", "normalised", "raw", "best logged", "scorings", "time", "result"),
        [
            (
                record.environment,
                record.scale,
                record.agent,
                number(record.normalised),
                number(record.raw, 4),
                number(record.best_logged_normalised),
                str(record.scorings),
                duration(record.ledger.budget_s),
                _kind(record),
            )
            for record in records
        ],
    )


def _kind(record: AttemptRecord) -> str:
    if not record.valid:
        return f"invalid ({record.failure})"
    return f"{record.result_class}, demonstration" if record.simulated else record.result_class


def write_report(log_dir: Path, report_file: Path | None) -> Path | None:
    """Writes the HTML report over everything in `log_dir`; a failure is said and loses nothing."""
    from open_re_bench.report import write_report_for_logs

    target = report_file or Path("report.html")
    try:
        write_report_for_logs([log_dir], target)
    except (UserError, OSError) as error:
        note(f"the report could not be written ({error}); try `re-bench report {shlex.quote(str(log_dir))}`")
        return None
    return target
