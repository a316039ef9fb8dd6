"""The `re-bench` command: a table of lazily imported subcommands, one place for errors and exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from open_re_bench.errors import ExitCode, UserError


class Entry(NamedTuple):
    """A subcommand: where its `click.Command` lives, and its one line in `re-bench --help`."""

    target: str
    summary: str


# Only the chosen command's module is imported, so that `--help`, `list` and `doctor` never pay for Inspect (2.4 s) or
# pandas. A test keeps the summaries equal to the commands' own.
SECTIONS: dict[str, dict[str, Entry]] = {
    "This machine": {
        "doctor": Entry("open_re_bench.cli.doctor:command", "What can run here, and what to install for the rest."),
        "list": Entry("open_re_bench.cli.listing:command", "Environments and scales, and which run here."),
        "prepare": Entry("open_re_bench.cli.prepare:command", "Build and verify an environment's assets."),
        "calibrate": Entry("open_re_bench.cli.calibrate:command", "Measure this machine's anchors and noise."),
        "clean": Entry("open_re_bench.cli.clean:command", "Remove caches and what dead sandboxes left."),
    },
    "Attempts": {
        "run": Entry("open_re_bench.cli.run:command", "Run agents on environments."),
        "resume": Entry("open_re_bench.cli.resume:command", "Continue or finalise interrupted attempts."),
        "human": Entry("open_re_bench.cli.human:command", "Work on an environment yourself, under the same rules."),
        "attach": Entry("open_re_bench.cli.attach:command", "Open a terminal in your session of `re-bench human`."),
        "view": Entry("open_re_bench.cli.view:command", "Open the transcripts in Inspect's viewer."),
    },
    "By hand": {
        "workspace": Entry("open_re_bench.cli.workspace:command", "Lay out the starting files to work by hand."),
        "score": Entry("open_re_bench.cli.score:command", "Score such a folder in the scoring sandbox."),
        "regrade": Entry("open_re_bench.cli.regrade:command", "Score stored submissions again and compare."),
    },
    "Results": {
        "report": Entry("open_re_bench.cli.report:command", "Write one self-contained HTML report."),
        "curves": Entry("open_re_bench.cli.curves:command", "Score against total time budget, best of k."),
        "compare": Entry("open_re_bench.cli.compare:command", "Compare two sets of runs."),
        "baselines": Entry("open_re_bench.cli.baselines:command", "List, show and import human and agent baselines."),
        "bundle": Entry("open_re_bench.cli.bundle:command", "Pack logs and submissions for others to check."),
    },
    "Integrity": {
        "monitor": Entry("open_re_bench.cli.monitor:command", "Flag suspicious attempts; record what people decide."),
    },
    "For authors of environments": {
        "check": Entry(
            "open_re_bench.cli.check:command", "Run the conformance battery, or with --attack the attack kit."
        ),
        "lock": Entry("open_re_bench.cli.lock:lock", "Pack the unpacked protected material."),
        "unlock": Entry("open_re_bench.cli.lock:unlock", "Unpack the protected material."),
        "record-version": Entry("open_re_bench.cli.versions:command", "Record what the current version stands for."),
    },
}


def entries() -> dict[str, Entry]:
    """All subcommands whose module is part of this installation, in the order of the help text."""
    package = os.path.dirname(__file__)
    return {
        name: entry
        for section in SECTIONS.values()
        for name, entry in section.items()
        if os.path.exists(os.path.join(package, entry.target.partition(":")[0].rpartition(".")[2] + ".py"))
        or os.path.isdir(os.path.join(package, entry.target.partition(":")[0].rpartition(".")[2]))
    }


def _show_tracebacks(context: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    if value:
        context.find_root().ensure_object(dict)["debug"] = True
    return value


def _debug_option() -> click.Option:
    return click.Option(
        ["--debug"], is_flag=True, expose_value=False, callback=_show_tracebacks, help="Show tracebacks of errors."
    )


class LazyGroup(click.Group):
    """A group that imports a subcommand's module only when that subcommand is chosen."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all subcommands."""
        return list(entries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the module of `cmd_name`; None when there is no such subcommand."""
        entry = entries().get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        if all("--debug" not in parameter.opts for parameter in command.params):
            command.params.append(_debug_option())
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the subcommand; a misspelt one is refused with the nearest names."""
        name = args[0]
        if not name.startswith("-") and name not in entries():
            from open_re_bench.registry import nearest

            raise UserError(f"unknown command {name!r}", nearest(name, list(entries())))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the table of subcommands without importing any of them."""
        present = entries()
        for title, section in SECTIONS.items():
            rows = [(name, entry.summary) for name, entry in section.items() if name in present]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"re-bench {version('open-re-bench')}")
    context.exit()


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `re-bench doctor`. Exit codes: 0 ok, 1 finding, 2 bad input, 3 cannot run here, "
    "4 interrupted, 5 failure on our side.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version and exit."
)
@click.option("--debug", is_flag=True, expose_value=False, callback=_show_tracebacks, help="Show tracebacks of errors.")
@click.pass_context
def cli(context: click.Context) -> None:
    """Open RE-Bench: AI agents and people at machine-learning R&D, scored alike.

    Example: re-bench run optimize_kernel --scale cpu --agent replay --log-dir logs
    """
    context.ensure_object(dict)


def _complain(text: str) -> None:
    # Hostile names must not drive the terminal, and one error is one line.
    clean = "".join(c if c.isprintable() else " " for c in text)
    click.echo(f"re-bench: {clean}", err=True)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code (`errors.ExitCode`); never raises."""
    state: dict[str, Any] = {}
    try:
        result = cli.main(args=arguments, prog_name="re-bench", standalone_mode=False, obj=state)
        return result if isinstance(result, int) else int(ExitCode.OK)
    except UserError as error:
        if state.get("debug"):
            traceback.print_exc()
        _complain(str(error))
        return int(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:  # `re-bench` alone: what a newcomer types first
        click.echo(error.ctx.get_help() if error.ctx else error.format_message(), err=True)
        return int(ExitCode.USAGE)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        _complain(f"{error.format_message()}{hint}")
        return int(ExitCode.USAGE)
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted; run the same command again to continue")
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, a closed pager) left: not an error, and flushing at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
    except OSError as error:
        if state.get("debug"):
            traceback.print_exc()
        place = f"{error.filename}: " if error.filename else ""
        _complain(f"{place}{error.strerror or error}; mend that and run the command again (--debug shows where)")
        return int(ExitCode.INFRASTRUCTURE)
    except Exception as error:
        if state.get("debug"):
            traceback.print_exc()
        _complain(f"a defect of ours: {type(error).__name__}: {error}; please report it with the output of --debug")
        return int(ExitCode.INFRASTRUCTURE)


def main() -> None:
    """Entry point of the `re-bench` script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
