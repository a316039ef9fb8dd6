"""`re-bench clean`: caches, and what dead sandboxes left behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from open_re_bench.cli.console import emit_json, json_option, note
from open_re_bench.errors import ExitCode, UserError

# What the cache holds and may lose -> what losing it costs. `leases` stays: its locks are held by what is running.
PARTS = {
    "assets": "prepared assets (built again by `re-bench prepare`)",
    "toolchains": "Python toolchains (downloaded again)",
    "calibrations": "this machine's anchors (measured again by `re-bench calibrate`)",
    "workspaces": "instances and submissions of `re-bench workspace` folders (those folders then meet new instances)",
    "rust-judge": "compiled Rust programs and their results (compiled again)",
    "inside": "compiled code of sandboxes (made again in a second)",
}
DEFAULT = ("assets", "toolchains")


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())


@click.command(name="clean")
@click.argument("parts", metavar="[PART]...", nargs=-1, type=click.Choice([*PARTS, "sandboxes", "all"]))
@click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def command(context: click.Context, parts: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove caches and what dead sandboxes left.

    Without PART: assets, toolchains and stale sandboxes; `all` removes the rest of the cache too. Logs are never
    touched. With --json nothing is asked: add --yes or --dry-run. Not while an attempt or a scoring is running.

    Example: re-bench clean --dry-run
    """
    from open_re_bench.paths import cache_directory
    from open_re_bench.sandbox import runtime

    if as_json and not (yes or dry_run):
        raise UserError("--json cannot ask before it removes", "add --yes, or --dry-run to see what would go")
    wanted = tuple(PARTS) if "all" in parts else tuple(p for p in parts or DEFAULT if p in PARTS)
    rows = []
    for part in wanted:
        root = cache_directory() / part
        if root.is_dir():
            rows.append({"part": part, "path": str(root), "bytes": _size(root), "removed": False})
    sweeping = not parts or "sandboxes" in parts or "all" in parts
    stale = runtime.sweep(dry_run=True) if sweeping else []
    if not as_json:
        for row in rows:
            click.echo(
                f"{row['part']}: {int(str(row['bytes'])) / 1e6:.0f} MB at {row['path']}; {PARTS[str(row['part'])]}"
            )
        click.echo(f"stale sandboxes: {len(stale)}")
    if rows and not dry_run and not yes and not click.confirm("remove these?", err=True):
        note("nothing removed")
        context.exit(int(ExitCode.OK))
    if not dry_run:
        for row in rows:
            shutil.rmtree(str(row["path"]))
            row["removed"] = True
        if sweeping:
            runtime.sweep()
    if as_json:
        emit_json({"parts": rows, "stale_sandboxes": stale, "dry_run": dry_run})
    else:
        note("nothing removed (--dry-run)" if dry_run else "removed")
