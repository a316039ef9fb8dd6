"""The terminal client of a person: raw keys one way, the screen the other; everything else happens in the harness.

Only the standard library, and no other file: in `proctored` mode a copy of this file is all that the person's login
user runs (``python3 -I attach SOCKET``), and a forced command of an SSH server needs nothing else of ours.

Frames on the socket, both ways: one byte of kind, four bytes of length (big endian), the payload.

====== =========== ==========================================================
 kind   direction   payload
====== =========== ==========================================================
``h``   to harness  JSON ``{"rows": int, "cols": int, "term": str}``, once
``i``   to harness  what was typed
``w``   to harness  JSON ``{"rows": int, "cols": int}``: the window changed
``o``   to client   what to show
``x``   to client   last words, after which the client ends
====== =========== ==========================================================
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
import tty

HELLO, INPUT, WINDOW, OUTPUT, EXIT = b"h", b"i", b"w", b"o", b"x"
HEADER = struct.Struct(">cI")
MAX_PAYLOAD = 1 << 20  # bytes; what a terminal says at once is far less
CHUNK = 1 << 16
DEFAULT_SIZE = (24, 80)  # rows and columns where there is no terminal to ask
EXIT_OK, EXIT_USAGE, EXIT_LOST = 0, 2, 5
LOST = (
    "\r\nThe harness has gone. Files, scores and the time used are kept; running programs have ended.\r\n"
    "Go on with the line that it printed: re-bench human --resume ATTEMPT\r\n"
)


def pack(kind: bytes, payload: bytes = b"") -> bytes:
    """One frame."""
    return HEADER.pack(kind, len(payload)) + payload


class Unpacker:
    """Splits a stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Frames that `data` completes.

        Raises:
            ValueError: a frame larger than `MAX_PAYLOAD`.
        """
        self._buffer += data
        frames = []
        while len(self._buffer) >= HEADER.size:
            kind, size = HEADER.unpack_from(self._buffer)
            if size > MAX_PAYLOAD:
                raise ValueError("a frame is too large")
            if len(self._buffer) < HEADER.size + size:
                break
            frames.append((kind, bytes(self._buffer[HEADER.size : HEADER.size + size])))
            del self._buffer[: HEADER.size + size]
        return frames


def _size() -> dict[str, int]:
    rows, cols = DEFAULT_SIZE
    with contextlib.suppress(OSError):
        columns, lines = os.get_terminal_size(0)
        rows, cols = lines or rows, columns or cols
    return {"rows": rows, "cols": cols}


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def relay(connection: socket.socket) -> int:
    """Connects standard input and output with the harness until either side ends.

    Args:
        connection: To the harness.

    Returns:
        Exit code: 0 when the harness said goodbye or the input ended, 5 when the harness went without a word.
    """
    hello = {**_size(), "term": os.environ.get("TERM", "")}
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # turned away: why is still to be read
        connection.sendall(pack(HELLO, json.dumps(hello).encode()))
    interactive = os.isatty(0)
    before = termios.tcgetattr(0) if interactive else None
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGWINCH, lambda *_: None)
    unpacker, sources = Unpacker(), [0, connection.fileno(), woken]
    try:
        if interactive:
            tty.setraw(0)
        while True:
            ready = select.select(sources, [], [])[0]
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(woken, CHUNK)
                connection.sendall(pack(WINDOW, json.dumps(_size()).encode()))
            if connection.fileno() in ready:
                data = connection.recv(CHUNK)
                if not data:
                    break
                for kind, payload in unpacker.feed(data):
                    _write(payload)
                    if kind == EXIT:
                        return EXIT_OK
            if 0 in ready:
                data = os.read(0, CHUNK)
                if not data:  # nobody types any more: the shell stays, this client goes
                    return EXIT_OK
                connection.sendall(pack(INPUT, data))
    except (BrokenPipeError, ConnectionResetError, ValueError):
        pass
    finally:
        if before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
    _write(LOST.encode())
    return EXIT_LOST


def attach(path: str) -> int:
    """Opens the terminal behind the socket `path`.

    Returns:
        Exit code.

    Raises:
        OSError: nobody listens there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        return relay(connection)


def main() -> int:
    """Entry point of the copied file; without an argument the socket lies beside it."""
    parser = argparse.ArgumentParser(prog="attach", description="Open a terminal in a session that is under way.")
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "desk.sock")
    parser.add_argument("socket", nargs="?", default=beside)
    try:
        return attach(parser.parse_args().socket)
    except OSError as error:
        print(f"no session can be reached ({error.strerror}); ask whoever started it", file=sys.stderr)
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
