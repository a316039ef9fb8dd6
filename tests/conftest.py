"""Fixtures shared by the whole suite: prepared environments, a private cache, paths of examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from open_re_bench import assets, registry
from open_re_bench.api import LoadedEnvironment, loaded
from open_re_bench.errors import CannotRunHere, InfrastructureError

# No deadlines: how long an example takes says something about the machine, and speed lives in bench/.
# `quick` is the default; `make test-all` passes --hypothesis-profile=large.
SLOW_EXAMPLES = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
settings.register_profile("quick", deadline=None, max_examples=100, suppress_health_check=SLOW_EXAMPLES)
settings.register_profile("large", deadline=None, max_examples=2000, suppress_health_check=SLOW_EXAMPLES)
settings.load_profile("quick")

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "sorting_network"


def prepare_or_skip(environment: LoadedEnvironment) -> LoadedEnvironment:
    """Prepares `environment`; skips only where this machine cannot get what it needs, saying what."""
    from open_re_bench import requirements

    if obstacle := requirements.obstacle(environment):
        pytest.skip(f"{environment.name} at {environment.scale_name} cannot run here: {obstacle}")
    try:
        assets.prepare(environment)
    except (CannotRunHere, InfrastructureError) as error:
        pytest.skip(f"{environment.name} at {environment.scale_name} cannot be prepared here: {error}")
    return environment


@pytest.fixture(scope="session")
def prepared_or_skip() -> Callable[[LoadedEnvironment], LoadedEnvironment]:
    """`prepare_or_skip`, for test modules (which cannot import this file)."""
    return prepare_or_skip


@pytest.fixture(scope="session")
def prepared() -> Callable[[str, str], LoadedEnvironment]:
    """A function (name, scale) -> prepared environment, or a skip with the reason."""
    return lambda name, scale="test": prepare_or_skip(loaded(registry.environment(name, scale)))


@pytest.fixture
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory of this test's own, with the locks in it, wherever they lie otherwise."""
    cache = tmp_path / "cache"
    monkeypatch.delenv("OPEN_RE_BENCH_LEASES", raising=False)
    monkeypatch.setenv("OPEN_RE_BENCH_CACHE", str(cache))
    return cache


@pytest.fixture(scope="session")
def example() -> LoadedEnvironment:
    """The worked example environment (examples/sorting_network) at scale test, prepared."""
    return prepare_or_skip(loaded(registry.environment_in(EXAMPLE, "test")))
