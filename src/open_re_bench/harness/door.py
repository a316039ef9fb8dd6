"""The only door out of a sandbox: a Unix socket on which host-side services answer.

The socket's directory is mounted into the sandbox at `MOUNT`; there is no network. One request per connection, one
line of JSON each way::

    {"service": "score", "request": {...}}  ->  {"ok": true, "result": {...}}
                                             |  {"ok": false, "error": "one line"}

Compared with Inspect's `sandbox_service`, which polls files through sandbox commands ten times a second, this costs
nothing while idle (timed scorings share the machine), answers in about a millisecond, and a frozen workshop simply
stays silent. `docs/design/door.md` has the measurements; other sandbox providers keep the tools without the command.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from pydantic import JsonValue

from open_re_bench.environment import ServiceRefusal

MOUNT = "/run/open-re-bench"
SOCKET = "door.sock"
MAX_REQUEST_BYTES = 4_000_000  # a program or a prompt with its context; anything larger is abuse
MAX_CONNECTIONS = 64  # per sandbox; more wait in the kernel's backlog
MAX_OPEN = 256  # connections that wait included; more are dropped: each costs the harness a descriptor
READ_TIMEOUT_S = 60.0  # a client that sends nothing must not hold a connection for ever

Handler = Callable[[dict[str, JsonValue]], Awaitable[dict[str, JsonValue]]]
logger = logging.getLogger(__name__)


def door_directory(key: str) -> Path:
    """The directory of an attempt's socket, made on demand.

    Args:
        key: What tells the attempt from every other on this machine (`AttemptFolder.key`): a name alone may be used in
            two log directories at once, and neither participant may come to the other's door.

    Unix socket paths are limited to 107 bytes, so it lies in the temporary directory and not below the logs; its name
    is a function of the attempt, so that a resumed harness serves the same door.
    """
    root = Path(tempfile.gettempdir())
    if len(str(root)) > 40:
        root = Path("/tmp")
    directory = root / f"orb-{os.getuid()}" / hashlib.sha256(key.encode()).hexdigest()[:16]
    directory.mkdir(parents=True, exist_ok=True)
    directory.parent.chmod(0o711)
    directory.chmod(0o755)
    return directory


class Door:
    """Serves named handlers on a Unix socket for one sandbox.

    Args:
        directory: Host directory for the socket, mounted into the sandbox at `MOUNT` (see `door_directory`).
        handlers: Service name -> coroutine. A `ServiceRefusal` becomes the error line; any other exception becomes a
            fixed sentence (nothing of the host leaks) and is logged on the host.
    """

    def __init__(self, directory: Path, handlers: Mapping[str, Handler]) -> None:
        self.directory, self.handlers = directory, dict(handlers)
        self._server: asyncio.Server | None = None
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Starts listening."""
        path = self.directory / SOCKET
        path.unlink(missing_ok=True)  # left by a harness that was killed
        self._server = await asyncio.start_unix_server(self._accept, path=path, limit=MAX_REQUEST_BYTES)
        os.chmod(path, 0o666)  # the participant is another user; the mount decides who can see it at all

    async def close(self) -> None:
        """Stops listening, drops open requests and removes the socket.

        Its folder stays: the next try of the same sample (``--retry-on-error``) or a resumed harness mounts it again.
        """
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        with contextlib.suppress(OSError):
            (self.directory / SOCKET).unlink(missing_ok=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MAX_OPEN:
            writer.close()
            return
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            async with self._slots:
                reply = await self._answer(reader)
            writer.write(json.dumps(reply, allow_nan=False).encode() + b"\n")
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client went away, or the attempt ended
        finally:
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> dict[str, JsonValue]:
        try:
            line = await asyncio.wait_for(reader.readline(), READ_TIMEOUT_S)
            message = json.loads(line)
            json.dumps(message, ensure_ascii=False).encode()  # halves of characters are no text
            service, request = message["service"], message.get("request") or {}
            if not isinstance(service, str) or not isinstance(request, dict):
                raise TypeError
        except TimeoutError:
            return {"ok": False, "error": "no request arrived in time"}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {"ok": False, "error": 'not a request: send one line {"service": name, "request": {...}}'}
        handler = self.handlers.get(service)
        if handler is None:
            return {"ok": False, "error": f"unknown service; known: {', '.join(sorted(self.handlers))}"}
        try:
            return {"ok": True, "result": await handler(request)}
        except ServiceRefusal as refusal:
            return {"ok": False, "error": str(refusal)}
        except Exception:
            logger.exception("service %s failed", service)
            return {"ok": False, "error": "the service failed on our side; this does not count against you"}
