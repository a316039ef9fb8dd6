"""The scale `paper` on made data: a user's CodeContests files become problems that a scaffold with a model works on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from open_re_bench import assets as prepared_assets
from open_re_bench import registry, requirements
from open_re_bench.environment import AssetBuild, Assets, Environment, ServiceRefusal
from open_re_bench.environments.rust_codecontests import contests
from open_re_bench.environments.rust_codecontests.episodes import Episodes
from open_re_bench.environments.rust_codecontests.posed import CONTESTS_FILE
from open_re_bench.environments.rust_codecontests.prepare import prepare
from open_re_bench.environments.rust_codecontests.runner import Verdict
from open_re_bench.errors import CannotRunHere, UserError
from open_re_bench.scoring.chat import ChatRequest, Choice, Coder, Meter, Usage

READ = "let s = std::io::read_to_string(std::io::stdin()).unwrap(); let x: i64 = s.trim().parse().unwrap();"
RIGHT = f'fn main() {{ {READ} println!("{{}}", 3 * x); }}'


def made(name: str, factor: int, **more: object) -> dict[str, object]:
    def tests(*numbers: int) -> dict[str, list[str]]:
        return {"input": [f"{n}\n" for n in numbers], "output": [f"{factor * n}\n" for n in numbers]}

    told = {"name": name, "description": f"Print {factor} times the number."}
    return told | {"public_tests": tests(1), "private_tests": tests(5), "generated_tests": tests(7, 8)} | more


@pytest.fixture
def environment() -> Environment:
    return registry.environment("rust_codecontests", "paper")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "valid.jsonl").write_text(json.dumps(made("one_A", 2)) + "\n")
    limits = {"time_limit": {"seconds": 1, "nanos": 0}, "memory_limit_bytes": 64 << 20, "solutions": ["leak"]}
    bare = {"name": "untested", "description": "no tests"}
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, (made("two_B", 3, **limits), bare))))
    monkeypatch.setenv(contests.VARIABLE, str(folder))
    return folder


def build(environment: Environment, tmp_path: Path) -> tuple[Assets, list[str]]:
    assets, said = Assets(public=tmp_path / "public", hidden=tmp_path / "hidden"), list[str]()
    assets.public.mkdir()
    assets.hidden.mkdir()
    prepare(AssetBuild(environment=environment, assets=assets, rebuild=False, progress=said.append))
    return assets, said


def test_prepared_files_serve_a_scaffold(environment: Environment, data: Path, tmp_path: Path) -> None:
    """A hidden problem is posed with its limits and public tests; all its tests judge the answer."""
    assets, said = build(environment, tmp_path)
    assert any("untested" in line for line in said)

    def chat(request: ChatRequest) -> tuple[list[Choice], Usage]:
        assert "Print 3 times" in request.messages[0].content
        return [Choice(f"```rust\n{RIGHT}\n```", "stop")], Usage(10, 10)

    episodes = Episodes(environment, assets.hidden, Meter(tokens=10**6), Coder(chat, "made/coder"))
    (posed,) = episodes.splits["hidden"]
    ticket = episodes.open(posed, 0, "any")
    told = episodes.describe(ticket)
    assert told == {
        "id": ticket,
        "statement": "Print 3 times the number.",
        "samples": [{"input": "1\n", "output": "3\n"}],
        "time_limit_s": 1,
        "memory_limit_mb": 64,
    }
    asked = {"model": "coder", "messages": [{"role": "user", "content": str(told["statement"])}]}
    reply = episodes.serve_model({"ticket": ticket, "body": asked})
    assert reply["status"] == 200
    ran = episodes.serve_judge({"ticket": ticket, "op": "run", "source": RIGHT, "inputs": ["4\n"]})
    assert ran["runs"][0]["stdout"] == "12\n"  # type: ignore[index,call-overload]
    assert episodes.grade(posed, RIGHT) is Verdict.AC
    assert episodes.grade(posed, 'fn main() { println!("3"); }') is Verdict.WA
    with pytest.raises(ServiceRefusal):
        episodes.serve_judge({"ticket": "guess", "op": "run", "source": RIGHT, "inputs": []})
    episodes.close()


def test_public_assets_hold_the_validation_problems_only(environment: Environment, data: Path, tmp_path: Path) -> None:
    """The workshop gets validation problems with all tests, without names or solutions, and nothing hidden."""
    assets, _ = build(environment, tmp_path)
    (line,) = (assets.public / "valid.jsonl").read_text().splitlines()
    assert json.loads(line)["tests"][3] == {"input": "8\n", "output": "16\n"}
    files = [*assets.public.iterdir(), assets.hidden / CONTESTS_FILE]
    everything = "".join(path.read_text() for path in files)
    assert "leak" not in everything
    assert "one_A" not in everything
    assert "two_B" not in everything
    assert "3 times" not in line


def test_the_simulated_coder_is_refused(environment: Environment, data: Path, tmp_path: Path) -> None:
    """It cannot know a user's problems: the message names the option that connects a model."""
    assets, _ = build(environment, tmp_path)
    with pytest.raises(CannotRunHere, match="model-role"):
        Episodes(environment, assets.hidden, Meter(tokens=10))


@pytest.mark.parametrize("lost", ["valid.jsonl", "test.jsonl"])
def test_missing_files_are_named(environment: Environment, data: Path, tmp_path: Path, lost: str) -> None:
    """Without the data set the scale says which file it wants and where."""
    (data / lost).unlink()
    with pytest.raises(UserError, match=lost) as caught:
        build(environment, tmp_path)
    assert contests.VARIABLE in str(caught.value)


def test_the_list_asks_for_the_data(
    environment: Environment, data: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`re-bench list` does not say that it runs here while `prepare` would refuse; prepared, the data may be gone."""
    monkeypatch.setattr(requirements, "find_tool", lambda _: "/usr/bin/there")
    assert contests.VARIABLE not in requirements.obstacle(environment)
    monkeypatch.setenv(contests.VARIABLE, str(data / "gone"))
    assert contests.VARIABLE in requirements.obstacle(environment)
    monkeypatch.delenv(contests.VARIABLE)
    assert contests.VARIABLE in requirements.obstacle(environment)
    assert environment.scale.data_variable == contests.VARIABLE
    monkeypatch.setenv(contests.VARIABLE, str(data))
    prepared_assets.prepare(environment)
    monkeypatch.delenv(contests.VARIABLE)
    assert contests.VARIABLE not in requirements.obstacle(environment)


def test_without_the_variable_the_mend_says_which(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing set: the same sentence."""
    monkeypatch.delenv(contests.VARIABLE, raising=False)
    with pytest.raises(UserError, match=contests.VARIABLE):
        build(environment, tmp_path)
