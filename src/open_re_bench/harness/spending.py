"""What an attempt's models have used, over every harness that served it: a limit holds across crashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from open_re_bench.attempt import SpendingRecord

Spent = SpendingRecord  # what is kept here, the attempt's record carries on


class Spending:
    """Counts on from what earlier harnesses left in `file`.

    Args:
        file: ``spending.json`` of the attempt's folder.
        usage: What this harness has spent so far.
    """

    def __init__(self, file: Path, usage: Callable[[], Spent]) -> None:
        self._file, self._usage = file, usage
        try:
            self._before = Spent.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            self._before = Spent()
        self._saved = self._before

    def before(self) -> Spent | None:
        """What earlier harnesses spent; None when they spent nothing."""
        return None if self._before == Spent() else self._before

    def total(self) -> Spent:
        """Everything spent so far; saved when it has grown."""
        here = self._usage()
        total = Spent(tokens=self._before.tokens + here.tokens, cost_usd=self._before.cost_usd + here.cost_usd)
        if total != self._saved:
            new = self._file.with_name(self._file.name + ".new")
            new.write_text(total.model_dump_json(), encoding="utf-8")
            new.replace(self._file)
            self._saved = total
        return total

    def excess(self, max_cost: float | None, max_tokens: int | None) -> tuple[float, float, str] | None:
        """Used, limit and a sentence when a limit is used up; None otherwise."""
        spent = self.total()
        if max_cost is not None and spent.cost_usd >= max_cost:
            return spent.cost_usd, max_cost, f"The attempt's models have cost ${spent.cost_usd:.2f} of ${max_cost:.2f}."
        if max_tokens is not None and spent.tokens >= max_tokens:
            return spent.tokens, max_tokens, f"The attempt's models have used {spent.tokens} of {max_tokens} tokens."
        return None
