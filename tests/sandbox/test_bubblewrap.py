"""`Sandbox`: what every caller builds on. Real sandboxes, in the mode that this run of the suite is about."""

from __future__ import annotations

import io
import os
import signal
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from open_re_bench.sandbox import (
    PIPE,
    Bind,
    CannotStart,
    Limits,
    Sandbox,
    SandboxGone,
    SandboxSpec,
)
from open_re_bench.sandbox.participant import CannotCopy


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxSpec(memory_mb=512, pids=128, disk_mb=64)) as sandbox:
        yield sandbox


def output(sandbox: Sandbox, script: str) -> str:
    done = sandbox.run(["bash", "-c", script], timeout=60)
    assert done.code == 0, done
    return done.stdout.decode().strip()


def test_the_participant_is_an_ordinary_user_of_its_own_home(sandbox: Sandbox) -> None:
    """Promise: in every mode commands run as `agent` in /home/agent, whatever user the harness is."""
    assert output(sandbox, "id -un; id -u; pwd; cd; pwd") == "agent\n1000\n/home/agent\n/home/agent"


def test_exit_codes_are_those_of_a_shell(sandbox: Sandbox) -> None:
    """Promise: codes, signals and programs that can't be executed are told apart as everybody expects."""
    assert sandbox.run(["sh", "-c", "exit 7"]).code == 7
    assert sandbox.run(["sh", "-c", "kill -TERM $$"]).code == 128 + signal.SIGTERM
    assert sandbox.run(["no-such-program"]).code == 127
    assert sandbox.run(["/etc/passwd"]).code == 126
    missing = sandbox.run(["true"], cwd="/no/such/folder")
    assert missing.code == 127
    assert b"/no/such/folder" in missing.stderr


def test_unknown_users_are_refused(sandbox: Sandbox) -> None:
    """Promise: a user that is not there is an error, never somebody else."""
    with pytest.raises(CannotStart):
        sandbox.run(["true"], user="somebody")


def test_input_and_output_survive_whole(sandbox: Sandbox) -> None:
    """Promise: bytes come back as they were, in any amount; only the tail beyond the limit is kept."""
    data = os.urandom(3_000_000)
    assert sandbox.run(["cat"], data=data).stdout == data
    done = sandbox.run(["sh", "-c", "head -c 300000 /dev/zero; printf END"], output_limit=1000)
    assert len(done.stdout) == 1000
    assert done.stdout.endswith(b"END")
    assert done.dropped == 300003 - 1000


def test_long_command_lines_arrive(sandbox: Sandbox) -> None:
    """Promise: a megabyte of arguments is no problem of ours."""
    arguments = ["x" * 60_000] * 16
    assert len(sandbox.run(["printf", "%s", *arguments]).stdout) == 960_000


def test_time_limit_keeps_what_was_written(sandbox: Sandbox) -> None:
    """Promise: a command whose time is over ends with its children, and its output so far is kept."""
    started = time.monotonic()
    done = sandbox.run(["bash", "-c", "echo first; sleep 777 & sleep 777"], timeout=0.5)
    assert done.timed_out
    assert done.stdout == b"first\n"
    assert time.monotonic() - started < 10
    assert output(sandbox, "pgrep -c -f 'sleep 77[7]' || true") == "0"


def test_commands_that_ignore_the_request_to_end_are_killed(sandbox: Sandbox) -> None:
    """Promise: ignoring SIGTERM buys two seconds, not more."""
    started = time.monotonic()
    done = sandbox.run(["bash", "-c", "trap '' TERM; while :; do sleep 1; done"], timeout=0.3)
    assert done.timed_out
    assert time.monotonic() - started < 10


def test_background_jobs_hold_nothing_and_live_on(sandbox: Sandbox) -> None:
    """Promise: a job that keeps the command's output open neither delays the call nor dies of writing to it."""
    job = "(for i in $(seq 40); do echo tick; sleep 0.05; done; echo finished > /tmp/job) & echo started"
    started = time.monotonic()
    done = sandbox.run(["bash", "-c", job], timeout=30)
    assert time.monotonic() - started < 1.9
    assert done.background
    assert done.stdout.startswith(b"started")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and sandbox.run(["cat", "/tmp/job"]).stdout != b"finished\n":
        time.sleep(0.2)
    assert sandbox.run(["cat", "/tmp/job"]).stdout == b"finished\n"


def test_abandoned_commands_are_killed(sandbox: Sandbox) -> None:
    """Promise: letting go of a process (a cancelled call) ends it and its children."""
    sandbox.spawn(["bash", "-c", "sleep 778 & sleep 778"]).close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and output(sandbox, "pgrep -c -f 'sleep 77[8]' || true") != "0":
        time.sleep(0.05)
    assert output(sandbox, "pgrep -c -f 'sleep 77[8]' || true") == "0"


def test_a_process_can_be_watched_and_stopped_from_outside(sandbox: Sandbox) -> None:
    """Promise: host-side pid, exact CPU time and signals of a process inside: what supervised workers need."""
    with sandbox.spawn(["sh", "-c", "read x; while :; do :; done"], stdin=PIPE, stdout=PIPE) as process:
        time.sleep(0.1)
        idle = process.cpu_ns()
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        deadline = time.monotonic() + 30
        while process.cpu_ns() <= idle + 20_000_000 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.signal(signal.SIGSTOP)
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
            time.sleep(0.02)
        used = process.cpu_ns()
        assert used > idle + 20_000_000
        time.sleep(0.2)
        assert process.cpu_ns() == used
        assert Path(f"/proc/{process.pid}").exists()
        process.signal(signal.SIGKILL)
        assert process.wait(10).code == 128 + signal.SIGKILL


def test_waiting_is_told_from_being_crowded_out(sandbox: Sandbox) -> None:
    """Promise: whoever sleeps only waits; whoever computes wants to run, even while the machine gives it no core."""

    def settles(wanted: bool) -> bool:
        """One look can fall on a process that is only being started, so that 50 in a row have to agree."""
        deadline, agreed = time.monotonic() + 30, 0
        while agreed < 50 and time.monotonic() < deadline:
            agreed = agreed + 1 if sandbox.wants_to_run() is wanted else 0
            time.sleep(0.002)
        return agreed == 50

    with sandbox.spawn(["sleep", "779"]):
        assert settles(False)
        with sandbox.spawn(["sh", "-c", "while :; do :; done"]) as busy:
            os.sched_setscheduler(busy.pid, os.SCHED_IDLE, os.sched_param(0))
            assert settles(True)
            os.sched_setscheduler(busy.pid, os.SCHED_OTHER, os.sched_param(0))  # so that it can be ended
        assert settles(False)


def test_frozen_means_frozen(sandbox: Sandbox) -> None:
    """Promise: nothing of the participant runs while frozen, time limits wait, snapshots work, and it goes on after."""
    with sandbox.spawn(["sh", "-c", "while :; do :; done"]):
        time.sleep(0.2)
        sandbox.freeze()
        before = sandbox.cpu_ns()
        results = []
        waiting = threading.Thread(target=lambda: results.append(sandbox.run(["sleep", "0.1"], timeout=0.8)))
        if sandbox.mode == "root":
            waiting.start()
        time.sleep(1.2)
        assert sandbox.cpu_ns() - before < 1_000_000
        assert sandbox.thaw() < 1_000_000
        if sandbox.mode == "root":
            waiting.join()
            assert not results[0].timed_out
        time.sleep(0.3)
        assert sandbox.cpu_ns() > before


def test_snapshots_are_made_inside(sandbox: Sandbox) -> None:
    """Promise: a snapshot holds the folder's files with relative names, links as links; a missing folder is empty."""
    output(sandbox, "mkdir -p out/d; echo 1 > out/a; echo 2 > out/d/b; ln -s /etc/passwd out/link")
    stream = b"".join(sandbox.snapshot(["out"], limit=1 << 20))
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        names = {name.removeprefix("./") for name in tar.getnames()}
        assert {"a", "d/b", "link"} <= names
        assert tar.getmember("./link").issym()
    empty = b"".join(sandbox.snapshot(["nowhere"], limit=1 << 20))
    with tarfile.open(fileobj=io.BytesIO(empty)) as tar:
        assert tar.getnames() == []
    with pytest.raises(CannotCopy, match="it holds more than"):
        b"".join(sandbox.snapshot(["out"], limit=100))


def test_a_snapshot_never_leaves_the_home(sandbox: Sandbox) -> None:
    """Promise: a folder that a link has moved out of the home counts as missing; nothing of the system is copied."""
    output(sandbox, "ln -s / everything; ln -s /proc processes; ln -s ../../usr up")
    for name in ("everything", "processes", "up"):
        stream = b"".join(sandbox.snapshot([name], limit=1 << 20))
        with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
            assert tar.getnames() == []


def test_unreadable_folders_name_their_mend(sandbox: Sandbox) -> None:
    """Promise: what its owner has closed is told from a failure of ours, with the mend."""
    output(sandbox, "mkdir closed; chmod 000 closed")
    with pytest.raises(CannotCopy, match="chmod -R"):
        b"".join(sandbox.snapshot(["closed"], limit=1 << 20))


def test_the_whole_tree_is_charged(sandbox: Sandbox) -> None:
    """Promise: CPU time of ended children of children counts."""
    before = sandbox.cpu_ns()
    work = "import time; t = time.process_time() + 0.3\nwhile time.process_time() < t: pass"
    output(sandbox, f"(bash -c \"python3 -c '{work}'; true\"); true")
    assert sandbox.cpu_ns() - before > 250_000_000


def test_files_are_written_and_read_as_the_participant(sandbox: Sandbox) -> None:
    """Promise: contents and parents arrive, owned by the participant; kinds and limits are checked."""
    sandbox.write_file("made/of/text", b"hello")
    assert sandbox.read_file("made/of/text") == b"hello"
    assert output(sandbox, "stat -c %U made/of/text made/of") == "agent\nagent"
    with pytest.raises(FileNotFoundError):
        sandbox.read_file("made/of/nothing")
    with pytest.raises(IsADirectoryError):
        sandbox.read_file("made")
    with pytest.raises(OSError, match="too large"):
        sandbox.read_file("made/of/text", limit=4)
    output(sandbox, "mkfifo pipe")
    with pytest.raises(OSError, match="egular"):
        sandbox.read_file("pipe")


def test_limits_of_a_single_process_hold(sandbox: Sandbox) -> None:
    """Promise: `Limits` reach the process and its children."""
    assert sandbox.run(["bash", "-c", "ulimit -n"], limits=Limits(open_files=77)).stdout == b"77\n"
    done = sandbox.run(["bash", "-c", "head -c 3M /dev/zero > big"], limits=Limits(file_mb=1))
    assert done.code != 0


def test_binds_and_door_show_what_they_should(tmp_path: Path) -> None:
    """Promise: a bound folder is there, read-only; a socket behind the door can be reached, its folder not written."""
    import socket

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("shown")
    (tmp_path / "door").mkdir()
    tmp_path.chmod(0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "door" / "s"))
        os.chmod(tmp_path / "door" / "s", 0o666)
        listener.listen()
        binds = (Bind(source=tmp_path / "data", target="/opt/data"),)
        with Sandbox(SandboxSpec(binds=binds, door=tmp_path / "door", disk_mb=16)) as sandbox:
            assert output(sandbox, "cat /opt/data/x") == "shown"
            assert sandbox.run(["touch", "/opt/data/y"]).code != 0
            assert sandbox.run(["touch", "/run/open-re-bench/y"]).code != 0
            call = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/open-re-bench/s'); s.send(b'hi')"
            with sandbox.spawn(["python3", "-c", call]) as process:
                accepted, _ = listener.accept()
                with accepted:
                    assert accepted.recv(2) == b"hi"
                assert process.wait(10).code == 0


def test_a_kept_home_survives_its_sandbox(tmp_path: Path) -> None:
    """Promise: a second sandbox on the same state folder finds the files, owned by the participant."""
    spec = SandboxSpec(state=tmp_path / "state", disk_mb=16)
    with Sandbox(spec) as first:
        first.write_file("work/kept", b"1")
    with Sandbox(spec) as second:
        assert second.read_file("work/kept") == b"1"
        assert output(second, "echo 2 >> work/kept; stat -c %U work/kept") == "agent"


def test_ending_is_complete_and_final(tmp_path: Path) -> None:
    """Promise: after `kill` no process is left, requests fail clearly, and killing again is no error."""
    with Sandbox(SandboxSpec(disk_mb=16)) as sandbox:
        process = sandbox.spawn(["sh", "-c", "setsid sleep 779 & sleep 779"])
        time.sleep(0.1)
        pid, first = process.pid, sandbox.pid
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{first}").exists()
    assert not sandbox.alive
    with pytest.raises(SandboxGone):
        sandbox.run(["true"])
    sandbox.kill()
    process.close()


def test_sandboxes_outlive_the_threads_that_started_them() -> None:
    """Promise: any thread may start one; it ends with the process, not with the thread."""
    started: list[Sandbox] = []
    thread = threading.Thread(target=lambda: started.append(Sandbox(SandboxSpec(disk_mb=16)).start()))
    thread.start()
    thread.join()
    time.sleep(0.2)
    try:
        assert output(started[0], "echo alive") == "alive"
    finally:
        started[0].kill()


def test_cores_can_be_chosen() -> None:
    """Promise: a sandbox given one core sees and uses that one only."""
    core = max(os.sched_getaffinity(0))
    with Sandbox(SandboxSpec(cpus=(core,), disk_mb=16)) as sandbox:
        assert output(sandbox, "nproc; taskset -cp $$ | sed 's/.*: //'") == f"1\n{core}"


def test_a_bound_thread_starts_a_bound_sandbox() -> None:
    """Promise: a sandbox that is told no cores stays on those of the thread that starts it: an untimed scoring on
    those of its attempt, while another thread's has them all.
    """
    everything = os.sched_getaffinity(0)
    if len(everything) < 2:
        pytest.skip("this machine has one core")
    core = max(everything)
    seen: list[str] = []

    def look() -> None:
        os.sched_setaffinity(0, {core})
        mine = "taskset -cp $$ | sed 's/.*: //'"
        with Sandbox(SandboxSpec(disk_mb=16)) as sandbox:
            seen.append(output(sandbox, mine))
            if "cpuset" in sandbox.controllers:
                seen.append(output(sandbox, f"taskset -cp {min(everything)} $$ > /dev/null 2>&1; {mine}"))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert set(seen) == {str(core)}
    with Sandbox(SandboxSpec(disk_mb=16)) as sandbox:
        assert output(sandbox, "nproc") == str(len(everything))
