"""The command line as a whole: lazy, one-line errors, stable exit codes, nearest names, plain output."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from open_re_bench.cli import main
from open_re_bench.errors import CannotRunHere, ExitCode, InfrastructureError, UserError

HEAVY = ("inspect_ai", "pandas", "matplotlib", "scipy", "pyarrow", "torch", "numba")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "open_re_bench.cli.main", *arguments], capture_output=True, text=True, check=False
    )


def test_every_entry_leads_to_a_command_with_the_same_summary() -> None:
    """The table of subcommands, which --help prints without importing them, agrees with the commands."""
    for name, entry in main.entries().items():
        module, _, attribute = entry.target.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command), name
        assert command.name == name
        assert command.help is not None
        assert command.help.split("\n\n")[0].replace("\n", " ").strip() == entry.summary


def test_every_command_has_help_with_an_example_and_json() -> None:
    """--help of each command shows an example that starts with the command itself; machine output is everywhere."""
    context = click.Context(main.cli)
    for name in main.entries():
        command = main.cli.get_command(context, name)
        assert command is not None
        assert f"Example: re-bench {name}" in (command.help or ""), name
        leaves = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        for leaf in leaves:
            options = {option for parameter in leaf.params for option in parameter.opts}
            assert "--json" in options or leaf.name in ("view", "attach"), f"{name} {leaf.name}"  # server and terminal
        assert "--debug" in {option for parameter in command.params for option in parameter.opts}, name


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["doctor"], ["list", "--help"], ["check", "--help"]])
def test_commands_that_need_no_model_import_nothing_heavy(arguments: list[str]) -> None:
    """list, doctor and --help never import Inspect, pandas, matplotlib or torch."""
    program = (
        "import sys; from open_re_bench.cli.main import run; "
        f"code = run({arguments!r}); heavy = [m for m in {HEAVY!r} if m in sys.modules]; "
        "print('HEAVY', heavy, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stderr


def test_an_unknown_command_offers_the_nearest() -> None:
    """One line, exit code 2."""
    done = run("lst")
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == "re-bench: unknown command 'lst'; did you mean list?\n"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["prepare", "optimise_kernel"], "did you mean optimize_kernel"),
        (["prepare", "optimize_kernel", "--scale", "gpuu"], "did you mean gpu"),
        (["check", "--folder", "nowhere"], "holds no environment.toml"),
        (["score", "optimize_kernel", "no-such-folder"], "is not a folder"),
        (["score", "optimize_kernel"], "give ENV and DIR"),
        (["check"], "say which environment"),
        (["view", "no-such-dir"], "does not exist"),
        (["list", "--frmat"], "--frmat"),
        (["lock", "nothing"], "unknown environment 'nothing'"),
        (["clean", "everything"], "everything"),
        (["calibrate", "optimize_kernel", "--scorings", "1"], "--scorings"),
    ],
)
def test_bad_input_is_one_line_with_exit_code_two(
    arguments: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every mistake gives one line on standard error that names the mend, and nothing on standard output."""
    assert main.run(arguments) == ExitCode.USAGE
    out, err = capfd.readouterr()
    assert out == ""
    assert says in err
    assert err.startswith("re-bench: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("wrong", "mend it"), ExitCode.USAGE),
        (CannotRunHere("no bubblewrap", "install it"), ExitCode.CANNOT_RUN_HERE),
        (InfrastructureError("ours"), ExitCode.INFRASTRUCTURE),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (PermissionError(13, "Permission denied", "/logs"), ExitCode.INFRASTRUCTURE),
        (ZeroDivisionError("oops"), ExitCode.INFRASTRUCTURE),
        (UserError("two\nlines \x1b[31m", "and\na mend"), ExitCode.USAGE),
    ],
)
def test_every_kind_of_error_has_its_exit_code_and_one_line(
    error: BaseException, code: ExitCode, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Errors never show a traceback unless asked, never span lines, never carry terminal codes."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("open_re_bench.catalogue.catalogue", fail)
    assert main.run(["list"]) == code
    err = capfd.readouterr().err.lstrip("\n")  # click ends the line that ^C was echoed on
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert "\x1b" not in err
    if not isinstance(error, KeyboardInterrupt):
        assert main.run(["list", "--debug"]) == code
        assert "Traceback" in capfd.readouterr().err
        assert main.run(["--debug", "list"]) == code
        assert "Traceback" in capfd.readouterr().err


def test_a_closed_pipe_is_not_an_error() -> None:
    """`re-bench list | head -1` ends quietly."""
    done = subprocess.run(
        f"{sys.executable} -m open_re_bench.cli.main list --json --all | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_version_and_help_and_no_arguments() -> None:
    """The version is the package's; without arguments the help is shown."""
    from importlib.metadata import version

    assert run("--version").stdout == f"re-bench {version('open-re-bench')}\n"
    helped = run("--help")
    assert helped.returncode == 0
    for name, entry in main.entries().items():
        assert f"{name} " in helped.stdout
        assert entry.summary in " ".join(helped.stdout.split())


@pytest.mark.parametrize("arguments", [[], ["baselines"]])
def test_a_group_without_a_command_shows_its_help_as_help(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """`re-bench` alone, a newcomer's first command, is answered by the readable help, not by one line of error."""
    assert main.run([*arguments, "--help"]) == ExitCode.OK
    help_text = capfd.readouterr().out
    assert main.run(arguments) == ExitCode.USAGE
    out, err = capfd.readouterr()
    assert out == ""
    assert err == help_text


def test_output_is_plain_when_not_on_a_terminal() -> None:
    """No colours, no box characters, one row per line in a pipe."""
    done = run("list")
    assert done.returncode == 0
    assert done.stdout.isascii() or "\x1b" not in done.stdout
    assert all(symbol not in done.stdout for symbol in "│┃━─")


@pytest.mark.parametrize("columns", [60, 80, 100, 140, 240])
def test_names_stay_whole_on_terminals_of_any_width(
    columns: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A table on a terminal never breaks a name in two: what is read can be pasted, and no line is too long."""
    from open_re_bench.catalogue import catalogue
    from open_re_bench.cli import console

    monkeypatch.setattr(console, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main.run(["list"]) == ExitCode.OK
    lines = capfd.readouterr().out.splitlines()
    for row in catalogue():
        assert any({row.environment, row.scale} <= set(line.split()) for line in lines), (row.environment, row.scale)
    assert {"environment", "scale"} <= set(next(line for line in lines if line.strip()).split())
    assert max(map(len, lines)) <= columns
    assert "whose loading code is not written yet" in " ".join(" ".join(lines).split())  # wrapped between words


def test_a_cell_longer_than_the_terminal_is_wrapped_by_words(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A flag of the monitor that fills three lines leaves the columns after it readable."""
    from open_re_bench.cli import console

    monkeypatch.setattr(console, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    console.emit_table(
        ("attempt", "flags", "decision"), [("first-attempt", "starts processes " * 12, "clean"), ("second", "", "-")]
    )
    out = capfd.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("starts") == out.count("processes") == 12
    assert [line for line in out.splitlines() if not line.strip()] == []
    assert "    clean" in out.splitlines()


def test_the_list_says_what_a_smaller_machine_makes_of_results(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """That results from here would be local is not only in the JSON."""
    from open_re_bench import requirements
    from open_re_bench.catalogue import catalogue

    monkeypatch.setattr(requirements, "smaller_than_declared", lambda _: "1 of 2 cores: results are local")
    assert main.run(["list"]) == ExitCode.OK
    out = capfd.readouterr().out
    runnable = [row for row in catalogue() if row.runnable]
    assert out.count("; 1 of 2 cores: results are local") == len(runnable)
    assert "raw: start > reference" in out


def test_list_shows_all_seven_environments_at_every_scale() -> None:
    """Built or not, each of the seven has a row for cpu, gpu and paper, with a reason when it cannot run; variants of a
    scale follow it.
    """
    from open_re_bench.registry import BUILT_IN

    rows = json.loads(run("list", "--json").stdout)
    assert {row["environment"] for row in rows} >= set(BUILT_IN)
    assert len(BUILT_IN) == 7
    for name in BUILT_IN:
        scales = [row["scale"] for row in rows if row["environment"] == name]
        assert [scale for scale in scales if "-" not in scale] == ["cpu", "gpu", "paper"]
        assert [scale.split("-")[0] for scale in scales] == sorted(scale.split("-")[0] for scale in scales)
    assert all(row["runnable"] != bool(row["reason"]) for row in rows)


def test_doctor_agrees_with_its_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    """Exit 0 exactly when everything the quickstart requires is there; every missing thing has a mend."""
    code = main.run(["doctor", "--json"])
    diagnosis = json.loads(capfd.readouterr().out)
    assert (code == ExitCode.OK) == diagnosis["ready"]
    assert diagnosis["ready"] == all(f["ok"] for f in diagnosis["findings"] if f["required"])
    for finding in diagnosis["findings"]:
        assert finding["ok"] or finding["mend"] or finding["check"] == "GPU", finding


@pytest.mark.parametrize("missing", ["bwrap", "unshare", "cc"])
def test_doctor_names_a_missing_program_and_its_mend(missing: str, tmp_path: Path) -> None:
    """Without bubblewrap, util-linux or a compiler: exit 3 and the line that installs it, from the real command."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin", "/usr/sbin"):
        for path in Path(folder).iterdir():
            target = programs / path.name
            if path.name != missing and not target.exists() and not target.is_symlink():
                target.symlink_to(path)
    done = subprocess.run(
        [sys.executable, "-m", "open_re_bench.cli.main", "doctor"],
        env={"PATH": str(programs), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if missing == "unshare" and done.returncode == ExitCode.OK:
        pytest.skip("unprivileged mode starts sandboxes without util-linux")
    assert done.returncode == ExitCode.CANNOT_RUN_HERE, done.stdout + done.stderr
    assert "apt-get install" in done.stdout
    assert "not ready" in done.stdout
    assert done.stderr == ""


def test_the_module_can_be_run_from_anywhere(tmp_path: Path) -> None:
    """Nothing depends on the current folder."""
    done = subprocess.run(
        [sys.executable, "-m", "open_re_bench.cli.main", "list", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)
    assert list(tmp_path.iterdir()) == []
