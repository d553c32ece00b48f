"""The command `doctor`.

Neighbours: `engine` has the sentences about the Engine; `jeroboam.bootstrap.doctor` examines the machine.
"""

import asyncio
import sys

from rich.text import Text

from jeroboam import settings as options
from jeroboam.cli.engine import describe_engine_fault
from jeroboam.cli.terminal import Config, Output, OutputFormat, State, report_errors, show_json, show_table

_STYLES = {"ok": "green", "note": "yellow", "no": "red"}


def doctor(output: Output = OutputFormat.TABLE, state: State = None, config: Config = None) -> None:
    """Say what of this machine stops or limits the service.

    And what to do about it. Exit status 1 if anything stops it; a note is a limit that the service works with.
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
            show_json([dict(zip(("severity", "subject", "message"), row, strict=True)) for row in rows])
        else:
            marks = [
                (Text(mark, _STYLES[mark]), subject, message.strip().replace("\n", " "))
                for mark, subject, message in rows
            ]
            show_table(("", "what", "finding"), marks)
        sys.exit(1 if any(finding.severity is Severity.PROBLEM for finding in findings) else 0)
