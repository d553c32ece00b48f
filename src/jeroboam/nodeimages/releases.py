"""The source *releases*: programs that upstream projects publish, from their home sites or from a mirror.

A mirror has each file under the name and path of its home, as `wget --force-directories` creates them. A file is
accepted only with the pinned SHA-256, or, without a pin, with the one that is published beside it. If an operator
passes checksums, only these count. Neighbours: `programs`, whose contract this implements; releases.toml and the pins
in SHA256SUMS, which are part of the node image.
"""

import asyncio
import hashlib
import platform
import re
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jeroboam.clients.http import HttpAnswer, HttpClient, HttpDownload, NoAnswer
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.nodeimages.programs import Program

_LOOK_SECONDS = 3.0
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 60.0
_BLOCK = 1 << 20
_ERRORS = 400
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S+)")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """Where a program is published. `{version}`, `{bare}`, `{arch}` and `{program}` are replaced."""

    url: str
    """With `{program}`: one file for each output. Without: an archive with all of them."""
    checksum: str
    """The URL of the published checksum: a bare digest, or lines of digest and file name."""
    output: str = ""
    """The name of the program if the file is not an archive."""
    at_home: bool = True
    """Whether upstream publishes it with a checksum. If not, it needs a mirror or the operator's checksums."""


class Releases:
    """The `ProgramSource` *releases*."""

    def __init__(
        self,
        releases: Mapping[str, Release],
        mirror: str = "",
        *,
        pins: Mapping[str, str] | None = None,
        checksums: Mapping[str, str] | None = None,
    ) -> None:
        """`mirror` is the URL of a mirror with a folder for each home; empty: use the homes themselves.

        The pins and the operator's checksums are SHA-256 by home and path, such as `github.com/…/runc.amd64`. For a
        file with a pin the published checksum is not fetched. The operator's checksums replace pins and published ones.
        """
        self._releases = releases
        self._mirror = mirror.rstrip("/")
        self._pins = pins or {}
        self._checksums = checksums

    async def ready(self) -> None:
        """Do nothing: no tools of this machine are needed."""

    def can_fetch(self, program: Program) -> bool:
        """Whether the program can be fetched and checked."""
        is_checkable = self._checksums is not None or all(path in self._pins for path in self.paths(program))
        return bool(self._mirror) or is_checkable or self._releases[program.name].at_home

    async def is_reachable(self, program: Program) -> bool:
        """Whether the site of that program answers, with a short timeout."""
        release = self._releases[program.name]
        url = _fill_template(release.checksum, program, program.outputs[0])
        try:
            async with HttpClient(total_seconds=_LOOK_SECONDS, with_proxies=True) as http:
                return (await http.request("GET", self._at(url))).status < _ERRORS
        except NoAnswer:
            return False

    async def recipe(self, program: Program) -> str:
        # A mirror has the same files as the homes, so the site is not part of the recipe. The checksums are: a file
        # that was fetched before it had a pin is fetched again.
        origin, sums_by_path = ("pinned", self._pins) if self._checksums is None else ("brought", self._checksums)
        digests = [sums_by_path.get(path) for path in self.paths(program)]
        return f"releases {self._releases[program.name]!r} {origin} {digests}"

    def paths(self, program: Program, architecture: str | None = None) -> tuple[str, ...]:
        """Return home and path of each file of the program.

        `architecture` is `amd64`, `arm64` or another upstream name; None: that of this machine.
        """
        release = self._releases[program.name]
        names = program.outputs if "{program}" in release.url else (release.output,)
        return tuple(
            _fill_template(release.url, program, name, architecture).removeprefix("https://") for name in names
        )

    def describe_checksums(self, programs: Sequence[Program]) -> str:
        """Return a line of text with the kind of checksums that each program was checked against."""
        if self._checksums is not None:
            return "all programs were checked against the checksums that were brought"
        pinned_names = [program.name for program in programs if all(path in self._pins for path in self.paths(program))]
        other_names = [program.name for program in programs if program.name not in pinned_names]
        parts = {"pinned checksums": pinned_names, "those published beside them": other_names}
        parts_text = [f"{kind}: {', '.join(names)}" for kind, names in parts.items() if names]
        return f"programs were checked against {'; against '.join(parts_text)}"

    async def make(self, program: Program, into: Path) -> None:
        release = self._releases[program.name]
        async with _client() as http:
            if "{program}" in release.url:
                for name in program.outputs:
                    await self._fetch(http, release, program, name, into / name)
                return
            download = into / (release.output or "archive")
            await self._fetch(http, release, program, release.output, download)
        if not release.output:
            await asyncio.to_thread(_unpack, download, program, into)
            download.unlink()

    async def _fetch(self, http: HttpClient, release: Release, program: Program, name: str, path: Path) -> None:
        url = _fill_template(release.url, program, name)
        expected_digest, origin = await self._find_checksum(http, release, program, name)
        content_hash = hashlib.sha256()
        with path.open("wb") as out:
            try:
                async with http.download(self._at(url), block=_BLOCK) as answer:
                    _check_answer(self._at(url), answer)
                    async for block in answer.content:
                        content_hash.update(block)
                        await asyncio.to_thread(out.write, block)
            except NoAnswer as error:
                raise Temporary(f"{self._at(url)} does not answer: {error}") from error
        if content_hash.hexdigest() != expected_digest:
            raise Permanent(
                f"{self._at(url)} has the SHA-256 {content_hash.hexdigest()}, and {expected_digest} {origin}"
            )

    async def _find_checksum(self, http: HttpClient, release: Release, program: Program, name: str) -> tuple[str, str]:
        """Return the expected SHA-256 and its origin. Raises `Permanent` if the operator's checksums lack the file."""
        path = _fill_template(release.url, program, name).removeprefix("https://")
        if self._checksums is not None:
            if path not in self._checksums:
                raise Permanent(f"the checksums that were brought have none of {path}")
            return self._checksums[path], "was brought"
        if path in self._pins:
            return self._pins[path], "is pinned (files that a site has made itself need --checksums)"
        file = path.rpartition("/")[2]
        return await self._fetch_checksum(http, release, program, name, file), "is published beside it"

    async def _fetch_checksum(self, http: HttpClient, release: Release, program: Program, name: str, file: str) -> str:
        url = self._at(_fill_template(release.checksum, program, name))
        try:
            answer = await http.request("GET", url)
        except NoAnswer as error:
            raise Temporary(f"{url} does not answer: {error}") from error
        _check_answer(url, answer)
        lines = answer.content.decode(errors="replace").splitlines()
        candidates = [line for line in lines if line.split()[-1:] == [file]] or lines[:1]
        match = _SHA256.search(candidates[0]) if candidates else None
        if match is None:
            raise Permanent(f"{url} has no SHA-256 of {file}")
        return match[0]

    def _at(self, url: str) -> str:
        return f"{self._mirror}/{url.removeprefix('https://')}" if self._mirror else url


def read_releases(data: Mapping[str, Any]) -> dict[str, Release]:
    """Return the releases of a file releases.toml."""
    return {name: Release(**table) for name, table in data.items()}


def read_checksums(text: str) -> dict[str, str]:
    """Return SHA-256 by path, given the output of `sha256sum`. Raises `ValueError` with the number of a bad line."""
    digests = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"line {number} is no SHA-256 with a path after it")
        digests[match[2].removeprefix("./")] = match[1]
    return digests


def _client() -> HttpClient:
    return HttpClient(
        total_seconds=None, connect_seconds=_CONNECT_SECONDS, read_seconds=_READ_SECONDS, with_proxies=True
    )


def _check_answer(url: str, answer: HttpAnswer | HttpDownload) -> None:
    if answer.status >= 500:  # noqa: PLR2004  (the server's own troubles)
        raise Temporary(f"{url} answers {answer.status} {answer.reason}")
    if answer.status >= _ERRORS:
        raise Permanent(f"{url} answers {answer.status} {answer.reason}")


def _fill_template(text: str, program: Program, name: str, architecture: str | None = None) -> str:
    machine = platform.machine()
    return text.format(
        version=program.version,
        bare=program.version.removeprefix("v"),
        arch=architecture or _ARCHITECTURES.get(machine, machine),
        program=name,
    )


def _unpack(archive: Path, program: Program, into: Path) -> None:
    """Extract the program's outputs from the archive, from any folder in it."""
    try:
        with tarfile.open(archive) as tar:
            for info in tar:
                name = Path(info.name).name
                source = tar.extractfile(info) if name in program.outputs else None
                if source is not None:
                    with (into / name).open("wb") as out:
                        shutil.copyfileobj(source, out)
    except tarfile.TarError as error:
        raise Permanent(f"what is published as {program.name} {program.version} is no archive: {error}") from error
