"""The score log of an attempt: append-only JSON lines on the host, fsynced per entry, hash-chained.

Each line is ``{"entry": {...}, "previous": <hex>, "hash": <hex>}`` with hash = SHA-256(previous + canonical entry).
A partial last line (a crash in the middle of a write) is cut off when the log is opened again; everything before it is
kept. The chain finds edits, swaps and gaps; someone who owns the host can forge a whole chain, so its head is printed
at the start and at the end of an attempt and re-scoring from the stored submissions is the evidence that counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from open_re_bench.errors import InfrastructureError, UserError

GENESIS = "0" * 64


class ScoreEntry(BaseModel):
    """One scoring, as asked for by the participant or made at the end of the attempt.

    Attributes:
        n: 1 for the attempt's first entry.
        asked_at: ISO 8601, UTC.
        kind: ``intermediate`` (asked for) or ``final`` (fresh-seed re-score at the end).
        budget_s, working_s, waiting_s, scoring_s, paused_s: The ledger when the scoring was asked for, in seconds.
        charged_s: Seconds of this scoring that were charged to the budget (0 within the free allowance).
        submission: Content address; None when collecting already failed.
        receipt: Empty when the submission never reached the scorer.
    """

    model_config = ConfigDict(frozen=True)

    n: int
    kind: str
    asked_at: str
    budget_s: float
    working_s: float
    waiting_s: float
    scoring_s: float
    paused_s: float
    charged_s: float = 0.0
    raw: float | None
    normalised: float
    valid: bool
    failure: str | None
    message: str
    submission: str | None
    details: dict[str, JsonValue] = {}
    receipt: dict[str, JsonValue] = {}
    caller: str = ""


def chain_hash(previous: str, entry: dict[str, JsonValue]) -> str:
    """SHA-256 that links `entry` to the line before it, whose hash is `previous`."""
    canonical = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256((previous + canonical).encode()).hexdigest()


class ChainBroken(UserError):
    """The score log does not hold together; the message names the first bad line."""


def read(path: Path, tolerate_partial_tail: bool = False) -> tuple[list[ScoreEntry], str]:
    """Reads and verifies a score log.

    Args:
        path: The log.
        tolerate_partial_tail: Accept an unfinished last line (it is left out).

    Returns:
        Entries in order, and the chain's head (`GENESIS` for an empty log).

    Raises:
        ChainBroken: a line was edited, removed, reordered or is unreadable.
    """
    entries: list[ScoreEntry] = []
    head = GENESIS
    if not path.exists():
        return entries, head
    lines = path.read_bytes().split(b"\n")
    tail = lines.pop()  # bytes after the last newline: empty unless a write was cut short
    if tail and not tolerate_partial_tail:
        raise ChainBroken(f"{path}: the last line is cut short", "resume or finalise the attempt, which mends it")
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            entry = ScoreEntry.model_validate(record["entry"])
            good = (
                set(record) == {"entry", "previous", "hash"}
                and record["previous"] == head
                and record["hash"] == chain_hash(head, record["entry"])
                and entry.n == number
            )
        except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
            good = False
        if not good:
            raise ChainBroken(
                f"{path}: line {number} was changed, moved or does not follow the one before",
                "the log cannot be trusted from there on; score the stored submissions again with `re-bench regrade`",
            )
        entries.append(entry)
        head = record["hash"]
    return entries, head


class ScoreLog:
    """Appends to a score log; one writer per attempt.

    Args:
        path: The log; made on the first append. A cut-off last line is removed.

    Raises:
        ChainBroken: what is there does not verify.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries, self.head = read(path, tolerate_partial_tail=True)
        if path.exists():
            raw = path.read_bytes()
            whole = raw.rfind(b"\n") + 1
            if whole != len(raw):
                _truncate_fsync(path, whole)
        self._size = path.stat().st_size if path.exists() else 0
        self._refused = b""  # the line whose append failed last: what it left may be taken back

    def append(self, entry: ScoreEntry) -> str:
        """Appends, fsyncs and returns the new head.

        Raises:
            InfrastructureError: the line could not be written (disk full, read-only); the log is left as it was. Or
                another process has written to the log, whose entries are left alone.
        """
        if entry.n != len(self.entries) + 1:
            raise ValueError(f"entry {entry.n} does not follow entry {len(self.entries)}")
        payload = json.loads(entry.model_dump_json())
        digest = chain_hash(self.head, payload)
        line = json.dumps({"entry": payload, "previous": self.head, "hash": digest}) + "\n"
        try:
            self._take_back()  # what an earlier failed append could not
            self._refused = line.encode()
            _append_fsync(self.path, self._refused)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._take_back()
            raise InfrastructureError(
                f"{self.path}: the score could not be recorded ({error.strerror})", "free space there and score again"
            ) from error
        self._size += len(line.encode())
        self.entries.append(entry)
        self.head = digest
        return digest

    def _take_back(self) -> None:
        """Cuts off what a failed append of ours left behind, and nothing else."""
        if not self.path.exists() or self.path.stat().st_size <= self._size:
            return
        with self.path.open("rb") as file:
            file.seek(self._size)
            surplus = file.read()
        if not self._refused.startswith(surplus):
            raise InfrastructureError(
                f"{self.path}: another process has written to this log", "let one process go on, then resume"
            )
        _truncate_fsync(self.path, self._size)


def _truncate_fsync(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def _append_fsync(path: Path, data: bytes) -> None:
    new = not path.exists()
    # Its receipts hold seeds, and the folder it lies in is passable: for this user only.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with open(descriptor, "ab", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())
    if new:
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the new name itself must survive a power cut
        finally:
            os.close(directory)
