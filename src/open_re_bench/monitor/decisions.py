"""What people decided about flagged attempts: a file beside the logs, applied when they are read.

``decisions.json`` is a list of `Decision`. A decision replaces an attempt's flags: ``clean`` clears them, ``cheat``
sets the single flag ``decided``. Logs themselves are never edited.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from open_re_bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

FILE = "decisions.json"


class Decision(BaseModel):
    """One person's decision about one attempt.

    Attributes:
        verdict: ``clean`` or ``cheat``.
        by: Who decided; a name or a pseudonym that stays the same.
        on: Date, ISO 8601.
        why: What was looked at and what it showed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    attempt_id: str
    verdict: Literal["clean", "cheat"]
    by: str = Field(min_length=2)
    on: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    why: str = Field(min_length=10)


_LIST = TypeAdapter(list[Decision])


def read_decisions(file: Path) -> list[Decision]:
    """The decisions in `file`; empty when there is no such file.

    Raises:
        UserError: malformed; names the first wrong field.
    """
    if not file.exists():
        return []
    try:
        return _LIST.validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "(top level)"
        raise UserError(f"{file}: {where}: {first['msg']}", "mend that entry; docs/integrity.md shows one") from error


def write_decision(file: Path, decision: Decision) -> None:
    """Adds `decision`; a later one about the same attempt replaces the earlier."""
    kept = [other for other in read_decisions(file) if other.attempt_id != decision.attempt_id]
    entries = [entry.model_dump() for entry in [*kept, decision]]
    temporary = file.with_name(file.name + ".new")
    temporary.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    temporary.replace(file)


def apply_decisions(table: pd.DataFrame, decisions: Sequence[Decision]) -> pd.DataFrame:
    """A copy of the run table with the flags that people decided on."""
    decided = {decision.attempt_id: decision for decision in decisions}

    def flags(row: pd.Series) -> str:
        decision = decided.get(str(row["attempt_id"]))
        if decision is None:
            return str(row["flags"])
        return "[]" if decision.verdict == "clean" else json.dumps([f"decided: cheat ({decision.by}, {decision.on})"])

    return table.assign(flags=table.apply(flags, axis=1) if len(table) else table["flags"])
