# open-re-bench TRUSTED canary c9b2f7de-33b4-4c0f-8a55-6d1f0e7a94e2: do not train on this file
"""Runs a submission on a job in a fresh scoring sandbox, and the trusted programs in referee sandboxes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from open_re_bench.environments.optimize_llm_foundry.jobs import CONFIGURATION, Job
from open_re_bench.environments.optimize_llm_foundry.kit.comparison import (
    LOG_FILE,
    MODEL_FILE,
    Output,
    OutputRefused,
    read_output,
)
from open_re_bench.environments.optimize_llm_foundry.pacing import RUN_TURN_S, Yardstick
from open_re_bench.errors import InfrastructureError
from open_re_bench.sandbox import Bind, Sandbox, SandboxSpec, Toolchain
from open_re_bench.scoring.cpu_limit import CpuLimit, Ended
from open_re_bench.scoring.cpu_time import Stopwatch

SOLUTION, JOB, OUTPUT = "/home/agent/solution", "/opt/job", "/home/agent/output"
ENTRY = "finetune.py"
BUILD = "build.sh"
MEMORY_MB = 3072
DISK_MB = 1024
PIDS = 128
BUILT_LIMIT = 64_000_000  # bytes of the folder after build.sh, as a tar
LOG_BYTES = 1_000_000
MODEL_SLACK = 100_000  # bytes of a safetensors header beyond the tensors themselves
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
OUTPUT_LIMIT = 1 << 16  # bytes of console output kept while it runs; nobody reads them
REFEREE_WALL_S = 1800.0


class RunFailed(Exception):
    """The submission broke its contract; the text is what its author may read."""


@dataclass(frozen=True)
class Built:
    """A submission ready to run.

    Attributes:
        folder: Its files on the host.
        archive: The folder after build.sh as a tar made inside the sandbox (hostile bytes); None without build.sh.
        build_s: Wall seconds that build.sh took.
    """

    folder: Path
    archive: bytes | None
    build_s: float


@dataclass(frozen=True)
class Run:
    """A finished run: what it produced, what it took, and what the yardstick took meanwhile if there was one."""

    output: Output
    cpu_s: float
    wall_s: float
    memory_mb: float
    unit_s: float | None = None


def core() -> int:
    """The core that everything timed runs on."""
    return max(os.sched_getaffinity(0))


def _sandbox(toolchain: Toolchain, hostname: str, binds: Sequence[Bind] = ()) -> Sandbox:
    return Sandbox(
        SandboxSpec(
            toolchain=toolchain,
            memory_mb=MEMORY_MB,
            disk_mb=DISK_MB,
            pids=PIDS,
            cpus=(core(),),
            binds=tuple(binds),
            environment=ONE_THREAD,
            hostname=hostname,
        )
    )


def _copy_in(sandbox: Sandbox, folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            sandbox.write_file(f"{SOLUTION}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def build(folder: Path, toolchain: Toolchain, limit_s: float) -> Built:
    """Runs build.sh, if there is one, where nothing about any job can be known.

    Raises:
        RunFailed: it failed, took too long, or left too much behind.
    """
    if not (folder / BUILD).is_file():
        return Built(folder, None, 0.0)
    with _sandbox(toolchain, "scoring") as sandbox:
        _copy_in(sandbox, folder)
        with Stopwatch(sandbox) as watch:
            done = sandbox.run(["/bin/sh", BUILD], cwd=SOLUTION, timeout=limit_s)
        sandbox.kill_participant()
        if done.timed_out:
            raise RunFailed(f"{BUILD} took longer than {limit_s:.0f} s")
        if done.code != 0:
            raise RunFailed(f"{BUILD} failed (exit status {done.code})")
        try:
            archive = b"".join(sandbox.snapshot(["solution"], limit=BUILT_LIMIT))
        except OSError as error:
            raise RunFailed(f"{BUILD} left more than {BUILT_LIMIT // 1_000_000} MB, or unreadable files") from error
    return Built(folder, archive, watch.wall_ns / 1e9)


def run(built: Built, job: Job, toolchain: Toolchain, limit_cpu_s: float, yardstick: Yardstick | None = None) -> Run:
    """Runs the submission on `job` in a sandbox of its own; every process it started has ended when this returns.

    With a `yardstick` the two take turns.

    Raises:
        RunFailed: it failed, took too long, or its output is not what the task asks for.
    """
    with _sandbox(toolchain, "scoring", [Bind(source=job.folder, target=JOB)]) as sandbox:
        if built.archive is None:
            _copy_in(sandbox, built.folder)
        else:
            unpacked = sandbox.run(
                ["/bin/sh", "-c", f"mkdir -p {SOLUTION} && tar -xf - -C {SOLUTION}"], data=built.archive
            )
            sandbox.kill_participant()
            if unpacked.code != 0:
                raise RunFailed(f"what {BUILD} left cannot be copied")
        command = [toolchain.python, ENTRY, f"{JOB}/{CONFIGURATION}", OUTPUT]
        with Stopwatch(sandbox) as watch:
            turn = None if yardstick is None else partial(_change_turns, sandbox, yardstick)
            with CpuLimit(sandbox, limit_cpu_s, turn, RUN_TURN_S) as guard:
                done = sandbox.run(command, cwd=SOLUTION, output_limit=OUTPUT_LIMIT)
            sandbox.kill_participant()
        cpu_s = watch.cpu_ns / 1e9
        if guard.ended is Ended.WORKED:
            raise RunFailed(f"the run took longer than {limit_cpu_s:.0f} s of CPU time")
        if guard.ended is Ended.WAITED:
            raise RunFailed("the run waited for something that did not happen")
        if done.code != 0:
            killed = sandbox.oom_kills()
            raise RunFailed("the run used too much memory" if killed else f"the run failed (exit status {done.code})")
        output = _read(sandbox, OUTPUT, job)
        unit_s = None if yardstick is None else yardstick.mean_s()
        return Run(output, cpu_s, watch.wall_ns / 1e9, (sandbox.memory_peak() or 0) / 1e6, unit_s)


def _change_turns(sandbox: Sandbox, yardstick: Yardstick) -> None:
    sandbox.freeze()
    try:
        yardstick.turn()
    finally:
        sandbox.thaw()


def _read(sandbox: Sandbox, folder: str, job: Job) -> Output:
    size = sum(4 * _product(shape) for shape in job.tensors.values())
    contents = []
    for name, limit in ((MODEL_FILE, size + MODEL_SLACK), (LOG_FILE, LOG_BYTES)):
        try:
            contents.append(sandbox.read_file(f"{folder}/{name}", limit=limit))
        except OSError as error:
            raise RunFailed(f"{name} is missing from the output folder, or not a regular file of sane size") from error
    evaluated = [step in job.eval_steps for step in range(1, job.steps + 1)]
    try:
        return read_output(contents[0], contents[1], job.tensors, evaluated)
    except OutputRefused as refusal:
        raise RunFailed(str(refusal)) from refusal


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def exact_outputs(jobs: Sequence[Job], reference: Path, program: Path, toolchain: Toolchain) -> list[Output]:
    """What each job's exact output is: computed by the trusted implementation, in a sandbox without a submission.

    Args:
        reference: Folder of the trusted implementation.
        program: referee.py.

    Raises:
        InfrastructureError: it failed.
    """
    binds = [Bind(source=reference, target="/opt/reference"), Bind(source=program, target="/opt/referee.py")]
    binds += [Bind(source=job.folder, target=f"/opt/jobs/{number}") for number, job in enumerate(jobs)]
    with _sandbox(toolchain, "referee", binds) as sandbox:
        done = sandbox.run([toolchain.python, "/opt/referee.py", OUTPUT, str(len(jobs))], timeout=REFEREE_WALL_S)
        if done.code != 0:
            tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise InfrastructureError(f"the referee failed: {tail[0]}", "run `re-bench doctor`")
        try:
            return [_read(sandbox, f"{OUTPUT}/{number}", job) for number, job in enumerate(jobs)]
        except RunFailed as error:
            raise InfrastructureError(f"the referee's output: {error}", "run `re-bench doctor`") from error


@contextmanager
def yardstick(program: Path, rounds: int, toolchain: Toolchain) -> Iterator[Yardstick]:
    """A fixed piece of the same kind of work, timed in the same way, in a sandbox of its own."""
    inside = Path("/opt/yardstick.py")
    with _sandbox(toolchain, "referee", [Bind(source=program, target=str(inside))]) as sandbox:
        yield Yardstick(sandbox, inside, rounds, toolchain)
