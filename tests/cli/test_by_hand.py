"""Working by hand on the worked example: prepare, workspace, score, check, calibrate, clean, lock, record-version."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from open_re_bench import protected
from open_re_bench.cli import main
from open_re_bench.cli.clean import PARTS
from open_re_bench.errors import ExitCode

EXAMPLE = Path(__file__).parents[2] / "examples" / "sorting_network"


@pytest.fixture
def folder(tmp_path: Path, private_cache: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "sorting_network"))


def answer(capfd: pytest.CaptureFixture[str], *arguments: str, code: ExitCode = ExitCode.OK) -> Any:
    capfd.readouterr()
    assert main.run([*arguments, "--json"]) == code
    return json.loads(capfd.readouterr().out)


def test_from_workspace_to_score(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Lay out, improve, score: 0 for the start, 1 for the reference, a broken file invalid and attributed."""
    work = tmp_path / "work"
    laid = answer(capfd, "workspace", str(work), "--folder", str(folder), "--scale", "test")
    assert {"task.md", "solution/network.py", "kit/check.py", "assets/sizes.json"} <= set(laid["files"])
    score = ("score", str(work), "--folder", str(folder), "--scale", "test")
    start = answer(capfd, *score)["score"]
    assert (start["normalised"], start["valid"], start["class"]) == (0.0, True, "local")
    assert start["receipt"]["submission_sha256"]
    shutil.copy(folder / "protected" / "reference" / "network.py", work / "solution" / "network.py")
    assert answer(capfd, *score)["score"]["normalised"] == 1.0
    (work / "solution" / "network.py").write_text("broken(")
    broken = answer(capfd, *score, code=ExitCode.FINDING)["score"]
    assert (broken["valid"], broken["failure"], broken["normalised"]) == (False, "participant", 0.0)
    (work / "solution" / "network.py").unlink()
    missing = answer(capfd, *score, code=ExitCode.FINDING)["score"]
    assert "~/solution/network.py is missing" in missing["message"]


def test_a_hidden_score_is_shown_without_contradiction(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who scores by hand sees the score, and that the message beside it is what participants get instead."""
    file = folder / "environment.toml"
    file.write_text(file.read_text().replace('final = "best"', 'final = "last"\nscore_visible = false', 1))
    work = tmp_path / "sp ace"
    assert main.run(["workspace", str(work), "--folder", str(folder), "--scale", "test"]) == ExitCode.OK
    assert shlex.quote(str(work)) in capfd.readouterr().out.splitlines()[-1]
    assert main.run(["score", str(work), "--folder", str(folder), "--scale", "test"]) == ExitCode.OK
    first, second = capfd.readouterr().out.splitlines()
    assert "normalised 0.000" in first
    assert second.startswith("participants are told: ")


def test_a_workspace_never_overwrites(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A folder with anything in it is refused and left alone."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "mine.txt").write_text("precious")
    assert main.run(["workspace", str(work), "--folder", str(folder), "--scale", "test"]) == ExitCode.USAGE
    assert "is not empty" in capfd.readouterr().err
    assert [path.name for path in work.iterdir()] == ["mine.txt"]


def test_a_workspace_that_cannot_be_laid_out_is_named(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder that cannot be made is no failure on our side: exit code 3 and its own name."""
    (tmp_path / "file").write_text("")
    for place in ("/sys/work", str(tmp_path / "file"), str(tmp_path / "file" / "work")):
        assert main.run(["workspace", place, "--folder", str(folder), "--scale", "test"]) == ExitCode.CANNOT_RUN_HERE
        assert f"re-bench: {place}: cannot be written (" in capfd.readouterr().err


def test_prepare_verifies_and_mends(folder: Path, private_cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A changed asset is reported by --verify with exit 1 and mended by the next prepare."""
    first = answer(capfd, "prepare", "--folder", str(folder), "--scale", "test")[0]
    assert first["ready"]
    (Path(first["directory"]) / "hidden" / "best-known.json").write_text("{}")
    damaged = answer(capfd, "prepare", "--folder", str(folder), "--scale", "test", "--verify", code=ExitCode.FINDING)[0]
    assert damaged["changed"] == ["hidden/best-known.json"]
    mended = answer(capfd, "prepare", "--folder", str(folder), "--scale", "test")[0]
    assert mended["ready"]
    assert mended["assets_sha256"] == first["assets_sha256"]


def test_check_reports_by_name_and_exits_with_one_on_a_finding(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A broken promise is a failed check with exit 1; the others still run; a wrong name offers the nearest."""
    shutil.copy(folder / "start" / "network.py", folder / "protected" / "reference" / "network.py")
    arguments = ("check", "--folder", str(folder), "--scale", "test", "--only", "start", "--only", "reference")
    rows = answer(capfd, *arguments, code=ExitCode.FINDING)
    assert {(row["check"], row["passed"]) for row in rows} == {("start", True), ("reference", False)}
    assert {"environment", "scale", "check", "passed", "detail"} <= set(rows[0])
    assert main.run(["check", "--folder", str(folder), "--scale", "test", "--only", "referense"]) == ExitCode.USAGE
    assert "did you mean reference" in capfd.readouterr().err


def test_lock_check_and_unlock(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A stale archive is a finding; lock mends it; unlock brings the files back."""
    (folder / "protected" / "reference" / "new.txt").write_text("new")
    assert answer(capfd, "lock", "--folder", str(folder), "--check", code=ExitCode.FINDING)[0]["archive"] == "stale"
    assert answer(capfd, "lock", "--folder", str(folder))[0]["archive"] == "written"
    assert answer(capfd, "lock", "--folder", str(folder), "--check")[0]["archive"] == "current"
    shutil.rmtree(folder / "protected")
    assert answer(capfd, "unlock", "--folder", str(folder))[0]["protected"] == "unpacked"
    assert (folder / "protected" / "reference" / "new.txt").read_text() == "new"
    assert protected.tree_digest(folder / "protected") == protected.archive_digest(folder)


def test_lock_check_finds_a_missing_archive(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What is not packed at all does not pass for packed, and a mistyped folder is refused, not found to hold none."""
    shutil.rmtree(folder / "protected")
    (folder / protected.ARCHIVE).unlink(missing_ok=True)
    assert answer(capfd, "lock", "--folder", str(folder), "--check", code=ExitCode.FINDING)[0]["archive"] == "none"
    for arguments in (["lock", "--check"], ["lock"], ["unlock"]):
        assert main.run([*arguments, "--folder", str(tmp_path / "typo")]) == ExitCode.USAGE
        assert "holds no environment.toml" in capfd.readouterr().err


def test_record_version_refuses_a_silent_change(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A changed scorer under the same version is a finding with --check and refused without a bump."""
    with (folder / "score.py").open("a") as file:
        file.write("# changed\n")
    rows = answer(capfd, "record-version", "--folder", str(folder), "--check", code=ExitCode.FINDING)
    assert rows[0]["state"] == "changed: scorer"
    assert main.run(["record-version", "--folder", str(folder)]) == ExitCode.USAGE
    assert "bump `version`" in capfd.readouterr().err


def test_calibrated_anchors_are_measured_here_and_then_in_force(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Until calibrated, declared anchors hold and say so; afterwards the measured ones normalise."""
    file = folder / "environment.toml"
    text = file.read_text().replace('source = "fixed"', 'source = "calibrated"').replace("raw = 33", "raw = 41")
    file.write_text(text)
    work = tmp_path / "work"
    assert main.run(["workspace", str(work), "--folder", str(folder), "--scale", "test"]) == ExitCode.OK
    shutil.copy(folder / "protected" / "reference" / "network.py", work / "solution" / "network.py")
    score = ("score", str(work), "--folder", str(folder), "--scale", "test")
    before = answer(capfd, *score)["score"]
    assert before["normalised"] == pytest.approx(9.0)
    assert "anchors not calibrated on this machine" in before["receipt"]["why_local"]
    measured = answer(capfd, "calibrate", "--folder", str(folder), "--scale", "test", "--scorings", "2")[0]
    assert (measured["start"]["raw"], measured["reference"]["raw"]) == (42.0, 33.0)
    after = answer(capfd, *score)["score"]
    assert after["normalised"] == pytest.approx(1.0)
    assert "anchors not calibrated on this machine" not in after["receipt"]["why_local"]


def test_clean_says_what_would_go_and_removes_only_caches(
    folder: Path, private_cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """--dry-run removes nothing; --yes removes what was named and nothing else."""
    assert main.run(["prepare", "--folder", str(folder), "--scale", "test"]) == ExitCode.OK
    (private_cache / "calibrations").mkdir()
    planned = answer(capfd, "clean", "--dry-run")
    assert [part["part"] for part in planned["parts"]] == ["assets"]
    assert (private_cache / "assets").exists()
    assert main.run(["clean", "--yes"]) == ExitCode.OK
    assert not (private_cache / "assets").exists()
    assert (private_cache / "calibrations").exists()
    assert folder.exists()


def test_clean_with_json_removes_nothing_unasked(private_cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A script that wants to read what `clean` would say loses no cache: --json needs --yes or --dry-run."""
    (private_cache / "toolchains" / "made").mkdir(parents=True)
    assert main.run(["clean", "--json"]) == ExitCode.USAGE
    out, err = capfd.readouterr()
    assert out == ""
    assert "--dry-run" in err
    assert (private_cache / "toolchains" / "made").exists()
    assert answer(capfd, "clean", "--yes")["parts"][0]["removed"]
    assert not (private_cache / "toolchains").exists()


def test_clean_all_leaves_nothing_but_leases(private_cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`clean all` removes every part of the cache that can be made again; locks of what is running stay."""
    parts = ("assets", "toolchains", "calibrations", "workspaces", "rust-judge", "inside", "leases")
    for part in parts:
        (private_cache / part / "content").mkdir(parents=True)
    assert {row["part"] for row in answer(capfd, "clean", "all", "--yes")["parts"]} == {*parts} - {"leases"}
    assert [path.name for path in private_cache.iterdir()] == ["leases"]


def test_every_part_of_the_cache_is_in_the_list() -> None:
    """Whatever the code keeps in the cache is either removed by `clean all` or kept on purpose, and documented."""
    root = Path(__file__).parents[2]
    source = "".join(path.read_text() for path in (root / "src").rglob("*.py"))
    kept = set(re.findall(r'cache_directory\("([a-z-]+)"', source))
    assert kept == {*PARTS, "leases"}
    documented = (root / "docs" / "files-and-formats.md").read_text().partition("## The cache")[2]
    assert [part for part in kept if f"\n{part}/" not in documented] == []
