"""What a person's terminal showed, kept on the host in asciicast version 2 (https://docs.asciinema.org/manual/asciicast/v2/).

One JSON line per event, ``[seconds since the start, "o" | "r" | "m", text]``: output, a changed window size, a remark
of the harness. What was typed is not recorded except where the terminal showed it (passwords are not). A killed
harness loses at most the event in flight; any asciicast player shows the file.
"""

from __future__ import annotations

import codecs
import json
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter

MAX_BYTES = 200_000_000  # of one terminal; a program that prints for hours must not fill the host's disk
SYNC_S = 5.0  # how much a power cut can lose
MASK = "█"
Event = tuple[float, str, str]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
logger = logging.getLogger(__name__)


class Recording:
    """Writes one terminal's recording.

    Args:
        file: Does not exist yet.
        rows, cols: The window's size.
        term: Kind of terminal.
    """

    def __init__(self, file: Path, rows: int, cols: int, term: str) -> None:
        self._start = self._synced = time.monotonic()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._written = 0
        self._file = open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", 1, "utf-8")  # noqa: SIM115
        header = {"version": 2, "width": cols, "height": rows, "timestamp": int(time.time()), "env": {"TERM": term}}
        self._line(json.dumps(header))

    def output(self, data: bytes) -> None:
        """The terminal showed `data`."""
        if text := self._decoder.decode(data):
            self._event("o", text)

    def resized(self, rows: int, cols: int) -> None:
        """The window's size changed."""
        self._event("r", f"{cols}x{rows}")

    def remark(self, text: str) -> None:
        """Something that explains what follows."""
        self._event("m", text)

    def close(self) -> None:
        """Ends the recording."""
        try:
            self._file.close()
        except OSError:  # a full disk: what could be written is there
            logger.warning("the end of a terminal's recording is lost", exc_info=True)

    def _event(self, kind: str, text: str) -> None:
        if self._written > MAX_BYTES or self._file.closed:
            return
        now = time.monotonic()
        sync = now - self._synced > SYNC_S
        self._synced = now if sync else self._synced
        self._line(json.dumps([round(now - self._start, 6), kind, text]), sync)

    def _line(self, line: str, sync: bool = False) -> None:
        try:
            self._written += self._file.write(f"{line}\n")
            if sync:
                os.fsync(self._file.fileno())
        except OSError:  # a full disk must not end the session
            logger.warning("a terminal is not recorded any more", exc_info=True)
            self._written = MAX_BYTES + 1


def read(file: Path) -> list[Event]:
    """Events of a recording; a line cut off by a crash is left out."""
    events = []
    for line in file.read_text(encoding="utf-8").splitlines()[1:]:
        try:
            events.append(_EVENT.validate_json(line))
        except ValueError:
            continue
    return events


def shown(file: Path) -> str:
    """Everything that the terminal showed, control sequences included."""
    return "".join(text for _, kind, text in read(file) if kind == "o")


def redact(file: Path, secrets: Iterable[str]) -> int:
    """Overwrites each occurrence of the given texts, also where it is spread over several events.

    Returns:
        Number of occurrences.
    """
    header = file.read_text(encoding="utf-8").partition("\n")[0]
    events, found = read(file), 0
    for kind in ("o", "m"):
        chosen = [i for i, event in enumerate(events) if event[1] == kind]
        whole = "".join(events[i][2] for i in chosen)
        for secret in secrets:
            found += whole.count(secret)
            whole = whole.replace(secret, MASK * len(secret))
        at = 0
        for i in chosen:
            seconds, _, text = events[i]
            events[i] = (seconds, kind, whole[at : at + len(text)])
            at += len(text)
    temporary = file.with_suffix(".new")
    temporary.write_text("\n".join([header, *(json.dumps(event) for event in events)]) + "\n", encoding="utf-8")
    temporary.chmod(0o600)
    temporary.replace(file)
    return found
