"""The simulated coder: it answers to evidence, not to words, and equal decks give equal answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from open_re_bench.environments.rust_codecontests.bank import Problem
from open_re_bench.environments.rust_codecontests.dress import tokens
from open_re_bench.environments.rust_codecontests.farm import Farm
from open_re_bench.environments.rust_codecontests.judge import same_tokens
from open_re_bench.environments.rust_codecontests.runner import Verdict
from open_re_bench.environments.rust_codecontests.simulator import SimulatedCoder, Subject, Written
from open_re_bench.environments.rust_codecontests.verify import ProblemTests
from open_re_bench.scoring.chat import ChatMessage, ChatRequest

TRIES = 60
Ask = Callable[..., list[str]]


@pytest.fixture(scope="module")
def one(bank: dict[str, tuple[Problem, ...]]) -> Problem:
    return bank["valid"][0]


@pytest.fixture(scope="module")
def coder(farm: Farm) -> SimulatedCoder:
    return SimulatedCoder(farm)


@pytest.fixture
def subject(one: Problem, records: dict[str, ProblemTests]) -> Subject:
    return Subject(one, records[one.name], 0.0, "test-deck")


def answers(coder: SimulatedCoder, subject: Subject, text: str, n: int = 1, **more: object) -> list[str]:
    request = ChatRequest.model_validate({"messages": [ChatMessage(role="user", content=text)], "n": n, **more})
    return [choice.text for choice in coder.chat(subject, request)[0]]


def program(text: str) -> str:
    return re.findall(r"```[^\n]*\n(.*?)```", text, re.S)[0]


def written(coder: SimulatedCoder, text: str) -> Written:
    known = coder.known(program(text))
    assert known is not None
    return known.written


def test_it_needs_the_statement(coder: SimulatedCoder, subject: Subject) -> None:
    """Without the problem's sentences there is no program; with half of them there are more bugs than with all."""
    assert "```" not in answers(coder, subject, "Write a program.")[0]
    lines = subject.one.statement.splitlines()
    bugs = []
    for text in ("\n".join(lines[: len(lines) * 2 // 3]), "\n".join(lines)):
        found = [written(coder, answer) for _ in range(4) for answer in answers(coder, subject, text, n=15)]
        masks = [one.mask for one in found if one.program < len(subject.one.references)]  # a wrong idea has no slots
        bugs.append(sum(mask.bit_count() for mask in masks) / len(masks))
    assert bugs[0] > bugs[1]


def test_programs_name_no_folder_of_the_host(farm: Farm, subject: Subject) -> None:
    """A panic of a program of the farm names its source as the judge's sandbox does."""
    binary = farm.binary(subject.one)
    assert str(binary.parent).encode() not in binary.read_bytes()
    assert b"/work/main.rs" in binary.read_bytes()


def test_equal_decks_give_equal_answers(farm: Farm, subject: Subject) -> None:
    """Equal requests in equal decks are answered alike; repeating a request, or another deck, gives other answers."""
    first, second = SimulatedCoder(farm), SimulatedCoder(farm)
    again = Subject(subject.one, subject.tests, 0.0, "test-deck")
    other = Subject(subject.one, subject.tests, 0.0, "other-deck")
    asked = subject.one.statement
    one = [answers(first, subject, asked)[0] for _ in range(4)]
    assert one == [answers(second, again, asked)[0] for _ in range(4)]
    assert len(set(one)) == 4
    assert one != [answers(second, other, asked)[0] for _ in range(4)]


def buggy(coder: SimulatedCoder, subject: Subject) -> str:
    """A program of one of the references that compiles and has bugs."""
    for _ in range(10):
        for text in answers(coder, subject, subject.one.statement, n=16):
            found = written(coder, text)
            if found.mask and found.compile_error is None and found.program != subject.one.brute:
                return program(text)
    raise AssertionError("no buggy program in 160 answers")


def failing_input(farm: Farm, coder: SimulatedCoder, subject: Subject, source: str) -> tuple[str, str]:
    known = coder.known(source)
    assert known is not None
    for seed in range(200):
        text = subject.one.make_input(5, seed % 3, 5000 + seed)
        truth = farm.answer(subject.one.name, text.encode())
        run = farm.run(subject.one.name, known.written.program, known.written.mask, text.encode())
        if run.verdict is not Verdict.OK or not same_tokens(run.stdout, truth):
            return text, truth.decode()
    raise AssertionError("no failing input found")


def repairs(coder: SimulatedCoder, subject: Subject, source: str, evidence: str) -> int:
    """How many of many answers to `evidence` have lost a bug of `source`."""
    known = coder.known(source)
    assert known is not None
    before = known.written.mask
    prompt = f"{subject.one.statement}\nThis is wrong:\n```rust\n{source}```\n{evidence}"
    return sum(
        (before & ~written(coder, text).mask) != 0
        for _ in range(TRIES // 15)
        for text in answers(coder, subject, prompt, n=15)
    )


def test_genuine_evidence_repairs_and_words_do_not(farm: Farm, coder: SimulatedCoder, subject: Subject) -> None:
    """A real counter-example removes bugs far more often than pleading, and more often than one with a wrong answer."""
    source = buggy(coder, subject)
    text, truth = failing_input(farm, coder, subject, source)
    real = repairs(coder, subject, source, f"Input:\n```\n{text}```\nExpected:\n```\n{truth}```")
    pleading = repairs(
        coder, subject, source, "Think step by step, you are an expert; it fails on some input. Please fix every bug!"
    )
    lying = repairs(coder, subject, source, f"Input:\n```\n{text}```\nExpected:\n```\n424242\n```")
    assert real > 2 * pleading
    assert real > 2 * lying


def test_roles(farm: Farm, coder: SimulatedCoder, subject: Subject) -> None:
    """A brute force, test inputs and a generator come when they are asked for."""
    assert all(
        written(coder, text).program == subject.one.brute
        for text in answers(coder, subject, f"Write a brute force.\n{subject.one.statement}", n=5)
    )
    inputs = re.findall(
        r"```[^\n]*\n(.*?)```",
        "".join(answers(coder, subject, f"Write small test inputs.\n{subject.one.statement}", n=10)),
        re.S,
    )
    valid = 0
    for text in inputs:
        try:
            farm.answer(subject.one.name, text.encode())
            valid += 1
        except ValueError:
            pass
    assert len(inputs) / 2 < valid < len(inputs)  # most are right, not all
    assert "def make" in answers(coder, subject, f"Write an input generator.\n{subject.one.statement}")[0]


def test_texts_do_not_agree(coder: SimulatedCoder, subject: Subject) -> None:
    """No line of code but boilerplate is shared by half of the answers: a vote over lines finds nothing."""
    programs = [program(text) for text in answers(coder, subject, subject.one.statement, n=16)]
    lines = Counter(
        line.strip() for source in programs for line in set(source.splitlines()) if len(tokens(line.strip())) > 6
    )
    common = [
        line
        for line, count in lines.items()
        if count > len(programs) / 2 and not line.startswith(("use ", "fn main")) and "read_to_string" not in line
    ]
    assert not common


def test_max_tokens_and_stop(coder: SimulatedCoder, subject: Subject) -> None:
    """Answers are cut where the request says so."""
    request = ChatRequest(messages=[ChatMessage(role="user", content=subject.one.statement)], max_tokens=10)
    (choice,), usage = coder.chat(subject, request)
    assert choice.finish_reason == "length"
    assert len(choice.text) == 40
    assert usage.completion_tokens == 10
    assert "fn main" not in answers(coder, subject, subject.one.statement, stop=["fn main"])[0]
