"""`re-bench baselines`: the shipped human table, and importers of published runs."""

from __future__ import annotations

from pathlib import Path

import click

from open_re_bench.cli.console import emit_json, emit_table, json_option, note, number, writing
from open_re_bench.cli.report import references_option


@click.group(name="baselines")
def command() -> None:
    """List, show and import human and agent baselines.

    Example: re-bench baselines list
    """


@command.command(name="list")
@references_option
@json_option
def list_command(references: str, as_json: bool) -> None:
    """METR's human attempts per environment: numbers, means, anchors.

    Example: re-bench baselines list --json
    """
    from statistics import fmean, median

    from open_re_bench.baselines.human_table import CITATION, human_attempts
    from open_re_bench.baselines.originals import ORIGINALS

    rows = []
    for original in ORIGINALS:
        attempts = [a for a in human_attempts() if a.original is original]
        scores = [original.normalised(a.raw, references) for a in attempts]  # type: ignore[arg-type]  # click checks
        rows.append(
            {
                "environment": original.environment,
                "original": original.family,
                "attempts": len(attempts),
                "eight_hour_attempts": sum(a.eight_hours for a in attempts),
                "mean": fmean(scores),
                "median": median(scores),
                "best": max(scores),
                "raw_unit": original.raw_unit,
                "start": original.start,
                "reference": original.reference[references],  # type: ignore[index]  # checked by click
            }
        )
    if as_json:
        emit_json(rows)
        return
    emit_table(
        ("environment", "people", "8 h", "mean", "median", "best", "start", "reference", "raw score"),
        [
            (
                str(r["environment"]),
                str(r["attempts"]),
                str(r["eight_hour_attempts"]),
                *(f"{r[key]:.3f}" for key in ("mean", "median", "best", "start", "reference")),
                str(r["raw_unit"]),
            )
            for r in rows
        ],
    )
    note(f"{CITATION} Not the paper's 71 attempts.")


@command.command(name="show")
@click.argument("environment", metavar="ENVIRONMENT")
@references_option
@json_option
def show_command(environment: str, references: str, as_json: bool) -> None:
    """Every human attempt at one environment.

    Example: re-bench baselines show optimize_kernel
    """
    from open_re_bench.baselines.human_table import human_attempts
    from open_re_bench.baselines.originals import original

    wanted = original(environment)
    rows = [
        {
            "row": a.row,
            "minutes": a.minutes,
            "raw": a.raw,
            "normalised": wanted.normalised(a.raw, references),  # type: ignore[arg-type]  # checked by click
            "eight_hours": a.eight_hours,
        }
        for a in human_attempts()
        if a.original is wanted
    ]
    if as_json:
        emit_json(rows)
        return
    emit_table(
        ("row", "minutes", f"raw ({wanted.raw_unit})", "normalised", ""),
        [
            (
                str(r["row"]),
                f"{r['minutes']:g}",
                number(float(r["raw"]), 4),
                number(float(r["normalised"])),
                "" if r["eight_hours"] else "not an 8-hour attempt",
            )
            for r in rows
        ],
    )


@command.command(name="import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Run table (.csv or .parquet).")
@click.option(
    "--variant",
    type=click.Choice(["paper", "human-mean", "clipped"]),
    help="Meaning of `score` in a METR run file; default: recognised by its human rows.",
)
@references_option
@json_option
def import_command(file: Path, output: Path, variant: str | None, references: str, as_json: bool) -> None:
    """Turn published runs into a run table: METR's JSON lines, Inspect logs, CSV or parquet.

    Faulty rows are named and then nothing is written (exit code 2).

    Example: re-bench baselines import all_runs.jsonl -o runs.csv
    """
    from open_re_bench.analysis.logs import load
    from open_re_bench.analysis.runs import ImportFailed, write_table
    from open_re_bench.baselines.metr import import_runs

    try:
        if file.suffix == ".jsonl":
            imported = import_runs(file, references=references, variant=variant)  # type: ignore[arg-type]  # click
            table, notes = imported.table, imported.notes
        else:
            loaded = load([file])
            table = loaded.table
            notes = tuple(f"passed over {s.where}: {s.reason}" for s in loaded.skipped)
    except ImportFailed as error:
        for problem in error.problems[:50]:
            note(f"{file.name}: {problem}")
        raise
    with writing(output):
        write_table(table, output)
    if as_json:
        emit_json({"output": str(output), "attempts": len(table), "notes": list(notes)})
        return
    for line in notes:
        note(line)
    click.echo(f"{output}: {len(table)} attempt(s)")
