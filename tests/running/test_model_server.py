"""The ledger and the retries through a real provider client and a real HTTP server that misbehaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inspect_ai.log import EvalLog

from open_re_bench import registry
from open_re_bench.analysis.logs import load
from open_re_bench.attempt import AttemptRecord, SpendingRecord
from open_re_bench.harness import attempt_folder
from open_re_bench.harness.planning import plan_attempts
from open_re_bench.harness.pricing import ModelPrice
from open_re_bench.running import runner

from ..harness.conftest import SCORE, bash_step
from ..harness.model_server import ModelServer

pytest.importorskip("openai", reason="the OpenAI client is a development dependency")
MODEL = "openai-api/local/recorded"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ModelServer]]:
    servers: list[ModelServer] = []
    monkeypatch.setenv("LOCAL_API_KEY", "none")
    yield servers
    for server in servers:
        server.close()


def attempt(
    tmp_path: Path,
    server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    budget_s: float = 300,
    planned: dict[str, Any] | None = None,
    **options: object,
) -> tuple[AttemptRecord | None, EvalLog]:
    monkeypatch.setenv("LOCAL_BASE_URL", server.url)
    bound = registry.environment("optimize_kernel", "test")
    (plan,) = plan_attempts(
        bound, runs=1, budget_s=budget_s, agent="react", model=MODEL, kind="agent", batch="http", **planned or {}
    )
    folder = attempt_folder.create(tmp_path, plan)
    (log,) = runner.carry_out([folder], tmp_path, runner.RunOptions(**options))  # type: ignore[arg-type]
    return folder.read_result(), log


def test_faults_are_retried_and_their_waits_are_not_charged(
    tmp_path: Path, serve: list[ModelServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """429, 500 and dropped connections are retried with waits that the ledger calls waiting; the attempt succeeds."""
    faults = {0: "429", 2: "500", 4: "dropped"}
    serve.append(ModelServer([bash_step("echo hi"), SCORE], faults))
    record, log = attempt(tmp_path, serve[0], monkeypatch)
    assert record is not None
    assert record.valid
    assert log.status == "success"
    assert len(serve[0].requests) == 3 + len(faults)
    assert record.ledger.waiting_s > 1.0  # the server asks for a second after each of two faults
    assert record.ledger.budget_s < record.ledger.waiting_s + 5.0


def test_slow_generation_is_work(tmp_path: Path, serve: list[ModelServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """The model thinking for three seconds is charged: generation counts."""
    serve.append(ModelServer([SCORE], {0: "slow"}, slow_s=3.0))
    record, _ = attempt(tmp_path, serve[0], monkeypatch)
    assert record is not None
    assert record.ledger.budget_s >= 3.0
    assert record.ledger.working_s >= 3.0


def test_malformed_replies_end_visibly(
    tmp_path: Path, serve: list[ModelServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that talks nonsense is an error of the run that names it; nothing scored before is lost."""
    serve.append(ModelServer([SCORE, SCORE], dict.fromkeys(range(1, 200), "malformed")))
    record, log = attempt(tmp_path, serve[0], monkeypatch, max_retries=1)
    assert record is None
    failures = runner.failures([log])
    assert len(failures) == 1
    (folder,) = attempt_folder.unfinished(tmp_path)
    assert folder.score_log.exists(), failures


def test_budget_ends_an_endless_outage_of_work(
    tmp_path: Path, serve: list[ModelServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is slow for ever runs out of budget and gets its final scoring."""
    serve.append(ModelServer([bash_step("true")] * 50, dict.fromkeys(range(1, 100), "slow"), slow_s=1.5))
    record, _ = attempt(tmp_path, serve[0], monkeypatch, budget_s=4.0)
    assert record is not None
    assert record.valid
    assert 4.0 <= record.ledger.budget_s < 6.0


def test_cost_limit_stops_spending(tmp_path: Path, serve: list[ModelServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """--max-cost ends the attempt when its model has cost that much, and the attempt is still scored."""
    planned = {"max_cost": 3.0, "prices": {MODEL: ModelPrice(input=1000.0, output=1000.0)}}
    serve.append(ModelServer([bash_step("true")] * 30))
    record, log = attempt(tmp_path, serve[0], monkeypatch, planned=planned)
    assert record is not None
    assert record.valid
    assert log.samples
    assert log.samples[0].limit is not None
    assert log.samples[0].limit.type in ("cost", "custom")  # Inspect's, or ours that also counts earlier harnesses
    assert len(serve[0].requests) <= 5


def test_token_limit_holds_over_a_resume(
    tmp_path: Path, serve: list[ModelServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--max-tokens counts what an earlier, killed harness used: a resumed attempt gets the rest, not all again. Its
    record and its row of the run table count it too.
    """
    serve.append(ModelServer([bash_step("true")] * 30, delay_s=0.3))  # longer than the watch sleeps
    bound = registry.environment("optimize_kernel", "test")
    (plan,) = plan_attempts(
        bound, runs=1, budget_s=300, agent="react", model=MODEL, kind="agent", batch="http", max_tokens=10_000
    )
    attempt_folder.create(tmp_path, plan).spending.write_text('{"tokens": 8000, "cost_usd": 0}')
    monkeypatch.setenv("LOCAL_BASE_URL", serve[0].url)
    (folder,) = attempt_folder.unfinished(tmp_path)
    (log,) = runner.carry_out([folder], tmp_path, runner.RunOptions())
    record = folder.read_result()
    assert record is not None
    assert record.earlier_spending == SpendingRecord(tokens=8000)
    assert log.samples
    assert log.samples[0].scores
    assert AttemptRecord.model_validate(log.samples[0].scores["attempt"].metadata) == record
    [row] = load([tmp_path]).table.to_dict("records")
    assert row["total_tokens"] == 8000 + sum(usage.total_tokens for usage in log.samples[0].model_usage.values())
    assert log.samples[0].limit is not None
    assert len(serve[0].requests) <= 5  # of 1,100 tokens each; all of 10,000 would be ten
