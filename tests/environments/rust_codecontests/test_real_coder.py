"""A whole attempt whose coder is a model behind a real HTTP provider that also refuses, stalls and talks nonsense."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from inspect_ai.log import EvalLog

from open_re_bench import assets, registry
from open_re_bench.attempt import AttemptRecord
from open_re_bench.environments.rust_codecontests.bank import Problem
from open_re_bench.environments.rust_codecontests.dress import write_down
from open_re_bench.harness import attempt_folder
from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.harness.planning import plan_attempts
from open_re_bench.harness.pricing import ModelPrice
from open_re_bench.harness.regrade import Verdict as Regraded
from open_re_bench.harness.regrade import regrade
from open_re_bench.running import runner
from open_re_bench.scoring.score_log import read

from ...harness.conftest import SCORE, bash_step, write_transcript
from ...harness.model_server import ModelServer

pytest.importorskip("openai", reason="the OpenAI client is a development dependency")
CODER = "openai-api/workshop-coder/small"
ASKING = """
import asyncio, json, sys
sys.path.insert(0, "/opt/kit")
from coder import BudgetUsedUp, Client, CoderError, ask
async def main():
    ticket = (await ask("judge", {"op": "open", "problem": 0, "draw": 0}))["ticket"]
    client = Client(ticket)
    many = await asyncio.gather(*(client.chat("hello", max_tokens=9, temperature=0.25) for _ in range(8)))
    print("many", len(many))
    print("three", len(await client.chat("three", n=3, max_tokens=10)))
    for name in ("malformed", "stalls"):
        try:
            await client.chat(name, max_tokens=11)
            print(name, "answered")
        except CoderError as error:
            print(name, error.status, error)
    try:
        await client.chat("x", max_tokens=20000)
    except BudgetUsedUp as error:
        print("budget", error.status)
    try:
        await client.completion({"model": "gpt-5", "messages": [{"role": "user", "content": "x"}]})
    except CoderError as error:
        print("other", error.status)
asyncio.run(main())
"""


class Knowing:
    """What the coder says: a right program for every second problem it recognises, else one that does nothing.

    It answers "hello" only when `TOGETHER` of them wait at once, so that calls one after another would never end.
    """

    TOGETHER = 4

    def __init__(self, bank: dict[str, tuple[Problem, ...]]) -> None:
        known = [one for ones in bank.values() for one in ones]
        self.programs = {
            one.statement.splitlines()[0]: write_down(one, 0, 0, None, random.Random(1)) for one in known[::2]
        }
        self._crowd = threading.Barrier(self.TOGETHER, timeout=60)

    def __call__(self, body: dict) -> str:  # type: ignore[type-arg]
        asked = body["messages"][-1]["content"]
        if asked == "hello":
            self._crowd.wait()
        source = next((text for line, text in self.programs.items() if line in asked), "fn main() {}")
        return f"```rust\n{source}\n```"


def run(tmp_path: Path, transcript: Path) -> tuple[AttemptFolder, EvalLog]:
    bound = registry.environment("rust_codecontests", "test")
    assets.prepare(bound)
    (plan,) = plan_attempts(
        bound, runs=1, budget_s=300, agent="react", model="replay/x/test", kind="agent", batch="coder",
        model_roles={"coder": CODER}, prices={CODER: ModelPrice(input=1.0, output=2.0)},
    )  # fmt: skip
    folder = attempt_folder.create(tmp_path, plan)
    (log,) = runner.carry_out([folder], tmp_path, runner.RunOptions(model_args={"transcript": str(transcript)}))
    return folder, log


def test_a_whole_attempt_with_a_coder_behind_http(
    tmp_path: Path, bank: dict[str, tuple[Problem, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workshop and scorings reach the coder at once and by its parameters; faults, budgets, usage, names are kept."""
    faults = {2: "429", 10: "malformed", 11: "slow"}  # the ninth request is the third one, again
    server = ModelServer([], faults, say=Knowing(bank), slow_s=2.0)
    monkeypatch.setenv("WORKSHOP_CODER_API_KEY", "none")
    monkeypatch.setenv("WORKSHOP_CODER_BASE_URL", server.url)
    steps = [bash_step(f"cat > ask.py <<'EOF'\n{ASKING}\nEOF\npython3 ask.py"), SCORE]
    try:
        folder, log = run(tmp_path, write_transcript(tmp_path / "t.jsonl", steps))
    finally:
        server.close()
    record = folder.read_result()
    assert isinstance(record, AttemptRecord), runner.failures([log])
    assert log.samples
    said = next(message.text for message in log.samples[0].messages if message.role == "tool")
    assert "many 8" in said
    assert "three 3" in said
    assert "malformed 502 the model's provider failed" in said
    assert "stalls answered" in said  # two seconds late
    assert "budget 429" in said
    assert "other 404" in said
    assert server.most >= Knowing.TOGETHER
    eights = [body for body in server.bodies if 9 in (body.get("max_tokens"), body.get("max_completion_tokens"))]
    assert {body["temperature"] for body in eights} == {0.25}
    assert any(body.get("n") == 3 for body in server.bodies)
    scorings = [entry.details for entry in read(folder.score_log)[0]]
    assert len(scorings) == 2
    assert {entry["coder"] for entry in scorings} == {CODER}  # the final scoring too met this coder
    # the score is that of the real coder, said everywhere, and its tokens and dollars are in the log
    assert record.valid
    assert record.raw is not None
    assert record.raw > 0.3
    assert record.simulated is False
    assert record.model_roles == {"coder": CODER}
    assert record.receipt["model_roles"] == {"coder": CODER}
    assert "the anchors were measured with another model" in record.receipt["why_local"]
    usage = log.samples[0].role_usage["coder"]
    assert usage.total_cost is not None
    assert usage.input_tokens > 36 * 50  # two scorings of 18 episodes at least
    assert usage.total_cost == pytest.approx((usage.input_tokens + 2 * usage.output_tokens) / 1e6)
    assert folder.spending.exists()
    # without the provider's key its records can be checked, its score cannot
    monkeypatch.delenv("WORKSHOP_CODER_API_KEY")
    outcome = regrade(folder)
    assert outcome.verdict is Regraded.CANNOT_RESCORE
    assert "cannot be reached" in outcome.problems[-1]
