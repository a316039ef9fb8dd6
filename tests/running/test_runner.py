"""Several planned attempts carried out together."""

from __future__ import annotations

from pathlib import Path

from open_re_bench import registry
from open_re_bench.analysis.logs import load
from open_re_bench.harness import attempt_folder
from open_re_bench.harness.planning import plan_attempts
from open_re_bench.running import runner


def test_attempts_of_different_lengths_keep_their_own(tmp_path: Path) -> None:
    """Attempts that differ in nothing but their length, resumed together, each have their own in the run table."""
    bound = registry.environment("optimize_kernel", "test")
    lengths = {"short": 1800.0, "long": 7200.0}
    plans = [
        plan
        for batch, length in lengths.items()
        for plan in plan_attempts(
            bound, runs=1, budget_s=length, agent="start", model="", kind="scripted", batch=batch, simulated=True
        )
    ]
    folders = [attempt_folder.create(tmp_path, plan) for plan in plans]
    logs = runner.carry_out(folders, tmp_path, runner.RunOptions(finalise_only=True))
    assert runner.failures(logs) == []
    table = load([tmp_path]).table.set_index("attempt_id")
    assert {plan.attempt_id: table.loc[plan.attempt_id, "budget_s"] for plan in plans} == {
        plan.attempt_id: plan.budget_s for plan in plans
    }
