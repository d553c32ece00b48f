"""The command `doctor`, and the warning of `up` when there is no Docker Engine to work with.

Neighbours: `engine` has the sentences about the Engine; `jeroboam.bootstrap.doctor` examines the machine.
"""

import asyncio
import json
import sys

from rich.markup import escape

from jeroboam import settings as options
from jeroboam.cli.engine import describe_engine_fault
from jeroboam.cli.terminal import Config, Output, OutputFormat, State, report_errors, table

_STYLES = {"ok": "green", "note": "yellow", "no": "red"}


def doctor(
    output: Output = OutputFormat.TABLE,
    state: State = None,
    config: Config = None,
) -> None:
    """Say what of this machine stops or limits the service, and what to do. Exit status 1 if anything stops it.

    A `note` is a limit that the service works with.
    """
    with report_errors():
        settings = options.load(config, state=state)
        from jeroboam.bootstrap.doctor import Severity, examine  # noqa: PLC0415

        findings = asyncio.run(examine(settings))
        rows = []
        for finding in findings:
            sentence = None if finding.error is None else describe_engine_fault(finding.error)
            rows.append((finding.severity.value, finding.subject, sentence or finding.message))
        if output is OutputFormat.JSON:
            print(
                json.dumps([dict(zip(("severity", "subject", "message"), row, strict=True)) for row in rows], indent=2)
            )
        else:
            marks = [
                (f"[{_STYLES[mark]}]{mark}[/]", escape(subject), escape(message)) for mark, subject, message in rows
            ]
            table("this machine", ("", "what", "finding"), marks)
        sys.exit(1 if any(finding.severity is Severity.PROBLEM for finding in findings) else 0)


async def warn_of_engine_fault(settings: options.Settings) -> None:
    """Print what stands between the service and its Engine on standard error; nothing if all is well.

    The service runs on: it answers, and works as soon as the Engine does.
    """
    from jeroboam.bootstrap.engine import find_engine_fault  # noqa: PLC0415

    error = await find_engine_fault(settings)
    if error is not None:
        text = describe_engine_fault(error) or error.reason
        print(f"jeroboam: {text}\nUntil then nothing can be made; the service goes on by itself.", file=sys.stderr)
