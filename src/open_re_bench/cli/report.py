"""`re-bench report`: the HTML report of logs and run tables."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from open_re_bench.cli.console import emit_json, json_option, note, writing

REFERENCES = ("data", "paper", "readme")  # `baselines.originals.References`, which must not be imported for --help
FIGURES_MEND = "give a writable folder with --figures"
references_option = click.option(
    "--references",
    type=click.Choice(REFERENCES),
    default="data",
    show_default=True,
    help="Reference scores for METR's people where two were published: scaling law 0.80 (data, paper) or 0.84 "
    "(readme), QA 0.8149 (data) or 0.85 (paper, readme).",
)


@click.command(name="report")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", default="report.html", show_default=True, type=click.Path(path_type=Path), help="HTML file."
)
@click.option("--figures", type=click.Path(path_type=Path), help="Also write each figure as SVG, PNG and CSV there.")
@click.option("--title", default="", help="Heading of the page.")
@click.option("--humans/--no-humans", default=True, help="Show METR's experts where the results allow it.")
@click.option("--submissions/--no-submissions", default=True, help="Show what each submission changed.")
@references_option
@json_option
def command(
    logs: tuple[Path, ...],
    output: Path,
    figures: Path | None,
    title: str,
    humans: bool,
    submissions: bool,
    references: str,
    as_json: bool,
) -> None:
    """Write one self-contained HTML report.

    LOG is an Inspect log, a directory of logs, or a run table (.csv, .parquet). Exit codes: 0 written, 2 bad input,
    3 cannot be written.

    Example: re-bench report logs -o report.html --figures figures
    """
    from open_re_bench.report import write_report_for_logs

    with writing(output), writing(figures, FIGURES_MEND, folder=True) if figures else nullcontext():
        loaded = write_report_for_logs(
            logs,
            output,
            references=references,  # type: ignore[arg-type]  # checked by click
            humans=humans,
            with_submissions=submissions,
            figures_dir=figures,
            title=title,
        )
    if as_json:
        emit_json(
            {
                "report": str(output),
                "attempts": len(loaded.table),
                "scales": sorted(loaded.table["scale"].unique()),
                "skipped": [{"where": s.where, "reason": s.reason} for s in loaded.skipped],
                "figures": str(figures) if figures else None,
            }
        )
        return
    for skipped in loaded.skipped:
        note(f"passed over {skipped.where}: {skipped.reason}")
    click.echo(f"{output}: {len(loaded.table)} attempt(s)")
