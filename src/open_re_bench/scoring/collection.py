"""Collecting a submission: a declared list of regular files, copied by content, with limits.

Whatever the workshop's owner put there (links, devices, sparse giants, odd names) either becomes plain bytes in the
content-addressed store or a refusal that names the file and the mend. Nothing is resolved on the host: the workshop
sends a tar stream made inside its own namespace, a local folder is walked without following links.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from open_re_bench.environment import Submission, SubmissionRules, SubmittedFile
from open_re_bench.errors import InfrastructureError

MAX_MEMBERS = 100_000  # files, folders and links in ~/solution, wanted or not: each costs the host 16 us
MAX_PATH_CHARACTERS = 240  # one path component limit of common file systems is 255 bytes
_IGNORED_PARTS = frozenset({"__pycache__", ".git", ".ipynb_checkpoints"})
_READ_CHUNK = 1 << 20


# What a submitted name can cause. Every other error while storing is the host's trouble, never the participant's.
_NAME_TROUBLE = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}


class Source(Protocol):
    """Something that is read in chunks."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


class _TarMember(tarfile.TarInfo):
    """A member that refuses negative sizes, on which older tarfile modules loop for ever (CVE-2025-8194)."""

    def _block(self, count: int) -> int:
        if count < 0:
            raise tarfile.TarError("negative size")
        return super()._block(count)  # type: ignore[misc,no-any-return]


class SubmissionRefused(Exception):
    """The submission breaks a rule; the text is for the participant and names the mend."""


def _matches(path: str, rules: SubmissionRules) -> bool:
    parts = PurePosixPath(path).parts
    return path in rules.required or any(
        _parts_match(parts, PurePosixPath(pattern).parts) for pattern in rules.optional
    )


def _parts_match(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Anchored glob: ``*`` stays within one folder, ``**`` spans any number of them."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_parts_match(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _parts_match(parts[1:], pattern[1:])


def _printable(path: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in path)[:MAX_PATH_CHARACTERS]


class _Intake:
    """Writes accepted files below `root`, counting limits."""

    def __init__(self, root: Path, rules: SubmissionRules) -> None:
        self.root, self.rules = root, rules
        self.files: list[SubmittedFile] = []
        self.bytes = 0

    def wants(self, path: str) -> bool:
        """Whether the rules name `path`; paths that could leave the root or clash are never wanted."""
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or _IGNORED_PARTS & set(parts):
            return False
        if path != "/".join(parts):  # "./x" and "x//y" are second names of x and x/y
            return False
        return len(path) <= MAX_PATH_CHARACTERS and path.isprintable() and _matches(path, self.rules)

    def add(self, path: str, size: int, source: Source) -> None:
        shown = _printable(path)
        if any(file.path == path for file in self.files):
            raise SubmissionRefused(f"{shown} appears twice; submit each file once")
        if size > self.rules.max_file_bytes:
            raise SubmissionRefused(f"{shown} has {size:,} bytes; the limit is {self.rules.max_file_bytes:,} per file")
        if self.bytes + size > self.rules.max_bytes:
            raise SubmissionRefused(f"the submission is larger than {self.rules.max_bytes:,} bytes; submit less")
        if len(self.files) >= self.rules.max_files:
            raise SubmissionRefused(f"the submission has more than {self.rules.max_files} files; submit fewer")
        try:
            self._copy(path, size, source)
        except OSError as error:
            if error.errno in _NAME_TROUBLE:
                raise SubmissionRefused(f"{shown} cannot be stored; give it a plain, short name") from error
            raise _not_stored(self.root.parent, error) from error

    def _copy(self, path: str, size: int, source: Source) -> None:
        shown, target = _printable(path), self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, written = hashlib.sha256(), 0
        with target.open("xb") as out:
            while chunk := source.read(_READ_CHUNK):
                written += len(chunk)
                if written > size:
                    raise SubmissionRefused(f"{shown} grew while it was read; stop writing to it and score again")
                digest.update(chunk)
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())  # the score log, which names it, survives a power cut: so must what it names
        if written != size:
            raise SubmissionRefused(f"{shown} shrank while it was read; stop writing to it and score again")
        target.chmod(0o444)
        self.bytes += size
        self.files.append(SubmittedFile(path=path, size=size, sha256=digest.hexdigest()))

    def finish(self, store: Path) -> Submission:
        present = {file.path for file in self.files}
        missing = [path for path in self.rules.required if path not in present]
        if missing:
            raise SubmissionRefused(f"~/solution/{missing[0]} is missing; create it (a regular file) and score again")
        files = tuple(sorted(self.files, key=lambda file: file.path))
        digest = content_address(files)
        final = store / digest
        try:
            self._move_to(final)
        except OSError as error:
            raise _not_stored(store, error) from error
        return Submission(root=final, files=files, digest=digest)

    def _move_to(self, final: Path) -> None:
        if final.exists() and not _is_intact(final.parent, final.name):
            shutil.rmtree(final)  # damaged since it was stored; what was just collected has the same address
        if final.exists():
            return
        # The scoring sandbox reads it as another user; the store around it stays private.
        for folder in (self.root, *(path for path in self.root.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
            _fsync_folder(folder)
        try:
            self.root.rename(final)
        except OSError:
            if not final.exists():  # another attempt stored the same content first: theirs serves
                raise
        _fsync_folder(final.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_stored(store: Path, error: OSError) -> InfrastructureError:
    return InfrastructureError(
        f"{store}: the submission could not be stored ({error.strerror})",
        "free space there and score again; this does not count against the participant",
    )


def content_address(files: tuple[SubmittedFile, ...]) -> str:
    """SHA-256 over the sorted (path, content hash) pairs."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        digest.update(f"{file.path}\0{file.sha256}\n".encode())
    return digest.hexdigest()


def _staging(store: Path) -> Path:
    try:
        store.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Path(tempfile.mkdtemp(prefix=".incoming-", dir=store))
    except OSError as error:
        raise _not_stored(store, error) from error


def collect_tar(stream: bytes, rules: SubmissionRules, store: Path) -> Submission:
    """Collects from a tar stream of ~/solution (member names relative to it).

    Args:
        stream: The tar, as made inside the workshop; hostile bytes are fine.
        rules: The environment's submission rules.
        store: Content-addressed store on the host; the submission becomes ``store/<digest>``.

    Raises:
        SubmissionRefused: a rule is broken; the participant's doing.
    """
    staging = _staging(store)
    try:
        intake = _Intake(staging, rules)
        try:
            with tarfile.open(fileobj=io.BytesIO(stream), mode="r:", tarinfo=_TarMember) as tar:
                seen = 0
                while (member := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]  # it keeps every one that it has read
                    seen += 1
                    if seen > MAX_MEMBERS:
                        raise SubmissionRefused(
                            f"~/solution holds more than {MAX_MEMBERS:,} files; move what is not submitted elsewhere"
                        )
                    path = member.name.removeprefix("./")
                    if member.isdir() or not intake.wants(path):
                        continue
                    if not member.isreg() or member.issparse():
                        raise SubmissionRefused(f"{_printable(path)} is not a regular file; copy its content there")
                    source = tar.extractfile(member)
                    if source is None:
                        raise SubmissionRefused(f"{_printable(path)} cannot be read; write it again")
                    intake.add(path, member.size, source)
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
            raise SubmissionRefused("~/solution cannot be read; look for files with broken names") from error
        return intake.finish(store)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@dataclass(frozen=True)
class _Found:
    """A name in a folder being walked, with the folder's descriptor: nothing above it can be swapped for a link."""

    path: str
    status: os.stat_result
    name: str
    folder: int

    def open(self) -> int:
        return os.open(self.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.folder)


def _walk(root: Path) -> Iterator[_Found]:
    for directory, folders, names, descriptor in os.fwalk(root, follow_symlinks=False):
        folders[:] = sorted(f for f in folders if f not in _IGNORED_PARTS)
        for name in sorted([*names, *folders]):
            try:
                status = os.lstat(name, dir_fd=descriptor)
            except FileNotFoundError:
                continue  # taken away meanwhile: as if it had never been there
            if name in folders and not stat.S_ISLNK(status.st_mode):
                continue  # is walked itself
            yield _Found(os.path.relpath(os.path.join(directory, name), root), status, name, descriptor)


def collect_directory(folder: Path, rules: SubmissionRules, store: Path) -> Submission:
    """Collects from a folder on this machine (``re-bench score ENV DIR``), without following links.

    Raises:
        SubmissionRefused: as `collect_tar`; also when the folder does not exist.
    """
    if not folder.is_dir():
        raise SubmissionRefused(f"{folder} is not a folder; give the folder that holds {rules.required[0]}")
    staging = _staging(store)
    try:
        intake = _Intake(staging, rules)
        for found in _walk(folder):
            path, status = found.path, found.status
            if not intake.wants(path):
                continue
            if not stat.S_ISREG(status.st_mode):
                raise SubmissionRefused(f"{_printable(path)} is not a regular file; copy its content there")
            if status.st_size > rules.max_file_bytes:
                raise SubmissionRefused(
                    f"{_printable(path)} has {status.st_size:,} bytes; the limit is {rules.max_file_bytes:,} per file"
                )
            try:
                descriptor = found.open()
            except OSError as error:
                raise SubmissionRefused(f"{_printable(path)} cannot be read ({error.strerror})") from error
            with os.fdopen(descriptor, "rb") as source:
                opened = os.fstat(descriptor)
                if not stat.S_ISREG(opened.st_mode):
                    raise SubmissionRefused(f"{_printable(path)} is not a regular file; copy its content there")
                intake.add(path, opened.st_size, source)
        return intake.finish(store)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _is_intact(store: Path, digest: str) -> bool:
    try:
        load(store, digest)
    except (OSError, ValueError):
        return False
    return True


def load(store: Path, digest: str) -> Submission:
    """The stored submission `digest`, re-hashed.

    Raises:
        FileNotFoundError: the store lacks it.
        ValueError: its content no longer matches its address.
    """
    root = store / digest
    if not root.is_dir():
        raise FileNotFoundError(f"submission {digest} is not in {store}")
    files = tuple(
        SubmittedFile(
            path=found.path,
            size=found.status.st_size,
            sha256=hashlib.sha256((root / found.path).read_bytes()).hexdigest(),
        )
        for found in _walk(root)
        if stat.S_ISREG(found.status.st_mode)
    )
    if content_address(files) != digest:
        raise ValueError(f"submission {digest} in {store} was changed after it was stored")
    return Submission(root=root, files=tuple(sorted(files, key=lambda file: file.path)), digest=digest)
