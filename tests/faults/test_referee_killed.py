"""A trusted program of a scoring (referee, yardstick, trainer) killed with SIGKILL at any moment, and the sandbox
around it: our failure, tried again, and never a zero of the participant's."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from open_re_bench import assets, exemplars, protected
from open_re_bench.api import LoadedEnvironment
from open_re_bench.environment import Failure
from open_re_bench.exemplars import Kind
from open_re_bench.scoring import instances
from open_re_bench.scoring.pipeline import Score, score_folder

SEED = int(os.environ.get("OPEN_RE_BENCH_KILL_SEED", "20261121"))
ROUNDS = 1
SLOW_ROUNDS = int(os.environ.get("OPEN_RE_BENCH_REFEREE_KILLS", "8"))
LONGEST_S = 2.0  # a referee at scale test lives for a few seconds
SOON_S = 0.3  # within which every one of them is still alive
Prepared = Callable[[str, str], LoadedEnvironment]


class Assassin(threading.Thread):
    """Waits for a referee sandbox of this process, then a random time, then kills: it, or everything inside it."""

    def __init__(self, rng: random.Random, longest_s: float) -> None:
        super().__init__(daemon=True)
        self._delay_s, self._whole = rng.uniform(0.0, longest_s), rng.random() < 0.5
        self.over = threading.Event()
        self.killed = ""

    def run(self) -> None:
        while not self.over.wait(0.005):
            for process in psutil.Process().children():
                try:
                    if "referee" in process.cmdline() and "bwrap" in process.name():
                        time.sleep(self._delay_s)
                        self._strike(process)
                        return
                except psutil.NoSuchProcess:
                    continue

    def _strike(self, referee: psutil.Process) -> None:
        victims = [referee] if self._whole else self._programs(referee)
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
            self.killed = "sandbox" if self._whole else "program"

    @staticmethod
    def _programs(referee: psutil.Process) -> list[psutil.Process]:
        inside = [child for child in referee.children(recursive=True) if "toolchain" in " ".join(child.cmdline())]
        return inside[-1:]


def check_referee_killed(bound: LoadedEnvironment, kills: int, seed: int, longest_s: float) -> None:
    rng = random.Random(seed)
    number = done = 0
    found, _ = assets.prepare(bound)
    with protected.files(bound.folder) as material, tempfile.TemporaryDirectory() as scratch:
        instance = instances.lay_out(bound, found, Path(scratch) / "instance", instances.draw_seed())
        folder = exemplars.write(instance, material, Kind.START, Kind.START.value, Path(scratch) / "start")
        while done < kills:
            number += 1
            assassin = Assassin(rng, longest_s)
            assassin.start()
            score: Score = score_folder(instance, folder, Path(scratch) / "store")
            assassin.over.set()
            assassin.join()
            done += bool(assassin.killed)
            hint = f"seed={seed} round={number} killed={assassin.killed or 'nothing'}: {score.message} {score.details}"
            assert score.failure in (None, Failure.INFRASTRUCTURE), hint
            assert score.valid, hint


@pytest.mark.parametrize("name", ["restricted_mlm"])
def test_a_killed_referee_is_our_failure_and_retried(name: str, prepared: Prepared) -> None:
    """The quick subset."""
    check_referee_killed(prepared(name, "test"), ROUNDS, SEED, SOON_S)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["restricted_mlm", "optimize_llm_foundry"])
def test_killed_referees(name: str, prepared: Prepared) -> None:
    """Referees of two environments killed at random moments."""
    check_referee_killed(prepared(name, "test"), SLOW_ROUNDS, SEED, LONGEST_S)
