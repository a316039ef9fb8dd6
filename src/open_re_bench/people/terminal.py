"""A shell of a person in the workshop: made inside, kept and recorded by the harness, shown to one client at a time.

It outlives the client (a lost connection loses nothing) and ends with the shell or the workshop.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Awaitable, Callable

from open_re_bench.people.recording import Recording
from open_re_bench.sandbox import Sandbox
from open_re_bench.sandbox.channel import Process

SHELL = ("bash", "--login")
CHUNK = 1 << 16
MEMORY_BYTES = 1 << 14  # what a client that comes back is shown of what went before
MAX_PENDING_BYTES = 1 << 20  # typed or pasted but not read by the workshop yet (it may stand still)
REDRAW_S = 0.05
Show = Callable[[bytes], Awaitable[None]]


class Terminal:
    """One shell.

    Args:
        process: The shell, with a terminal of its own.
        recording: Where it is recorded; None when the person declined.
    """

    def __init__(self, process: Process, recording: Recording | None) -> None:
        assert process.terminal is not None
        self._process, self._fd = process, process.terminal
        self.recording = recording
        self._memory = bytearray()
        self._unseen = 0  # bytes at the end of the memory that nobody was there to see
        self._pending = bytearray()
        self._show: Show | None = None
        self._last_client: object = None
        self.ended = False
        os.set_blocking(self._fd, False)
        self._pump = asyncio.create_task(self._read())

    @classmethod
    def open(cls, sandbox: Sandbox, term: str) -> Process:
        """Starts the shell (blocking; from any thread)."""
        return sandbox.spawn(list(SHELL), tty=True, env={"TERM": term})

    @property
    def attached(self) -> bool:
        """Whether a client looks at it."""
        return self._show is not None

    def attach(self, client: object, show: Show) -> bytes:
        """A client looks from now on; returns what it is to be shown of what went before and it has not seen."""
        known, self._last_client, self._show = client is self._last_client, client, show
        missed, self._unseen = min(self._unseen, len(self._memory)), 0
        return bytes(self._memory[len(self._memory) - missed :] if known else self._memory)

    def detach(self) -> None:
        """The client has gone; the shell goes on."""
        self._show = None

    def resize(self, rows: int, cols: int) -> None:
        """The client's window has another size."""
        if self.ended:
            return
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        if self.recording is not None:
            self.recording.resized(rows, cols)

    async def redraw(self, rows: int, cols: int) -> None:
        """Makes the program draw its screen, or the shell its prompt, again."""
        self.resize(max(1, rows - 1), cols)
        await asyncio.sleep(REDRAW_S)  # or the program looks after both changes and finds none
        self.resize(rows, cols)

    def type(self, data: bytes) -> None:
        """The client typed `data`; more than `MAX_PENDING_BYTES` unread is dropped."""
        if self.ended or len(self._pending) + len(data) > MAX_PENDING_BYTES:
            return
        self._pending += data
        self._flush()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._pending:
                del self._pending[: os.write(self._fd, self._pending[:CHUNK])]
        except BlockingIOError:
            loop.add_writer(self._fd, self._flush)
            return
        except OSError:
            self._pending.clear()
        loop.remove_writer(self._fd)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                readable: asyncio.Future[None] = loop.create_future()
                loop.add_reader(self._fd, _arrived, readable)
                try:
                    await readable
                finally:
                    loop.remove_reader(self._fd)
                try:
                    data = os.read(self._fd, CHUNK)
                except BlockingIOError:
                    continue
                except OSError:  # the shell and everything else on this terminal has ended
                    return
                if not data:
                    return
                self._memory = (self._memory + data)[-MEMORY_BYTES:]
                if self.recording is not None:
                    self.recording.output(data)
                if self._show is None:
                    self._unseen += len(data)
                else:
                    with contextlib.suppress(ConnectionError):  # the client goes, the shell stays
                        await self._show(data)
        finally:
            self.ended = True
            loop.remove_writer(self._fd)

    async def wait(self) -> None:
        """Until the shell has ended."""
        await asyncio.wait([self._pump])

    async def close(self) -> None:
        """Ends the shell and its recording."""
        self._pump.cancel()
        await asyncio.wait([self._pump])
        if self.recording is not None:
            self.recording.close()
        await asyncio.to_thread(self._process.close)


def _arrived(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
