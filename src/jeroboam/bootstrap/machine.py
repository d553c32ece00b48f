"""What can be read of this machine without an Engine: ports, disk, memory, inotify, clock. Neighbour: `doctor`."""

import contextlib
import ctypes
import datetime as dt
import os
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

_INOTIFY = Path("/proc/sys/fs/inotify")
_MEMORY = Path("/proc/meminfo")
_PROCESSES = Path("/proc")
# adjtimex(2): the size of its structure is below this, and this answer says that no clock source corrects the clock.
_TIMEX_BYTES = 512
_TIME_ERROR = 5


def find_port_fault(host: str, port: int) -> str | None:
    """Return why this process cannot listen there; None if it can."""
    try:
        socket.create_server((host, port), reuse_port=False).close()
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
    return None


def read_free_disk(path: Path) -> float:
    """Return the free GiB of the disk that the path is on, or will be on."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free / (1 << 30)


def read_free_memory(table: Path = _MEMORY) -> int | None:
    """Return the free memory in MiB; None if this system does not say."""
    try:
        lines = table.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("MemAvailable:")), None)


def read_used_memory(processes: Iterable[int], folder: Path = _PROCESSES) -> int:
    """Return the MiB of memory that these processes hold; one that has ended holds none."""
    kib = 0
    for process in processes:
        with contextlib.suppress(OSError):
            lines = (folder / str(process) / "status").read_text(encoding="ascii", errors="replace").splitlines()
            kib += next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
    return kib >> 10


def read_inotify_limit(name: str, folder: Path = _INOTIFY) -> int | None:
    """Return a limit of inotify, such as `max_user_instances`; None if this system does not say."""
    try:
        return int((folder / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def is_clock_corrected() -> bool | None:
    """Whether a time source (NTP) corrects this machine's clock; None if this system does not say."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def seconds_between(now: dt.datetime, stamp: str) -> float | None:
    """Return how far a time in RFC 3339 is from now; None if it cannot be read."""
    # Engines write nanoseconds, of which this parser takes six digits at most.
    whole, _, rest = stamp.partition(".")
    zone = rest.lstrip("0123456789")
    try:
        return abs((dt.datetime.fromisoformat(f"{whole}{zone}") - now).total_seconds())
    except (ValueError, TypeError):
        return None
