"""Inspect may change what is not its public API without notice: it has to be known where we lean on that."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import open_re_bench

SOURCE = Path(open_re_bench.__file__).parent
THE_PLACE = SOURCE / "inspect_internals.py"


def private_imports(source: str) -> list[str]:
    """What a Python text imports of Inspect that has a leading underscore somewhere in its path."""
    imported = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            imported += [f"{node.module}.{name.name}" for name in node.names]
        elif isinstance(node, ast.Import):
            imported += [name.name for name in node.names]
    return [name for name in imported if name.startswith("inspect_ai.") and "._" in name]


@pytest.mark.parametrize(
    "line", ["from inspect_ai._util import error", "from inspect_ai import _util", "import inspect_ai.log._samples"]
)
def test_every_way_to_import_them_is_seen(line: str) -> None:
    """Promise: the search finds an internal however it is imported."""
    assert private_imports(line)


def test_inspect_s_internals_are_used_in_one_place() -> None:
    """Promise: an upgrade of Inspect has one file to be held against."""
    found = {file for file in SOURCE.rglob("*.py") if private_imports(file.read_text(encoding="utf-8"))}
    assert found == {THE_PLACE}
