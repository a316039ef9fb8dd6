"""`re-bench attach`: a terminal in a session that `re-bench human` serves."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from open_re_bench.errors import UserError


@click.command(name="attach")
@click.argument("attempt", type=click.Path(path_type=Path))
@click.pass_context
def command(context: click.Context, attempt: Path) -> None:
    """Open a terminal in your session of `re-bench human`.

    ATTEMPT is the folder that `re-bench human` prints. Ctrl-] leads to the prompt with all commands. Several terminals
    may be open at once; a lost connection loses nothing: attach again.

    Example: re-bench attach logs/attempts/optimize_kernel-cpu-p3f9a1c-5d2e-1
    """
    from open_re_bench.harness.attempt_folder import AttemptFolder
    from open_re_bench.harness.place import socket_of
    from open_re_bench.people import attach_client
    from open_re_bench.people.person import PersonFolder

    person = PersonFolder(AttemptFolder(attempt.resolve()))
    record = person.read()
    if record.login_uid is not None:
        raise UserError("this session is proctored", "its person logs in as the user that it was started for")
    try:
        code = attach_client.attach(str(socket_of(attempt.resolve().name)))
    except OSError as error:
        raise UserError(
            f"nobody serves {attempt.name} ({error.strerror})",
            f"take it up with: re-bench human --resume {shlex.quote(str(attempt))}",
        ) from error
    context.exit(code)
