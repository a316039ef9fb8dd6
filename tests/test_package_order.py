"""Imports run downwards only, function-level ones included: no circle of packages."""

from __future__ import annotations

import ast
from pathlib import Path

import open_re_bench

ROOT = Path(open_re_bench.__file__).parent
# Each package and what it may not import, directly.
ABOVE = {
    "sandbox": {"scoring", "harness", "people", "agents", "running", "cli", "analysis", "report"},
    "scoring": {"harness", "people", "agents", "running", "cli", "analysis", "report"},
    "harness": {"people", "agents", "running", "cli", "analysis", "report"},
    "people": {"agents", "running", "cli", "analysis", "report"},
    "agents": {"running", "cli", "analysis", "report"},
    "running": {"cli", "analysis", "report"},
    "analysis": {"harness", "people", "agents", "running", "cli", "report"},
    "report": {"people", "agents", "running", "cli"},
}


def imported(file: Path) -> set[str]:
    """Packages of ours that `file` imports, wherever in it; imports for type checkers only do not run."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    idle = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in idle:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("open_re_bench.")}


def test_imports_run_downwards() -> None:
    """No module of a lower package imports an upper one."""
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for package, forbidden in ABOVE.items()
        for file in (ROOT / package).rglob("*.py")
        for name in sorted(imported(file) & forbidden)
    ]
    assert wrong == []
