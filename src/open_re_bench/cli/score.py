"""`re-bench score`: score a folder worked on by hand, in the same sandbox as everybody's."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from open_re_bench.cli.console import emit_json, json_option, note, number, scale_option
from open_re_bench.cli.selection import ensure_prepared, folder_option, one
from open_re_bench.cli.workspace import split
from open_re_bench.environment import Failure
from open_re_bench.errors import ExitCode, UserError


@click.command(name="score")
@click.argument("arguments", metavar="[ENV] DIR", nargs=-1, required=True)
@scale_option
@folder_option
@click.option("--receipt", is_flag=True, help="Print the receipt too.")
@json_option
@click.pass_context
def command(
    context: click.Context, arguments: tuple[str, ...], scale: str, folder: Path | None, receipt: bool, as_json: bool
) -> None:
    """Score such a folder in the scoring sandbox.

    Example: re-bench score optimize_kernel my-work
    """
    name, directory = split(arguments, folder)
    environment = one(name, folder, scale)
    if not directory.is_dir():
        raise UserError(
            f"{directory} is not a folder", f"lay one out with `re-bench workspace ENV {shlex.quote(str(directory))}`"
        )
    ensure_prepared(environment)
    score = environment.score_directory(directory)
    if as_json:
        emit_json({"score": {**score.model_dump(mode="json"), "agent": "", "class": "local"}})
    else:
        if score.valid:
            click.echo(
                f"{score.environment} ({score.scale}): normalised {number(score.normalised)} "
                f"(0 = start, 1 = reference), raw {number(score.raw, 4)} {environment.spec.raw_unit}"
            )
        else:
            click.echo(f"{score.environment} ({score.scale}): invalid, attributed to {score.failure}")
        # Where the score is hidden from participants, the message is the one they get and says so.
        hidden = score.valid and not environment.spec.score_visible
        click.echo(f"participants are told: {score.message}" if hidden else score.message)
        for warning in score.warnings:
            note(f"warning: {warning}")
        if receipt and score.receipt is not None:
            emit_json(score.receipt)
    if score.failure is Failure.INFRASTRUCTURE:
        context.exit(int(ExitCode.INFRASTRUCTURE))
    if not score.valid:
        context.exit(int(ExitCode.FINDING))
