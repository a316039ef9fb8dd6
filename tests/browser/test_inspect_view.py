"""The log of an attempt in Inspect's own viewer, in a real browser."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser.chromium import chromium
from tests.harness.conftest import SCORE, bash_step, finish, start_run, write_transcript

pytestmark = pytest.mark.browser

WAIT_S = 60.0  # for the viewer's server, on a busy machine
CALLS, SCORINGS = 20, 3


@contextmanager
def viewer(log_dir: Path) -> Iterator[str]:
    """Address of `inspect view` over `log_dir`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["view", "start", "--log-dir", str(log_dir), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("inspect")), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def test_a_log_opens_in_inspect_view(tmp_path: Path) -> None:
    """An attempt of twenty calls and several scores is listed by the viewer, and its transcript shows them."""
    steps = [bash_step(f"echo call {number}") for number in range(CALLS - SCORINGS)]
    steps[5:5], steps[10:10], steps[15:15] = [SCORE], [SCORE], [SCORE]
    log_dir = tmp_path / "logs"
    finish(start_run(log_dir, write_transcript(tmp_path / "t.jsonl", steps)))
    (log,) = log_dir.glob("*.eval")
    with viewer(log_dir) as address, chromium() as browser:
        page = browser.new_page()  # type: ignore[attr-defined]
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{address}/#/logs/{log.name}")
        page.get_by_text(f"turn 1/{CALLS + 1}").first.wait_for(timeout=WAIT_S * 1e3)  # the last one submits
        outline = page.get_by_text("scoring", exact=True)
        assert outline.count() >= SCORINGS + 1, page.inner_text("body")
        assert page.get_by_text("open_re_bench/normalised").count() > 0
    assert not problems
