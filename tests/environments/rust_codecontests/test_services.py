"""What a scaffold can reach: the model, the judge and an answer, each under its ticket; and the whole scoring."""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from open_re_bench import assets, registry
from open_re_bench.environment import Environment, Failure, Instance, Scoring, ServiceRefusal, normalise
from open_re_bench.environments.rust_codecontests import score as scoring_code
from open_re_bench.environments.rust_codecontests.episodes import CHECK_CPU_S, MAX_INPUT_BYTES
from open_re_bench.environments.rust_codecontests.judge import MAX_INPUTS
from open_re_bench.environments.rust_codecontests.score import score
from open_re_bench.environments.rust_codecontests.scoring_door import ScoringDoor
from open_re_bench.environments.rust_codecontests.services import KeptMeter, open_services
from open_re_bench.scoring.chat import ChatRefused, ChatRequest, Price, Usage
from open_re_bench.scoring.collection import collect_directory
from open_re_bench.scoring.pipeline import anchors_in_force

KIT = Path(registry.folder_of("rust_codecontests")) / "kit"
START = KIT.parent / "start"


@pytest.fixture(scope="module")
def environment() -> Environment:
    return registry.environment("rust_codecontests", "test")


@pytest.fixture(scope="module")
def instance(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Instance:
    found, _ = assets.prepare(environment)
    folder = tmp_path_factory.mktemp("instance")
    return Instance(environment=environment, assets=found, seed=7, public=folder, hidden=folder)


@pytest.fixture(scope="module")
def services(instance: Instance) -> dict:  # type: ignore[type-arg]
    return dict(open_services(instance))


def body(text: str, **more: object) -> dict[str, object]:
    return {"model": "coder", "messages": [{"role": "user", "content": text}], **more}


def test_a_scaffold_session(services: dict, instance: Instance) -> None:  # type: ignore[type-arg]
    """Open an episode, ask, check, run, grade: the development loop of a participant."""
    problem = json.loads((instance.assets.public / "valid.jsonl").read_text().splitlines()[0])
    ticket = services["judge"]({"op": "open", "problem": 0, "draw": 0})["ticket"]
    reply = services["model"]({"ticket": ticket, "body": body(problem["statement"])})
    assert reply["status"] == 200
    assert "```rust" in reply["body"]["choices"][0]["message"]["content"]
    source = "fn main() {}"
    ran = services["judge"](
        {"ticket": ticket, "op": "run", "source": source, "inputs": [problem["samples"][0]["input"]]}
    )
    assert ran["compiled"]
    assert ran["runs"][0]["verdict"] == "OK"
    assert services["judge"]({"ticket": ticket, "op": "grade", "source": source})["verdict"] == "WA"


def test_tokens_per_problem_are_limited(services: dict) -> None:  # type: ignore[type-arg]
    """The budget of an episode ends in 429."""
    ticket = services["judge"]({"op": "open", "problem": 0, "draw": 0})["ticket"]
    statuses = [
        services["model"]({"ticket": ticket, "body": body("x" * 8000, max_tokens=1000)})["status"] for _ in range(12)
    ]
    assert statuses[0] == 200
    assert statuses[-1] == 429


def test_a_call_of_the_model_sets_its_worst_case_aside(services: dict, environment: Environment) -> None:  # type: ignore[type-arg]
    """What may need more than is left costs nothing and is refused; what an answer did not use comes back."""
    opened = services["judge"]({"op": "open", "problem": 0, "draw": 0})
    per_problem = int(environment.scale.constant("tokens_per_problem"))

    def ask(**more: object) -> dict:  # type: ignore[type-arg]
        return services["model"]({"ticket": opened["ticket"], "body": body("hi", **more)})  # type: ignore[no-any-return]

    refused = ask(n=8, max_tokens=per_problem // 8)
    assert (refused["status"], refused["body"]["error"]["code"]) == (429, "insufficient_quota")
    answered = ask(n=7, max_tokens=per_problem // 8)
    assert answered["status"] == 200
    assert answered["body"]["budget"]["tokens_left"] == per_problem - answered["body"]["usage"]["total_tokens"]
    assert answered["body"]["usage"]["total_tokens"] < 1000


def test_what_was_used_survives_a_killed_harness(instance: Instance, tmp_path: Path) -> None:
    """A resumed attempt has the tokens and dollars that were left; a call cut short by the kill has cost its most."""
    own = dataclasses.replace(instance, hidden=tmp_path / "hidden")

    def opened() -> dict:  # type: ignore[type-arg]
        services = dict(open_services(own))
        return {**services, **services["judge"]({"op": "open", "problem": 0, "draw": 0})}

    first = opened()
    answered = first["model"]({"ticket": first["ticket"], "body": body("hi")})
    used = answered["body"]["usage"]["total_tokens"]
    assert opened()["tokens_left"] == first["tokens_left"] - used

    total = first["tokens_left"]
    price = Price(1.0, 2.0)
    request = ChatRequest.model_validate(body("hi", max_tokens=500))

    def meter() -> KeptMeter:
        return KeptMeter(total, cost_usd=1.0, file=tmp_path / "spent.json")

    held = meter()
    held.settle(held.reserve(request, price), Usage(10, 20, 0.25))
    assert (meter().left, meter().used) == (total - 30, Usage(10, 20, 0.25))
    need = held.reserve(request, price)  # and then the harness is killed
    assert meter().left == total - 30 - need.tokens
    assert meter().used.cost_usd == pytest.approx(0.25 + price.most(request))
    spent = KeptMeter(total, cost_usd=0.25, file=tmp_path / "spent.json")
    with pytest.raises(ChatRefused, match="used up"):
        spent.reserve(request, price)


def test_a_call_that_cannot_be_booked_is_not_made(tmp_path: Path) -> None:
    """Where the charge cannot be written the call is refused as ours, and costs nothing."""
    (tmp_path / "blocked").write_text("")
    meter = KeptMeter(10_000, file=tmp_path / "blocked" / "spent.json")
    with pytest.raises(ChatRefused, match="on our side"):
        meter.reserve(ChatRequest.model_validate(body("hi")))
    assert meter.left == 10_000


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ([""] * (MAX_INPUTS + 1), str(MAX_INPUTS)),
        (["x" * MAX_INPUT_BYTES, "y"], str(MAX_INPUT_BYTES)),
        ("text", "a list"),
    ],
)
def test_calls_of_the_judge_have_a_size(services: dict, inputs: object, named: str) -> None:  # type: ignore[type-arg]
    """Too many inputs, or too large ones, are refused by a sentence that names the limit."""
    ticket = services["judge"]({"op": "open", "problem": 0, "draw": 0})["ticket"]
    with pytest.raises(ServiceRefusal, match=named):
        services["judge"]({"ticket": ticket, "op": "run", "source": "fn main() {}", "inputs": inputs})


def test_time_of_the_judge_is_limited(services: dict, environment: Environment) -> None:  # type: ignore[type-arg]
    """Every call has its price, and there is an end of it for a problem."""
    ticket = services["judge"]({"op": "open", "problem": 0, "draw": 0})["ticket"]
    check = {"ticket": ticket, "op": "check", "source": "fn main() {}"}
    checks = round(environment.scale.constant("judge_cpu_s_per_problem") / CHECK_CPU_S)
    for _ in range(checks):
        services["judge"](dict(check))
    with pytest.raises(ServiceRefusal, match="used up"):
        services["judge"](dict(check))


@pytest.mark.parametrize("request_", [{}, {"ticket": "guess"}, {"ticket": "guess", "op": "run", "source": 5}])
def test_unknown_tickets_are_refused(services: dict, request_: dict) -> None:  # type: ignore[type-arg]
    """Without an open ticket there is neither model nor judge."""
    for name in ("model", "judge"):
        with pytest.raises(ServiceRefusal):
            services[name](dict(request_))


@pytest.mark.parametrize(
    "more", [{"op": "open", "problem": 10**6}, {"op": "open", "problem": -1}, {"op": "open", "problem": "hidden"}]
)
def test_only_validation_problems_can_be_opened(services: dict, more: dict) -> None:  # type: ignore[type-arg]
    """Hidden problems have no number in the workshop."""
    with pytest.raises(ServiceRefusal):
        services["judge"](dict(more))


def test_public_assets_hold_no_answers_of_hidden_problems(instance: Instance) -> None:
    """What lies in the workshop names no hidden problem and quotes none of their statements."""
    public = "".join(path.read_text() for path in instance.assets.public.iterdir())
    for name in json.loads((instance.assets.hidden / "splits.json").read_text())["hidden"]:
        assert name not in public


def test_openai_endpoint_speaks_http(services: dict, tmp_path: Path) -> None:  # type: ignore[type-arg]
    """The endpoint in the workshop serves OpenAI's shape, with 200, 400, 404 and 429 as they are."""
    openai = pytest.importorskip("openai")
    ticket = services["judge"]({"op": "open", "problem": 0, "draw": 0})["ticket"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = f"""
import runpy, sys
sys.path.insert(0, {str(KIT)!r})
sys.argv = ["x", "{port}"]
import coder
coder.SOCKET = {str(tmp_path / "door.sock")!r}
runpy.run_module("openai_endpoint", run_name="__main__")
"""
    with ScoringDoor(tmp_path, {"model": services["model"]}):
        process = subprocess.Popen([sys.executable, "-c", script])
        try:
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=ticket, max_retries=5)
            reply = client.chat.completions.create(
                model="coder", messages=[{"role": "user", "content": "hi"}], n=2, max_tokens=20
            )
            assert len(reply.choices) == 2
            assert reply.usage.completion_tokens <= 40
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
            with pytest.raises(openai.RateLimitError):
                client.with_options(max_retries=0).chat.completions.create(
                    model="coder", messages=[{"role": "user", "content": "hi"}], max_tokens=30_000
                )
        finally:
            process.kill()
            process.wait()


def run_score(instance: Instance, folder: Path, tmp_path: Path, seed: int = 1, final: bool = False):  # type: ignore[no-untyped-def]
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    rules = instance.environment.spec.submission
    collected = collect_directory(folder, rules, tmp_path / "collected")
    return score(collected, Scoring(instance=instance, seed=seed, scratch=scratch, final=final))


def scaffold(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "submission"
    folder.mkdir(exist_ok=True)
    (folder / "solution.py").write_text(text)
    return folder


def test_start_scores_and_repeats(instance: Instance, tmp_path: Path) -> None:
    """The starting scaffold is scored, twice alike whatever the scoring's seed; each deck has its own anchors."""
    first = run_score(instance, START, tmp_path, seed=1)
    assert first.raw is not None
    assert first.details["simulated"] is True
    assert run_score(instance, START, tmp_path, seed=2).raw == first.raw
    last = run_score(instance, START, tmp_path, seed=2, final=True)
    assert last.details != first.details
    # the start is worth nothing on either deck
    assert anchors_in_force(instance.environment, first)[0] == pytest.approx(first.raw, abs=1e-3)
    assert anchors_in_force(instance.environment, last)[0] == last.raw


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = (",
        "def generate_solution(client, problem): return ''",
        "import os; os._exit(0)",
        "raise SystemExit(0)",
        "async def generate_solution(client, problem): return 5",
        "async def generate_solution(client, problem): raise ValueError",
    ],
)
def test_unusable_scaffolds_are_the_participants_failure(instance: Instance, tmp_path: Path, text: str) -> None:
    """What cannot be used is invalid and attributed, never a number."""
    judgement = run_score(instance, scaffold(tmp_path, text), tmp_path)
    assert judgement.raw is None
    assert judgement.failure is Failure.PARTICIPANT


def test_import_that_does_not_end_costs_no_round(
    instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scaffold that is stuck before its first line ends is unusable at once; no round of problems waits for it."""
    monkeypatch.setattr(scoring_code, "IMPORT_CPU_S", 2.0)
    monkeypatch.setattr(scoring_code, "Episodes", None)  # nothing is opened for it
    judgement = run_score(instance, scaffold(tmp_path, "import time\ntime.sleep(1000)"), tmp_path)
    assert judgement.failure is Failure.PARTICIPANT
    assert "could not be used: importing it took more than 2 s" in judgement.message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import numpy", "importing it raised ModuleNotFoundError"),
        ("x = 5", "it must define async generate_solution(client, problem)"),
        (
            "def generate_solution(client, problem): return ''",
            "it must define async generate_solution(client, problem)",
        ),
        ("import asyncio, coder\nasyncio.run(coder.ask('model', {}))", "importing it raised FileNotFoundError"),
        ("class Mine(Exception): pass\nraise Mine('words')", "importing it failed"),
        ("print('ValueError: words')\nraise ValueError", "importing it failed"),
    ],
)
def test_it_is_said_why_a_scaffold_is_unusable(instance: Instance, tmp_path: Path, text: str, why: str) -> None:
    """Its author reads what went wrong; nothing of its own words gets into the log."""
    judgement = run_score(instance, scaffold(tmp_path, text), tmp_path)
    assert judgement.failure is Failure.PARTICIPANT
    assert judgement.message == f"solution.py could not be used: {why}"


def test_scaffold_reaches_nothing_else(instance: Instance, tmp_path: Path) -> None:
    """In the scoring sandbox there is no network, no package of ours, no test, and no other service."""
    text = """
import os, re, socket
from coder import ask, CoderError

async def generate_solution(client, problem):
    found = []
    try:
        socket.create_connection(("1.1.1.1", 53), 1); found.append("network")
    except OSError: pass
    try:
        import open_re_bench; found.append("package")
    except ImportError: pass
    for root in ("/opt", "/run", "/tmp", "/home", "/submission", "/etc", "/var"):
        for folder, _, names in os.walk(root):
            found += [n for n in names if re.match(r"(test|sample)-\\d+\\.|tests.json|slots.json|deck.txt|wrong.py", n)]
    for service in ("score", "grade", "answers"):
        try:
            await ask(service, {}); found.append(service)
        except CoderError: pass
    try:
        await ask("judge", {"op": "open", "problem": 0}); found.append("open")
    except CoderError: pass
    try:
        await ask("judge", {"op": "grade", "ticket": problem["id"], "source": "fn main() {}"}); found.append("grade")
    except CoderError: pass
    return "fn main() {}" if found else "fn main() { let x: () = 5; }"
"""
    judgement = run_score(instance, scaffold(tmp_path, text), tmp_path)
    assert judgement.raw == 0.0
    verdicts = judgement.details["verdicts"]
    assert isinstance(verdicts, dict)
    assert set(verdicts) == {"CE"}, "it found something: then it answers with a program that compiles"
    scale = instance.environment.scale
    assert scale.anchors is not None
    assert normalise(judgement.raw, scale.anchors.start.raw, scale.anchors.reference.raw) == 0.0
