"""`re-bench human`: a person works on an environment, under the same clock, tools and scorer as agents."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from open_re_bench.cli.console import emit_json, json_option, note, scale_option
from open_re_bench.errors import UserError

if TYPE_CHECKING:
    from open_re_bench.harness.attempt_folder import AttemptFolder


@click.command(name="human")
@click.argument("environment", metavar="[ENV]", required=False)
@scale_option
@click.option("--budget", help="Working time, such as 90s, 30m, 8h (default: the scale's).")
@click.option(
    "--log-dir", default="logs", show_default=True, type=click.Path(path_type=Path), help="Where everything is kept."
)
@click.option("--participant", metavar="ID", help="Pseudonym, the same for all attempts of a person (default: drawn).")
@click.option("--no-recording", is_flag=True, help="Do not record terminals (the person may also decline).")
@click.option("--proctored", metavar="USER", help="The person logs in as USER and reaches nothing but the terminal.")
@click.option("--resume", metavar="ATTEMPT", type=click.Path(path_type=Path), help="Take a session up again.")
@click.option(
    "--questionnaire", metavar="ATTEMPT", type=click.Path(path_type=Path), help="Ask what is unanswered, here."
)
@click.option(
    "--redact", metavar="ATTEMPT", type=click.Path(path_type=Path), help="Overwrite each --text in its files."
)
@click.option(
    "--text", "texts", multiple=True, metavar="TEXT", help="What --redact overwrites; may be given repeatedly."
)
@click.option("--delete", metavar="ATTEMPT", type=click.Path(path_type=Path), help="Delete everything of this attempt.")
@click.option("--recordings", "only_recordings", is_flag=True, help="With --delete: only what its terminals showed.")
@click.option("--yes", is_flag=True, help="With --delete: do not ask.")
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="HTML report (default: report.html).")
@json_option
@click.pass_context
def command(
    context: click.Context,
    environment: str | None,
    scale: str,
    budget: str | None,
    log_dir: Path,
    participant: str | None,
    no_recording: bool,
    proctored: str | None,
    resume: Path | None,
    questionnaire: Path | None,
    redact: Path | None,
    texts: tuple[str, ...],
    delete: Path | None,
    only_recordings: bool,
    yes: bool,
    report_file: Path | None,
    as_json: bool,
) -> None:
    """Work on an environment yourself, under the same rules.

    This command serves the session and prints the line that opens its terminal; keep it running. The guide for people
    and for those who run studies: docs/people.md.

    Example: re-bench human optimize_kernel --budget 2h
    """
    given = [value for value in (environment, resume, questionnaire, redact, delete) if value is not None]
    if len(given) != 1:
        raise UserError(
            "say what to do, one thing at a time",
            "give ENV, --resume, --questionnaire, --redact or --delete (see `re-bench human --help`)",
        )
    if questionnaire is not None:
        _ask_here(_person_attempt(questionnaire))
    elif redact is not None:
        _redact(_person_attempt(redact), texts, as_json)
    elif delete is not None:
        _delete(_person_attempt(delete), only_recordings, yes, as_json)
    else:
        if environment is not None:
            folder = _plan(environment, scale, budget, log_dir, participant, not no_recording, proctored)
        else:
            assert resume is not None
            folder = _unfinished(_person_attempt(resume))
        from open_re_bench.cli.human_session import serve

        context.exit(int(serve(folder, report_file, as_json)))


def _plan(
    name: str,
    scale: str,
    budget: str | None,
    log_dir: Path,
    participant: str | None,
    recorded: bool,
    proctored: str | None,
) -> AttemptFolder:
    from open_re_bench.cli.selection import ensure_prepared, one
    from open_re_bench.harness import attempt_folder
    from open_re_bench.harness.planning import parse_budget, plan_attempts
    from open_re_bench.people import person, proctoring

    environment = one(name, None, scale)
    pseudonym = person.pseudonym(participant)
    login_uid = proctoring.login_uid(proctored) if proctored else None
    ensure_prepared(environment)
    (plan,) = plan_attempts(
        environment,
        runs=1,
        budget_s=parse_budget(budget, unit_required=True)
        if budget is not None
        else environment.scale.budget_minutes * 60,
        agent=person.AGENT,
        model="",
        kind="human",
        batch=f"{pseudonym}-{secrets.token_hex(2)}",
        local_reasons=[] if login_uid is not None else [person.SELF_ADMINISTERED],
    )
    folder = attempt_folder.create(log_dir, plan)
    person.PersonFolder(folder).write(
        person.PersonRecord(
            pseudonym=pseudonym,
            mode="self-administered" if login_uid is None else "proctored",
            login_uid=login_uid,
            recorded=recorded,
        )
    )
    return folder


def _person_attempt(path: Path) -> AttemptFolder:
    from open_re_bench.harness.attempt_folder import AttemptFolder
    from open_re_bench.people.person import PersonFolder

    folder = AttemptFolder(path.resolve())
    PersonFolder(folder).read()
    return folder


def _unfinished(folder: AttemptFolder) -> AttemptFolder:
    if folder.read_result() is not None:
        raise UserError(f"{folder.root.name} has its result", "see `re-bench report`; a new session needs ENV")
    if folder.is_taken:
        raise UserError("this session is being served already", "attach to it, or end the other harness first")
    return folder


def _ask_here(folder: AttemptFolder) -> None:
    from open_re_bench.harness.attempt_folder import now_text
    from open_re_bench.people.person import QUESTIONS, PersonFolder

    person = PersonFolder(folder)
    answers = person.questionnaire()
    for question in QUESTIONS:
        if not question.is_open(answers.answers):
            continue
        while (kept := question.accepts(click.prompt(question.shown(), "", False, prompt_suffix="", err=True))) is None:
            note("Please type one of the choices or its number.")
        if kept:
            answers.answers[question.key] = kept
            person.write_questionnaire(answers)
    answers.finished_at = now_text()
    person.write_questionnaire(answers)
    note("thank you; kept in questionnaire.json of the attempt")


def _redact(folder: AttemptFolder, texts: tuple[str, ...], as_json: bool) -> None:
    from open_re_bench.people import privacy

    if not texts or any(not text for text in texts):
        raise UserError("nothing to redact", "give --text TEXT, once or repeatedly")
    found = privacy.redact(folder, texts)
    if as_json:
        emit_json({"attempt_id": folder.root.name, "redacted": found})
    else:
        note(f"{found} occurrence(s) overwritten in recordings, notes and answers")


def _delete(folder: AttemptFolder, only_recordings: bool, yes: bool, as_json: bool) -> None:
    from open_re_bench.people import privacy

    what = "what its terminals showed" if only_recordings else "files, scores, logs and submissions"
    if not yes and not click.confirm(f"delete {what} of {folder.root.name} for good?", err=True):
        note("nothing deleted")
        return
    deleted = privacy.delete_recordings(folder) if only_recordings else privacy.delete(folder)
    if as_json:
        emit_json({"attempt_id": folder.root.name, "deleted": [str(path) for path in deleted]})
    else:
        note(f"deleted: {', '.join(path.name for path in deleted) or 'nothing was there'}")
    if not only_recordings:
        note("reports, bundles and copies made before still hold its scores: make them again")
