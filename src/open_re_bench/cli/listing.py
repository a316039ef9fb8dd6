"""`re-bench list`: every environment at every scale, what it needs and whether it runs here."""

from __future__ import annotations

import click

from open_re_bench.cli.console import emit_json, emit_table, json_option, megabytes, minutes, number


@click.command(name="list")
@json_option
@click.option("--all", "show_all", is_flag=True, help="Include the internal `test` scale.")
def command(as_json: bool, show_all: bool) -> None:
    """Environments and scales, and which run here.

    Example: re-bench list
    """
    from open_re_bench.catalogue import catalogue

    rows = catalogue(include_test=show_all)
    if as_json:
        emit_json(rows)
        return
    emit_table(
        (
            "environment",
            "scale",
            "runs here",
            "budget",
            "prepare",
            "download",
            "raw: start > reference",
            "hardware / reason",
        ),
        [
            (
                row.environment,
                row.scale,
                "yes" if row.runnable else "no",
                minutes(row.budget_minutes) if row.budget_minutes else "-",
                ("done" if row.prepared else minutes(row.prepare_minutes)) if row.budget_minutes else "-",
                megabytes(row.download_mb) if row.budget_minutes else "-",
                f"{number(row.start_raw)} > {number(row.reference_raw)}" if row.start_raw is not None else "-",
                "; ".join(filter(None, (row.hardware, row.note))) if row.runnable else row.reason,
            )
            for row in rows
        ],
    )
