# open-re-bench TRUSTED canary c9b2f7de-33b4-4c0f-8a55-6d1f0e7a94e2: do not train on this file
"""Training a shipped language model again, in a referee sandbox, and comparing it with the shipped one by its loss.

The host has no PyTorch: `referee.py` beside this module runs in a sandbox with the environment's toolchain and kit
(``kit/model.py``: `LanguageModel`, `train`, `save`), and only the finished weights come back.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from open_re_bench.corpus import Tokenizer, World, tokens
from open_re_bench.corpus.transformer import Shape, next_token_loss, read_model
from open_re_bench.environment import Environment
from open_re_bench.errors import InfrastructureError
from open_re_bench.sandbox import Bind, Sandbox, SandboxSpec, ensure

REFEREE = Path(__file__).with_name("referee.py")
TOLERANCE = 0.05  # nats: other seeds of the same training differ by about 0.02
TIMEOUT_S = 3600.0
LIMIT_BYTES = 64_000_000
CHECK_TOKENS = 65_537


def train_again(
    bound: Environment, shape: Shape, recipe: Mapping[str, Any], world: World, tokenizer: Tokenizer
) -> bytes:
    """Trains a model in a referee sandbox; returns its safetensors file.

    Args:
        bound: The environment: its toolchain and kit are used.
        shape: Sizes of the model.
        recipe: ``seed``, ``steps``, ``rows``, ``rate``; ``tokens`` of the stream ``private``; its first ``skip``
            are left out.
        world, tokenizer: The language.

    Raises:
        InfrastructureError: the training ended with an error.
    """
    with tempfile.TemporaryDirectory(prefix="open-re-bench-") as folder:
        job = Path(folder)
        stream = tokens(world, tokenizer, "private", int(recipe["tokens"]))
        np.save(job / "tokens.npy", stream[int(recipe.get("skip", 0)) :])
        (job / "job.json").write_text(json.dumps({**recipe, "shape": vars(shape)}), encoding="utf-8")
        job.chmod(0o755)
        spec = SandboxSpec(
            toolchain=ensure(bound.scale.toolchain),
            hostname="referee",
            binds=(
                Bind(source=job, target="/opt/job"),
                Bind(source=bound.folder / "kit", target="/opt/kit"),
                Bind(source=REFEREE, target="/opt/referee.py"),
            ),
        )
        with Sandbox(spec) as sandbox:
            done = sandbox.run(["python3", "/opt/referee.py"], timeout=TIMEOUT_S, cwd="/home/agent")
            if done.code != 0:
                words = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.code}"]
                reason = f"it took more than {TIMEOUT_S:.0f} s" if done.timed_out else words[-1]
                raise InfrastructureError(f"training a language model failed: {reason}", "run `re-bench doctor`")
            return sandbox.read_file("model.safetensors", limit=LIMIT_BYTES)


def compare_losses(
    again: bytes, shipped: bytes, shape: Shape, world: World, tokenizer: Tokenizer, progress: Callable[[str], None]
) -> None:
    """Compares two models of one shape on a stream neither was trained on.

    Raises:
        InfrastructureError: their losses differ by more than `TOLERANCE`.
    """
    text = tokens(world, tokenizer, "rebuild", CHECK_TOKENS)
    found, expected = (next_token_loss(read_model(content, shape), shape, text) for content in (again, shipped))
    progress(f"loss {found:.3f}, shipped {expected:.3f}")
    if not abs(found - expected) <= TOLERANCE:  # also where a loss is not a number
        raise InfrastructureError(
            f"a model trained again has loss {found:.3f}, the shipped one {expected:.3f}",
            "report this with `re-bench doctor --json`",
        )
