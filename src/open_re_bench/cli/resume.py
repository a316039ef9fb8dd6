"""`re-bench resume`: take interrupted attempts up again, or end them with what they have."""

from __future__ import annotations

from pathlib import Path

import click

from open_re_bench.cli.console import emit_json, json_option, note
from open_re_bench.errors import UserError


@click.command(name="resume")
@click.argument("log_dir", type=click.Path(path_type=Path))
@click.option("--finalise", is_flag=True, help="Do not go on: re-score the best submission so far and end there.")
@click.option("--max-attempts", type=click.IntRange(1), help="Attempts at once.")
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="Where to write the HTML report.")
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
    from open_re_bench.harness import attempt_folder

    if not (log_dir / "attempts").is_dir():
        raise UserError(f"{log_dir} holds no attempts", "give the --log-dir of the run that was interrupted")
    folders = attempt_folder.unfinished(log_dir)
    taken = [folder for folder in folders if folder.is_taken]
    for folder in taken:
        note(f"{folder.root.name} is being carried out by another process: left alone")
    folders = [folder for folder in folders if folder not in taken]
    people = [] if finalise else [folder for folder in folders if folder.read_plan().participant_kind == "human"]
    for folder in people:
        note(f"a person's session is taken up with: re-bench human --resume {folder.root}")
    folders = [folder for folder in folders if folder not in people]
    if (people or taken) and not folders and not as_json:
        return
    if not folders:
        if as_json:
            emit_json({"attempts": [], "failures": [], "log_dir": str(log_dir), "report": None, "resume": None})
        else:
            note(f"every attempt in {log_dir} has its result; nothing to resume")
        return
    from open_re_bench.cli.run import carry_out_and_say
    from open_re_bench.harness import conversation
    from open_re_bench.running.runner import RunOptions

    remembered = conversation.recover(log_dir, folders)
    note(f"{len(folders)} to resume, {len(remembered)} with their conversation")
    options = RunOptions(max_attempts=max_attempts, finalise_only=finalise)
    context.exit(int(carry_out_and_say(folders, log_dir, options, report_file, as_json)))
