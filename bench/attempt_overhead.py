"""What the harness costs beside the participant's work: per attempt, and per scoring.

    python bench/attempt_overhead.py [--attempts 8] [--scorings 20]     writes bench/results/attempt_overhead.json

Scorings of `scaling_law` at scale `test` take milliseconds, so that nearly all of what is
measured is ours. Attempts run one after another; the price of one is the slope between a run of one attempt and a run
of many, so the start of Inspect counts in neither.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import inspect_ai
from inspect_ai import Task
from inspect_ai.agent import react
from inspect_ai.dataset import Sample
from inspect_ai.event import ToolEvent
from inspect_ai.log import EvalLog
from inspect_ai.model import get_model
from inspect_ai.tool import bash

from open_re_bench import assets, registry
from open_re_bench.conformance.subject import subject
from open_re_bench.exemplars import Kind
from open_re_bench.harness import attempt_folder
from open_re_bench.harness.planning import plan_attempts
from open_re_bench.running import runner

EXAMPLE = "scaling_law"  # the shortest scoring of all: an answer is compared with a table
SCALE = "test"
RESULTS = Path(__file__).parent / "results" / "attempt_overhead.json"
BUDGET_S = 600.0
SHELL: dict[str, Any] = {"say": "next", "tool": "bash", "arguments": {"command": "true"}}
SCORE_TOOL: dict[str, Any] = {"say": "how good?", "tool": "score", "arguments": {}}
SCORE_COMMAND: dict[str, Any] = {"say": "how good?", "tool": "bash", "arguments": {"command": "score"}}


def write(steps: list[dict[str, Any]], path: Path) -> Path:
    """A recording that `replay` plays."""
    path.write_text("\n".join(json.dumps(step) for step in steps) + "\n")
    return path


def ours(attempts: int, recording: Path, log_dir: Path) -> tuple[float, list[EvalLog]]:
    """Seconds and logs of `attempts` attempts, one after another, through the real path."""
    bound = registry.environment(EXAMPLE, SCALE)
    plans = plan_attempts(
        bound, runs=attempts, budget_s=BUDGET_S, agent="react", model="replay/x/bench", kind="scripted",
        batch=f"overhead{attempts}", simulated=True,
    )  # fmt: skip
    folders = [attempt_folder.create(log_dir, plan) for plan in plans]
    options = runner.RunOptions(max_attempts=1, model_args={"transcript": str(recording)})
    began = time.monotonic()
    logs = runner.carry_out(folders, log_dir, options)
    took = time.monotonic() - began
    if failed := runner.failures(logs):
        raise SystemExit("\n".join(failed))
    return took, logs


def inspects(samples: int, recording: Path, log_dir: Path) -> float:
    """Seconds of so many samples with the same model and agent, unisolated and unscored."""
    task = Task(
        dataset=[Sample(input="work", id=number) for number in range(samples)],
        solver=react(tools=[bash()]),
        sandbox="local",
    )
    task.model = get_model("replay/x/bench", memoize=False, transcript=str(recording))
    began = time.monotonic()
    (log,) = inspect_ai.eval(task, log_dir=str(log_dir), display="none", max_samples=1)
    if log.status != "success":
        raise SystemExit(f"{log.status}: {log.error}")
    return time.monotonic() - began


def call_seconds(logs: list[EvalLog], *, function: str, command: str | None = None) -> list[float]:
    """Seconds of the calls of a tool, as the agent waits for them."""
    return [
        (event.completed - event.timestamp).total_seconds()
        for log in logs
        for sample in log.samples or []
        for event in sample.events
        if isinstance(event, ToolEvent) and event.function == function and event.completed is not None
        if command is None or event.arguments.get("command") == command
    ]


def bare_scorings(count: int) -> list[float]:
    """Seconds of the environment's scoring with nothing around it but collection and receipt."""
    bound = registry.environment(EXAMPLE, SCALE)
    values = []
    with subject(bound) as example:
        folder = example.write(Kind.START)
        for _ in range(count):
            began = time.monotonic()
            example.score_folder(folder)
            values.append(time.monotonic() - began)
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attempts", type=int, default=8)
    parser.add_argument("--scorings", type=int, default=20)
    options = parser.parse_args()
    load, many = os.getloadavg()[0], options.attempts
    assets.prepare(registry.environment(EXAMPLE, SCALE))
    with tempfile.TemporaryDirectory(prefix="orb-bench-") as directory:
        scratch = Path(directory)
        short = write([SHELL], scratch / "short.jsonl")
        ours(1, short, scratch / "warm")  # imports, toolchains, caches
        inspects(1, short, scratch / "warm-local")
        one, _ = ours(1, short, scratch / "one")
        all_, _ = ours(many, short, scratch / "many")
        attempt = (all_ - one) / (many - 1)
        plain = (inspects(many, short, scratch / "m") - inspects(1, short, scratch / "o")) / (many - 1)
        asked = [SHELL, *[SCORE_TOOL, SCORE_COMMAND] * options.scorings]
        _, logs = ours(1, write(asked, scratch / "asked.jsonl"), scratch / "asked")
    bare = statistics.median(bare_scorings(options.scorings))
    tool = statistics.median(call_seconds(logs, function="score"))
    command = statistics.median(call_seconds(logs, function="bash", command="score"))
    rows = [
        {"what": "a sample of Inspect with sandbox local, unscored", "ms": plain * 1e3},
        {"what": "an attempt: sandbox, ledger, log, seal, final scoring", "ms": attempt * 1e3},
        {"what": "a scoring by itself", "ms": bare * 1e3},
        {"what": "the same through the score tool", "ms": tool * 1e3},
        {"what": "the same through the score command in a shell", "ms": command * 1e3},
    ]
    for row in rows:
        print(f"{row['what']:60} {row['ms']:8.1f} ms")
    machine = f"{os.cpu_count()}-core {platform.machine()} machine, Python {platform.python_version()}, load {load:.1f}"
    what = (
        f"{EXAMPLE} at scale {SCALE}, whose scoring is short; a recorded worker with one "
        f"command; {many} attempts one after another less a single one; p50 of {options.scorings} scorings each."
    )
    table = {"title": "Price of an attempt and of a scoring", "what": what, "machine": machine, "rows": rows}
    RESULTS.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
