"""`re-bench compare`: paired differences between two sets of runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from open_re_bench.cli.console import emit_json, emit_table, json_option, note, writing
from open_re_bench.cli.curves import draws_option, finite, flagged_option, one_scale, seed_option, simulated_option
from open_re_bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


@click.command(name="compare")
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option("--first", "first_name", metavar="NAME", help="Participant of A, where A holds several.")
@click.option("--second", "second_name", metavar="NAME", help="Participant of B, where B holds several.")
@click.option("--scale", metavar="SCALE", help="Scale to compare at; needed where the logs hold several.")
@click.option("-k", "ks", multiple=True, type=click.IntRange(1), default=(1, 2, 4, 8), help="Best of k (repeatable).")
@flagged_option
@simulated_option
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Also write all differences there.")
@draws_option
@seed_option
@json_option
def command(
    first: Path,
    second: Path,
    first_name: str | None,
    second_name: str | None,
    scale: str | None,
    ks: tuple[int, ...],
    flagged: str,
    simulated: bool,
    csv_file: Path | None,
    draws: int,
    seed: int,
    as_json: bool,
) -> None:
    """Compare two sets of runs.

    A and B are logs, log directories or run tables (may be the same). Differences A - B are paired by environment and
    attempt length; an interval that leaves out 0 is marked `*`, one that a single attempt of a side leaves unknown is
    `-`. Exit codes: 0 ok, 2 bad input or nothing in common.

    Example: re-bench compare logs/react logs/aide -k 1 -k 4
    """
    import pandas as pd

    from open_re_bench.analysis.drawing import duration
    from open_re_bench.analysis.plain_text import label
    from open_re_bench.analysis.summary import compare

    name_a, a = _participant(first, first_name, scale, "--first")
    name_b, b = _participant(second, second_name, scale, "--second")
    if a["scale"].iloc[0] != b["scale"].iloc[0]:
        raise UserError(f"A is at scale {a['scale'].iloc[0]}, B at {b['scale'].iloc[0]}", "choose one with --scale")
    if name_a == name_b and first == second:
        raise UserError(f"A and B are the same runs of {name_a}", "choose with --first and --second")
    differences = compare(
        a,
        b,
        sorted(set(ks)),
        flagged=flagged,  # type: ignore[arg-type]  # checked by click
        simulated=simulated or bool(a["simulated"].all() and b["simulated"].all()),
        draws=draws,
        seed=seed,
    )
    if not differences:
        raise UserError(
            "A and B have no environment with attempts of the same length in common", "compare runs of one budget"
        )
    rows: list[dict[str, Any]] = []
    for d in differences:
        common = {"length_s": d.length_s, "k": d.k}
        rows.append(
            common
            | {
                "environment": "mean",
                "attempts": None,
                "difference": d.value,
                "low": finite(d.low),
                "high": finite(d.high),
            }
        )
        rows += [
            common
            | {
                "environment": environment,
                "attempts": list(d.attempts[environment]),
                "difference": i.value,
                "low": finite(i.low),
                "high": finite(i.high),
            }
            for environment, i in d.environments.items()
        ]
    alone = {
        "A": sorted({e for d in differences for e in d.only_first}),
        "B": sorted({e for d in differences for e in d.only_second}),
    }
    if csv_file:
        with writing(csv_file, "give a writable path with --csv"):
            csv_file.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(rows).to_csv(csv_file, index=False)
    if as_json:
        emit_json({"first": name_a, "second": name_b, "left_out": alone, "differences": rows})
        return
    click.echo(f"{label(name_a)} minus {label(name_b)}")
    emit_table(
        ("attempts of", "k", "environment", "n", "difference", "95 % interval"),
        [
            (
                duration(row["length_s"]),
                str(row["k"]),
                row["environment"],
                "-" if row["attempts"] is None else "{} and {}".format(*row["attempts"]),
                f"{row['difference']:+.3f}{' *' if _leaves_out_zero(row) else ''}",
                "-" if row["low"] is None else f"{row['low']:+.3f} to {row['high']:+.3f}",
            )
            for row in rows
        ],
    )
    for side, names in alone.items():
        if names:
            note(f"left out, only in {side}: {', '.join(names)}")


def _leaves_out_zero(row: dict[str, Any]) -> bool:
    return row["low"] is not None and (row["low"] > 0 or row["high"] < 0)


def _participant(path: Path, name: str | None, scale: str | None, option: str) -> tuple[str, pd.DataFrame]:
    """The runs of one participant of one scale."""
    from open_re_bench.analysis.logs import load
    from open_re_bench.analysis.summary import with_participants

    table = with_participants(one_scale(load([path]).table, scale))
    names = sorted(table["participant"].unique())
    if name is None and len(names) > 1:
        raise UserError(f"{path} holds several participants ({', '.join(names[:8])})", f"choose one with {option}")
    chosen = name or names[0]
    rows = table[table["participant"] == chosen]
    if rows.empty:
        raise UserError(f"{path} holds no {chosen!r}", f"there are {', '.join(names[:8])}")
    return chosen, rows
