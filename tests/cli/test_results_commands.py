"""report, curves, compare, baselines and bundle as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pytest
from click.testing import CliRunner

from open_re_bench.analysis.runs import write_table
from open_re_bench.cli import baselines, bundle, compare, curves, main, report
from open_re_bench.errors import ExitCode, UserError
from open_re_bench.harness import attempt_folder
from tests.analysis.attempt_logs import attempt, write_log
from tests.analysis.run_tables import generated
from tests.faults.writer import PLAN


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    write_table(generated(56), path)
    return path


def call(command: Any, *arguments: object) -> str:
    """Standard output of a command that must succeed."""
    result = CliRunner().invoke(command, [str(a) for a in arguments], standalone_mode=False, catch_exceptions=False)
    return result.stdout


def test_curves_json_has_the_documented_shape(runs: Path) -> None:
    """--json is one document with every allocation; the best of a budget is marked."""
    answer = json.loads(call(curves.command, runs, "--json", "--draws", 50))
    assert answer["scale"] == "cpu"
    assert {
        "participant",
        "budget_s",
        "length_s",
        "k",
        "score_at_k",
        "low",
        "high",
        "best_allocation",
        "attempts",
    } <= set(answer["points"][0])
    assert {p["k"] for p in answer["points"]} == {1, 2, 4}


def test_curves_table_and_csv(runs: Path, tmp_path: Path) -> None:
    """The table is one line per allocation; the CSV holds the same numbers."""
    text = call(curves.command, runs, "--best", "--draws", 50, "--csv", tmp_path / "c.csv")
    rows = pd.read_csv(tmp_path / "c.csv")
    assert len(text.strip().splitlines()) == len(rows) + 1
    assert rows["best_allocation"].all()


def test_curves_refuses_to_mix_scales(tmp_path: Path) -> None:
    """Several scales without --scale are refused with the choice."""
    both = pd.concat([generated(4), generated(4, scale="gpu").assign(attempt_id=lambda t: "g" + t["attempt_id"])])
    write_table(both, tmp_path / "both.csv")
    with pytest.raises(UserError, match="choose one with --scale"):
        call(curves.command, tmp_path / "both.csv")
    assert "react" in call(curves.command, tmp_path / "both.csv", "--scale", "gpu", "--draws", 50)


def test_compare_says_who_and_by_how_much(runs: Path, tmp_path: Path) -> None:
    """Participants of one file are compared by name; environments are paired; JSON and CSV agree."""
    with pytest.raises(UserError, match="several participants"):
        call(compare.command, runs, runs)
    options = ["--first", "react · model-1", "--second", "modular · model-1", "--draws", 50, "-k", 1]
    answer = json.loads(call(compare.command, runs, runs, *options, "--json", "--csv", tmp_path / "d.csv"))
    assert answer["first"] == "react · model-1"
    assert answer["differences"][0]["environment"] == "mean"
    assert len(answer["differences"]) == 8
    assert len(pd.read_csv(tmp_path / "d.csv")) == 8
    assert "react · model-1 minus modular · model-1" in call(compare.command, runs, runs, *options)


def test_compare_claims_nothing_from_single_attempts(tmp_path: Path) -> None:
    """One attempt against one has no interval and no mark; nor has the mean where one environment is like that."""
    single = generated(2, participants=("react", "modular"), environments=("optimize_kernel",), seed=3)
    single["normalised"] = [0.51, 0.5]
    several = generated(16, participants=("react", "modular"), environments=("fix_embedding",), seed=4)
    several["attempt_id"] = "several-" + several["attempt_id"]
    several["normalised"] += (several["agent"] == "react") * 9.0
    write_table(pd.concat([single, several]), tmp_path / "runs.csv")
    options = ["--first", "react · model-1", "--second", "modular · model-1", "-k", 1]
    answer = json.loads(call(compare.command, tmp_path / "runs.csv", tmp_path / "runs.csv", *options, "--json"))
    known = {row["environment"]: row["low"] is not None for row in answer["differences"]}
    assert known == {"mean": False, "optimize_kernel": False, "fix_embedding": True}
    mean, several_line, single_line = call(
        compare.command, tmp_path / "runs.csv", tmp_path / "runs.csv", *options
    ).splitlines()[2:]
    assert "*" in several_line
    for line in (mean, single_line):
        assert "*" not in line
        assert line.endswith("-")


def test_draws_give_an_interval_or_none(runs: Path) -> None:
    """No draws: no interval, for compare as for curves. Too few for one are refused with the smallest number."""
    options = ["--first", "react · model-1", "--second", "modular · model-1"]
    answer = json.loads(call(compare.command, runs, runs, *options, "--draws", 0, "--json"))
    assert {row["low"] for row in answer["differences"]} == {None}
    for command in (compare.command, curves.command):
        arguments = [runs, runs, *options] if command is compare.command else [runs]
        with pytest.raises(click.UsageError, match="use 40 or more, or 0 for none"):
            call(command, *arguments, "--draws", 1)


def test_report_command_writes_and_tells(runs: Path, tmp_path: Path) -> None:
    """`report` writes the page, and --json says where it is and what it holds."""
    answer = json.loads(call(report.command, runs, "-o", tmp_path / "r.html", "--json"))
    assert answer["attempts"] == 56
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")


def test_baselines(tmp_path: Path) -> None:
    """list and show give METR's figures; import turns a file into a run table or names its faults."""
    listed = json.loads(call(baselines.command, "list", "--json"))
    assert sum(row["attempts"] for row in listed) == 89
    kernel = next(row for row in listed if row["environment"] == "optimize_kernel")
    assert (round(kernel["mean"], 3), round(kernel["best"], 3)) == (0.862, 1.808)
    shown = json.loads(call(baselines.command, "show", "scaling_law", "--references", "readme", "--json"))
    assert shown[0]["normalised"] == pytest.approx(1.0)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"task_id": "ai_rd_')
    with pytest.raises(UserError, match="nothing was imported"):
        call(baselines.command, "import", bad, "-o", tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


def test_import_of_logs(tmp_path: Path) -> None:
    """`baselines import` also turns Inspect logs into a run table."""
    log = write_log(tmp_path, [attempt("a")])
    call(baselines.command, "import", log, "-o", tmp_path / "runs.parquet")
    assert "react" in call(curves.command, tmp_path / "runs.parquet", "--draws", 50)


def test_bundle_round_trip(tmp_path: Path) -> None:
    """A bundle packs, checks with exit code 0, unpacks, and fails its check with exit code 1 once altered."""
    write_log(tmp_path / "logs", [attempt("a"), attempt("b")])
    zipped = tmp_path / "b.zip"
    runner = CliRunner()
    assert runner.invoke(bundle.command, [str(tmp_path / "logs"), "-o", str(zipped)]).exit_code == 0
    assert runner.invoke(bundle.command, [str(zipped), "--check"]).exit_code == 0
    assert runner.invoke(bundle.command, [str(zipped), "--unpack", str(tmp_path / "new")]).exit_code == 0
    import zipfile

    with zipfile.ZipFile(zipped, "a") as archive:
        archive.writestr("more.txt", "x")
    altered = runner.invoke(bundle.command, [str(zipped), "--check", "--json"])
    assert altered.exit_code == 1
    assert "not in the manifest" in json.loads(altered.stdout)["problems"][0]


def test_a_run_that_was_killed_says_how_to_go_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Attempts that have not finished are not "no attempt": the line that resumes them can be pasted."""
    logs = tmp_path / "my logs"
    for name in ("a", "b"):
        attempt_folder.create(logs, PLAN.model_copy(update={"attempt_id": name}))
    for arguments in (["report"], ["curves"], ["bundle"]):
        assert main.run([*arguments, str(logs)]) == ExitCode.USAGE
        err = capfd.readouterr().err
        assert "2 attempt(s), none finished" in err
        assert f"re-bench resume '{logs}'" in err


def test_a_log_cut_short_says_where_to_put_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A directory is read as a whole, so a half-written log in it has to be moved, not left out."""
    log = write_log(tmp_path / "logs", [attempt("a")])
    (tmp_path / "logs" / "cut.eval").write_bytes(next(log.parent.glob("*.eval")).read_bytes()[:500])
    capfd.readouterr()
    assert main.run(["curves", str(tmp_path / "logs")]) == ExitCode.USAGE
    err = capfd.readouterr().err
    assert "cut.eval" in err
    assert "move it out of the directory" in err


def test_a_bundle_without_logs_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A bundle of demonstrations holds their rows alone: neither packing nor regrading it sounds like more."""
    write_log(tmp_path / "logs", [attempt("a", participant_kind="scripted")])
    zipped, unpacked = tmp_path / "b.zip", tmp_path / "unpacked"
    capfd.readouterr()
    assert main.run(["bundle", str(tmp_path / "logs"), "-o", str(zipped)]) == ExitCode.OK
    assert "no attempt can be checked with it" in capfd.readouterr().err
    assert main.run(["bundle", str(zipped), "--unpack", str(unpacked)]) == ExitCode.OK
    assert main.run(["regrade", str(unpacked)]) == ExitCode.USAGE
    assert "holds no attempt of an agent or a person: nothing to regrade" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("command", "target"),
    [
        (("report", "RUNS", "-o"), "/sys/r.html"),
        (("report", "RUNS", "-o"), "FILE/r.html"),
        (("report", "RUNS", "-o", "OUT", "--figures"), "/sys/figures"),
        (("curves", "RUNS", "--draws", "40", "--csv"), "/sys/c.csv"),
        (
            ("compare", "RUNS", "RUNS", "--first", "react · model-1", "--second", "modular · model-1", "--csv"),
            "/sys/c.csv",
        ),
        (("baselines", "import", "RUNS", "-o"), "/sys/runs.csv"),
        (("bundle", "LOGS", "-o"), "/sys/b.zip"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(
    command: tuple[str, ...], target: str, runs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An output that cannot be written is no failure on our side: the path as it was given, the reason, exit code 3."""
    (tmp_path / "file").write_text("")
    names = {"RUNS": runs, "OUT": tmp_path / "r.html", "LOGS": tmp_path / "logs"}
    if "LOGS" in command:
        write_log(names["LOGS"], [attempt("a")])
    target = target.replace("FILE", str(tmp_path / "file"))
    capfd.readouterr()
    assert main.run([*(str(names.get(word, word)) for word in command), target]) == ExitCode.CANNOT_RUN_HERE
    err = capfd.readouterr().err.splitlines()[-1]
    assert f"{target}: cannot be written (" in err
    assert "partial" not in err
    assert f"with {'-o' if command[-1] == '-o' else command[-1]}" in err


def test_a_folder_is_refused_where_a_file_is_wanted(
    runs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """`report -o .` is bad input, not a defect of ours."""
    for arguments in (["report", str(runs), "-o", "."], ["curves", str(runs), "--draws", "40", "--csv", str(tmp_path)]):
        assert main.run(arguments) == ExitCode.USAGE
        assert "is a folder; give the path of a file" in capfd.readouterr().err


@pytest.mark.parametrize("module", ["report", "curves", "compare", "baselines", "bundle"])
def test_help_imports_nothing_heavy(module: str) -> None:
    """--help of a results command loads neither pandas, matplotlib nor Inspect, and shows an example."""
    code = (
        f"import sys; from open_re_bench.cli.{module} import command\n"
        "from click.testing import CliRunner\n"
        "print(CliRunner().invoke(command, ['--help']).output)\n"
        "print('LOADED', [m for m in ('pandas', 'numpy', 'matplotlib', 'inspect_ai') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "LOADED []" in output
    assert "Example: re-bench" in output
