"""`re-bench monitor`: flags on stored attempts, and people's decisions about them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from open_re_bench.cli.console import emit_json, emit_table, json_option, note, writing
from open_re_bench.errors import ExitCode, UserError

if TYPE_CHECKING:
    from open_re_bench.attempt import AttemptRecord


@click.command(name="monitor")
@click.argument("log_dir", type=click.Path(path_type=Path))
@click.option("--decide", metavar="ATTEMPT", help="Record a decision about this attempt.")
@click.option("--verdict", type=click.Choice(["clean", "cheat"]), help="The decision.")
@click.option("--by", help="Who decides.")
@click.option("--why", help="What was looked at and what it showed.")
@json_option
@click.pass_context
def command(
    context: click.Context,
    log_dir: Path,
    decide: str | None,
    verdict: str | None,
    by: str | None,
    why: str | None,
    as_json: bool,
) -> None:
    """Flag suspicious attempts; record what people decide.

    Exit code 1 when an attempt's result cannot be read; the others are shown all the same.

    Example: re-bench monitor logs
    """
    from open_re_bench.harness.regrade import find_attempts
    from open_re_bench.monitor import decisions

    folders = find_attempts([log_dir])
    file = log_dir / decisions.FILE
    if decide is None and (verdict or by or why):
        raise UserError("--verdict, --by and --why decide nothing alone", "name the attempt with --decide ATTEMPT")
    if decide is not None:
        if decide not in [folder.root.name for folder in folders]:
            raise UserError(f"{log_dir} has no attempt {decide!r}", "run `re-bench monitor` on it to see the attempts")
        if not (verdict and by and why):
            raise UserError("a decision needs --verdict, --by and --why", "give all three")
        try:
            entry = decisions.Decision.model_validate(
                {"attempt_id": decide, "verdict": verdict, "by": by, "on": date.today().isoformat(), "why": why}
            )
        except ValueError as error:
            raise UserError("the decision is not complete", "give a name and at least ten characters of why") from error
        with writing(file, "a decision lies beside the logs: make that folder writable"):
            decisions.write_decision(file, entry)
        note(f"recorded in {file}; reports and tables of {log_dir} follow it")
        return
    decided = {entry.attempt_id: entry.verdict for entry in decisions.read_decisions(file)}
    results: dict[str, AttemptRecord | None] = {}
    unreadable = False
    for folder in folders:
        try:
            results[folder.root.name] = folder.read_result()
        except UserError as error:  # one damaged record must not hide what is flagged in the others
            unreadable = True
            note(f"passed over {folder.root.name}: {error}")
    flags = {name: list(record.flags) if record else [] for name, record in results.items()}
    if as_json:
        emit_json(
            [
                {
                    "attempt_id": name,
                    "flags": flags[name],
                    "decision": decided.get(name),
                    "finished": record is not None,
                }
                for name, record in results.items()
            ]
        )
    else:
        emit_table(
            ("attempt", "flags", "decision"),
            [(name, "; ".join(found) or "-", decided.get(name, "-")) for name, found in flags.items()],
        )
    if unreadable:
        context.exit(int(ExitCode.FINDING))
