"""`re-bench bundle`: pack results for others, check and unpack what others packed."""

from __future__ import annotations

from pathlib import Path

import click

from open_re_bench.cli.console import emit_json, json_option, note, writing
from open_re_bench.errors import ExitCode, UserError


@click.command(name="bundle")
@click.argument("source", metavar="LOG_DIR|BUNDLE", type=click.Path(path_type=Path))
@click.option("-o", "--output", default="bundle.zip", show_default=True, type=click.Path(path_type=Path), help="Zip.")
@click.option("--check", "check_only", is_flag=True, help="Check the bundle BUNDLE; exit code 1 when it does not hold.")
@click.option("--unpack", type=click.Path(path_type=Path), metavar="DIR", help="Check BUNDLE, then unpack it to DIR.")
@json_option
@click.pass_context
def command(
    context: click.Context, source: Path, output: Path, check_only: bool, unpack: Path | None, as_json: bool
) -> None:
    """Pack logs and submissions for others to check.

    Keys, personal data and protected material are replaced or left out, and what was is printed: look at it before
    you share. Exit codes: 0 ok, 1 the checked bundle does not hold, 2 bad input, 3 cannot be written.

    Example: re-bench bundle logs -o bundle.zip && re-bench bundle bundle.zip --check
    """
    from open_re_bench.report import bundle as bundles

    if check_only or unpack is not None:
        if not source.is_file():
            raise UserError(f"{source} is not a file", "give the path of a bundle")
        if unpack is not None:
            with writing(unpack, "give a writable folder with --unpack", folder=True):
                result = bundles.unpack(source, unpack)
        else:
            result = bundles.check(source)
    else:
        if not source.is_dir():
            raise UserError(f"{source} is not a directory", "give a log directory, or --check for a bundle")
        with writing(output):
            result = bundles.pack(source, output)
    if as_json:
        emit_json(
            {"bundle": str(source if check_only or unpack else output), "problems": list(result.problems)}
            | {"manifest": result.manifest.model_dump(mode="json")}
        )
    else:
        for line in bundles.summary(result):
            note(line)
        for problem in result.problems:
            click.echo(f"problem: {problem}")
        if not result.problems:
            click.echo(f"{source}: holds" if check_only else str(unpack or output))
    if result.problems:
        context.exit(int(ExitCode.FINDING))
