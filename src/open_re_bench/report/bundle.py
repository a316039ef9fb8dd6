"""Bundles: logs, run table and submissions in one zip that can be passed on and checked.

    manifest.json                     format, software, every file with size and SHA-256, what was redacted and left out
    runs.csv                          the run table
    logs/<name>.eval                  Inspect logs, redacted
    attempts/<id>/*.json(l)           plan, result, ledger and score log, byte for byte (their hash chain must hold)
    submissions/<digest>/...          what was scored, byte for byte (its content address must hold)

A file that must stay byte for byte and holds something sensitive is left out and named. Logs and submissions of
scripted participants (reference solutions, recorded demonstrations) are protected material and never packed. Checking
trusts nothing in the zip: names, sizes, hashes, the run table's rows, and whether it fits the logs.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from open_re_bench.analysis.logs import load, log_files, read_logs
from open_re_bench.analysis.runs import COLUMNS, check_table, csv_text
from open_re_bench.errors import UserError
from open_re_bench.report.redaction import Redactor, is_protected

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "open-re-bench-bundle/1"
MANIFEST = "manifest.json"
ATTEMPT_FILES = ("plan.json", "result.json", "ledger.json", "score-log.jsonl")
CONTENT_ADDRESS = re.compile(r"\b[0-9a-f]{64}\b")
MAX_FILES = 200_000
MAX_FILE_BYTES = 2 << 30  # an eight-hour transcript is far below
MAX_TOTAL_BYTES = 64 << 30
MAX_RATIO = 500  # text compresses a hundredfold at most; a bomb a thousandfold
RATIO_FLOOR = 1 << 20  # tiny files may compress by any ratio


class FileEntry(BaseModel):
    """One file of a bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """``manifest.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["open-re-bench-bundle/1"]
    made: str
    software: str
    attempts: int = Field(ge=0)
    files: tuple[FileEntry, ...]
    redacted: dict[str, int] = Field(default_factory=dict)
    left_out: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A packed or checked bundle: its manifest and what is wrong with it (empty when it holds)."""

    manifest: Manifest
    problems: tuple[str, ...] = ()


def pack(folder: Path, target: Path, redactor: Redactor | None = None) -> Bundle:
    """Pack a log directory.

    Args:
        folder: Log directory (``*.eval``, ``attempts/``, ``submissions/``).
        target: Zip to write; it appears whole or not at all.
        redactor: What to replace; default: this machine's secrets and common forms.

    Returns:
        The manifest that was written.

    Raises:
        UserError: no attempt in the folder, or faulty logs.
    """
    redactor = redactor or Redactor()
    table = load([folder]).table
    scripted = set(table.loc[table["participant_kind"] == "scripted", "source"])
    hidden = set(table.loc[table["participant_kind"] == "scripted", "attempt_id"])
    shareable = _submissions(folder, table[table["participant_kind"] != "scripted"]) - _submissions(
        folder, table[table["participant_kind"] == "scripted"]
    )
    # Packed keys of a record are compressed: nothing in them could be replaced, so such a log stays behind.
    unclean = {
        str(row["source"]) for row in table.to_dict("records") if redactor.finds(f"{row['flags']}{row['receipt']}")
    }
    left_out: dict[str, str] = {}
    entries: list[FileEntry] = []
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: bytes) -> None:
            archive.writestr(name, content)
            entries.append(FileEntry(path=name, size=len(content), sha256=hashlib.sha256(content).hexdigest()))

        for log in log_files(folder):
            name = f"logs/{log.name}"
            if log.name in scripted:
                left_out[name] = "holds a scripted participant: protected material"
            elif log.name in unclean:
                left_out[name] = "holds sensitive text in a receipt or flag"
            elif (content := _redacted_log(log, redactor)) is None:
                left_out[name] = "holds text of a protected file"
            else:
                add(name, content)
        for path, name in _verbatim(folder, hidden, shareable, left_out):
            content = path.read_bytes()
            text = content.decode("utf-8", errors="replace")
            if is_protected(text):
                left_out[name] = "holds text of a protected file"
            elif found := redactor.finds(text):
                left_out[name] = f"holds sensitive text ({', '.join(found)}) and must not be changed"
            else:
                add(name, content)
        add("runs.csv", _redacted_table(table, redactor))
        manifest = Manifest(
            format=FORMAT,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            software=_software(),
            attempts=len(table),
            files=tuple(sorted(entries, key=lambda e: e.path)),
            redacted=dict(sorted(redactor.counts.items())),
            left_out=left_out,
        )
        archive.writestr(MANIFEST, manifest.model_dump_json(indent=1))
    partial.replace(target)
    return Bundle(manifest)


def check(bundle: Path) -> Bundle:
    """Check a bundle from anywhere, without unpacking it.

    Raises:
        UserError: not a bundle at all.
    """
    try:
        with zipfile.ZipFile(bundle) as archive:
            manifest = _manifest(archive)
            problems = list(_archive_problems(archive, manifest))
            if not problems:
                problems += _content_problems(archive, manifest)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise UserError(f"{bundle.name} is not a readable bundle ({error})", "ask for it again") from error
    return Bundle(manifest, tuple(problems))


def unpack(bundle: Path, folder: Path) -> Bundle:
    """Check a bundle and, only if it holds, write its files below a new folder.

    Raises:
        UserError: the bundle has problems, or the folder exists and is not empty.
    """
    checked = check(bundle)
    if checked.problems:
        raise UserError(
            f"{bundle.name}: {len(checked.problems)} problem(s), nothing was unpacked: {checked.problems[0]}",
            "see all with `re-bench bundle --check`",
        )
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty", "give a new folder")
    with zipfile.ZipFile(bundle) as archive:
        for name in [MANIFEST, *(e.path for e in checked.manifest.files)]:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))
    return checked


def _verbatim(
    folder: Path, hidden: set[str], shareable: set[str], left_out: dict[str, str]
) -> Iterator[tuple[Path, str]]:
    """Files that must stay byte for byte, with their names in the bundle."""
    for attempt in sorted((folder / "attempts").glob("*")):
        if attempt.name in hidden:
            left_out[f"attempts/{attempt.name}"] = "scripted participant: protected material"
            continue
        for name in ATTEMPT_FILES:
            path = attempt / name
            if path.is_file() and not path.is_symlink():
                yield path, f"attempts/{attempt.name}/{name}"
    store = folder / "submissions"
    for path in sorted(store.rglob("*")):
        if path.is_file() and not path.is_symlink():
            relative = path.relative_to(store)
            if relative.parts[0] not in shareable:
                left_out[f"submissions/{relative.parts[0]}"] = "not a submission of an agent or a person"
            else:
                yield path, f"submissions/{relative.as_posix()}"


def _submissions(folder: Path, rows: pd.DataFrame) -> set[str]:
    """Content addresses of everything these attempts ever had scored: results and score logs."""
    found = set(rows["submission_sha256"]) - {""}
    for attempt_id in rows["attempt_id"]:
        log = folder / "attempts" / attempt_id / "score-log.jsonl"
        if log.is_file() and not log.is_symlink():
            found |= set(CONTENT_ADDRESS.findall(log.read_text(encoding="utf-8", errors="replace")))
    return found


def _redacted_log(log: Path, redactor: Redactor) -> bytes | None:
    """The log with every JSON member redacted; None when it holds protected text."""
    importlib.import_module("zipfile_zstd")  # teaches zipfile the compression Inspect may use
    out = io.BytesIO()
    with zipfile.ZipFile(log) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            text = source.read(member).decode("utf-8")
            if is_protected(text):
                return None
            clean = redactor.clean_json(json.loads(text))
            target.writestr(member.filename, json.dumps(clean, separators=(",", ":")))
    return out.getvalue()


def _redacted_table(table: pd.DataFrame, redactor: Redactor) -> bytes:
    def clean(cell: str, kind: str) -> str:
        return redactor.clean(cell) if kind == "text" else json.dumps(redactor.clean_json(json.loads(cell)))

    kinds = {column.name: column.kind for column in COLUMNS if column.kind in ("text", "json")}
    cleaned = table.assign(**{n: [clean(str(c), kind) for c in table[n]] for n, kind in kinds.items()})
    return csv_text(cleaned).encode()


def _manifest(archive: zipfile.ZipFile) -> Manifest:
    try:
        info = archive.getinfo(MANIFEST)
        if info.file_size > MAX_FILE_BYTES // 16:
            raise UserError("the manifest is absurdly large", "ask for the bundle again")
        return Manifest.model_validate_json(archive.read(MANIFEST))
    except KeyError as error:
        raise UserError("the zip holds no manifest.json", "is it a bundle of `re-bench bundle`?") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"manifest.json: {where}: {first['msg']}", "is it a bundle of `re-bench bundle`?") from error


def _archive_problems(archive: zipfile.ZipFile, manifest: Manifest) -> Iterator[str]:
    """Names, kinds and sizes, before anything is decompressed."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    listed = {entry.path for entry in manifest.files} | {MANIFEST}
    if len(infos) > MAX_FILES or sum(info.file_size for info in infos) > MAX_TOTAL_BYTES:
        yield "too many or too large files"
        return
    if len(set(names)) != len(names):
        yield "a name occurs twice"
    for name in sorted(set(names) - listed):
        yield f"{_safe(name)}: not in the manifest"
    for name in sorted(listed - set(names)):
        yield f"{_safe(name)}: in the manifest, not in the zip"
    for info in infos:
        path = PurePosixPath(info.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in info.filename or info.filename.endswith("/"):
            yield f"{_safe(info.filename)}: not a plain relative path"
        if stat.S_ISLNK(info.external_attr >> 16):
            yield f"{_safe(info.filename)}: a link"
        if info.file_size > MAX_FILE_BYTES or (
            info.file_size > RATIO_FLOOR and info.file_size > MAX_RATIO * max(1, info.compress_size)
        ):
            yield f"{_safe(info.filename)}: suspiciously large when unpacked"


def _content_problems(archive: zipfile.ZipFile, manifest: Manifest) -> list[str]:
    """Hashes, and whether the run table is sound and says what the logs say."""
    import tempfile

    import pandas as pd

    problems = []
    for entry in manifest.files:
        content = archive.read(entry.path)
        if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
            problems.append(f"{_safe(entry.path)}: changed after it was packed")
        elif is_protected(content.decode("utf-8", errors="ignore")):
            problems.append(f"{_safe(entry.path)}: holds text of a protected file")
    if problems:
        return problems
    try:
        frame = pd.read_csv(io.BytesIO(archive.read("runs.csv")), dtype=str, keep_default_na=False)
        table = check_table(frame, source="runs.csv")
        logs = [entry.path for entry in manifest.files if entry.path.startswith("logs/")]
        with tempfile.TemporaryDirectory() as scratch:
            paths = [Path(scratch) / PurePosixPath(name).name for name in logs]
            for name, path in zip(logs, paths, strict=True):
                path.write_bytes(archive.read(name))
            logged = read_logs(paths).table if paths else table.iloc[:0]
    except KeyError:
        return ["runs.csv is missing"]
    except (UserError, ValueError) as error:
        return [str(error)]
    if len(table) != manifest.attempts:
        problems.append(f"runs.csv has {len(table)} attempts, the manifest says {manifest.attempts}")
    claimed = table.set_index("attempt_id")["normalised"]
    for row in logged.to_dict("records"):
        if row["attempt_id"] not in claimed.index:
            problems.append(f"{_safe(str(row['attempt_id']))}: logged, but not in runs.csv")
        elif abs(float(claimed[row["attempt_id"]]) - float(row["normalised"])) > 1e-6:
            problems.append(f"{_safe(str(row['attempt_id']))}: runs.csv and log disagree about the score")
    return problems


def summary(bundle: Bundle) -> Sequence[str]:
    """What to tell a person about a bundle."""
    manifest = bundle.manifest
    logs = sum(entry.path.startswith("logs/") for entry in manifest.files)
    lines = [
        f"{manifest.attempts} attempt(s) in the run table, {logs} log(s), {len(manifest.files)} file(s), "
        f"made {manifest.made}"
    ]
    if manifest.attempts and not logs:
        lines.append("no attempt can be checked with it: only the run table was packed")
    if manifest.redacted:
        lines.append("redacted: " + ", ".join(f"{n} × {kind}" for kind, n in manifest.redacted.items()))
    lines += [f"left out: {_safe(name)}: {why}" for name, why in manifest.left_out.items()]
    return lines


def _safe(name: str) -> str:
    return json.dumps(name[:120])[1:-1]


def _software() -> str:
    try:
        return version("open-re-bench")
    except PackageNotFoundError:
        return "development version"
