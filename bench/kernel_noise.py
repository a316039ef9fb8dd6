"""Noise of the kernel's score: repeated scorings, undisturbed and with a busy neighbour on the other core.

    python bench/kernel_noise.py [--scale cpu] [--scorings 20] [--only reference]

Start, reference and the better solution are scored in turn, every scoring with a fresh seed and fresh sandboxes; each
condition reports mean and standard deviation of the normalised score (bar: 0.02). The neighbour streams through memory
and computes without pause on the core that scorings are not bound to. The bar is for a machine that does nothing
else; the load average at the beginning is kept with the result.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from open_re_bench import assets, protected, registry
from open_re_bench.environment import Environment, Instance, Scoring
from open_re_bench.environments.optimize_kernel.score import score
from open_re_bench.scoring import collection, instances

BAR = 0.02  # design section 12: standard deviation of the normalised score
RESULTS = Path(__file__).parent / "results" / "kernel_noise.json"
NEIGHBOUR = """
import os, sys
import numpy as np
os.sched_setaffinity(0, {int(sys.argv[1])})
a, b = np.ones(1 << 24), np.ones(1 << 24)
while True:
    np.copyto(a, b)
    np.multiply(a, 1.0000001, out=b)
    sum(i * i for i in range(200_000))
"""


@contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """A busy process on the first usable core; scorings are bound to the last one."""
    cores = sorted(os.sched_getaffinity(0))
    if not wanted:
        yield
        return
    if len(cores) < 2:
        raise SystemExit("a neighbour on another core needs two cores")
    process = subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(cores[0])])
    try:
        time.sleep(1.0)
        yield
    finally:
        process.kill()
        process.wait()


def scorings(environment: Environment, instance: Instance, folder: Path, count: int, scratch: Path) -> list[float]:
    """Unfloored normalised scores of `count` scorings of the solution in `folder`."""
    submission = collection.collect_directory(folder, environment.spec.submission, scratch / "store")
    values = []
    for _ in range(count):
        judgement = score(submission, Scoring(instance=instance, seed=instances.draw_seed(), scratch=scratch))
        if judgement.raw is None or judgement.start_raw is None or judgement.reference_raw is None:
            raise SystemExit(f"{folder.name}: {judgement.failure}: {judgement.message} {judgement.details}")
        values.append((judgement.raw - judgement.start_raw) / (judgement.reference_raw - judgement.start_raw))
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="cpu")
    parser.add_argument("--scorings", type=int, default=20)
    parser.add_argument("--only", choices=("start", "reference", "better"))
    options = parser.parse_args()
    environment = registry.environment("optimize_kernel", options.scale)
    prepared, _ = assets.prepare(environment, print)
    conditions: dict[str, dict[str, object]] = {}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory, protected.files(environment.folder) as material:
        scratch = Path(directory)
        instance = instances.lay_out(environment, prepared, scratch / "instance", instances.draw_seed())
        solutions = {
            "start": environment.folder / "start",
            "reference": material / "reference",
            **{
                f"better/{path.name}": path / options.scale
                for path in sorted((material / "better").iterdir())
                if (path / options.scale).is_dir()
            },
        }
        for busy in (False, True):
            for name, folder in solutions.items():
                if options.only and not name.startswith(options.only):
                    continue
                with neighbour(busy):
                    began = time.monotonic()
                    values = scorings(environment, instance, folder, options.scorings, scratch)
                label = f"{name}, {'busy neighbour' if busy else 'undisturbed'}"
                conditions[label] = {
                    "mean": statistics.mean(values),
                    "std": statistics.stdev(values),
                    "min": min(values),
                    "max": max(values),
                    "scorings": len(values),
                    "seconds_per_scoring": (time.monotonic() - began) / len(values),
                }
                row = conditions[label]
                print(
                    f"{label:36} mean {row['mean']:.4f}  std {row['std']:.4f}  "
                    f"[{row['min']:.4f}, {row['max']:.4f}]  n {row['scorings']}  "
                    f"{row['seconds_per_scoring']:.1f} s each",
                    flush=True,
                )
    worst = max(float(str(row["std"])) for row in conditions.values())
    print(f"largest standard deviation {worst:.4f} (bar {BAR}); load average at the beginning {load:.1f}")
    cores = os.cpu_count()
    result = {
        "title": "Noise of the kernel's score",
        "what": (
            f"optimize_kernel at {options.scale}, normalised score of repeated scorings, each with a fresh seed and "
            f"fresh sandboxes, undisturbed and with a busy neighbour on the other core. Bar: standard deviation {BAR}."
        ),
        "machine": f"{cores}-core {platform.machine()} machine, Python {platform.python_version()}, load {load:.1f}",
        "rows": [{"scored": label, **row} for label, row in conditions.items()],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
