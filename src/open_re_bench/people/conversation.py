"""What a person at a desk is shown and asked, from consent to the questionnaire."""

from __future__ import annotations

import asyncio

from open_re_bench.harness.attempt_folder import now_text
from open_re_bench.people.commands import COMMANDS, STOPPED
from open_re_bench.people.desk import Desk
from open_re_bench.people.desk_link import Phase
from open_re_bench.people.person import CONSENT, QUESTIONS, Questionnaire
from open_re_bench.people.seat import PhaseChanged, Seat

ESCAPE = 0x1D  # Ctrl-], as in telnet: no shell and hardly an editor uses it
PROMPT = "re-bench> "
HELP = """\
start         start the clock; the workshop goes on where it stood
stop          stop the clock; everything in the workshop stands still
status        time used and left, scores so far
score         score ~/solution
note TEXT     a remark for the record
instructions  the task
submit        end the session; what lies in ~/solution is scored if it was not
detach        leave; the clock stays as it is (or type Enter to go back to the terminal)"""
WELCOME = """\
{environment}. The clock is stopped until you type `start`.
In the workshop `cat ~/task.md` shows the task and `task --help` the commands. Ctrl-] leads back here.
Closing the connection does not stop the clock: `task stop` does."""
MEASURING = "The workshop is closed. If you submitted or the time was up, your files are being scored: please stay."
CONSENT_QUESTION = "Do you agree? [yes / yes, unrecorded / no] "
AGREED, UNRECORDED = {"yes", "y"}, {"yes, unrecorded", "yes unrecorded", "unrecorded"}
REFUSED = "Nothing was started and nothing is kept about you beyond this session's empty folder.\n"


async def converse(desk: Desk, seat: Seat) -> None:
    """Serves one client until it leaves or everything is said.

    Raises:
        EOFError: the client has gone.
    """
    if desk.person.read().consented_at is None and not await _consents(desk, seat):
        await seat.farewell(REFUSED)
        return
    at_prompt = greeted = False
    while True:
        try:
            if desk.phase is Phase.DONE:
                await _say_goodbye(desk, seat)
                return
            if desk.phase in (Phase.STARTING, Phase.MEASURING):
                await seat.say("The workshop is being set up." if desk.phase is Phase.STARTING else MEASURING)
                while await seat.typed() is not None:
                    pass
            elif desk.phase is Phase.STOPPED or at_prompt:
                if not greeted:
                    await seat.say(WELCOME.format(environment=desk.environment))
                elif desk.phase is Phase.STOPPED:
                    await seat.say(f"{STOPPED}\n{await desk.command('budget')}")
                greeted = True
                wanted = await _prompt(desk, seat)
                if wanted == "detach":
                    await seat.farewell(f"Detached. {await desk.command('status')}\n")
                    return
                at_prompt = False
            else:
                greeted = True
                at_prompt = await _in_terminal(desk, seat)
        except PhaseChanged:
            at_prompt = False


async def _consents(desk: Desk, seat: Seat) -> bool:
    await seat.say(f"\n{CONSENT}")
    answer = (await seat.line(CONSENT_QUESTION, patient=True)).lower()
    if answer not in AGREED | UNRECORDED:
        return False
    record = desk.person.consent(recorded=answer in AGREED)
    desk.note("consented", "recorded" if record.recorded else "unrecorded")
    return True


async def _prompt(desk: Desk, seat: Seat) -> str:
    """Carries out commands until the person goes back to the terminal (``terminal``) or leaves (``detach``)."""
    while True:
        words = (await seat.line(PROMPT)).split(maxsplit=1)
        if words[:1] == ["task"] and len(words) > 1:
            words = words[1].split(maxsplit=1)
        name, rest = (words[0] if words else ""), (words[1] if len(words) > 1 else "")
        if name == "detach":
            return "detach"
        if not name:
            return "terminal"
        if name not in COMMANDS:
            await seat.say(HELP)
            continue
        if name == "submit":
            sure = await seat.line("End the session? Nothing can be changed afterwards. [y/N] ")
            if sure.lower() not in ("y", "yes"):
                continue
        if name == "score":
            await seat.say("scoring ...")
        answer = await desk.command(name, rest)
        if not answer.startswith(STOPPED):  # said for every way of stopping by `converse`
            await seat.say(answer)
        if name == "start" and not answer.startswith("Not now"):
            return "terminal"


async def _in_terminal(desk: Desk, seat: Seat) -> bool:
    """Shows a terminal until the phase changes, the shell ends or the person asks for the prompt.

    Returns:
        Whether the prompt comes next.

    Raises:
        PhaseChanged: the clock was stopped, or the work has ended.
    """
    terminal = await desk.terminal_for(seat)
    if terminal is None:
        raise PhaseChanged
    before = terminal.attach(seat, seat.show)
    ending = asyncio.create_task(terminal.wait())

    def has_ended(_: object) -> None:
        seat.interrupt()

    ending.add_done_callback(has_ended)
    try:
        if before:
            await seat.show(before)
        await terminal.redraw(seat.rows, seat.cols)
        size = (seat.rows, seat.cols)
        while True:
            data = await seat.typed()
            if (seat.rows, seat.cols) != size:
                size = (seat.rows, seat.cols)
                terminal.resize(*size)
            if data is None:
                if desk.phase is not Phase.RUNNING:
                    raise PhaseChanged
                if terminal.ended:
                    await desk.forget(terminal)
                    await seat.say("The shell has ended. Type Enter for another one, or a command; ? lists them.")
                    return True
                continue
            if ESCAPE in data:
                before_escape = data[: data.index(ESCAPE)]
                terminal.type(before_escape)
                await seat.say("")
                return True
            terminal.type(data)
    finally:
        ending.remove_done_callback(has_ended)
        ending.cancel()
        terminal.detach()


async def _say_goodbye(desk: Desk, seat: Seat) -> None:
    await seat.say(f"\n{desk.result_text}")
    answers = desk.person.questionnaire()
    if answers.finished_at is None:
        await seat.say("\nA few questions; Enter skips one.")
        for question in QUESTIONS:
            if not question.is_open(answers.answers):
                continue
            while True:
                kept = question.accepts(await seat.line(f"\n{question.shown()}", patient=True))
                if kept is not None:
                    break
                await seat.say("Please type one of the choices or its number.")
            if kept:
                answers.answers[question.key] = kept
                desk.person.write_questionnaire(answers)
        desk.person.write_questionnaire(
            Questionnaire(version=answers.version, answers=answers.answers, finished_at=now_text())
        )
    await seat.farewell("\nThank you. This terminal is yours again.\n")
