"""Serves a person's session for `re-bench human`: desk, attempt, result, questionnaire, one after the other."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from open_re_bench.attempt import AttemptRecord
from open_re_bench.cli.console import emit_json, note, number
from open_re_bench.cli.live_table import LiveTable, where
from open_re_bench.cli.run import as_document, say_results, write_report
from open_re_bench.errors import ExitCode, InfrastructureError
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.messages import duration
from open_re_bench.people import desk as desks
from open_re_bench.people import proctoring
from open_re_bench.people.conversation import converse
from open_re_bench.people.person import PersonFolder
from open_re_bench.registry import environment as bound_environment
from open_re_bench.running import runner

QUESTIONNAIRE_WAIT_S = 1800.0  # for somebody who sits there and does not answer


def serve(folder: AttemptFolder, report_file: Path | None, as_json: bool) -> ExitCode:
    """Serves the attempt in `folder` to its end, or until interrupted.

    Returns:
        Exit code: ok, interrupted (the line that resumes was printed) or infrastructure.

    Raises:
        UserError: proctored, and the login user could read what must stay hidden.
    """
    plan, person = folder.read_plan(), PersonFolder(folder)
    record = person.read()
    log_dir = folder.root.parent.parent
    if record.login_uid is not None:
        os.umask(0o077)  # whatever is written from now on is nobody else's
        proctoring.check_hidden(folder, record.login_uid)
        name = proctoring.place_name(record.login_uid)
    else:
        name = plan.attempt_id
    bound = bound_environment(plan.environment, plan.scale)
    resume = f"re-bench human --resume {where(folder.root)}"
    desk = desks.Desk(person, bound.spec.title, record.login_uid, name, converse)
    desk.open()
    desks.register(plan.attempt_id, desk)
    note(_invitation(folder, desk, record.login_uid))
    note(f"if this command or the machine goes down, go on with: {resume}")
    failures: list[str] = []
    result = None
    try:
        with LiveTable([folder], Console(stderr=True)):
            failures = runner.failures(runner.carry_out([folder], log_dir, runner.RunOptions()))
        result = folder.read_result()
        if result is not None:
            desk.finish(_outcome(result, bound.spec.score_visible), QUESTIONNAIRE_WAIT_S)
    except KeyboardInterrupt:
        pass
    finally:
        desk.close("" if result else f"The session was interrupted. Go on with: {resume}\n")
    if result is None and not failures:
        note(f"interrupted; nothing is lost. Go on with: {resume}")
        return ExitCode.INTERRUPTED
    if result is None:
        raise InfrastructureError(failures[0], f"go on with: {resume}")
    written = write_report(log_dir, report_file)
    if as_json:
        emit_json(
            {
                "attempts": [as_document(result)],
                "failures": failures,
                "log_dir": str(log_dir),
                "report": str(written) if written else None,
                "resume": None,
            }
        )
    else:
        say_results([result])
        if written:
            note(f"report: {where(written)}")
        if person.questionnaire().finished_at is None:
            note(f"the questionnaire is unanswered: re-bench human --questionnaire {where(folder.root)}")
    return ExitCode.OK


def _invitation(folder: AttemptFolder, desk: desks.Desk, login_uid: int | None) -> str:
    """The line that opens a terminal; only now, as the desk answers."""
    if login_uid is None:
        return f"open a terminal with: re-bench attach {where(folder.root)}"
    return f"the person's forced command: {proctoring.forced_command(desk.directory)}"


def _outcome(result: AttemptRecord, visible: bool) -> str:
    lines = ["Your session is over."]
    if not result.valid:
        lines.append(f"No valid result ({result.failure}): {result.message}")
    elif visible:
        lines.append(f"Result on fresh inputs: {number(result.normalised)} (0 = start, 1 = reference).")
    else:
        lines.append("Your last valid answer was taken. Its score stays with whoever runs this study: the right answer")
        lines.append("is the same for everybody.")
    spent = result.ledger
    lines.append(
        f"Charged: {duration(spent.budget_s)}. Not charged: {duration(spent.paused_s)} stopped or not yet started, "
        f"{duration(spent.scoring_s)} scoring, {duration(spent.waiting_s)} waiting."
    )
    return "\n".join(lines)
