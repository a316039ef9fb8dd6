"""What an attempt's models have used, over every harness that served it: a limit holds across crashes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from open_re_bench.attempt import SpendingRecord
from open_re_bench.errors import InfrastructureError

Spent = SpendingRecord  # what is kept here, the attempt's record carries on
logger = logging.getLogger(__name__)


class Spending:
    """Counts on from what earlier harnesses left in `file`.

    Args:
        file: ``spending.json`` of the attempt's folder.
        usage: What this harness has spent so far.

    Raises:
        InfrastructureError: the file is there but cannot be read: taken for nothing, it would lift the limits.
    """

    def __init__(self, file: Path, usage: Callable[[], Spent]) -> None:
        self._file, self._usage = file, usage
        self._before = self._saved = _read(file)
        self._refused = False

    def before(self) -> Spent | None:
        """What earlier harnesses spent; None when they spent nothing."""
        return None if self._before == Spent() else self._before

    def total(self) -> Spent:
        """Everything spent so far; saved when it has grown, or at a later call if the disk refuses it now."""
        here = self._usage()
        total = Spent(tokens=self._before.tokens + here.tokens, cost_usd=self._before.cost_usd + here.cost_usd)
        if total != self._saved:
            try:
                self._save(total)
            except OSError as error:
                # No reason to end an attempt: this harness counts on all the same.
                if not self._refused:
                    logger.warning("%s: cannot be written (%s); free space there", self._file, error.strerror)
                self._refused = True
        return total

    def _save(self, total: Spent) -> None:
        new = self._file.with_name(self._file.name + ".new")
        with new.open("w", encoding="utf-8") as out:
            out.write(total.model_dump_json())
            out.flush()
            os.fsync(out.fileno())  # or a power cut could leave an empty file, which is refused
        new.replace(self._file)
        self._saved, self._refused = total, False

    def excess(self, max_cost: float | None, max_tokens: int | None) -> tuple[float, float, str] | None:
        """Used, limit and a sentence when a limit is used up; None otherwise."""
        spent = self.total()
        if max_cost is not None and spent.cost_usd >= max_cost:
            return spent.cost_usd, max_cost, f"The attempt's models have cost ${spent.cost_usd:.2f} of ${max_cost:.2f}."
        if max_tokens is not None and spent.tokens >= max_tokens:
            return spent.tokens, max_tokens, f"The attempt's models have used {spent.tokens} of {max_tokens} tokens."
        return None


def _read(file: Path) -> Spent:
    try:
        return Spent.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return Spent()
    except (OSError, ValueError) as error:
        raise InfrastructureError(
            f"{file}: what the attempt's models have used cannot be read",
            'restore it from a backup, or write {"tokens": ..., "cost_usd": ...} as the provider counted them',
        ) from error
