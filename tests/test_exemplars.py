"""Example submissions: found without unpacking, written per scale and instance, cheats described."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from open_re_bench import assets, exemplars, protected, registry
from open_re_bench.conformance import scores
from open_re_bench.environment import Instance
from open_re_bench.errors import UserError
from open_re_bench.exemplars import Kind
from open_re_bench.scoring import instances

EXAMPLE = Path(__file__).parents[1] / "examples" / "sorting_network"


@pytest.fixture
def folder(tmp_path: Path, private_cache: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "sorting_network"))


def instance(folder: Path, tmp_path: Path) -> Instance:
    bound = registry.environment_in(folder, "test")
    return instances.lay_out(bound, assets.prepare(bound)[0], tmp_path / "instance", 1)


def test_names_are_the_same_packed_and_unpacked(folder: Path) -> None:
    """The battery's checks can be listed from the archive alone."""
    unpacked = {kind: exemplars.names(folder, kind) for kind in Kind}
    shutil.rmtree(folder / "protected")
    assert {kind: exemplars.names(folder, kind) for kind in Kind} == unpacked
    assert unpacked[Kind.BETTER] == ["known_nine"]
    assert unpacked[Kind.REFERENCE] == ["reference"]
    assert unpacked[Kind.START] == []
    assert len(unpacked[Kind.CHEAT]) == 5


def test_start_is_the_solution_folder_as_laid_out(folder: Path, tmp_path: Path) -> None:
    """Without a start of its own, the start example is what a participant finds in ~/solution."""
    written = exemplars.write(instance(folder, tmp_path), folder / "protected", Kind.START, "", tmp_path / "out")
    assert {p.name: p.read_bytes() for p in written.iterdir()} == {
        "network.py": (folder / "start" / "network.py").read_bytes()
    }


def test_a_scale_may_have_its_own_files_and_others_never_leak(folder: Path, tmp_path: Path) -> None:
    """reference/test wins over reference/ at scale test; scale folders are not part of another scale's submission."""
    reference = folder / "protected" / "reference"
    (reference / "cpu").mkdir()
    (reference / "cpu" / "network.py").write_text("cpu")
    (reference / "test-hard").mkdir()
    (reference / "test-hard" / "network.py").write_text("a variant")
    under_test = instance(folder, tmp_path)
    shared = exemplars.write(under_test, folder / "protected", Kind.REFERENCE, "", tmp_path / "shared")
    assert [path.name for path in shared.iterdir()] == ["network.py"]
    assert exemplars.solution_folder(reference, "cpu-hard") == reference / "cpu"
    (reference / "test").mkdir()
    (reference / "test" / "network.py").write_text("test")
    own = exemplars.write(under_test, folder / "protected", Kind.REFERENCE, "", tmp_path / "own")
    assert (own / "network.py").read_text() == "test"


def test_a_control_of_another_scale_is_not_checked_here(folder: Path) -> None:
    """A control whose files lie in another scale's folder only is left out; it would pass as an empty submission."""
    listed = {check.name for check in scores.checks(registry.environment_in(folder, "test"))}
    other = folder / "protected" / "controls" / "elsewhere" / "cpu"
    other.mkdir(parents=True)
    (other / "network.py").write_text("cpu")
    assert {check.name for check in scores.checks(registry.environment_in(folder, "test"))} == listed
    other.rename(other.with_name("test"))
    with_own = {check.name for check in scores.checks(registry.environment_in(folder, "test"))}
    assert with_own == listed | {"control:elsewhere"}


def test_materialise_completes_what_depends_on_the_instance(folder: Path, tmp_path: Path) -> None:
    """The hook sees kind, name, target and instance after the files were copied."""
    (folder / "protected" / exemplars.HOOK).write_text(
        "def materialise(kind, name, target, instance):\n"
        "    (target / 'seed.txt').write_text(f'{kind}/{name}/{instance.seed}/{(target / \"network.py\").exists()}')\n"
    )
    written = exemplars.write(
        instance(folder, tmp_path), folder / "protected", Kind.BETTER, "known_nine", tmp_path / "out"
    )
    assert (written / "seed.txt").read_text() == "better/known_nine/1/True"


def test_cheats_are_described_and_their_description_is_not_submitted(folder: Path, tmp_path: Path) -> None:
    """cheat.toml is read and checked, and never part of the submission."""
    root = folder / "protected"
    for name in exemplars.names(folder, Kind.CHEAT):
        cheat = exemplars.cheat(root, name)
        assert cheat.wins == "naive"
        assert all(1 <= number <= 50 for number in cheat.catalogue)
    written = exemplars.write(instance(folder, tmp_path), root, Kind.CHEAT, "wide_gate", tmp_path / "out")
    assert not (written / exemplars.CHEAT_FILE).exists()
    file = root / "cheats" / "wide_gate" / exemplars.CHEAT_FILE
    file.write_text('title = "x"\ncatalogue = []\nhow = "y"\n')
    with pytest.raises(UserError, match="field catalogue"):
        exemplars.cheat(root, "wide_gate")
    file.write_text("title =")
    with pytest.raises(UserError, match="not valid TOML"):
        exemplars.cheat(root, "wide_gate")
    file.unlink()
    with pytest.raises(UserError, match="is missing"):
        exemplars.cheat(root, "wide_gate")


def test_an_unknown_example_is_refused(folder: Path, tmp_path: Path) -> None:
    """Asking for what is not shipped says so."""
    with pytest.raises(UserError, match="ships no better/none"):
        exemplars.write(instance(folder, tmp_path), folder / "protected", Kind.BETTER, "none", tmp_path / "out")


def test_the_digest_of_an_archive_is_that_of_the_example() -> None:
    """The shipped example's archive is current."""
    assert protected.archive_digest(EXAMPLE) == protected.tree_digest(EXAMPLE / "protected")
