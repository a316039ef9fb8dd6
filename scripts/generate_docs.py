"""Rewrites the generated parts of README.md and docs/: text between ``<!-- generated: NAME -->`` and ``<!-- end -->``.

``python scripts/generate_docs.py`` writes, ``--check`` only compares (exit 1 when something is out of step).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from open_re_bench import registry, rules_line
from open_re_bench.cli import main
from open_re_bench.conformance import battery
from open_re_bench.conformance.cheat_matrix import read_matrix
from open_re_bench.conformance.check import Check
from open_re_bench.environment import SCALES
from open_re_bench.errors import ExitCode
from open_re_bench.sandbox.toolchain import download_size
from open_re_bench.specification import in_order, size_of

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    "README.md",
    "docs/cli.md",
    "docs/environments.md",
    "docs/benchmarks.md",
    "docs/integrity.md",
    "docs/writing-an-environment.md",
)
MARKED = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
HELP_WIDTH = 100
_IN_TABLE = {"machine", "rows", "title", "what"}
EXIT_CODES = {
    ExitCode.OK: "done; every check passed, the submission was valid",
    ExitCode.FINDING: "it ran and found something: a failed check, an invalid submission, a stale archive",
    ExitCode.USAGE: "bad input: unknown name, malformed file, wrong option",
    ExitCode.CANNOT_RUN_HERE: "this machine lacks something; the line says what and how to get it",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C; the line that resumes was printed",
    ExitCode.INFRASTRUCTURE: "our side failed; never counted against a participant",
}


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def status() -> str:
    """Environments by scales, honestly."""
    rows = []
    for name in registry.BUILT_IN:
        if name not in registry.packages():
            rows.append([f"`{name}`", "", "not built yet", "not built yet", "not built yet"])
            continue
        spec = registry.read_spec(registry.folder_of(name) / "environment.toml")
        cells = []
        for scale in SCALES[:3]:
            row = spec.scales.get(scale)
            cells.append("no" if row is None else f"no: {row.unavailable}" if row.unavailable else "yes")
        simulated = " (simulated model)" if spec.simulated else ""
        rows.append([f"`{name}`", f"{spec.summary}{simulated}", *cells])
    return table(["environment", "what one must do", "`cpu`", "`gpu`", "`paper`"], rows)


def needs() -> str:
    """What each environment needs at scale cpu."""
    rows = []
    for name in registry.packages():
        spec = registry.read_spec(registry.folder_of(name) / "environment.toml")
        scale = spec.scales.get("cpu")
        if name not in registry.BUILT_IN or scale is None:
            continue
        chain = scale.toolchain
        download = f"{download_size(chain) / 2**20:.0f} MB" if chain != "none" else "none"
        rows.append(
            [
                f"`{name}`",
                scale.hardware,
                f"{scale.budget_minutes:g} min",
                f"{scale.prepare_minutes:g} min",
                f"{chain} ({download})" if chain != "none" else "none",
                ", ".join(scale.system_tools) or "none",
                spec.final,
                "shown" if spec.score_visible else "hidden",
            ]
        )
    return table(
        ["environment", "hardware", "budget", "prepare", "toolchain (download)", "system tools", "counts", "score"],
        rows,
    )


def commands() -> str:
    """Help of every command, as printed."""
    parts = []
    parent = click.Context(main.cli, info_name="re-bench")
    for name in main.entries():
        command = main.cli.get_command(parent, name)
        assert command is not None
        parts.append(_help(command, parent, name, "###"))
        if isinstance(command, click.Group):
            inner = click.Context(command, parent=parent, info_name=name)
            parts += [_help(sub, inner, str(sub.name), "####") for sub in command.commands.values()]
    return "\n".join(parts)


def _help(command: click.Command, parent: click.Context, name: str, level: str) -> str:
    context = click.Context(command, parent=parent, info_name=name, max_content_width=HELP_WIDTH)
    context.terminal_width = HELP_WIDTH
    return f"{level} {context.command_path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"


def exit_codes() -> str:
    """The exit codes and their meaning."""
    return table(["code", "meaning"], [[str(int(code)), EXIT_CODES[code]] for code in ExitCode])


def measurements() -> str:
    """Each environment's measured table."""
    parts = []
    for name in registry.BUILT_IN:
        if name not in registry.packages():
            continue
        folder = registry.folder_of(name)
        spec = registry.read_spec(folder / "environment.toml")
        parts.append(
            f"## {spec.title} (`{name}`)\n\n{spec.summary} Original: `{spec.original_id}`. Version {spec.version}. "
            f"[README](../src/open_re_bench/environments/{name}/README.md)\n"
        )
        file = folder / "measurements.json"
        if file.exists():
            parts.append(_measured(json.loads(file.read_text(encoding="utf-8"))))
        parts.append(_anchors(spec))
    return "\n".join(parts)


def _measured(data: dict[str, Any]) -> str:
    rows = data.get("rows", [])
    header = list(dict.fromkeys(key for row in rows for key in row))
    machine = f"Measured on: {data['machine']}.\n\n" if data.get("machine") else ""
    further = [f"{key.replace('_', ' ')}: {_cell(value)}" for key, value in data.items() if key not in _IN_TABLE]
    return (
        machine
        + table(header, [[_cell(row.get(key)) for key in header] for row in rows])
        + (f"\n{'; '.join(further)}.\n" if further else "")
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_cell(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _anchors(spec: Any) -> str:
    rows = []
    for scale in in_order(spec.scales):
        row = spec.scales[scale]
        if size_of(scale) == "test" or row.anchors is None:
            continue
        for label, anchor in (("start", row.anchors.start), ("reference", row.anchors.reference)):
            rows.append([scale, label, f"{anchor.raw:g}", f"{anchor.noise_std:g}", row.anchors.source, anchor.why])
    return table(["scale", "anchor", f"raw ({spec.raw_unit})", "noise", "source", "why"], rows)


def benchmarks() -> str:
    """What `make bench` last wrote, one table per file of bench/results."""
    parts = []
    for file in sorted((ROOT / "bench" / "results").glob("*.json")):
        data = json.loads(file.read_text(encoding="utf-8"))
        title = data.get("title", file.stem.replace("_", " ").capitalize())
        parts.append(f"## {title}\n")
        if what := data.get("what"):
            parts.append(f"{what}\n")
        if "rows" in data:
            parts.append(_measured(data))
            continue
        rows = [[key.replace("_", " "), _cell(value)] for key, value in data.items() if key not in _IN_TABLE]
        parts.append(table(["measured", "value"], rows))
    return "\n".join(parts) or "Nothing measured yet: run `make bench`.\n"


def monitor_flags() -> str:
    """What bench/monitor_flags.py last counted."""
    file = ROOT / "bench" / "results" / "monitor_flags.json"
    return _measured(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else "Not counted yet.\n"


def cheat_matrix() -> str:
    """Every catalogued cheat x every environment, and what each answer rests on."""
    names = [name for name in registry.BUILT_IN if name in registry.packages()]
    cheats = read_matrix().cheat
    rows, reasons = [], []
    for cheat in cheats:
        cells = []
        for name in names:
            cell = cheat.answer(name)
            if cell is None:
                cells.append("OPEN")
            elif cell.shipped:
                cells.append("**shipped**: " + ", ".join(f"`{shipped}`" for shipped in cell.shipped))
            else:
                cells.append("impossible" if cell.impossible else "–")
        rows.append([str(cheat.number), cheat.title, *cells])
        for cell in cheat.cell:
            where = [n for n in names if cheat.answer(n) is cell]
            if cell.shipped or not where:
                continue
            said = ", ".join(f"`{name}`" for name in where) if len(where) < len(names) else "all"
            tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in cell.tests)
            kind = "impossible" if cell.impossible else "not applicable"
            reasons.append([str(cheat.number), said, f"{kind}: {cell.impossible or cell.not_applicable}", tests])
    counted = [cheat.answer(name) for cheat in cheats for name in names]
    shipped = sum(bool(cell and cell.shipped) for cell in counted)
    impossible = sum(bool(cell and cell.impossible) for cell in counted)
    rest = sum(bool(cell and cell.not_applicable) for cell in counted)
    return (
        f"{len(counted)} cells: {shipped} shipped as cheats, {impossible} impossible by construction with tests that "
        f"show it, {rest} not applicable (–), {sum(cell is None for cell in counted)} open.\n\n"
        + table(["#", "cheat", *(f"`{name}`" for name in names)], rows)
        + "\n### Why a cell is not a shipped cheat\n\n`{environment}` in a test's id stands for each of the "
        "environments named; ids are relative to `tests/`.\n\n" + table(["#", "environments", "why", "tests"], reasons)
    )


def attacks() -> str:
    """The groups of the attack kit, over all environments."""
    bound = [registry.environment_in(ROOT / "examples" / "sorting_network", "test")]
    bound += [registry.environment(name, "test") for name in registry.packages()]
    known: dict[str, tuple[str, dict[str, None]]] = {}
    for environment in bound:
        for check in battery.attacks_on(environment):
            group, _, case = check.name.partition(":")
            known.setdefault(group, (check.promise, {}))[1][case] = None
    rows = [
        [f"`{group}`", str(len(cases)), promise, ", ".join(case.replace("_", " ") for case in cases)]
        for group, (promise, cases) in known.items()
    ]
    return table(["group", "attacks", "promise", "which"], rows)


def mining() -> str:
    """What the best of many scorings would gain by luck, from each environment's declared noise."""
    from open_re_bench.conformance.attacks.mining import expected_maximum

    rows = []
    for name in registry.packages():
        spec = registry.read_spec(registry.folder_of(name) / "environment.toml")
        for scale in ("test", "cpu"):
            row = spec.scales.get(scale)
            if row is None or row.anchors is None:
                continue
            unit = abs(row.anchors.reference.raw - row.anchors.start.raw)
            noise = row.anchors.reference.noise_std / unit
            free = int(spec.free_scorings_per_hour * max(1.0, row.budget_minutes / 60))
            drift = [f"{noise * expected_maximum(n):.3f}" for n in (10, 100, 1000)]
            rows.append([f"`{name}`", scale, f"{noise:.4f}", *drift, str(free), "0"])
    return table(
        [
            "environment",
            "scale",
            "noise",
            "best of 10",
            "best of 100",
            "best of 1,000",
            "free scorings",
            "luck of the result",
        ],
        rows,
    )


def rules_lines() -> str:
    """Every wording of the sentence on cheating."""
    return table(["version", "sentence"], [[str(n), sentence] for n, sentence in sorted(rules_line.SENTENCES.items())])


def checks() -> str:
    """The battery's checks, as they apply to the worked example."""
    example = registry.environment_in(ROOT / "examples" / "sorting_network", "test")
    hidden = Check("score_hidden", "A hidden score reaches the participant in no form.", lambda _: "")
    return table(["check", "promise"], [[f"`{c.name}`", c.promise] for c in [*battery.checks_of(example), hidden]])


def included(path: str) -> str:
    """A file as a fenced block."""
    language = {".toml": "toml", ".py": "python", ".md": "jinja"}[Path(path).suffix]
    return f"```{language}\n{(ROOT / path).read_text(encoding='utf-8').rstrip()}\n```\n"


SOURCES: dict[str, Callable[[], str]] = {
    "status": status,
    "needs": needs,
    "commands": commands,
    "exit-codes": exit_codes,
    "measurements": measurements,
    "benchmarks": benchmarks,
    "checks": checks,
    "monitor-flags": monitor_flags,
    "rules-line": rules_lines,
    "cheat-matrix": cheat_matrix,
    "attacks": attacks,
    "mining": mining,
}
INCLUDE = "file:"


def regenerated(text: str) -> str:
    """`text` with every marked part written anew.

    Raises:
        KeyError: a part is marked with an unknown name.
    """

    def part(match: re.Match[str]) -> str:
        name = match.group(2)
        body = included(name.removeprefix(INCLUDE)) if name.startswith(INCLUDE) else SOURCES[name]()
        return match.group(1) + body + match.group(3)

    return MARKED.sub(part, text)


if __name__ == "__main__":
    stale = []
    for name in FILES:
        file = ROOT / name
        before = file.read_text(encoding="utf-8")
        after = regenerated(before)
        if before != after:
            stale.append(name)
            if "--check" not in sys.argv[1:]:
                file.write_text(after, encoding="utf-8")
    print(f"{'out of step' if '--check' in sys.argv[1:] else 'written'}: {', '.join(stale) or 'nothing'}")
    sys.exit(1 if stale and "--check" in sys.argv[1:] else 0)
