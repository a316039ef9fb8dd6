"""`re-bench lock` and `re-bench unlock`: protected material between its archives and git-ignored folders."""

from __future__ import annotations

from pathlib import Path

import click

from open_re_bench.cli.console import emit_json, emit_table, json_option
from open_re_bench.errors import ExitCode, UserError


def _folders(names: tuple[str, ...], folder: Path | None) -> list[Path]:
    from open_re_bench import registry

    if folder is not None:
        if names:
            raise UserError("both names and --folder", "give one of them")
        if not (folder / "environment.toml").is_file():
            raise UserError(f"{folder} holds no environment.toml", "give an environment's folder")
        return [folder]
    here = Path(registry.__file__).parent / "environments"
    if names:
        # Not registry.folder_of: an environment must be packable before its environment.toml is complete.
        unknown = [name for name in names if not (here / name).is_dir()]
        if unknown:
            raise UserError(
                f"unknown environment {unknown[0]!r}",
                registry.nearest(unknown[0], sorted(path.name for path in here.iterdir() if path.is_dir())),
            )
        return [here / name for name in names]
    return sorted(path for path in here.iterdir() if path.is_dir() and path.name != "__pycache__")


_environments = click.argument("environments", metavar="[ENV]...", nargs=-1)
_folder = click.option("--folder", type=click.Path(path_type=Path), metavar="DIR", help="An environment's folder.")


@click.command(name="lock")
@_environments
@_folder
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 1 when an archive is stale or missing.")
@json_option
@click.pass_context
def lock(
    context: click.Context, environments: tuple[str, ...], folder: Path | None, only_check: bool, as_json: bool
) -> None:
    """Pack the unpacked protected material.

    Example: re-bench lock optimize_kernel
    """
    from open_re_bench import protected

    rows: list[dict[str, str]] = []
    for root in _folders(environments, folder):
        if not (root / protected.FOLDER).is_dir():
            state = "packed" if (root / protected.ARCHIVE).exists() else "none"
        elif only_check:
            current = protected.tree_digest(root / protected.FOLDER) == protected.archive_digest(root)
            state = "current" if current else "stale"
        else:
            state = "written" if protected.lock(root) else "current"
        rows.append({"environment": root.name, "archive": state})
    if as_json:
        emit_json(rows)
    else:
        emit_table(("environment", "archive"), [(row["environment"], row["archive"]) for row in rows])
    if only_check and any(row["archive"] in ("stale", "none") for row in rows):
        context.exit(int(ExitCode.FINDING))


@click.command(name="unlock")
@_environments
@_folder
@json_option
def unlock(environments: tuple[str, ...], folder: Path | None, as_json: bool) -> None:
    """Unpack the protected material.

    Solutions and cheats appear in git-ignored folders; keep them out of anything that is crawled.

    Example: re-bench unlock optimize_kernel
    """
    from open_re_bench import protected

    rows: list[dict[str, str]] = []
    for root in _folders(environments, folder):
        written = protected.unlock(root)
        there = (root / protected.FOLDER).is_dir()
        state = "unpacked" if written else "already unpacked" if there else "none"
        rows.append({"environment": root.name, "protected": state})
    if as_json:
        emit_json(rows)
    else:
        emit_table(("environment", "protected"), [(row["environment"], row["protected"]) for row in rows])
