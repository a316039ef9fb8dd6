"""Inspect may change what is not its public API without notice: it has to be known where we lean on that."""

from __future__ import annotations

import ast
from pathlib import Path

import open_re_bench

SOURCE = Path(open_re_bench.__file__).parent
THE_PLACE = SOURCE / "inspect_internals.py"


def private_modules(source: str) -> list[str]:
    """Modules of Inspect with a leading underscore somewhere in their path that a Python text imports from."""
    imported = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            imported.append(node.module or "")
        elif isinstance(node, ast.Import):
            imported += [name.name for name in node.names]
    return [name for name in imported if name.startswith("inspect_ai.") and "._" in name]


def test_inspect_s_internals_are_used_in_one_place() -> None:
    """Promise: an upgrade of Inspect has one file to be held against."""
    found = {file for file in SOURCE.rglob("*.py") if private_modules(file.read_text(encoding="utf-8"))}
    assert found == {THE_PLACE}
