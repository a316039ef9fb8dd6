"""Documentation in step: generated parts current, links alive; commands, exit codes and JSON keys documented."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from open_re_bench import protected
from open_re_bench.attempt import AttemptRecord, LedgerRecord, ScoringRecord
from open_re_bench.catalogue import Row
from open_re_bench.cli import main
from open_re_bench.conformance.check import Result
from open_re_bench.diagnosis import Diagnosis, Finding
from open_re_bench.errors import ExitCode
from open_re_bench.harness.regrade import Verdict
from open_re_bench.monitor.decisions import read_decisions
from open_re_bench.receipt import Receipt
from open_re_bench.scoring.calibration import Calibration
from open_re_bench.scoring.pipeline import Score
from open_re_bench.scoring.score_log import ScoreEntry

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)?(#[^)\s]+)?\)")
COMMAND = re.compile(r"(?<![-\w])re-bench ([a-z][a-z-]+)((?: +--?[a-z][a-z-]*| +[^\s`#|&]+)*)")


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_generated_parts_are_current() -> None:
    """README, cli.md, environments.md and the others say what the code says: `make docs` changes nothing."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "generate_docs.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"run `make docs`: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link leads to a file, and every anchor to a heading of that file."""
    for target, anchor in LINK.findall(re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        goal = (page.parent / target).resolve() if target else page
        assert goal.exists(), f"{page.name}: {target}"
        if anchor and goal.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", goal.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor[1:] in slugs, f"{page.name}: {target}{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_the_docs_exist_with_their_options(page: Path) -> None:
    """A reader can paste any command: the subcommand exists and knows every option shown."""
    import click

    context = click.Context(main.cli)
    for name, rest in COMMAND.findall(page.read_text(encoding="utf-8")):
        if name not in main.entries():
            assert name in {"is", "from", "and"}, f"{page.name}: re-bench {name}"
            continue
        command = main.cli.get_command(context, name)
        assert command is not None
        leaves = [command, *command.commands.values()] if isinstance(command, click.Group) else [command]
        known = {
            o for leaf in leaves for parameter in leaf.params for o in (*parameter.opts, *parameter.secondary_opts)
        }
        for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", rest):
            assert option in known | {"--help"}, f"{page.name}: re-bench {name} {option}"


@pytest.mark.parametrize(
    ("page", "keys"),
    [
        ("docs/cli.md", Row.model_fields),
        ("docs/cli.md", Diagnosis.model_fields),
        ("docs/cli.md", Finding.model_fields),
        ("docs/cli.md", Result.model_fields),
        ("docs/cli.md", Calibration.model_fields),
        ("docs/cli.md", Score.model_fields),
        ("docs/cli.md", ScoringRecord.model_fields),
        ("docs/cli.md", LedgerRecord.model_fields),
        ("docs/cli.md", {f.serialization_alias or n: f for n, f in AttemptRecord.model_fields.items()}),
        ("docs/receipts.md", Receipt.model_fields),
        ("docs/files-and-formats.md", ScoreEntry.model_fields),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(list(value)[:3]),
)
def test_every_key_of_a_documented_shape_is_documented(page: str, keys: dict[str, object]) -> None:
    """A key cannot be added, renamed or removed without its page."""
    shapes = text(page).partition("## Commands")[0]
    missing = [key for key in keys if not re.search(rf"\b{key}\b", shapes)]
    assert missing == []


def test_every_verdict_of_a_regrade_is_documented() -> None:
    """Whoever reads `regrade --json` knows the values to expect."""
    shapes = text("docs/cli.md").partition("## Commands")[0]
    assert [verdict for verdict in Verdict if f"`{verdict}`" not in shapes] == []


def test_every_environment_variable_of_ours_is_documented() -> None:
    """What can be set from outside is in one list."""
    named = set()
    for path in (ROOT / "src").rglob("*.py"):
        named |= set(re.findall(r'"(OPEN_RE_BENCH_[A-Z_]+)"', path.read_text(encoding="utf-8")))
    assert named
    listed = text("docs/cli.md").partition("## Environment variables")[2].partition("\n## ")[0]
    assert [variable for variable in sorted(named) if f"`{variable}`" not in listed] == []


def test_the_decision_in_the_docs_can_be_read(tmp_path: Path) -> None:
    """A malformed decisions.json is answered by a pointer to docs/integrity.md: the entry there is a right one."""
    file = tmp_path / "decisions.json"
    file.write_text(text("docs/integrity.md").partition("```json\n")[2].partition("```")[0])
    (decision,) = read_decisions(file)
    assert decision.verdict == "cheat"


def test_every_page_is_reached_from_another() -> None:
    """The index leads to every page of docs/, and the page on environments to the README of each."""
    index = text("docs/index.md")
    assert [p.name for p in (ROOT / "docs").glob("*.md") if p.name != "index.md" and f"({p.name})" not in index] == []
    linked = text("docs/environments.md")
    folder = "src/open_re_bench/environments"
    assert [p for p in (ROOT / folder).glob("*/README.md") if f"{folder}/{p.parent.name}/README.md" not in linked] == []


def test_exit_codes_are_documented() -> None:
    """cli.md and --help name every exit code."""
    for code in ExitCode:
        assert re.search(rf"^\| {int(code)} \| ", text("docs/cli.md"), flags=re.MULTILINE)
        assert f"{int(code)} " in (main.cli.epilog or "")


def test_the_password_in_the_readme_is_the_one_in_use() -> None:
    """Nobody is locked out of protected files."""
    assert f"`{protected.PASSWORD.decode()}`" in text("README.md")


def test_the_readme_names_every_built_in_environment_honestly() -> None:
    """Seven rows; what is not built is said to be."""
    from open_re_bench.registry import BUILT_IN, packages

    for name in BUILT_IN:
        row = next(line for line in text("README.md").splitlines() if line.startswith(f"| `{name}` |"))
        assert ("not built yet" in row) == (name not in packages())


def test_pages_named_in_the_code_exist() -> None:
    """An error message or docstring never sends a reader to a page that is not there."""
    named = set()
    for path in (ROOT / "src").rglob("*.py"):
        named |= set(re.findall(r"\bdocs/[\w/-]+\.md", path.read_text(encoding="utf-8")))
    assert sorted(page for page in named if not (ROOT / page).exists()) == []


def test_the_makefile_has_what_the_docs_promise() -> None:
    """`make TARGET` in any page is a target."""
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), flags=re.MULTILINE))
    for page in PAGES:
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"


def test_ci_runs_exactly_make_test() -> None:
    """CI proves what a newcomer runs."""
    assert re.search(r"^exec make (--no-print-directory )?test$", text(".ci/run"), flags=re.MULTILINE)
