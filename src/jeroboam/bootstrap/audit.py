"""The audit file: each record is one line of JSON, appended.

The file is opened for each line, so it may be moved and compressed at any time. Neighbour: `api`.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from jeroboam.api.audit import AuditRecord, to_log
from jeroboam.kit.clock import Clock

log = structlog.get_logger("jeroboam.audit")


def audit_into(file: str, clock: Clock) -> Callable[[AuditRecord], None]:
    """Return a function that writes records to that file and to the log; without a file, to the log alone.

    Raises `ValueError` for a file that cannot be written.
    """
    if not file:
        return to_log
    path = Path(file)
    try:
        _append(path, b"")
    except OSError as error:
        raise ValueError(f"[api] audit_file: cannot write {file}: {error.strerror or error}") from error

    def write(record: AuditRecord) -> None:
        to_log(record)
        line = {"timestamp": clock.now().isoformat()} | msgspec.to_builtins(record)
        try:
            _append(path, msgspec.json.encode(line) + b"\n")
        except OSError as error:
            # The request was carried out and its record is in the log: a full disk must not change the answer.
            log.warning("the audit file cannot be written", file=file, error=str(error))

    return write


def _append(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
