"""The Python interface: three lines from a name to a score."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import open_re_bench
from open_re_bench import load_environment, registry
from open_re_bench.api import LoadedEnvironment, loaded
from open_re_bench.errors import UserError

EXAMPLE = Path(__file__).parents[1] / "examples" / "sorting_network"


@pytest.fixture
def environment(private_cache: Path) -> LoadedEnvironment:
    return loaded(registry.environment_in(EXAMPLE, "test"))


def test_a_folder_scores_with_a_receipt_and_is_local(environment: LoadedEnvironment, tmp_path: Path) -> None:
    """Prepare, lay out, score: the start scores 0, the reference 1, both local and both with receipts."""
    environment.prepare()
    work = environment.lay_out_workspace(tmp_path / "work")
    start = environment.score_directory(work)
    assert (start.normalised, start.valid) == (0.0, True)
    assert start.receipt is not None
    assert start.receipt.result_class == "local"
    shutil.copy(EXAMPLE / "protected" / "reference" / "network.py", work / "solution")
    assert environment.score_directory(work).normalised == 1.0
    assert environment.score_directory(work / "solution").normalised == 1.0


def test_a_workspace_keeps_its_instance_and_another_gets_another(
    environment: LoadedEnvironment, tmp_path: Path
) -> None:
    """The same folder is always scored on the instance drawn for it; seeds never lie in the folder."""
    environment.prepare()
    seeds = []
    for name in ("a", "a", "b"):
        folder = tmp_path / name
        if not folder.exists():
            environment.lay_out_workspace(folder)
        receipt = environment.score_directory(folder).receipt
        assert receipt is not None
        seeds.append(receipt.instance_seed)
        assert all(receipt.instance_seed.encode() not in p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert seeds[0] == seeds[1] != seeds[2]


def test_unprepared_says_how_to_prepare(environment: LoadedEnvironment, tmp_path: Path) -> None:
    """Scoring before preparing names the command."""
    with pytest.raises(UserError, match="re-bench prepare sorting_network --scale test"):
        environment.score_directory(tmp_path)


def test_a_folder_that_is_not_there_is_refused(environment: LoadedEnvironment, tmp_path: Path) -> None:
    """A mistyped folder is an error with its mend, as on the command line, and no invalid score without a receipt."""
    environment.prepare()
    with pytest.raises(UserError, match="typo is not a folder"):
        environment.score_directory(tmp_path / "typo")
    (tmp_path / "empty").mkdir()
    score = environment.score_directory(tmp_path / "empty")
    assert (score.valid, score.normalised) == (False, 0.0)
    assert "missing" in score.message


def test_the_example_of_the_readme_holds_for_any_folder(environment: LoadedEnvironment, tmp_path: Path) -> None:
    """What the README prints of a score is there when nothing was handed in."""
    readme = (EXAMPLE.parents[1] / "README.md").read_text(encoding="utf-8")
    printed = next(line for line in readme.splitlines() if line.startswith("print("))
    environment.prepare()
    (tmp_path / "my-work").mkdir()
    exec(printed, {"score": environment.score_directory(tmp_path / "my-work")})


def test_loading_by_name_offers_the_nearest() -> None:
    """The interface gives the same mends as the command line."""
    with pytest.raises(UserError, match="did you mean optimize_kernel"):
        load_environment("optimize_kernal")


def test_importing_the_package_is_light() -> None:
    """`import open_re_bench` costs nothing until something is used, and unknown names are attribute errors."""
    program = "import sys, open_re_bench; print([m for m in ('numpy', 'pydantic', 'inspect_ai') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert open_re_bench.__all__ == ["LoadedEnvironment", "load_environment"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = open_re_bench.nothing
