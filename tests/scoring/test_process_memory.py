"""Reading and writing another process's memory."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from open_re_bench.scoring import process_memory

CHILD = """
import ctypes, sys
block = ctypes.create_string_buffer(4096)
print(ctypes.addressof(block), flush=True)
sys.stdin.readline()
print(block.raw[:8].hex(), flush=True)
sys.stdin.readline()  # stays until its input is closed
"""


def test_bytes_arrive_in_the_other_process_and_come_back() -> None:
    """What is written is what the other process sees, and what is read is what it holds."""
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        address = int(child.stdout.readline())
        sent = np.arange(8, dtype=np.uint8)
        process_memory.write(child.pid, address, sent)
        back = np.zeros(8, np.uint8)
        process_memory.read_into(child.pid, address, back)
        print(file=child.stdin, flush=True)
        assert bytes.fromhex(child.stdout.readline()) == back.tobytes() == sent.tobytes()
        with pytest.raises(OSError, match="Bad address"):
            process_memory.write(child.pid, 4096, sent)
    with pytest.raises(ProcessLookupError):
        process_memory.write(child.pid, address, sent)


def test_arrays_that_do_not_lie_in_one_piece_are_refused() -> None:
    """A strided or read-only array would be copied wrongly in silence."""
    array = np.zeros((4, 4))
    with pytest.raises(ValueError, match="contiguous"):
        process_memory.write(os.getpid(), array.ctypes.data, array[:, 1])
    array.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        process_memory.read_into(os.getpid(), array.ctypes.data, array)
