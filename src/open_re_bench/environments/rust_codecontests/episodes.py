# open-re-bench TRUSTED canary c9b2f7de-33b4-4c0f-8a55-6d1f0e7a94e2: do not train on this file
"""Episodes: a scaffold working on one problem, with its own token budget and its own judge budget.

An episode is opened by the trusted side and named by a ticket that cannot be guessed. The services below are all that
untrusted code can reach; what they return is the model's text, the compiler's words about the caller's own program and
the outputs of that program on the caller's own inputs.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from open_re_bench.environment import Environment, ServiceRefusal
from open_re_bench.environments.rust_codecontests.farm import Farm
from open_re_bench.environments.rust_codecontests.judge import MAX_INPUTS, Judge
from open_re_bench.environments.rust_codecontests.posed import Posed, read_posed
from open_re_bench.environments.rust_codecontests.prepare import read_tests
from open_re_bench.environments.rust_codecontests.runner import Verdict
from open_re_bench.environments.rust_codecontests.simulator import SimulatedCoder, Subject
from open_re_bench.errors import CannotRunHere
from open_re_bench.paths import cache_directory
from open_re_bench.scoring.chat import Coder, Meter, serve

MODEL_NAMES = frozenset({"coder"})
DIFFICULTIES = (-0.6, -0.1, 0.4)  # of the draws of a problem, in turns: easy, middling, hard
SHOWN_OUTPUT = 20_000  # bytes of a program's output that a scaffold gets back
SHOWN_ERRORS = 2000  # the same of its error output
MAX_INPUT_BYTES = 3_000_000
CHECK_CPU_S, RUN_CPU_S = 0.05, 0.2  # of the judge's time: what a call costs whether or not the compiler had to work


@dataclass
class Episode:
    """One problem in the hands of one scaffold."""

    posed: Posed
    subject: Subject | None  # as the simulated coder meets it
    meter: Meter
    draw: int
    judge_cpu_s: float
    answer: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Episodes:
    """Everything a scaffold talks to: the model, the judge, the place to leave answers.

    Args:
        environment: At its scale.
        hidden: Prepared hidden assets.
        meter: Budget over all episodes.
        coder: A real model; None for the simulated coder.
    """

    def __init__(self, environment: Environment, hidden: Path, meter: Meter, coder: Coder | None = None) -> None:
        self._constants, self._hidden, self._meter, self._coder = environment.scale.constants, hidden, meter, coder
        self.splits = read_posed(hidden)
        ours = tuple(posed.bank[0] for split in self.splits.values() for posed in split if posed.bank is not None)
        if coder is None and not ours:
            raise CannotRunHere(
                "these problems are your own, which the simulated coder does not know",
                "name a model: `--model-role coder=PROVIDER/MODEL`",
            )
        deck = hidden / "bank" / "deck.txt"
        self._deck = deck.read_text().strip() if deck.exists() else ""
        self._farm = Farm(hidden / "farm", ours)
        self._simulated = SimulatedCoder(self._farm)
        self.judge = Judge(cache_directory("rust-judge"), None if coder else self._simulated.known)
        self._episodes: dict[str, Episode] = {}

    def open(self, posed: Posed, draw: int, deck: str) -> str:
        """Opens an episode and returns its ticket.

        Args:
            draw: Which of the virtual problems that share the statement: sets the simulated difficulty.
            deck: Which shuffle of the simulated coder's chances; equal decks give equal answers to equal requests.
        """
        ticket = secrets.token_hex(8)
        key = f"{self._deck}/{deck}/{posed.name}/{draw}"
        subject = None if posed.bank is None else Subject(*posed.bank, DIFFICULTIES[draw % len(DIFFICULTIES)], key)
        budget = Meter(
            int(self._number("tokens_per_problem")), cost_usd=self._number("cost_usd_per_problem"), parent=self._meter
        )
        self._episodes[ticket] = Episode(posed, subject, budget, draw, self._number("judge_cpu_s_per_problem"))
        return ticket

    def _number(self, name: str) -> float:
        value = self._constants[name]
        assert isinstance(value, int | float)
        return value

    def describe(self, ticket: str) -> dict[str, object]:
        """What the scaffold is told about the problem of `ticket`."""
        posed = self._episodes[ticket].posed
        return {"id": ticket, **posed.describe(read_tests(self._hidden, posed.name, "sample"))}

    def episode(self, request: Mapping[str, JsonValue]) -> Episode:
        """The episode a request is about; a `ServiceRefusal` when its ticket is unknown."""
        episode = self._episodes.get(str(request.get("ticket")))
        if episode is None:
            raise ServiceRefusal("unknown ticket: give the id of a problem that is open")
        return episode

    def serve_model(self, request: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Service ``model``: {ticket, body} -> {status, body}, the body OpenAI-shaped."""
        episode, body = self.episode(request), request.get("body")
        if not isinstance(body, dict):
            raise ServiceRefusal("body must be an object like OpenAI's chat completions")
        if self._coder is not None:
            return serve(self._coder.chat, body, episode.meter, MODEL_NAMES, self._coder.price)
        subject = episode.subject
        assert subject is not None  # without a model all problems are the bank's
        return serve(lambda asked: self._simulated.chat(subject, asked), body, episode.meter, MODEL_NAMES)

    def serve_judge(self, request: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Service ``judge``: {ticket, op: check | run, source, inputs} on the caller's own program and inputs.

        The row of runs ends with the first TLE.
        """
        episode, source, op = self.episode(request), request.get("source"), request.get("op")
        if not isinstance(source, str):
            raise ServiceRefusal("source must be text")
        if op == "check":
            self._charge(episode, CHECK_CPU_S)
            checked = self.judge.check(source)
            return {"compiled": checked.ok, "diagnostics": checked.diagnostics, "runs": []}
        inputs = request.get("inputs")
        if op != "run" or not isinstance(inputs, list) or len(inputs) > MAX_INPUTS:
            raise ServiceRefusal(f"op must be check or run, inputs a list of at most {MAX_INPUTS} texts")
        texts = [str(text).encode() for text in inputs]
        if sum(map(len, texts)) > MAX_INPUT_BYTES:
            raise ServiceRefusal(f"inputs may have {MAX_INPUT_BYTES} bytes in all")
        self._charge(episode, RUN_CPU_S)
        # a slow program would spend the machine's time on every further input
        done = self.judge.execute(source, texts, episode.posed.limits, lambda _, run: run.verdict is Verdict.TLE)
        self._charge(episode, sum(run.cpu_s for run in done.runs))
        runs: list[JsonValue] = [
            {
                "verdict": run.verdict.value,
                "stdout": run.stdout[:SHOWN_OUTPUT].decode(errors="replace"),
                "stderr": run.stderr[:SHOWN_ERRORS].decode(errors="replace"),
                "cpu_s": round(run.cpu_s, 3),
            }
            for run in done.runs
        ]
        return {"compiled": done.compiled, "diagnostics": done.diagnostics, "runs": runs}

    def _charge(self, episode: Episode, cpu_s: float) -> None:
        with episode.lock:
            if episode.judge_cpu_s <= 0:
                raise ServiceRefusal("the judge's time for this problem is used up")
            episode.judge_cpu_s -= cpu_s

    def serve_answer(self, request: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """Service ``answer``: {ticket, source}; the last answer of a ticket counts."""
        episode, source = self.episode(request), request.get("source")
        if not isinstance(source, str):
            raise ServiceRefusal("source must be text")
        episode.answer = source
        return {}

    def grade(self, posed: Posed, source: str) -> Verdict:
        """The verdict of `source` over all tests of `posed`."""
        return self.judge.verdict(source, read_tests(self._hidden, posed.name), posed.limits)[0]

    def close(self) -> None:
        """Ends what the episodes keep running."""
        self._farm.close()
