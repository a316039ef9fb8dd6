"""Leaks: what a participant can learn of scores and hidden inputs from messages, files, sizes and time."""

# ruff: noqa: E501 (attacks are programs in one piece)
from __future__ import annotations

import json
import statistics
import time

from open_re_bench.conformance.attacks.rig import outcome, rig
from open_re_bench.conformance.check import Check, require
from open_re_bench.conformance.subject import Subject
from open_re_bench.environment import Environment
from open_re_bench.exemplars import Kind
from open_re_bench.harness import messages
from open_re_bench.sandbox.mounts import HOME
from open_re_bench.scoring.workspace import SOLUTION

LISTING = (
    "find / -xdev -not -path '/proc/*' -not -path '*/solution/*' -printf '%p %s %m %l\\n' 2>/dev/null | sort | sha256sum; "
    "find ~ /tmp /var/tmp /dev/shm /run /opt -not -path '*/solution' -not -path '*/solution/*' "
    "-printf '%p %y %s\\n' 2>/dev/null | sort"
)
REPEATS = 5
ECHO = """
import sys
try:
    seen = repr(sys.argv)
    frame = sys._getframe()
    while frame:
        seen += repr(dict(frame.f_locals))[:2000]
        frame = frame.f_back
    seen += sys.stdin.read()[:4000]
except Exception as error:
    seen += repr(error)
raise ValueError(MARK + seen)
"""
MARK = "mark-of-the-attack-kit"


def checks(environment: Environment) -> list[Check]:
    """The checks that apply to `environment`."""
    found = [
        Check("attack_leak:files", "A scoring leaves no trace in the workshop that depends on the score.", _files),
        Check("attack_leak:log_text", "The participant's view of the log holds no seed and no host path.", _log_text),
    ]
    if any(path.endswith(".py") for path in environment.spec.submission.required):
        found.append(Check("attack_leak:messages", "What a submission says of its inputs does not come back.", _echo))
    if not environment.spec.score_visible:
        found.append(Check("attack_leak:timing", "How long a scoring takes says nothing of a hidden score.", _timing))
    return found


def _files(subject: Subject) -> str:
    listings = []
    for kind in (Kind.START, Kind.REFERENCE):
        with rig(subject) as attacked:
            folder = subject.write(kind)
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    name = path.relative_to(folder).as_posix()
                    attacked.shell(f"mkdir -p \"$(dirname '{name}')\"")
                    attacked.sandbox.write_file(f"{HOME}/{SOLUTION}/{name}", path.read_bytes())
            attacked.score()
            listings.append(attacked.shell(LISTING).stdout)
    lines = [set(listing.splitlines()[1:]) for listing in listings]
    differing = sorted(lines[0] ^ lines[1])
    require(not differing, f"differs with the score: {differing[:4]}")
    return f"{len(lines[0])} names and sizes are the same after scoring the start and the reference"


def _log_text(subject: Subject) -> str:
    with rig(subject) as attacked:
        entry = attacked.score()
        text = messages.log_text(attacked.attempt.log.entries, subject.environment)
        text += messages.score_text(entry, subject.environment, entry)
        secrets = [str(entry.receipt.get(key)) for key in ("instance_seed", "scoring_seed", "assets_sha256")]
        secrets += [str(attacked.folder.root), attacked.attempt.log.head, json.dumps(entry.receipt.get("machine"))]
        shown = [secret for secret in secrets if secret and secret != "None" and secret in text]
        require(not shown, f"shown: {shown}")
        return f"{len(text.split())} words"


def _echo(subject: Subject) -> str:
    folder = subject.write(Kind.START)
    for name in subject.environment.spec.submission.required:
        if name.endswith(".py"):
            (folder / name).write_text(f"MARK = {MARK!r}\n{ECHO}")
    score = subject.score_folder(folder)
    require(MARK not in score.message, f"the message repeats the submission's text: {score.message[:300]}")
    return outcome(subject, score)


def _timing(subject: Subject) -> str:
    """Scorings of start and reference by turns: the two ranges of times must overlap."""
    times: dict[Kind, list[float]] = {Kind.START: [], Kind.REFERENCE: []}
    folders = {kind: subject.write(kind) for kind in times}
    subject.score_folder(folders[Kind.START])
    for _ in range(REPEATS):
        for kind, seconds in times.items():
            began = time.monotonic()
            subject.score_folder(folders[kind])
            seconds.append(time.monotonic() - began)
    start, reference = times[Kind.START], times[Kind.REFERENCE]
    overlap = min(start) <= max(reference) and min(reference) <= max(start)
    medians = f"medians {statistics.median(start):.3f} s and {statistics.median(reference):.3f} s"
    require(overlap, f"start and reference can be told apart by time: {medians}")
    return medians
