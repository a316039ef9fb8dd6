"""Collection: what leaves a workshop is plain bytes of declared files, or a refusal that names file and mend."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from pathlib import Path

import pytest

from open_re_bench.environment import SubmissionRules
from open_re_bench.errors import InfrastructureError
from open_re_bench.scoring import collection
from open_re_bench.scoring.collection import SubmissionRefused, collect_directory, collect_tar, load

RULES = SubmissionRules(
    required=("main.py",),
    optional=("*.txt", "data/**/*.bin"),
    max_files=4,
    max_bytes=3000,
    max_file_bytes=2000,
)


def tar_of(*members: tuple[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info)
    return buffer.getvalue()


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "main.py").write_bytes(b"print(1)\n")
    return folder


def test_folder_and_tar_of_the_same_files_have_the_same_address(work: Path, tmp_path: Path) -> None:
    """The content address depends on paths and bytes alone, not on how they arrived."""
    (work / "note.txt").write_text("hello")
    (work / "data" / "deep").mkdir(parents=True)
    (work / "data" / "deep" / "x.bin").write_bytes(b"\0\1")
    (work / "ignored.md").write_text("not declared")
    here = collect_directory(work, RULES, tmp_path / "a")
    there = collect_tar(
        tar_of(("./data/deep/x.bin", b"\0\1"), ("note.txt", b"hello"), ("./main.py", b"print(1)\n"), ("y.md", b"?")),
        RULES,
        tmp_path / "b",
    )
    assert here.digest == there.digest
    assert [file.path for file in here.files] == ["data/deep/x.bin", "main.py", "note.txt"]
    assert there.read_bytes("note.txt") == b"hello"
    with pytest.raises(KeyError):
        there.read_bytes("ignored.md")


def test_optional_patterns_are_anchored_at_the_solution_folder(work: Path, tmp_path: Path) -> None:
    """`*.txt` names files of ~/solution itself, `**` spans folders: a pattern never takes more than it says."""
    (work / "sub").mkdir()
    (work / "sub" / "nested.txt").write_text("no")
    (work / "data").mkdir()
    (work / "data" / "top.bin").write_bytes(b"yes")
    taken = [file.path for file in collect_directory(work, RULES, tmp_path / "s").files]
    assert taken == ["data/top.bin", "main.py"]


@pytest.mark.parametrize(
    ("kind", "target"),
    [(tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "/etc/passwd"), (tarfile.CHRTYPE, ""), (tarfile.FIFOTYPE, "")],
)
def test_tar_members_that_are_not_files_are_refused_by_name(kind: bytes, target: str, tmp_path: Path) -> None:
    """Links, devices and pipes under a declared name are refused; the message names the file."""
    with pytest.raises(SubmissionRefused, match=r"main\.py is not a regular file"):
        collect_tar(tar_of(extra=(member("main.py", kind, target),)), RULES, tmp_path / "s")
    assert list((tmp_path / "s").iterdir()) == []


@pytest.mark.parametrize("name", ["../main.py", "/main.py", "x/../main.py", ".//main.py", "././main.py"])
def test_other_spellings_of_a_path_are_not_that_path(name: str, tmp_path: Path) -> None:
    """A climbing, absolute or doubled spelling never writes a declared file, in or out of the store."""
    with pytest.raises(SubmissionRefused, match=r"main\.py is missing"):
        collect_tar(tar_of((name, b"evil")), RULES, tmp_path / "s")
    assert not (tmp_path / "main.py").exists()


def test_a_crowd_of_links_is_refused_before_it_costs(tmp_path: Path) -> None:
    """Headers cost a participant nothing: more than a limit of them, of whatever kind and name, are refused as one."""
    links = member("x", tarfile.LNKTYPE, "main.py").tobuf() * collection.MAX_MEMBERS
    with pytest.raises(SubmissionRefused, match="more than 100,000 files; move what is not submitted"):
        collect_tar(links + tar_of(("main.py", b"1")), RULES, tmp_path)
    few = links[: 512 * 1000] + tar_of(("main.py", b"1"))
    assert [file.path for file in collect_tar(few, RULES, tmp_path).files] == ["main.py"]


def test_a_file_given_twice_is_refused(tmp_path: Path) -> None:
    """The second content of a name can never replace the first unnoticed."""
    with pytest.raises(SubmissionRefused, match="appears twice"):
        collect_tar(tar_of(("main.py", b"a"), ("main.py", b"b")), RULES, tmp_path / "s")


def test_a_file_where_another_needs_a_folder_is_a_refusal(tmp_path: Path) -> None:
    """Clashing paths are the participant's fault, not a crash of the harness."""
    rules = SubmissionRules(required=("main.py",), optional=("**/*",))
    with pytest.raises(SubmissionRefused, match="cannot be stored"):
        collect_tar(tar_of(("main.py", b"a"), ("main.py/inside", b"b")), rules, tmp_path / "s")


def test_limits_hold_for_files_bytes_and_count(work: Path, tmp_path: Path) -> None:
    """Each limit refuses with its number."""
    (work / "big.txt").write_bytes(b"x" * 2001)
    with pytest.raises(SubmissionRefused, match="2,000 per file"):
        collect_directory(work, RULES, tmp_path / "s")
    (work / "big.txt").write_bytes(b"x" * 1900)
    (work / "other.txt").write_bytes(b"x" * 1900)
    with pytest.raises(SubmissionRefused, match="larger than 3,000"):
        collect_directory(work, RULES, tmp_path / "s")
    for number in range(5):
        (work / f"{number}.txt").write_bytes(b"")
    (work / "big.txt").unlink()
    (work / "other.txt").unlink()
    with pytest.raises(SubmissionRefused, match="more than 4 files"):
        collect_directory(work, RULES, tmp_path / "s")


def test_a_sparse_giant_costs_nothing(work: Path, tmp_path: Path) -> None:
    """A terabyte of holes is refused by its size, without being read."""
    with (work / "main.py").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(SubmissionRefused, match="per file"):
        collect_directory(work, RULES, tmp_path / "s")


def test_links_and_pipes_in_a_folder_are_refused_without_being_opened(work: Path, tmp_path: Path) -> None:
    """A link is not followed and a pipe is not waited for."""
    (work / "main.py").unlink()
    (work / "main.py").symlink_to("/etc/passwd")
    with pytest.raises(SubmissionRefused, match="not a regular file"):
        collect_directory(work, RULES, tmp_path / "s")
    (work / "main.py").unlink()
    os.mkfifo(work / "main.py")
    with pytest.raises(SubmissionRefused, match="not a regular file"):
        collect_directory(work, RULES, tmp_path / "s")


def test_a_link_to_a_folder_is_not_walked(work: Path, tmp_path: Path) -> None:
    """`data -> /etc` gives no file of /etc."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.bin").write_bytes(b"secret")
    (work / "data").symlink_to(outside)
    assert [file.path for file in collect_directory(work, RULES, tmp_path / "s").files] == ["main.py"]


def test_a_folder_swapped_for_a_link_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that becomes a link to another after it was looked at, and before its file is opened, leads nowhere."""
    rules = SubmissionRules(required=("a",), optional=("d/*",), max_files=9, max_bytes=1000, max_file_bytes=500)
    solution, outside = tmp_path / "solution", tmp_path / "outside"
    for folder, text in ((solution / "d", "mine"), (outside, "secret of the host")):
        folder.mkdir(parents=True)
        (folder / "x").write_text(text)
    (solution / "a").write_text("a")
    wants = collection._Intake.wants

    def swapping(self: collection._Intake, path: str) -> bool:
        if path == "d/x":
            (solution / "d").rename(tmp_path / "kept")
            (solution / "d").symlink_to(outside)
        return wants(self, path)

    monkeypatch.setattr(collection._Intake, "wants", swapping)
    submission = collect_directory(solution, rules, tmp_path / "store")
    assert submission.read_bytes("d/x") == b"mine"


def test_a_file_taken_away_while_it_is_collected_is_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is gone when it is looked at counts as never having been there."""
    rules = SubmissionRules(required=("a",), optional=("*",), max_files=9, max_bytes=1000, max_file_bytes=500)
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    lstat = os.lstat

    def gone(path: str, *, dir_fd: int | None = None) -> os.stat_result:
        if Path(path).name == "b":
            (tmp_path / "b").unlink(missing_ok=True)
        return lstat(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "lstat", gone)
    submission = collect_directory(tmp_path, rules, tmp_path.parent / f"{tmp_path.name}-store")
    assert [file.path for file in submission.files] == ["a"]


def test_missing_required_file_names_it(tmp_path: Path) -> None:
    """The refusal says what to create and where."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(SubmissionRefused, match=r"~/solution/main\.py is missing"):
        collect_directory(tmp_path / "empty", RULES, tmp_path / "s")


def test_a_full_disk_is_ours_not_the_participants(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC while storing is an infrastructure failure and leaves nothing behind."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(collection._Intake, "_copy", full)
    with pytest.raises(InfrastructureError, match="No space left"):
        collect_directory(work, RULES, tmp_path / "s")
    assert list((tmp_path / "s").iterdir()) == []


def test_stored_submissions_are_verified_when_loaded(work: Path, tmp_path: Path) -> None:
    """A changed stored file is found; storing the same content again mends it."""
    stored = collect_directory(work, RULES, tmp_path / "s")
    assert load(tmp_path / "s", stored.digest) == stored
    (stored.root / "main.py").chmod(0o644)
    (stored.root / "main.py").write_bytes(b"print(2)\n")
    with pytest.raises(ValueError, match="was changed"):
        load(tmp_path / "s", stored.digest)
    again = collect_directory(work, RULES, tmp_path / "s")
    assert again.read_bytes("main.py") == b"print(1)\n"
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "s", "0" * 64)


def test_the_sandbox_user_can_read_what_was_stored(work: Path, tmp_path: Path) -> None:
    """Stored folders are passable and files readable for the scoring sandbox's own user, and nothing is writable."""
    (work / "data").mkdir()
    (work / "data" / "x.bin").write_bytes(b"1")
    stored = collect_directory(work, RULES, tmp_path / "s")
    assert stored.root.stat().st_mode & 0o777 == 0o755
    assert (stored.root / "data").stat().st_mode & 0o777 == 0o755
    assert (stored.root / "data" / "x.bin").stat().st_mode & 0o777 == 0o444


def test_what_is_stored_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file and folder of a submission is on the disk before it gets its name, and the name before it is told:
    the score log, which names it, is too.
    """
    synced: list[int] = []
    before: set[int] = set()
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        real_fsync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    def rename(self: Path, target: Path) -> Path:
        before.update(synced)
        return real_rename(self, target)

    monkeypatch.setattr(collection.os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    store = tmp_path / "store"
    stored = collect_tar(tar_of(("main.py", b"1"), ("data/deep/x.bin", b"2")), RULES, store).root
    assert before >= {path.stat().st_ino for path in (stored, *stored.rglob("*"))}
    assert synced[-1] == store.stat().st_ino
