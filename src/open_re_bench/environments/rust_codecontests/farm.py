# open-re-bench TRUSTED canary c9b2f7de-33b4-4c0f-8a55-6d1f0e7a94e2: do not train on this file
"""Runs programs of the bank, with any set of their bugs, without compiling again: one binary per problem.

These programs are ours, so they run on the host under the limits of ``runner.c``, without a sandbox: 1-2 ms a run.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from open_re_bench.environments.rust_codecontests.bank import Problem, farm_source
from open_re_bench.environments.rust_codecontests.judge import BUILD_FLAGS, FLAGS
from open_re_bench.environments.rust_codecontests.runner import (
    STANDARD,
    Limits,
    Run,
    Runner,
    Verdict,
    build_runner,
    find_rust,
)
from open_re_bench.errors import InfrastructureError

SMALL_OUTPUT = 65_536  # bytes: results of hidden tests are remembered only up to this size


class Farm:
    """The compiled bank; safe to call from several threads.

    Args:
        folder: Where binaries are kept (by content hash) and the runner is.
        problems: What to build.
    """

    def __init__(self, folder: Path, problems: tuple[Problem, ...], workers: int | None = None) -> None:
        self.problems = {one.name: one for one in problems}
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._workers = workers or os.cpu_count() or 1
        self._runner = build_runner(folder / "runner")
        self._idle: list[Runner] = []
        self._lock = threading.Lock()
        self._binaries: dict[str, Path] = {}
        self._remembered: dict[tuple[str, int, int, bytes, float], Run] = {}

    def binary(self, one: Problem) -> Path:
        """Path of the binary of `one`, built when it is missing.

        Raises:
            InfrastructureError: a program of the bank does not compile.
        """
        if (known := self._binaries.get(one.name)) is not None:
            return known
        rust = find_rust()
        source = farm_source(one)
        key = hashlib.sha256("\0".join((source, rust.version, *FLAGS, *BUILD_FLAGS)).encode()).hexdigest()[:32]
        target = self._folder / f"{one.name}-{key}"
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=self._folder, prefix="build-") as work:
                (Path(work) / "main.rs").write_text(source)
                # a panic names the source file: as in the judge's sandbox, never a folder of the host
                flags = [*FLAGS, *BUILD_FLAGS, f"--remap-path-prefix={work}=/work"]
                command = [str(rust.rustc), *flags, f"--out-dir={work}", f"{work}/main.rs"]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise InfrastructureError(
                        f"bank problem {one.name} does not compile: {done.stderr[:2000]}", "mend the bank"
                    )
                (Path(work) / "main").rename(target)
        self._binaries[one.name] = target
        return target

    def build(self) -> None:
        """Builds everything that is missing, on all cores."""
        with ThreadPoolExecutor(self._workers) as pool:
            list(pool.map(self.binary, self.problems.values()))

    def run(self, name: str, program: int, mask: int, stdin: bytes, limits: Limits = STANDARD) -> Run:
        """Runs program number `program` of problem `name` with the bugs of `mask`; remembers what it saw before."""
        key = (name, program, mask, hashlib.sha256(stdin).digest(), limits.cpu_s)
        if (seen := self._remembered.get(key)) is not None:
            return seen
        argv = [str(self.binary(self.problems[name])), str(program), str(mask)]
        with self._lock:
            runner = self._idle.pop() if self._idle else Runner([str(self._runner)])
        try:
            run = runner.run(argv, stdin, limits)
        finally:
            with self._lock:
                self._idle.append(runner)
        if len(run.stdout) <= SMALL_OUTPUT:
            self._remembered[key] = run
        return run

    def answer(self, name: str, stdin: bytes) -> bytes:
        """The right output for `stdin`, by the first reference.

        Raises:
            ValueError: the references fail or disagree on it: not a valid input.
        """
        generous = Limits(cpu_s=2.0)
        runs = [self.run(name, k, 0, stdin, generous) for k in range(len(self.problems[name].references))]
        if any(run.verdict is not Verdict.OK for run in runs) or len({tuple(run.stdout.split()) for run in runs}) != 1:
            raise ValueError("not a valid input")
        return runs[0].stdout

    def close(self) -> None:
        """Ends the runners."""
        with self._lock:
            for runner in self._idle:
                runner.close()
            self._idle.clear()
