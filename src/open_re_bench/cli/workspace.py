"""`re-bench workspace`: the starting files in a folder, to work by hand without the harness."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from open_re_bench.cli.console import emit_json, json_option, scale_option, writing
from open_re_bench.cli.selection import ensure_prepared, folder_option, one


@click.command(name="workspace")
@click.argument("arguments", metavar="[ENV] DIR", nargs=-1, required=True)
@scale_option
@folder_option
@json_option
def command(arguments: tuple[str, ...], scale: str, folder: Path | None, as_json: bool) -> None:
    """Lay out the starting files to work by hand.

    Example: re-bench workspace optimize_kernel my-work
    """
    name, directory = split(arguments, folder)
    environment = one(name, folder, scale)
    ensure_prepared(environment)
    with writing(directory, "give a writable folder", folder=True):
        environment.lay_out_workspace(directory)
    files = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    if as_json:
        emit_json({"environment": environment.name, "scale": scale, "directory": str(directory), "files": files})
        return
    again = f"--folder {shlex.quote(str(folder))}" if folder else environment.name
    click.echo(f"{directory}: {len(files)} files laid out; read {directory / 'task.md'}")
    click.echo(f"score it with: re-bench score {again} {shlex.quote(str(directory))} --scale {scale}")


def split(arguments: tuple[str, ...], folder: Path | None) -> tuple[str | None, Path]:
    """Takes ``ENV DIR`` apart, or ``DIR`` alone where ``--folder`` names the environment."""
    wanted = 1 if folder else 2
    if len(arguments) != wanted:
        raise click.UsageError("give DIR alone with --folder" if folder else "give ENV and DIR")
    return (None if folder else arguments[0]), Path(arguments[-1])
