"""The report page: what it says, that it is self-contained, and that hostile text stays text."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from open_re_bench.analysis.logs import load
from open_re_bench.analysis.plain_text import label, plain
from open_re_bench.baselines.human_table import human_table
from open_re_bench.report import write_report, write_report_for_logs
from open_re_bench.report.content import WITHIN_GRID, scale_sections
from tests.analysis.attempt_logs import HOSTILE, attempt, write_log
from tests.analysis.run_tables import generated

MAX_BYTES_200 = 8_000_000


class Page(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


def report(table: pd.DataFrame, folder: Path, **options: object) -> tuple[str, Page]:
    path = write_report(table, folder / "report.html", human_table=human_table(), draws=100, **options)  # type: ignore[arg-type]
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def test_self_contained_and_bounded(tmp_path: Path) -> None:
    """200 attempts make one file below 8 MB that asks the network for nothing."""
    text, page = report(generated(200, scorings=40), tmp_path)
    assert len(text.encode()) < MAX_BYTES_200
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    loading = [
        (t, n, v)
        for t, n, v in page.attributes
        if n in ("src", "href", "srcset", "action") and not v.startswith(("#", "data:"))
    ]
    assert [x for x in loading if x[0] != "use"] == []
    assert not {"link", "iframe", "object", "embed", "img", "form", "base"} & set(page.tags)
    assert not re.search(r"@import|url\((?!#)", text)
    assert len(page.ids) == len(set(page.ids))


def test_policy_admits_only_our_script(tmp_path: Path) -> None:
    """The page's content security policy names the hash of its one script and allows nothing else to run."""
    _, page = report(generated(14), tmp_path)
    [script] = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(v for t, n, v in page.attributes if t == "meta" and n == "content" and "default-src" in v)
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    """Script tags, ANSI codes, bidi overrides and huge lines in every field an attempt controls stay inert."""
    log_dir = tmp_path / "logs"
    write_log(
        log_dir,
        [
            attempt(
                HOSTILE,
                message=HOSTILE,
                flags=(HOSTILE, "x" * 50_000),
                agent=HOSTILE,
                model=HOSTILE,
                receipt={HOSTILE: HOSTILE},
            ),
            attempt("b", message="A" * 2_000_000, agent="$\\frac{1}{2}$ ]]> <!--"),
        ],
    )
    table = load([log_dir]).table
    text, page = report(table, tmp_path, title=HOSTILE)
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b-\u200f]", text)
    assert "A" * 10_000 not in text
    assert "&lt;script&gt;" in text
    assert len(text) < 3_000_000


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x9b2Jx", "x"),
        ("a\u202eb\u2066c", "abc"),
        ("z\u200bw\ufeff", "zw"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\ud800", "�"),
        ("a\x00\x07b", "ab"),
    ],
)
def test_plain(text: str, want: str) -> None:
    """Nothing that acts on a terminal or reorders a line survives."""
    assert plain(text) == want


def test_plain_is_bounded() -> None:
    """A huge text is cut and says how long it was; a label is one short line."""
    cut = plain("x" * 10_000_000, 100)
    assert cut.startswith("x" * 100 + "…")
    assert "10,000,000" in cut
    assert label("a\nb" * 100, 20) == label("a b" * 100, 20)
    assert len(label("y" * 500, 20)) == 20


def test_downloads_hold_no_formula(tmp_path: Path) -> None:
    """A name that a spreadsheet would run as a formula is inert in every CSV the page offers."""
    _, page = report(generated(2, participants=('=HYPERLINK("x")',), message="@SUM(1)"), tmp_path)
    links = [v for t, n, v in page.attributes if n == "href" and v.startswith("data:text/csv")]
    assert len(links) >= 3
    for link in links:
        text = base64.b64decode(link.partition("base64,")[2]).decode()
        assert not re.search(r'(^|,)"?[=@+]', text, re.MULTILINE)


def test_warnings_come_before_numbers(tmp_path: Path) -> None:
    """Warnings stand above the verdict, flagged attempts first among them, and every headline is given three ways."""
    table = generated(28)
    table.loc[0, "flags"] = '["copied the reference"]'
    text, _ = report(table, tmp_path)
    assert text.index("Read this first") < text.index('class="verdict') < text.index("<svg")
    assert "1 of 28 attempts are flagged" in text
    assert all(way in text for way in ("Flagged = 0", "Flagged dropped", "Flagged counted"))


def test_flagged_attempts_are_worth_nothing_within_either() -> None:
    """The line of score over time within attempts counts flagged ones as zero, as the curve beside it does."""
    ends = []
    for flags in ("[]", '["copied the reference"]'):
        table = generated(2, participants=("react",), environments=("optimize_kernel",))
        table["trace"] = [table["trace"][0]] * 2
        table.loc[0, "flags"] = flags
        [section] = scale_sections(table, None, draws=0)
        [line] = [x for x in section.figures[0].canvas.axes[0].lines if len(x.get_xdata()) == WITHIN_GRID]
        ends.append(line.get_ydata()[-1])
    assert ends[0] > 0
    assert ends[1] == pytest.approx(ends[0] / 2)


@pytest.mark.parametrize(
    ("status", "drawn", "context"), [("direct", True, False), ("indirect", True, True), ("none", False, False)]
)
def test_humans_obey_the_environment(status: str, drawn: bool, context: bool) -> None:
    """The original's people stand beside comparable results, are labelled context elsewhere, or are absent."""
    table = generated(14, scale="paper" if status == "direct" else "cpu", human_comparison=status)
    [section] = scale_sections(table, human_table(), draws=0)
    budget = section.figures[0]
    names = set(budget.data["participant"])
    people = {n for n in names if "expert" in n}
    assert bool(people) is drawn
    assert any("context" in n for n in people) is context
    assert ("context, not a comparison" in budget.caption) is context
    assert bool(section.ranks) is (status == "direct")
    assert any(f.name.endswith("percentiles") for f in section.figures) is (status == "direct")


def test_one_mixed_environment_makes_people_context() -> None:
    """A single environment that is not comparable turns the whole comparison into context."""
    table = generated(14, human_comparison="direct", scale="paper")
    table.loc[table["environment"] == "fix_embedding", "human_comparison"] = "indirect"
    [section] = scale_sections(table, human_table(), draws=0)
    assert section.humans == "indirect"
    assert not section.ranks


def test_demonstration_is_labelled(tmp_path: Path) -> None:
    """A report of one simulated attempt shows it, and says first that it measures no model."""
    table = generated(1, simulated=True, participant_kind="scripted", agent="replay", model="")
    text, _ = report(table, tmp_path)
    assert "Every attempt here is a demonstration" in text
    assert "no interval: one attempt per environment" in text
    assert "replay" in text


def test_lost_attempts_are_said(tmp_path: Path) -> None:
    """Only infrastructure failures: no verdict, and the page says why."""
    table = generated(2, normalised=0.0, valid=False, failure="infrastructure", trace="[]")
    text, _ = report(table, tmp_path)
    assert "No attempt at this scale counts" in text
    assert "failed for reasons of the harness" in text


def test_scales_are_never_averaged() -> None:
    """Each scale has its own section and its own numbers."""
    both = pd.concat(
        [generated(14), generated(14, scale="gpu", seed=5).assign(attempt_id=lambda t: "g" + t["attempt_id"])]
    )
    sections = scale_sections(both.reset_index(drop=True), None, draws=0)
    assert [s.scale for s in sections] == ["cpu", "gpu"]
    assert all(sum(o.attempts for o in s.overviews) == 14 for s in sections)


def test_figures_and_data_are_written(tmp_path: Path) -> None:
    """Each figure is written as SVG, PNG and CSV, and the CSV holds what is drawn."""
    report(generated(28), tmp_path, figures_dir=tmp_path / "figures")
    stems = {p.stem for p in (tmp_path / "figures").iterdir()}
    assert {"cpu-budget", "cpu-attempts", "cpu-traces", "cpu-cost"} <= stems
    for stem in stems:
        assert (tmp_path / "figures" / f"{stem}.svg").read_text().lstrip().startswith("<?xml")
        assert (tmp_path / "figures" / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
        assert len(pd.read_csv(tmp_path / "figures" / f"{stem}.csv")) > 0


def test_diff_of_submission_but_not_of_scripts(tmp_path: Path) -> None:
    """An agent's changes are shown; a scripted participant's files, perhaps the reference, never are."""
    log_dir = tmp_path / "logs"
    write_log(
        log_dir,
        [
            attempt("mine", submission_sha256="aa" * 32),
            attempt("theirs", submission_sha256="bb" * 32, participant_kind="scripted", agent="reference", model=""),
            attempt("evil", submission_sha256="../../etc"),
        ],
    )
    for digest, text in (("aa" * 32, "AGENT WROTE THIS <b>"), ("bb" * 32, "THE REFERENCE")):
        folder = log_dir / "submissions" / digest
        folder.mkdir(parents=True)
        (folder / "solution.py").write_text(text + "\n")
    write_report_for_logs([log_dir], tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "AGENT WROTE THIS &lt;b&gt;" in page
    assert "THE REFERENCE" not in page


def test_instruction_sets_and_versions_warn() -> None:
    """Attempts on CPUs with other vector units, or under another comparability version, are not mixed silently."""
    table = generated(14)
    table.loc[0, "receipt"] = table["receipt"][0].replace('"avx2"', '"avx2", "avx512f"')
    table.loc[1, "version"] = "2-A"
    [section] = scale_sections(table, None, draws=0)
    texts = " ".join(c.text for c in section.cautions)
    assert "different instruction sets" in texts
    assert "different comparability versions" in texts


def test_rescore_gap_is_said() -> None:
    """A final re-score far below the best score seen is pointed out with the attempt."""
    table = generated(14)
    table.loc[3, "best_logged_normalised"] = table["normalised"][3] + 0.5
    [section] = scale_sections(table, None, draws=0)
    [found] = [c for c in section.cautions if "re-score" in c.text]
    assert found.attempts == (table["attempt_id"][3],)
