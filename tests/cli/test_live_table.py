"""The live table of a run."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from open_re_bench.cli.live_table import LiveTable, where
from open_re_bench.harness.attempt_folder import AttemptFolder
from tests.faults.writer import PLAN


@pytest.mark.parametrize(("columns", "shown"), [(80, False), (100, False), (120, True)])
def test_a_narrow_terminal_shows_attempts_whole(columns: int, shown: bool, tmp_path: Path) -> None:
    """Columns that can be done without make way, so that 80 hold the attempt's name and its best score."""
    folder = AttemptFolder(tmp_path / "attempts" / "optimize_kernel-cpu-9b25a61e-1")
    folder.root.mkdir(parents=True)
    plan = PLAN.model_copy(update={"attempt_id": folder.root.name, "agent": "react"})
    folder.plan_file.write_text(plan.model_dump_json())
    out = io.StringIO()
    console = Console(file=out, width=columns, force_terminal=True, color_system=None)
    console.print(LiveTable([folder], console)._table())
    assert "optimize_kernel-cpu-9b25a61e-1" in out.getvalue()
    assert ("waiting" in out.getvalue()) == ("scale" in out.getvalue()) == shown
    assert "best" in out.getvalue()
    assert "last" in out.getvalue()


def test_a_path_to_paste_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log directory with a space in its name can be pasted from the lines that a run prints."""
    monkeypatch.chdir(tmp_path)
    assert where(tmp_path / "logs") == "logs"
    assert shlex.split(f"re-bench view {where(tmp_path / 'sp ace')}") == ["re-bench", "view", "sp ace"]
    assert shlex.split(where(tmp_path.parent / "sp ace")) == [str(tmp_path.parent / "sp ace")]
