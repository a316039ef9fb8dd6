"""What toolchains contain, and where a built one lies."""

from __future__ import annotations

import hashlib
import platform
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from open_re_bench.errors import UserError
from open_re_bench.paths import cache_directory
from open_re_bench.sandbox import mounts

LAYOUT = 1  # raise when relocation changes: older builds are then not found any more
MARKER = "open-re-bench-toolchain"


class RequirementSet(BaseModel):
    """What a toolchain contains.

    Attributes:
        requirements: Exact pins, dependencies included.
        imports: Modules that must import for the build to count.
        download_mb: Size of the wheels, for `re-bench list`.
    """

    model_config = ConfigDict(frozen=True)

    requirements: tuple[str, ...]
    imports: tuple[str, ...]
    download_mb: int


_NUMPY = "numpy==2.4.6"
# Everything torch pulls in, so that two machines never differ.
_TORCH = (
    *("torch==2.13.0", "filelock==4.2.11", "fsspec==2026.9.0", "jinja2==3.1.6", "markupsafe==3.0.4", "mpmath==1.3.0"),
    *("networkx==3.6.1", "setuptools==84.2.1", "sympy==1.14.0", "typing-extensions==4.16.0"),
)
# Sizes: CPython 3.11 wheels for Linux x86-64. Torch: the CPU build, which pip takes where the index offers it (the
# default index serves the CUDA build, about 3 GB with its libraries: PIP_EXTRA_INDEX_URL chooses).
SETS: dict[str, RequirementSet] = {
    "numeric": RequirementSet(
        requirements=(_NUMPY, "numba==0.68.1", "llvmlite==0.50.0"), imports=("numpy", "numba"), download_mb=80
    ),
    "torch": RequirementSet(
        requirements=(*_TORCH, _NUMPY, "safetensors==0.8.0", "PyYAML==6.0.3"),
        imports=("torch", "numpy", "safetensors.torch", "yaml"),
        download_mb=240,
    ),
}


class Toolchain(BaseModel):
    """A Python environment ready to be mounted at ``/opt/toolchain``.

    Attributes:
        name: Its requirement set.
        key: Hash of requirements, interpreter and layout.
        path: Host folder.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    key: str
    path: Path

    @property
    def python(self) -> str:
        """Its interpreter's path inside a sandbox."""
        return f"{mounts.TOOLCHAIN}/bin/python3"


def requirement_set(name: str) -> RequirementSet:
    """The set called ``name``.

    Raises:
        UserError: there is none.
    """
    if name not in SETS:
        raise UserError(f"unknown toolchain {name!r}", f"known ones: {', '.join(sorted(SETS))}")
    return SETS[name]


def download_size(name: str) -> int:
    """About how many bytes `ensure` downloads."""
    return requirement_set(name).download_mb * mounts.MEGABYTE


def key_of(name: str) -> str:
    """Hash of the set's requirements, the interpreter and the layout."""
    parts = [str(LAYOUT), *requirement_set(name).requirements, platform.python_version(), platform.machine()]
    parts += [str(sys.implementation.cache_tag), mounts.python_executable()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def place_of(name: str) -> tuple[str, Path]:
    """Key and folder of the set's build, built or not."""
    key = key_of(name)
    return key, cache_directory("toolchains") / f"{name}-{key}"


def find(name: str) -> Toolchain | None:
    """The toolchain if it has been built for this interpreter.

    Raises:
        UserError: unknown name.
    """
    key, path = place_of(name)
    return Toolchain(name=name, key=key, path=path) if (path / MARKER).is_file() else None
