"""A person's rights over what was kept: overwriting texts in it, deleting recordings, deleting everything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from open_re_bench.harness.attempt_folder import AttemptFolder
from open_re_bench.people import recording
from open_re_bench.people.person import PersonFolder
from open_re_bench.scoring import score_log


def redact(folder: AttemptFolder, texts: Sequence[str]) -> int:
    """Overwrites each occurrence of `texts` in recordings, notes and answers.

    Returns:
        Number of occurrences.
    """
    person = PersonFolder(folder)
    longest_first = sorted(texts, key=len, reverse=True)
    found = sum(recording.redact(file, longest_first) for file in person.recordings())
    events = person.events()
    cleaned = []
    for event in events:
        text, count = _masked(event.text, longest_first)
        found += count
        cleaned.append(event.model_copy(update={"text": text}))
    if events:
        person.replace_events(cleaned)
    answers = person.questionnaire()
    for key, answer in answers.answers.items():
        answers.answers[key], count = _masked(answer, longest_first)
        found += count
    if answers.answers:
        person.write_questionnaire(answers)
    return found


def _masked(text: str, secrets: Sequence[str]) -> tuple[str, int]:
    found = 0
    for secret in secrets:
        found += text.count(secret)
        text = text.replace(secret, recording.MASK * len(secret))
    return text, found


def delete_recordings(folder: AttemptFolder) -> list[Path]:
    """Deletes what the terminals showed; the result stays.

    Returns:
        What was deleted.
    """
    files = PersonFolder(folder).recordings()
    for file in files:
        file.unlink()
    return files


def delete(folder: AttemptFolder) -> list[Path]:
    """Deletes the attempt: its folder, its Inspect logs, and submissions that no other attempt made.

    Returns:
        What was deleted.
    """
    log_dir = folder.root.parent.parent
    others = [AttemptFolder(path.parent) for path in (log_dir / "attempts").glob("*/plan.json")]
    kept = set().union(*(_submissions(other) for other in others if other.root != folder.root))
    doomed = [folder.submissions / digest for digest in sorted(_submissions(folder) - kept)]
    doomed += _inspect_logs(log_dir, folder.root.name)
    doomed.append(folder.root)
    deleted = [path for path in doomed if path.exists()]
    for path in deleted:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return deleted


def _submissions(folder: AttemptFolder) -> set[str]:
    if not folder.score_log.exists():
        return set()
    entries, _ = score_log.read(folder.score_log, tolerate_partial_tail=True)
    return {entry.submission for entry in entries if entry.submission}


def _inspect_logs(log_dir: Path, attempt_id: str) -> list[Path]:
    """Logs of this attempt; a person's attempt has its logs to itself."""
    from inspect_ai.log import read_eval_log

    found = []
    for path in log_dir.glob("*.eval"):
        try:
            header = read_eval_log(str(path), header_only=True)
        except (OSError, ValueError, KeyError, json.JSONDecodeError):
            continue
        if (header.eval.dataset.sample_ids or []) == [attempt_id]:
            found.append(path)
    return found
