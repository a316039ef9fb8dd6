"""`re-bench curves`: score against total time budget, for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from open_re_bench.cli.console import emit_json, emit_table, json_option, note, writing
from open_re_bench.cli.report import references_option
from open_re_bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

flagged_option = click.option(
    "--flagged",
    type=click.Choice(["zero", "dropped", "counted"]),
    default="zero",
    show_default=True,
    help="What flagged attempts count as.",
)
simulated_option = click.option("--simulated", is_flag=True, help="Let simulated attempts and demonstrations count.")
MIN_DRAWS = 40  # fewer have none in a tail of 2.5 %, and the interval would be the range of what was drawn


def _enough_draws(context: click.Context, parameter: click.Parameter, draws: int) -> int:
    if 0 < draws < MIN_DRAWS:
        raise click.BadParameter(f"{draws} give no 95 % interval; use {MIN_DRAWS} or more, or 0 for none")
    return draws


draws_option = click.option(
    "--draws",
    default=5000,
    show_default=True,
    type=click.IntRange(0, 1_000_000),
    callback=_enough_draws,
    help=f"Bootstrap draws: {MIN_DRAWS} or more, or 0 for no intervals.",
)
seed_option = click.option("--seed", default=20_241_122, show_default=True, type=int, help="Of the bootstrap.")


@click.command(name="curves")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--scale", metavar="SCALE", help="Scale to show; needed where the logs hold several.")
@flagged_option
@simulated_option
@click.option("--with-replacement", is_flag=True, help="The paper's form of score@k: k draws with replacement.")
@click.option(
    "--short",
    type=click.Choice(["cap", "nan"]),
    default="cap",
    show_default=True,
    help="Environments with fewer than k attempts: use all they have (a lower bound), or leave them out.",
)
@click.option("--humans/--no-humans", default=True, help="Add METR's experts where results are comparable with them.")
@click.option("--best", is_flag=True, help="Only the best allocation of each budget.")
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Also write all points there.")
@draws_option
@seed_option
@references_option
@json_option
def command(
    logs: tuple[Path, ...],
    scale: str | None,
    flagged: str,
    simulated: bool,
    with_replacement: bool,
    short: str,
    humans: bool,
    best: bool,
    csv_file: Path | None,
    draws: int,
    seed: int,
    references: str,
    as_json: bool,
) -> None:
    """Score against total time budget, best of k.

    Every split of every budget that was run; `*` marks the best complete one. Exit codes: 0 ok, 2 bad input,
    3 the CSV cannot be written.

    Example: re-bench curves logs --best --csv curves.csv
    """
    import pandas as pd

    from open_re_bench.analysis.logs import load
    from open_re_bench.analysis.runs import concat
    from open_re_bench.analysis.summary import curves
    from open_re_bench.baselines.human_table import human_table

    table = one_scale(load(logs).table, scale)
    if not simulated and table["simulated"].all():
        note("every attempt is simulated: shown all the same")
        simulated = True
    people = (table["participant_kind"] == "human") & (table["scale"] == "paper")
    if humans and not people.any() and set(table["human_comparison"]) == {"direct"}:
        experts = human_table(references)  # type: ignore[arg-type]  # checked by click
        table = concat([table, experts[experts["environment"].isin(table["environment"].unique())]])
    found = curves(
        table,
        flagged=flagged,  # type: ignore[arg-type]  # checked by click
        simulated=simulated,
        draws=draws,
        seed=seed,
        replacement=with_replacement,
        short=short,  # type: ignore[arg-type]  # checked by click
    )
    rows: list[dict[str, Any]] = [
        {
            "participant": name,
            "budget_s": p.budget_s,
            "length_s": p.allocation.length_s,
            "k": p.allocation.k,
            "score_at_k": finite(p.estimate.value),
            "low": finite(p.estimate.low),
            "high": finite(p.estimate.high),
            "best_allocation": p.best,
            "environments": len(p.estimate.environments),
            "attempts": dict(p.estimate.attempts),
            "missing": list(p.missing),
            "short": list(p.estimate.short),
            "shaky": list(p.estimate.shaky),
        }
        for name, points in found.items()
        for p in points
        if p.best or not best
    ]
    if csv_file:
        with writing(csv_file, "give a writable path with --csv"):
            csv_file.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(rows).to_csv(csv_file, index=False)
    if as_json:
        emit_json({"scale": str(table["scale"].iloc[0]), "flagged": flagged, "points": rows})
        return
    _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    from open_re_bench.analysis.drawing import duration
    from open_re_bench.analysis.plain_text import label

    def remark(row: dict[str, Any]) -> str:
        parts = []
        if row["missing"]:
            parts.append(f"no attempt: {', '.join(row['missing'])}")
        if row["short"]:
            parts.append(f"n < k: {', '.join(row['short'])}")
        elif row["shaky"]:
            parts.append("k > n/2: interval too narrow")
        return "; ".join(parts)

    emit_table(
        ("participant", "budget", "split", "score@k", "95 % interval", "envs", "remark"),
        [
            (
                label(row["participant"], 34),
                duration(row["budget_s"]),
                f"{row['k']} x {duration(row['length_s'])}{' *' if row['best_allocation'] else ''}",
                "-" if row["score_at_k"] is None else f"{row['score_at_k']:.3f}",
                "-" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}",
                str(row["environments"]),
                remark(row),
            )
            for row in rows
        ],
    )


def one_scale(table: pd.DataFrame, scale: str | None) -> pd.DataFrame:
    """The rows of one scale: scores of different scales are never averaged.

    Raises:
        UserError: several scales and none chosen, or none of the chosen one.
    """
    present = sorted(table["scale"].unique())
    if scale is None and len(present) > 1:
        raise UserError(f"attempts at several scales ({', '.join(present)})", "choose one with --scale")
    chosen = scale or present[0]
    rows = table[table["scale"] == chosen]
    if rows.empty:
        raise UserError(f"no attempt at scale {chosen}", f"there are {', '.join(present)}")
    return rows.reset_index(drop=True)


def finite(value: float) -> float | None:
    """The value, or None for NaN, which JSON does not know."""
    return float(value) if value == value else None
