"""The commands on the configuration file: a sample of it, its effective values, its faults.

Neighbours: `jeroboam.settings` has the options, `jeroboam.bootstrap.config` looks at all that they name.
"""

import sys
from dataclasses import asdict

import typer

from jeroboam import settings as options
from jeroboam.cli.help import UserCommand, build_group
from jeroboam.cli.terminal import Config, Output, OutputFormat, State, report_errors, show_json, show_line
from jeroboam.kit.controls import escape_line
from jeroboam.settings.describe import build_sample

configs = typer.Typer(
    cls=build_group({"The file": ["sample", "show", "check"]}),
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The configuration file: a sample, what holds, what is wrong.",
)


@configs.command("sample", cls=UserCommand)
def print_sample() -> None:
    """Print a configuration file with every option.

    With its default and what it is, all in comments.
    """
    print(build_sample(options.GROUPS), end="")


@configs.command("show", cls=UserCommand)
def show_config(output: Output = OutputFormat.TABLE, state: State = None, config: Config = None) -> None:
    """Show the effective value of every option and where it comes from.

    Passwords are masked.
    """
    with report_errors():
        entries = options.list_effective_options(config, state=state)
        if output is OutputFormat.JSON:
            show_json([asdict(entry) for entry in entries])
            return
        for entry in entries:
            show_line(escape_line(f"[{entry.group}] {entry.name} = {entry.value} ({entry.source})"))


@configs.command("check", cls=UserCommand)
def check_config(config: Config = None) -> None:
    """Say what is wrong with the configuration.

    A line for each fault; exit status 1 if there is one.
    """
    with report_errors():
        from jeroboam.bootstrap.config import list_faults  # noqa: PLC0415

        faults = list_faults(config)
        for fault in faults:
            show_line(fault)
        if faults:
            sys.exit(1)
        show_line(f"{config or 'the configuration without a file'}: nothing is wrong")
