"""Shipped models can be made again: what comes of it is compared by loss, told, and refused when it differs."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from open_re_bench import registry
from open_re_bench.corpus import Tokenizer, World, tokenizer_for, training
from open_re_bench.corpus.training import TOLERANCE, compare_losses, train_again
from open_re_bench.corpus.transformer import Shape
from open_re_bench.environment import AssetBuild, Assets
from open_re_bench.errors import InfrastructureError
from open_re_bench.sandbox import find

SHAPE = Shape(vocabulary=256, width=8, layers=1, heads=1, context=32)
RECIPE = {"seed": 1, "tokens": 3000, "skip": 1000, "steps": 2, "rows": 2, "rate": 1e-3}


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=11)


@pytest.fixture(scope="module")
def tokenizer(world: World) -> Tokenizer:
    return tokenizer_for(world, SHAPE.vocabulary)


def model(size: float) -> bytes:
    """Weights drawn with standard deviation `size`: zero is the uniform guess, five confident nonsense."""
    rng = np.random.default_rng(0)
    return save({name: (size * rng.normal(size=shape)).astype(np.float32) for name, shape in SHAPE.tensors().items()})


def test_models_of_one_loss_pass_and_both_losses_are_told(world, tokenizer):
    """Whoever rebuilds reads both losses; a model that differs in nothing that counts is the shipped one again."""
    told: list[str] = []
    compare_losses(model(1e-3), model(0.0), SHAPE, world, tokenizer, told.append)
    assert told == ["loss 5.545, shipped 5.545"]  # ln 256


@pytest.mark.parametrize("size", [5.0, 1e30], ids=["nonsense", "overflow"])
def test_another_loss_is_refused(world, tokenizer, size):
    """A model of another quality, or one whose loss is no number, never passes for the shipped one."""
    with pytest.raises(InfrastructureError, match=r"trained again has loss .*, the shipped one 5\.545"):
        compare_losses(model(size), model(0.0), SHAPE, world, tokenizer, lambda _: None)


@pytest.mark.parametrize(
    ("referee", "reason"),
    [("raise SystemExit('no such optimiser')", "no such optimiser"), ("import time; time.sleep(60)", "more than 1 s")],
    ids=["error", "endless"],
)
def test_a_training_that_fails_says_why(world, tokenizer, tmp_path, monkeypatch, referee, reason):
    """The referee's last words, or that it took too long, are in the one line that a person gets."""
    bound = registry.environment("fix_embedding", "test")
    if find(bound.scale.toolchain) is None:
        pytest.skip("the toolchain is not built here")
    (tmp_path / "referee.py").write_text(referee)
    monkeypatch.setattr(training, "REFEREE", tmp_path / "referee.py")
    if "sleep" in referee:
        monkeypatch.setattr(training, "TIMEOUT_S", 1.0)
    with pytest.raises(InfrastructureError, match=reason):
        train_again(bound, SHAPE, RECIPE, world, tokenizer)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "models"), [("fix_embedding", 2), ("finetune_qa", 1)])
def test_rebuilding_makes_the_shipped_models_again(name: str, models: int, tmp_path: Path, prepared) -> None:
    """`prepare --rebuild` trains every public and intact model from the recipe and finds the shipped one's loss."""
    bound = prepared(name, "test")
    assets, told = Assets(public=tmp_path / "public", hidden=tmp_path / "hidden"), list[str]()
    assets.public.mkdir()
    assets.hidden.mkdir()
    build = AssetBuild(environment=bound, assets=assets, rebuild=True, progress=told.append)
    registry.hook(bound, "prepare").prepare(build)
    losses = [line.removeprefix("loss ").split(", shipped ") for line in told if line.startswith("loss ")]
    assert len(losses) == models
    assert all(abs(float(again) - float(shipped)) <= TOLERANCE for again, shipped in losses)
