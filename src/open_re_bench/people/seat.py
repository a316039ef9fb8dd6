"""One client at a desk: frames in, frames out, and a line editor for what is asked outside of a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import json

from open_re_bench.people.attach_client import CHUNK, DEFAULT_SIZE, EXIT, HELLO, INPUT, OUTPUT, WINDOW, Unpacker, pack

GREETING_S = 10.0
MAX_SIDE = 1000  # rows or columns; a window is not larger
MAX_LINE = 4000
MAX_WAITING = 256  # frames read ahead
DEFAULT_TERM = "xterm-256color"
INTERRUPTED = b"p"  # put among the frames when the phase has changed
INVERSE, NORMAL = "\x1b[7m", "\x1b[0m"


class PhaseChanged(Exception):
    """What goes on has changed while something was asked."""


class Seat:
    """A connected client.

    Attributes:
        rows, cols, term: Its window.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._frames: asyncio.Queue[tuple[bytes, bytes] | None] = asyncio.Queue()
        self._unpacker = Unpacker()
        self._reading: asyncio.Task[None] | None = None
        (self.rows, self.cols), self.term = DEFAULT_SIZE, DEFAULT_TERM

    async def greet(self) -> bool:
        """Reads the client's first frame; False when it is none (the harness's own probe)."""
        self._reading = asyncio.create_task(self._read())
        try:
            frame = await asyncio.wait_for(self._frames.get(), GREETING_S)
        except TimeoutError:
            return False
        if frame is None or frame[0] != HELLO:
            return False
        self._window(frame[1])
        return True

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(CHUNK):
                for frame in self._unpacker.feed(data):
                    self._frames.put_nowait(frame)
                while self._frames.qsize() > MAX_WAITING:
                    await asyncio.sleep(0.05)
        except (ConnectionError, ValueError):
            pass
        finally:
            self._frames.put_nowait(None)

    def _window(self, payload: bytes) -> None:
        with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError):
            told = json.loads(payload)
            self.rows = min(max(int(told["rows"]), 1), MAX_SIDE)
            self.cols = min(max(int(told["cols"]), 1), MAX_SIDE)
            term = str(told.get("term", ""))
            if term and len(term) < 64 and all(c.isalnum() or c in "-+._" for c in term):
                self.term = term

    def interrupt(self) -> None:
        """Whatever is being asked or shown: look again at what goes on."""
        self._frames.put_nowait((INTERRUPTED, b""))

    async def typed(self) -> bytes | None:
        """What was typed next; b"" when the window changed; None when the phase changed.

        Raises:
            EOFError: the client has gone.
        """
        frame = await self._frames.get()
        if frame is None:
            self._frames.put_nowait(None)
            raise EOFError
        kind, payload = frame
        if kind == INTERRUPTED:
            return None
        if kind == WINDOW:
            self._window(payload)
            return b""
        return payload if kind == INPUT else b""

    async def show(self, data: bytes) -> None:
        """Puts bytes on the screen."""
        self._writer.write(pack(OUTPUT, data))
        await self._writer.drain()

    async def say(self, text: str) -> None:
        """Puts lines on the screen."""
        await self.show((text.replace("\n", "\r\n") + "\r\n").encode())

    async def announce(self, text: str) -> None:
        """Puts a line on the screen that stands out, in the middle of whatever is shown."""
        with contextlib.suppress(ConnectionError):
            await self.show(f"\x07\r\n{INVERSE} {text} {NORMAL}\r\n".encode())

    async def farewell(self, text: str) -> None:
        """Last words; the client ends."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(pack(EXIT, text.replace("\n", "\r\n").encode()))
            await self._writer.drain()

    async def line(self, prompt: str, patient: bool = False) -> str:
        """Asks for a line, with backspace, Ctrl-U and Ctrl-C to begin anew.

        Args:
            prompt: Shown before it.
            patient: Go on asking when the phase changes.

        Raises:
            PhaseChanged: unless `patient`.
            EOFError: the client has gone, or Ctrl-D on an empty line.
        """
        await self.show(prompt.replace("\n", "\r\n").encode())
        line = bytearray()
        while True:
            data = await self.typed()
            if data is None:
                if patient:
                    continue
                await self.show(b"\r\n")
                raise PhaseChanged
            for byte in data:
                if byte in b"\r\n":
                    await self.show(b"\r\n")
                    return line.decode("utf-8", "replace").strip()
                if byte == 0x04 and not line:
                    raise EOFError
                if byte in b"\x7f\x08":
                    # A character may be several bytes, of which all but the first look like 10xxxxxx.
                    while line and line[-1] & 0xC0 == 0x80:
                        line.pop()
                    if line:
                        line.pop()
                        await self.show(b"\b \b")
                elif byte in b"\x15\x03":
                    line.clear()
                    await self.show(b"\r\n" + prompt.rpartition("\n")[2].encode())
                elif byte >= 0x20 and len(line) < MAX_LINE:
                    line.append(byte)
                    await self.show(bytes([byte]))

    async def close(self) -> None:
        """Hangs up."""
        if self._reading is not None:
            self._reading.cancel()
        self._writer.close()
        with contextlib.suppress(Exception):
            await self._writer.wait_closed()
