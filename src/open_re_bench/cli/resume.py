"""`re-bench resume`: take interrupted attempts up again, or end them with what they have."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from open_re_bench.cli.console import emit_json, json_option, note
from open_re_bench.errors import ExitCode, UserError

if TYPE_CHECKING:
    from open_re_bench.harness.attempt_folder import AttemptFolder


@click.command(name="resume")
@click.argument("log_dir", type=click.Path(path_type=Path))
@click.option("--finalise", is_flag=True, help="Do not go on: re-score the best submission so far and end there.")
@click.option("--max-attempts", type=click.IntRange(1), help="Attempts at once.")
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="HTML report (default: report.html).")
@json_option
@click.pass_context
def command(
    context: click.Context,
    log_dir: Path,
    finalise: bool,
    max_attempts: int | None,
    report_file: Path | None,
    as_json: bool,
) -> None:
    """Continue or finalise interrupted attempts.

    Example: re-bench resume logs
    """
    from open_re_bench.harness import attempt_folder, conversation
    from open_re_bench.running.runner import RunOptions, assemble, group

    if not (log_dir / "attempts").is_dir():
        raise UserError(f"{log_dir} holds no attempts", "give the --log-dir of the run that was interrupted")
    left: list[UserError] = []  # said as they are found; the others go on

    def leave(error: UserError) -> None:
        left.append(error)
        note(f"left as it is: {error}")

    folders = attempt_folder.unfinished(log_dir, leave)
    taken = [folder for folder in folders if folder.is_taken]
    for folder in taken:
        note(f"{folder.root.name} is being carried out by another process: left alone")
    folders = [folder for folder in folders if folder not in taken]
    people = [] if finalise else [folder for folder in folders if folder.read_plan().participant_kind == "human"]
    for folder in people:
        note(f"a person's session is taken up with: re-bench human --resume {shlex.quote(str(folder.root))}")
    folders = [folder for folder in folders if folder not in people]
    if finalise:
        folders = _begun(folders, log_dir, leave)
    options = RunOptions(max_attempts=max_attempts, finalise_only=finalise)
    crews = assemble(
        [folder.read_plan() for folder in folders],
        options,
        lambda plan, error: leave(type(error)(f"{plan.attempt_id} and those like it: {error.message}", error.mend)),
    )
    folders = [folder for folder in folders if group(folder.read_plan()) in crews]
    if not folders:
        if as_json:
            failures = [str(error) for error in left]
            emit_json({"attempts": [], "failures": failures, "log_dir": str(log_dir), "report": None, "resume": None})
        elif not (people or taken or left):
            note(f"no attempt in {log_dir} is left to {'finalise' if finalise else 'resume'}")
        context.exit(int(left[0].exit_code if left else ExitCode.OK))
    from open_re_bench.cli.run import carry_out_and_say

    remembered = conversation.recover(log_dir, folders)
    note(f"{len(folders)} to resume, {len(remembered)} with their conversation")
    code = carry_out_and_say(folders, log_dir, options, report_file, as_json, crews)
    context.exit(int(left[0].exit_code if left and code is ExitCode.OK else code))


def _begun(folders: Sequence[AttemptFolder], log_dir: Path, leave: Callable[[UserError], None]) -> list[AttemptFolder]:
    """Those of `folders` whose participant has worked; the others have nothing to end with, and that is said."""
    begun, never = [], 0
    for folder in folders:
        try:
            if has_begun(folder):
                begun.append(folder)
            else:
                never += 1
        except UserError as error:
            leave(error)
    if never:
        note(f"{never} never started: left as they are (go on with re-bench resume {shlex.quote(str(log_dir))})")
    return begun


def has_begun(folder: AttemptFolder) -> bool:
    """Whether the participant has worked: without that the end of an attempt is a failure of ours, never a zero.

    Raises:
        UserError: the ledger is damaged.
    """
    from open_re_bench.harness.ledger import HEARTBEAT_S, Ledger

    if folder.has_ended or (folder.score_log.exists() and folder.score_log.stat().st_size):
        return True
    # Opening and closing an attempt, or a model that refuses its first call, take moments of charged time.
    return Ledger(folder.ledger, free_per_hour=0).totals.budget_s >= HEARTBEAT_S
