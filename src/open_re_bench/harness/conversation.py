"""The conversation of an interrupted attempt, taken from Inspect's own crash recovery.

Files, ledger and score log survive in the attempt's folder whatever happens. The agent's messages live in Inspect's
log and sample buffer; `recover` reads them back so that a resumed agent remembers what it did. Where they cannot be
had (another machine, a deleted buffer) the agent starts a new conversation on its old files.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log, read_eval_log_sample_summaries, recover_eval_log
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageSystem, ChatMessageTool
from pydantic import TypeAdapter, ValidationError

from open_re_bench.harness.attempt_folder import AttemptFolder

logger = logging.getLogger(__name__)
FILE = "conversation.json"
_MESSAGES: TypeAdapter[list[ChatMessage]] = TypeAdapter(list[ChatMessage])


def recover(log_dir: Path, folders: Sequence[AttemptFolder]) -> list[str]:
    """Saves the conversations of interrupted attempts into their folders.

    Args:
        log_dir: Inspect's log directory of the interrupted run.
        folders: Attempts without a result.

    Returns:
        Ids of the attempts whose conversation was found.
    """
    wanted = {folder.root.name: folder for folder in folders}
    found: set[str] = set()
    for info in list_eval_logs(str(log_dir)):  # newest first
        if not wanted.keys() - found:
            break
        for attempt, messages in _conversations(info.name, wanted.keys() - found).items():
            if attempt in wanted and attempt not in found:
                (wanted[attempt].root / FILE).write_bytes(_MESSAGES.dump_json(resumable(messages)))
                found.add(attempt)
    return sorted(found)


def _conversations(location: str, wanted: Collection[str]) -> dict[str, list[ChatMessage]]:
    """Messages by attempt in a log; empty when none of those `wanted` is in it or it cannot be read.

    A run that ended well may hold samples that did not: an error of ours ends its sample only. A crashed log can be
    broken in any way; resuming without memory beats not resuming.
    """
    try:
        status = read_eval_log(location, header_only=True).status
        if status == "success" and not any(
            str(sample.id) in wanted for sample in read_eval_log_sample_summaries(location)
        ):
            return {}
        if status != "started":
            return _by_attempt(read_eval_log(location))
        with tempfile.TemporaryDirectory(prefix="orb-recover-") as temporary:
            output = f"{temporary}/recovered.eval"
            recover_eval_log(location, output=output, cleanup=False)
            return _by_attempt(read_eval_log(output))
    except Exception:
        logger.warning("the conversation in %s cannot be recovered", location, exc_info=True)
        return {}


def _by_attempt(log: EvalLog) -> dict[str, list[ChatMessage]]:
    """Without attempts in which no model has spoken: their set-up failed, and an older log remembers more."""
    return {
        str(sample.id): list(sample.messages)
        for sample in log.samples or []
        if any(isinstance(message, ChatMessageAssistant) for message in sample.messages)
    }


def resumable(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Messages a model can go on from: without system messages (the agent adds its own) and unanswered tool calls."""
    kept: list[ChatMessage] = [message for message in messages if not isinstance(message, ChatMessageSystem)]
    answered = {message.tool_call_id for message in kept if isinstance(message, ChatMessageTool)}
    while kept:
        last = next((i for i in range(len(kept) - 1, -1, -1) if isinstance(kept[i], ChatMessageAssistant)), None)
        if last is None:
            return kept
        message = kept[last]
        calls = message.tool_calls if isinstance(message, ChatMessageAssistant) else None
        if all(call.id in answered for call in calls or []):
            return kept
        kept = kept[:last]
    return kept


def load(folder: AttemptFolder) -> list[ChatMessage]:
    """The saved conversation; empty when there is none or it cannot be read."""
    file = folder.root / FILE
    if not file.exists():
        return []
    try:
        return _MESSAGES.validate_json(file.read_bytes())
    except ValidationError:
        return []
