"""Where the log of the service goes: standard error, or a file that is kept small.

Neighbours: `up`, which chooses; `jeroboam.settings`, which has the option.
"""

import logging
import os
import sys
import threading
from pathlib import Path
from typing import TextIO, cast

import structlog

STANDARD_ERROR = "-"
LARGEST = 10 << 20
"""Octets of a log file; then it becomes `FILE.1`, in the place of the former one."""


def find_log_file(option: str, state: Path, *, wants_file: bool) -> Path | None:
    """Return the file that the option `log_file` names; None for standard error.

    Without the option it is a file in the state folder if `wants_file`.
    """
    if option == STANDARD_ERROR:
        return None
    if option:
        return Path(option).expanduser().absolute()
    return state / "jeroboam.log" if wants_file else None


def configure_log(level: str, file: Path | None) -> None:
    """Send the log to that file, or to standard error. Raises `ValueError` for a file that cannot be written."""
    target = cast("TextIO", LogFile(file)) if file is not None else sys.stderr
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=True,
    )
    if file is not None:
        # Libraries have the standard library's log, whose warnings would go to the terminal.
        logging.basicConfig(stream=target, level=logging.WARNING, force=True)


class LogFile:
    """A text file that only its owner may read, with one former file beside it."""

    def __init__(self, path: Path, *, largest: int = LARGEST) -> None:
        """Raises `ValueError` for a file that cannot be written."""
        self._path = path
        self._largest = largest
        self._lock = threading.Lock()
        try:
            self._file = self._open()
        except OSError as error:
            raise ValueError(f"[DEFAULT] log_file: cannot write {path}: {error.strerror or error}") from error

    def write(self, text: str) -> int:
        """Append the text."""
        with self._lock:
            if self._file.tell() >= self._largest:
                self._file.close()
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                self._file = self._open()
            return self._file.write(text)

    def flush(self) -> None:
        """Hand over to the system what was written."""
        with self._lock:
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> TextIO:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")
