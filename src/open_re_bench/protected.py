"""Protected material: solutions, cheats and hidden answers, kept out of crawlers in an AES archive per environment.

The password is public (README, section "Protected files"): the aim is that solutions do not end up in training
data, not that people are locked out. `make unlock` unpacks every archive to the git-ignored folder ``protected/`` of
its environment, `make lock` packs them again. Code never needs either: `files` reads an unpacked folder where there
is one and the archive otherwise.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from open_re_bench.errors import UserError

if TYPE_CHECKING:
    import pyzipper

PASSWORD = b"open-re-bench: keep solutions out of training data"
ARCHIVE = "protected.zip"
FOLDER = "protected"
INDEX = "INDEX.sha256"  # content hashes of the packed tree and of its assets: no need to compare ciphertext
ASSETS = ("hidden", "public")
TRUSTED_CANARY = "c9b2f7de-33b4-4c0f-8a55-6d1f0e7a94e2"
PUBLIC_CANARY = "7f0c3c1e-5b1d-4f57-9d0e-2a6a0d9c51b4"
_FIXED_DATE = (2026, 1, 1, 0, 0, 0)  # so that packing twice changes nothing but the salt
_SKIPPED = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"}


def _files(root: Path) -> list[Path]:
    return sorted(
        path for path in root.rglob("*") if path.is_file() and not (_SKIPPED & set(path.relative_to(root).parts))
    )


def tree_digest(root: Path, *parts: str) -> str:
    """SHA-256 over the sorted (relative path, content hash) pairs below `root`.

    Args:
        parts: Only these top-level folders; everything when none are given.
    """
    digest = hashlib.sha256()
    for path in _files(root):
        if parts and path.relative_to(root).parts[0] not in parts:
            continue
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _index(folder: Path) -> list[str]:
    with _opened(folder / ARCHIVE) as packed:
        return list(packed.read(INDEX).decode().split())


def archive_digest(folder: Path) -> str | None:
    """Content hash the archive in `folder` was packed from; None without an archive."""
    return _index(folder)[0] if (folder / ARCHIVE).exists() else None


def assets_digest(folder: Path) -> str:
    """Content hash of the shipped assets alone (``hidden/`` and ``public/``): what a comparability version covers."""
    root = folder / FOLDER
    if root.is_dir():
        return tree_digest(root, *ASSETS)
    if not (folder / ARCHIVE).exists():
        return hashlib.sha256().hexdigest()
    return _index(folder)[-1]


@contextmanager
def _opened(archive: Path) -> Iterator[pyzipper.AESZipFile]:
    """The archive, readable.

    Raises:
        UserError: it is damaged.
    """
    import pyzipper  # here: its ciphers take a tenth of the start of a command that opens no archive

    try:
        with pyzipper.AESZipFile(archive) as packed:
            packed.setpassword(PASSWORD)
            yield packed
    except (zipfile.BadZipFile, pyzipper.BadZipFile, RuntimeError, KeyError, lzma.LZMAError, EOFError) as error:
        raise UserError(f"{archive} is damaged ({error})", "restore the archive from git") from error


def listing(folder: Path) -> list[str]:
    """Relative paths of the protected files of the environment in `folder`; unpacks nothing."""
    root, archive = folder / FOLDER, folder / ARCHIVE
    if root.is_dir():
        return [path.relative_to(root).as_posix() for path in _files(root)]
    if not archive.exists():
        return []
    with _opened(archive) as packed:
        return sorted(name for name in packed.namelist() if name != INDEX and not name.endswith("/"))


def lock(folder: Path) -> bool:
    """Packs ``folder/protected`` into ``folder/protected.zip`` unless the archive is already current.

    Returns:
        True when the archive was written.
    """
    import pyzipper

    root = folder / FOLDER
    if not root.is_dir():
        return False
    digest = tree_digest(root)
    if (folder / ARCHIVE).exists() and _index(folder) == [digest, tree_digest(root, *ASSETS)]:
        return False
    buffer = io.BytesIO()
    with pyzipper.AESZipFile(buffer, "w", compression=pyzipper.ZIP_LZMA, encryption=pyzipper.WZ_AES) as packed:
        packed.setpassword(PASSWORD)
        for path in _files(root):
            name = path.relative_to(root).as_posix()
            info = pyzipper.zipfile_aes.AESZipInfo(name, date_time=_FIXED_DATE)
            info.compress_type = pyzipper.ZIP_LZMA
            info.external_attr = (0o755 if path.stat().st_mode & 0o100 else 0o644) << 16
            packed.writestr(info, path.read_bytes())
        packed.writestr(INDEX, f"{digest}\n{tree_digest(root, *ASSETS)}\n")
    temporary = folder / (ARCHIVE + ".new")
    temporary.write_bytes(buffer.getvalue())
    temporary.replace(folder / ARCHIVE)
    return True


def _extract(archive: Path, target: Path) -> None:
    with _opened(archive) as packed:
        for info in packed.infolist():
            path = (target / info.filename).resolve()
            if info.filename == INDEX or info.is_dir():
                continue
            if not path.is_relative_to(target.resolve()):
                raise UserError(
                    f"{archive}: member {info.filename!r} leaves the folder", "restore the archive from git"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed.read(info.filename))
            if (info.external_attr >> 16) & 0o100:
                path.chmod(0o755)


def unlock(folder: Path) -> bool:
    """Unpacks ``folder/protected.zip`` to ``folder/protected``, which must not hold unpacked changes.

    Returns:
        True when something was unpacked.

    Raises:
        UserError: the unpacked folder differs from the archive (unpacked changes would be lost).
    """
    archive, root = folder / ARCHIVE, folder / FOLDER
    if not archive.exists():
        return False
    if root.is_dir():
        if tree_digest(root) == archive_digest(folder):
            return False
        raise UserError(f"{root} has changes that are not packed", "run `make lock` first, or remove that folder")
    temporary = Path(tempfile.mkdtemp(prefix=f".{FOLDER}-", dir=folder))
    try:
        _extract(archive, temporary)
        temporary.rename(root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


@contextmanager
def files(folder: Path) -> Iterator[Path]:
    """The protected tree of the environment in `folder`, as a host directory readable by this user only.

    Uses the unpacked folder where there is one; otherwise unpacks the archive to a temporary directory that is
    removed on exit.

    Raises:
        UserError: neither exists.
    """
    root = folder / FOLDER
    if root.is_dir():
        yield root
        return
    archive = folder / ARCHIVE
    if not archive.exists():
        raise UserError(f"{folder.name} ships no protected material", f"restore {archive} from git")
    temporary = Path(tempfile.mkdtemp(prefix="open-re-bench-protected-"))
    try:
        _extract(archive, temporary)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
