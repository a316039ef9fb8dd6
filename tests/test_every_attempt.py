"""Regrading of every attempt that the suite has made so far (files beside the folders are collected after them)."""

from __future__ import annotations

from pathlib import Path

import pytest

from open_re_bench import registry
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.regrade import Verdict, find_attempts, regrade

from .harness.conftest import SCORE, TAMPERED, _prepared, finish, start_run, write_transcript

__all__ = ["_prepared"]


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> list[AttemptFolder]:
    """Attempts below this session's temporary folders, and one of this file's own, so that there always is one."""
    own = tmp_path_factory.mktemp("own")
    finish(start_run(own / "logs", write_transcript(own / "t.jsonl", [SCORE])))
    found = find_attempts([tmp_path_factory.getbasetemp()])
    return [folder for folder in found if _was_run(folder)]


def _was_run(folder: AttemptFolder) -> bool:
    """Whether a run made it, on a shipped environment: not a bundle's test with empty plans, nor a forgery."""
    if (folder.root / TAMPERED).exists() or folder.plan_file.read_text(encoding="utf-8") == "{}":
        return False
    return folder.read_plan().environment in registry.packages()


def _verdicts(attempts: list[AttemptFolder], rescore: bool) -> dict[Path, tuple[Verdict, tuple[str, ...]]]:
    outcomes = {folder.root: regrade(folder, rescore=rescore) for folder in attempts}
    return {root: (outcome.verdict, outcome.problems) for root, outcome in outcomes.items()}


def test_records_of_every_attempt_hold(attempts: list[AttemptFolder]) -> None:
    """Whatever the tests before this one did to their attempts (kills, faults, exhausted budgets), no finished record
    contradicts itself, and none that was not finished says that it is.
    """
    seen = _verdicts(attempts, rescore=False)
    assert {root: found for root, found in seen.items() if found[0] not in (Verdict.AGREES, Verdict.UNFINISHED)} == {}
    assert any(verdict is Verdict.AGREES for verdict, _ in seen.values())
    print(f"{len(seen)} attempts: {sum(v is Verdict.AGREES for v, _ in seen.values())} agree")


@pytest.mark.slow
def test_every_attempt_scores_what_it_says(attempts: list[AttemptFolder]) -> None:
    """Scored again with a fresh seed, every finished attempt of the suite agrees with its record; one whose coder was
    a server of its test, gone by now, cannot be scored again.
    """
    coded = {folder.root for folder in attempts if folder.read_plan().model_roles}
    seen = _verdicts(attempts, rescore=True)
    expected = {root: (Verdict.CANNOT_RESCORE if root in coded else Verdict.AGREES) for root in seen}
    assert {root: found for root, found in seen.items() if found[0] not in (expected[root], Verdict.UNFINISHED)} == {}
    print(f"{len(seen)} attempts: {sum(v is Verdict.AGREES for v, _ in seen.values())} agree after scoring again")
