"""The numbers in the task text are those of the code."""

from __future__ import annotations

import pytest

from open_re_bench import registry
from open_re_bench.environments.rust_codecontests import episodes, judge, runner, score, scoring_door, services
from open_re_bench.harness import door
from open_re_bench.scoring import chat
from open_re_bench.scoring.workspace import task_text

LIMITS = (
    f"is {chat.DEFAULT_MAX_TOKENS} unless you give it",
    f"`n` is at most {chat.MAX_CHOICES},",
    f"{chat.MAX_PROMPT_CHARACTERS} characters",
    f"A token is {chat.CHARACTERS_PER_TOKEN:.0f} characters",
    f"each message of a request has {chat.MESSAGE_OVERHEAD} more",
    f"`check` costs {episodes.CHECK_CPU_S} CPU seconds of the judge's time, `run` {episodes.RUN_CPU_S} ",
    f"at most {judge.MAX_INPUTS} inputs with {episodes.MAX_INPUT_BYTES} bytes in all",
    f"and {door.MAX_REQUEST_BYTES} bytes of request",
    f"at most {judge.MAX_SOURCE} bytes, the compiler {judge.COMPILE.cpu_s:.0f} CPU seconds",
    f"or after {runner.WALL_PER_CPU} times that and {runner.WALL_SLACK_S:.0f} seconds by the clock",
    f"more than {runner.STANDARD.output_kb} KB",
    f"first {episodes.SHOWN_OUTPUT} bytes of a run's output, {episodes.SHOWN_ERRORS} bytes of its error output",
    f"{judge.DIAGNOSTICS} characters of the compiler's messages",
    f"{score.SCAFFOLD_MEMORY_MB // 1024} GB of memory, {score.SCAFFOLD_PIDS} processes",
    f"{score.SCAFFOLD_DISK_MB} MB of files",
    f"Importing `solution.py` may take {score.IMPORT_CPU_S:.0f} seconds of CPU time",
    f"Up to {services.CALLS_AT_ONCE} requests to the coder and {services.CALLS_AT_ONCE} to the judge",
    f"in a scoring {scoring_door.MAX_CONNECTIONS} in all, and one that has waited {scoring_door.SLOT_S:.0f} seconds",
)


@pytest.mark.parametrize("limit", LIMITS)
def test_limits_are_told(limit: str) -> None:
    """Every limit a scaffold can run into stands in the task text as the code has it."""
    text = " ".join(task_text(registry.environment("rust_codecontests", "cpu")).split())
    assert limit in text


def test_limits_of_a_request() -> None:
    """The limits on fields of a request, which the text tells too, are in its schema."""
    text = " ".join(task_text(registry.environment("rust_codecontests", "cpu")).split())
    fields = chat.ChatRequest.model_json_schema()["properties"]
    assert f"at most {fields['max_tokens']['maximum']}; an answer ends there" in text
    assert f"at most {fields['messages']['maxItems']} messages" in text
    assert f"`temperature` {fields['temperature']['minimum']} to {fields['temperature']['maximum']}." in text


def test_both_doors_take_the_same() -> None:
    """A request that the workshop's door takes is taken in a scoring."""
    assert scoring_door.MAX_REQUEST_BYTES == door.MAX_REQUEST_BYTES
