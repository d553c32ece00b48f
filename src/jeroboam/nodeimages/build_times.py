"""How long programs take to build, by experience: what they took on this machine, else what they usually take.

Neighbour: `programs`, which learns from each build and says what is left of the present one.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# Seconds of two idle cores that compile. What is left of a build is scaled by what its first programs took.
_USUAL = {
    "runc": 25,
    "cni": 10,
    "containerd": 40,
    "etcd": 25,
    "coredns": 35,
    "flannel": 35,
    "registry": 20,
    "local_path": 35,
    "metrics_server": 60,
    "kube": 300,
}
_UNKNOWN = 60
# So many seconds of a build have to pass until its own pace counts for half.
_WEIGHT = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildStep:
    """The place of a program among those that are built now."""

    number: int
    """The first one is 1."""
    count: int
    seconds_left: float
    """For this program and those after it."""


class BuildTimes:
    """The seconds that programs took on this machine, in a file. A file that is lost or damaged holds nothing."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def expect(self, name: str) -> float:
        """Return the seconds that this program will take."""
        return self._read().get(name, _USUAL.get(name, _UNKNOWN))

    def learn(self, name: str, seconds: float) -> None:
        """Remember how long this program took. What cannot be written is not remembered."""
        part = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            part.write_text(json.dumps({**self._read(), name: round(seconds, 1)}))
            part.replace(self._file)

    def _read(self) -> Mapping[str, float]:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            content = json.loads(self._file.read_text())
            return {name: float(seconds) for name, seconds in content.items() if isinstance(seconds, int | float)}
        return {}


class BuildPlan:
    """The programs of one build, with the time that is left."""

    def __init__(self, times: BuildTimes, names: Iterable[str]) -> None:
        self._seconds = [times.expect(name) for name in names]
        self._begun = 0
        self._spent = 0.0

    def begin(self) -> BuildStep:
        """Return the place of the next program."""
        former, left = sum(self._seconds[: self._begun]), sum(self._seconds[self._begun :])
        pace = (self._spent + _WEIGHT) / (former + _WEIGHT)
        self._begun += 1
        return BuildStep(number=self._begun, count=len(self._seconds), seconds_left=left * pace)

    def end(self, seconds: float) -> None:
        """Take note of what the program took."""
        self._spent += seconds
