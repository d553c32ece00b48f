"""The commands on the configuration file: a sample of it, its effective values, its faults.

Neighbours: `jeroboam.settings` has the options, `jeroboam.bootstrap.config` looks at all that they name.
"""

import json
import sys
from dataclasses import asdict

import typer

from jeroboam import settings as options
from jeroboam.cli.terminal import Config, Output, OutputFormat, State, report_errors
from jeroboam.settings.describe import build_sample

configs = typer.Typer(no_args_is_help=True, help="The configuration file: a sample, what holds, what is wrong.")


@configs.command("sample")
def print_sample() -> None:
    """Print a configuration file with every option, its default and what it is, all in comments."""
    print(build_sample(options.GROUPS), end="")


@configs.command("show")
def show_config(
    output: Output = OutputFormat.TABLE,
    state: State = None,
    config: Config = None,
) -> None:
    """Show the effective value of every option and where it comes from, with passwords masked."""
    with report_errors():
        entries = options.list_effective_options(config, state=state)
        if output is OutputFormat.JSON:
            print(json.dumps([asdict(entry) for entry in entries], indent=2))
            return
        for entry in entries:
            print(f"[{entry.group}] {entry.name} = {entry.value} ({entry.source})")


@configs.command("check")
def check_config(config: Config = None) -> None:
    """Say what is wrong with the configuration, a line for each fault. Exit status 1 if anything is."""
    with report_errors():
        from jeroboam.bootstrap.config import list_faults  # noqa: PLC0415

        faults = list_faults(config)
        for fault in faults:
            print(fault)
        if faults:
            sys.exit(1)
        print(f"{config or 'the configuration without a file'}: nothing is wrong")
