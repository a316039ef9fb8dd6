"""Toolchains: built once, whole or not at all, and without a trace of the machine that built them."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import pytest

from open_re_bench.errors import CannotRunHere, UserError
from open_re_bench.sandbox import Sandbox, SandboxSpec, built_toolchain, toolchain

TINY = toolchain.RequirementSet(
    requirements=("typing-extensions==4.16.0",), imports=("typing_extensions",), download_mb=1
)


@pytest.fixture
def tiny(private_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set that takes seconds, in an empty cache."""
    monkeypatch.setitem(toolchain.SETS, "tiny", TINY)
    return private_cache


def _ensure(answers: multiprocessing.Queue[str]) -> None:
    answers.put(str(toolchain.ensure("tiny").path))


def test_a_build_is_relocated_found_again_and_shared(tiny: Path) -> None:
    """Promise: two processes at once build one toolchain, which works inside and names no path of this machine."""
    assert toolchain.find("tiny") is None
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[str] = context.Queue()
    builders = [context.Process(target=_ensure, args=(answers,)) for _ in range(2)]
    for builder in builders:
        builder.start()
    paths = {answers.get(timeout=120) for _ in builders}
    for builder in builders:
        builder.join()
    assert len(paths) == 1
    found = toolchain.find("tiny")
    assert found is not None
    assert str(found.path) in paths
    assert [path.name for path in (tiny / "toolchains").iterdir() if ".part-" in path.name] == []
    settings = (found.path / "pyvenv.cfg").read_text()
    assert str(tiny) not in settings
    with Sandbox(SandboxSpec(toolchain=found, disk_mb=16)) as sandbox:
        program = "import sys, typing_extensions; print(sys.prefix, typing_extensions.__file__)"
        done = sandbox.run(["python3", "-c", program])
        assert done.stdout.decode().split()[0] == "/opt/toolchain"
        assert done.stdout.decode().split()[1].startswith("/opt/toolchain/")


def test_a_failed_build_leaves_nothing(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a requirement that can't be had is one line with a mend, and the next attempt starts clean."""
    broken = TINY.model_copy(update={"requirements": ("typing-extensions==0.0.0.dev0",)})
    monkeypatch.setitem(toolchain.SETS, "tiny", broken)
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(CannotRunHere) as caught:
        toolchain.ensure("tiny")
    assert "pip" in caught.value.mend
    assert toolchain.find("tiny") is None
    assert [path for path in (tiny / "toolchains").iterdir() if path.is_dir()] == []


def test_too_little_space_is_said_before_the_download(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a full disk is noticed before anything is fetched; the line names the variable that moves the cache."""
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1024))
    with pytest.raises(CannotRunHere, match="MB are free") as caught:
        toolchain.ensure("tiny")
    assert "OPEN_RE_BENCH_CACHE" in caught.value.mend


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    """Promise: a wrong name gets the list of right ones."""
    with pytest.raises(UserError, match="numeric, torch"):
        toolchain.find("numpy")
    assert toolchain.download_size("torch") > toolchain.download_size("numeric") > 0


def test_other_requirements_mean_another_toolchain(monkeypatch: pytest.MonkeyPatch, private_cache: Path) -> None:
    """Promise: a changed pin is never served from an older build."""
    before = built_toolchain.key_of("numeric")
    changed = toolchain.SETS["numeric"].model_copy(update={"requirements": ("numpy==2.4.5",)})
    monkeypatch.setitem(toolchain.SETS, "numeric", changed)
    assert built_toolchain.key_of("numeric") != before
