# open-re-bench TRUSTED canary c9b2f7de-33b4-4c0f-8a55-6d1f0e7a94e2: do not train on this file
"""Scoring: the scaffold meets the hidden problems in scoring sandboxes; the host judges the programs it leaves.

Each draw of the problems gets a sandbox of its own, so that nothing learnt on one draw of a statement helps on
another. The scaffold sees statements, the model and the judge for its own programs; tests and verdicts stay here.
"""

from __future__ import annotations

import builtins
import json
import math
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

from open_re_bench.environment import Failure, Judgement, Scale, Scoring, Submission
from open_re_bench.environments.rust_codecontests.episodes import Episodes
from open_re_bench.environments.rust_codecontests.runner import Verdict
from open_re_bench.environments.rust_codecontests.scoring_door import ScoringDoor
from open_re_bench.sandbox import Bind, Limits, Sandbox, SandboxSpec, ensure
from open_re_bench.scoring.chat import CODER, Meter
from open_re_bench.scoring.cpu_limit import CpuLimit

HERE = Path(__file__).parent
MAX_TOKENS = 10**9  # over a whole scoring; the budget per problem is what binds
WORKER = ("python3", "/opt/scoring/worker.py")
PATH = {"PYTHONPATH": "/opt/kit"}
VISIBLE_DECK, FINAL_DECK = "visible", "deck3"
"""Names of decks: of the scorings during an attempt, and of the final one."""
SCAFFOLD_MEMORY_MB, SCAFFOLD_PIDS, SCAFFOLD_DISK_MB = 2048, 128, 256  # of a round's sandbox
IMPORT_CPU_S = 20.0  # a scaffold is imported in well under a second
UNUSABLE, NO_FUNCTION = 3, 4  # exit codes of worker.py: the import failed, or left no async generate_solution
# What may be repeated of what a broken scaffold says of itself: a log has no words of a participant's.
EXCEPTIONS = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
)
SHOWN_BYTES = 100  # of it, more than the longest of these names has


def score(submission: Submission, scoring: Scoring) -> Judgement:
    """Raw score: the fraction of the hidden problems whose answer passes every test."""
    scale = scoring.environment.scale
    if (why := _unusable(submission, scale)) is not None:
        return Judgement.invalid(f"solution.py could not be used: {why}")
    coder = CODER.get()
    episodes = Episodes(scoring.environment, scoring.instance.assets.hidden, Meter(tokens=MAX_TOKENS), coder)
    try:
        # the visible deck stays the same for an attempt, so that trying again is no lottery; the final one is another
        deck = FINAL_DECK if scoring.final else VISIBLE_DECK
        draws = [_Draw(submission, scoring, episodes, draw, deck) for draw in range(int(scale.constant("draws")))]
        with ThreadPoolExecutor(2) as pool:
            codes = list(pool.map(lambda job: job[0].run(job[1].run), [(copy_context(), draw) for draw in draws]))
            if {UNUSABLE, NO_FUNCTION} & set(codes):
                return Judgement.invalid("solution.py could not be used: importing it went well first, but not again")
            jobs = [(ticket, one) for draw in draws for ticket, one in draw.tickets.items()]
            verdicts = list(pool.map(lambda job: draws[0].verdict(*job), jobs))
        solved, count = sum(verdict is Verdict.AC for verdict in verdicts), len(verdicts)
        if not any(verdict is not None for verdict in verdicts):
            return Judgement.invalid("no problem was answered", Failure.PARTICIPANT)
        rate = solved / count
        error = math.sqrt(rate * (1 - rate) / count)
        tally = {
            verdict.value: sum(found is verdict for found in verdicts) for verdict in Verdict if verdict in verdicts
        }
        start, reference = _anchors(scoring, simulated=coder is None)
        used = [episodes.episode({"ticket": ticket}).meter for ticket, _ in jobs]
        return Judgement(
            raw=rate,
            message=f"solved {solved} of {count} problems (standard error {error:.3f})",
            details={
                "verdicts": tally,
                "unanswered": sum(verdict is None for verdict in verdicts),
                "tokens": sum(meter.used.tokens for meter in used),
                "calls": sum(meter.calls for meter in used),
                "refused_calls": sum(meter.refused for meter in used),
                "cost_usd": sum(meter.used.cost_usd for meter in used),
                "scaffold_cpu_s": round(sum(draw.cpu_s for draw in draws), 2),
                "simulated": coder is None,
                "coder": coder.name if coder is not None else "simulated",
            },
            start_raw=start,
            reference_raw=reference,
            comparability=(
                "simulated coder: not a result with a language model"
                if coder is None
                else f"coder {coder.name}; the anchors are those of the simulated coder",
            ),
        )
    finally:
        episodes.close()


def _anchors(scoring: Scoring, *, simulated: bool) -> tuple[float | None, float | None]:
    """Raw start and reference of the deck in force; None where the declared ones hold.

    Repeated scorings on a deck agree, but decks are not equally hard: a score is compared with what start and
    reference reach on the same one. The declared anchors are those of the final deck.
    """
    scale = scoring.environment.scale
    if scoring.final or not simulated or scale.anchors is None or scale.anchors.source != "per_set":
        return None, None
    return float(scale.constant("visible_start_raw")), float(scale.constant("visible_reference_raw"))


def _unusable(submission: Submission, scale: Scale) -> str | None:
    """Why the scaffold cannot be used: one that is stuck or broken in its import costs no round of problems."""
    with Sandbox(_sandbox(submission, scale)) as sandbox, CpuLimit(sandbox, IMPORT_CPU_S) as guard:
        done = sandbox.run([*WORKER, "check"], env=PATH)
    if guard.ended is not None:
        return f"importing it took more than {IMPORT_CPU_S:.0f} s of CPU time, or of waiting"
    if done.code == 0:
        return None
    if done.code == NO_FUNCTION:
        return "it must define async generate_solution(client, problem)"
    said = done.stdout[:SHOWN_BYTES].decode(errors="replace").strip()
    return f"importing it raised {said}" if said in EXCEPTIONS else "importing it failed"


def _sandbox(submission: Submission, scale: Scale, door: Path | None = None) -> SandboxSpec:
    """A sandbox for the scaffold; without a `door` it reaches nothing."""
    return SandboxSpec(
        toolchain=None if scale.toolchain == "none" else ensure(scale.toolchain, lambda _: None),
        memory_mb=SCAFFOLD_MEMORY_MB,
        pids=SCAFFOLD_PIDS,
        disk_mb=SCAFFOLD_DISK_MB,
        door=door,
        binds=(
            Bind(source=submission.root, target="/submission"),
            Bind(source=HERE / "worker.py", target=WORKER[-1]),
            Bind(source=HERE / "kit", target=PATH["PYTHONPATH"]),
        ),
    )


class _Draw:
    """One sandbox with one draw of every problem."""

    def __init__(self, submission: Submission, scoring: Scoring, episodes: Episodes, draw: int, deck: str) -> None:
        self._submission, self._scale, self._episodes = submission, scoring.environment.scale, episodes
        self.tickets = {episodes.open(one, draw, deck): one for one in episodes.splits["hidden"]}
        self._order = list(self.tickets)
        random.Random(f"{scoring.seed}/{draw}").shuffle(self._order)
        self._scratch = scoring.scratch
        self.cpu_s = 0.0

    def run(self) -> int:
        """Runs the scaffold over the draw; the exit code of the worker."""
        wall_s = float(self._scale.constant("wall_s"))
        with tempfile.TemporaryDirectory(prefix="orb-rust-") as folder:
            door_folder = Path(folder)
            door_folder.chmod(0o755)  # short path: Unix sockets allow 107 bytes
            services = {
                "model": self._episodes.serve_model,
                "judge": self._episodes.serve_judge,
                "answer": self._episodes.serve_answer,
            }
            problems = json.dumps([self._episodes.describe(ticket) for ticket in self._order]).encode()
            spec = _sandbox(self._submission, self._scale, door_folder)
            with ScoringDoor(door_folder, services) as door, Sandbox(spec) as sandbox:
                done = sandbox.run(
                    [*WORKER, str(int(self._scale.constant("parallel")))],
                    data=problems,
                    timeout=wall_s,
                    env=PATH,
                    limits=Limits(cpu_seconds=int(self._scale.constant("scaffold_cpu_s"))),
                )
                self.cpu_s = done.cpu_ns / 1e9
            if door.failure is not None:
                raise door.failure
        return done.code

    def verdict(self, ticket: str, one: object) -> Verdict | None:
        """The verdict on the answer of `ticket`; None when there is none."""
        episode = self._episodes.episode({"ticket": ticket})
        return None if episode.answer is None else self._episodes.grade(episode.posed, episode.answer)
