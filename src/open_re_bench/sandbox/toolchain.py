"""Toolchains: Python environments of their own, built once on the host and shown read-only to sandboxes.

The harness's own environment is never visible inside, and the harness never imports what is in these (torch takes
seconds and gigabytes). A toolchain is built with the standard ``venv`` and pip (wheels only) for the interpreter that
runs the harness, then *relocated*: inside a sandbox it lies at ``/opt/toolchain`` and its base interpreter at
``/opt/python`` (or in ``/usr``), so no path of this machine is left in it and it does not run outside.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from open_re_bench.errors import CannotRunHere
from open_re_bench.paths import CACHE_VARIABLE
from open_re_bench.sandbox import mounts
from open_re_bench.sandbox.bubblewrap import Sandbox
from open_re_bench.sandbox.built_toolchain import (
    MARKER,
    SETS,
    RequirementSet,
    Toolchain,
    download_size,
    find,
    place_of,
    requirement_set,
)
from open_re_bench.sandbox.spec import SandboxSpec

__all__ = ["SETS", "RequirementSet", "Toolchain", "download_size", "ensure", "find", "requirement_set"]

Progress = Callable[[str], None]

SPARE_FACTOR = 4  # unpacked wheels and the bytecode of both, relative to the download
ENSURE_MEND = "install pip for this Python (`python3 -m ensurepip`, or the package python3-venv), or uv"
INSTALL_MEND = "check the network and pip's settings (PIP_INDEX_URL, proxies), then run the command again"


def ensure(name: str, progress: Progress = lambda line: None) -> Toolchain:
    """Build the toolchain unless it is there; safe to call from several processes at once, resumable by calling again.

    Args:
        name: ``numeric`` or ``torch``.
        progress: Gets a line now and then.

    Raises:
        UserError: unknown name.
        CannotRunHere: no space, no network, no installer; says what to do.
    """
    if (found := find(name)) is not None:
        return found
    key, path = place_of(name)
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"waiting for another process that is building the toolchain {name}")
        lock.acquire()
    try:
        if (found := find(name)) is not None:
            return found
        _check_space(name, path.parent)
        for stale in path.parent.glob(f"{path.name}.part-*"):
            shutil.rmtree(stale, ignore_errors=True)
        building = Path(tempfile.mkdtemp(prefix=f"{path.name}.part-", dir=path.parent))
        building.chmod(0o755)
        try:
            _build(name, building, progress)
            (building / MARKER).write_text("\n".join(requirement_set(name).requirements) + "\n")
            _verify(Toolchain(name=name, key=key, path=building), progress)
            building.rename(path)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    finally:
        lock.release()
    return Toolchain(name=name, key=key, path=path)


def _check_space(name: str, folder: Path) -> None:
    wanted = download_size(name) * SPARE_FACTOR
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise CannotRunHere(
            f"the toolchain {name} needs {wanted >> 20} MB in {folder}, {free >> 20} MB are free",
            f"free some space or set {CACHE_VARIABLE} to a folder elsewhere",
        )


def _base_interpreter() -> str:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidate = mounts.base_prefix() / "bin" / version
    return str(candidate) if candidate.exists() else str(getattr(sys, "_base_executable", sys.executable))


def _build(name: str, folder: Path, progress: Progress) -> None:
    python = str(folder / "bin" / "python3")
    progress(f"building the toolchain {name} (about {requirement_set(name).download_mb} MB to download)")
    _call([_base_interpreter(), "-I", "-m", "venv", "--without-pip", str(folder)], "venv", progress)
    requirements = list(requirement_set(name).requirements)
    _call([*_installer(python), "--only-binary=:all:", *requirements], "installing", progress, INSTALL_MEND)
    progress("compiling bytecode")
    compile_all = ["-m", "compileall", "-q", "-s", str(folder), "-p", mounts.TOOLCHAIN, str(folder / "lib")]
    # Some packages ship files for other Python versions that do not compile: not an error.
    subprocess.run([python, "-I", *compile_all], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _relocate(folder)


def _installer(python: str) -> list[str]:
    """Command that installs into the environment of ``python``; requirements follow."""
    quiet = ["--disable-pip-version-check", "--no-input", "--no-compile", "--progress-bar=off"]
    if importlib.util.find_spec("pip") is not None:
        from importlib.metadata import version

        if tuple(int(part) for part in version("pip").split(".")[:2]) >= (22, 3):  # the first with --python
            return [sys.executable, "-I", "-m", "pip", "--python", python, "install", *quiet]
    if (uv := shutil.which("uv")) is not None:
        return [uv, "pip", "install", "--python", python]
    if importlib.util.find_spec("ensurepip") is not None:
        ensured = subprocess.run(
            [python, "-I", "-m", "ensurepip"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        if ensured.returncode == 0:
            return [python, "-I", "-m", "pip", "install", *quiet]
    raise CannotRunHere("no installer for Python packages found", ENSURE_MEND)


def _call(command: list[str], what: str, progress: Progress, mend: str = ENSURE_MEND) -> None:
    hidden = (
        "PYTHONPATH",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_USER",
        "PIP_REQUIRE_VIRTUALENV",
    )
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    last: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        umask=0o022,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line := line.strip():
                last = [*last[-19:], line]
                if line.startswith(("Downloading", "Installing", "Downloaded")):
                    progress(line)
    if process.returncode != 0:
        errors = [line for line in last if "error" in line.lower()] or last or ["no message"]
        raise CannotRunHere(f"{what} failed: {errors[-1]}", mend)


def _relocate(folder: Path) -> None:
    """Replace every path of this machine by the one inside a sandbox."""
    inside = mounts.python_executable()
    version = Path(inside).name
    settings = [
        f"home = {Path(inside).parent}",
        "include-system-site-packages = false",
        f"version = {platform.python_version()}",
    ]
    (folder / "pyvenv.cfg").write_text("\n".join(settings) + "\n")
    for name in ("python", "python3", version):
        link = folder / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(inside if name == version else version)
    old = str(folder).encode()
    for script in (folder / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            content = script.read_bytes()
            if old in content and b"\0" not in content:
                script.write_bytes(content.replace(old, mounts.TOOLCHAIN.encode()))


def _verify(toolchain: Toolchain, progress: Progress) -> None:
    """Import everything inside a sandbox."""
    progress("checking that it imports in a sandbox")
    statement = "import " + ", ".join(requirement_set(toolchain.name).imports)
    with Sandbox(SandboxSpec(toolchain=toolchain, memory_mb=None)) as sandbox:
        completed = sandbox.run(["python3", "-c", statement], timeout=300)
    if completed.code != 0:
        lines = completed.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise CannotRunHere(f"the toolchain {toolchain.name} does not work: {lines[-1]}", INSTALL_MEND)
