"""Published programs come from a mirror on loopback, and count only with the right checksum.

The mirror's files are the test's own, so that the pins that are shipped would refuse them: each test brings its own.
"""

import hashlib
import io
import tarfile
import tomllib
from dataclasses import replace
from importlib.resources import files as files_of

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.clock import SystemClock
from jeroboam.nodeimages import kubernetes
from jeroboam.nodeimages.fetch_or_compile import FetchOrCompile
from jeroboam.nodeimages.programs import Program, ProgramCache
from jeroboam.nodeimages.releases import Release, Releases, read_checksums
from tests.unit.test_programs import Told

HOME = "https://home.invalid/{version}"
FILES = Program(name="files", version="v1.2.3", outputs=("server", "client"))
ONE = Program(name="one", version="v1.2.3", outputs=("one",))
ARCHIVE = Program(name="archive", version="v1.2.3", outputs=("tool",))
RELEASES = {
    "files": Release(url=f"{HOME}/{{program}}", checksum=f"{HOME}/{{program}}.sha256"),
    "one": Release(url=f"{HOME}/one.bin", checksum=f"{HOME}/SHA256SUMS", output="one"),
    "archive": Release(url=f"{HOME}/tool-{{bare}}.tar.gz", checksum=f"{HOME}/tool.sha256sum"),
}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tar_gz(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def files():
    """What the mirror has, by path; a number is a status instead."""
    packed = tar_gz("./bin/tool", b"tool")
    return {
        "home.invalid/v1.2.3/server": b"server",
        "home.invalid/v1.2.3/server.sha256": digest(b"server").encode(),
        "home.invalid/v1.2.3/client": b"client",
        "home.invalid/v1.2.3/client.sha256": digest(b"client").encode(),
        "home.invalid/v1.2.3/one.bin": b"one",
        "home.invalid/v1.2.3/SHA256SUMS": f"{'0' * 64}  other\n{digest(b'one')}  one.bin\n".encode(),
        "home.invalid/v1.2.3/tool-1.2.3.tar.gz": packed,
        "home.invalid/v1.2.3/tool.sha256sum": f"{digest(packed)}  tool-1.2.3.tar.gz\n".encode(),
    }


@pytest.fixture
def asked():
    """The paths that the mirror was asked for."""
    return []


@pytest.fixture
async def at(files, asked):
    """Where the mirror answers."""

    async def serve(request: web.Request) -> web.Response:
        asked.append(request.match_info["path"])
        found = files.get(request.match_info["path"], 404)
        return web.Response(status=found) if isinstance(found, int) else web.Response(body=found)

    app = web.Application()
    app.router.add_get("/mirror/{path:.*}", serve)
    async with TestServer(app) as server:
        yield str(server.make_url("/mirror"))


@pytest.fixture
def mirror(at):
    return Releases(RELEASES, f"{at}/")


@pytest.fixture
def cache(tmp_path):
    return ProgramCache(tmp_path / "cache", SystemClock(), Told())


async def test_files_and_archives_are_fetched(mirror, cache):
    made = await cache.get(mirror, [FILES, ONE, ARCHIVE])
    assert {name: path.read_bytes() for name, path in made.items()} == {
        name: name.encode() for name in ("server", "client", "one", "tool")
    }
    assert [path.name for path in made["tool"].parent.iterdir()] == ["tool"]


async def test_a_wrong_checksum_is_refused(mirror, cache, files):
    files["home.invalid/v1.2.3/client"] = b"something else"
    wrong = f"client has the SHA-256 {digest(b'something else')}, and {digest(b'client')} is published beside it"
    with pytest.raises(Permanent, match=wrong):
        await cache.get(mirror, [FILES])
    files["home.invalid/v1.2.3/client"] = b"client"
    assert await cache.get(mirror, [FILES])


def pinning(mirror: Releases, **pins: str) -> Releases:
    """The same mirror, with pins of files of that version."""
    names = {"one": "one.bin", "tool": "tool-1.2.3.tar.gz"}
    found = {f"home.invalid/v1.2.3/{names.get(name, name)}": pin for name, pin in pins.items()}
    return Releases(RELEASES, mirror._mirror, pins=found)


async def test_a_file_with_a_pin_counts_without_the_checksum_beside_it(mirror, cache, files, asked):
    packed = files["home.invalid/v1.2.3/tool-1.2.3.tar.gz"]
    files["home.invalid/v1.2.3/SHA256SUMS"] = f"{'0' * 64}  one.bin\n".encode()
    made = await cache.get(pinning(mirror, one=digest(b"one"), tool=digest(packed)), [ONE, ARCHIVE])
    assert {name: path.read_bytes() for name, path in made.items()} == {"one": b"one", "tool": b"tool"}
    assert asked == ["home.invalid/v1.2.3/one.bin", "home.invalid/v1.2.3/tool-1.2.3.tar.gz"]


async def test_a_file_that_is_not_the_pinned_one_is_refused_whole(mirror, cache, tmp_path):
    # The checksum beside it is right, and so is the file before it: neither helps.
    source = pinning(mirror, server=digest(b"server"), client="0" * 64)
    with pytest.raises(Permanent, match=f"/client has the SHA-256 {digest(b'client')}, and {'0' * 64} is pinned"):
        await cache.get(source, [FILES])
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


async def test_a_pin_is_of_one_file_of_one_version(mirror, cache, files):
    later = Program(name="one", version="v1.2.4", outputs=("one",))
    files["home.invalid/v1.2.4/one.bin"] = b"newer"
    files["home.invalid/v1.2.4/SHA256SUMS"] = f"{digest(b'newer')}  one.bin\n".encode()
    assert (await cache.get(pinning(mirror, one=digest(b"one")), [later]))["one"].read_bytes() == b"newer"


async def test_what_was_fetched_before_there_was_a_pin_is_fetched_again(mirror, cache, asked):
    await cache.get(mirror, [ONE, ARCHIVE])
    asked.clear()
    with pytest.raises(Permanent, match="is pinned"):
        await cache.get(pinning(mirror, one="0" * 64), [ARCHIVE, ONE])
    assert asked == ["home.invalid/v1.2.3/one.bin"]


async def test_checksums_that_are_brought_count_alone(mirror, cache):
    own = read_checksums(
        f"# ours\n{digest(b'one')}  ./home.invalid/v1.2.3/one.bin\n\n{'0' * 64} *home.invalid/v1.2.3/server\n"
    )
    source = Releases(RELEASES, mirror._mirror, checksums=own)
    assert (await cache.get(source, [ONE]))["one"].read_bytes() == b"one"
    with pytest.raises(Permanent, match=f"server has the SHA-256 {digest(b'server')}, and {'0' * 64} was brought"):
        await cache.get(source, [FILES])
    with pytest.raises(Permanent, match=r"brought have none of home\.invalid/v1\.2\.3/tool-1\.2\.3\.tar\.gz"):
        await cache.get(source, [ARCHIVE])
    with pytest.raises(ValueError, match="line 2 is no SHA-256"):
        read_checksums("\nnonsense\n")


async def test_checksums_that_are_brought_win_over_pins(mirror, cache):
    path = "home.invalid/v1.2.3/one.bin"
    pins, own = {path: "1" * 64}, {path: digest(b"one")}
    source = Releases(RELEASES, mirror._mirror, pins=pins, checksums=own)
    assert (await cache.get(source, [ONE]))["one"].read_bytes() == b"one"
    with pytest.raises(Permanent, match=f"{digest(b'one')}, and {'1' * 64} was brought"):
        await cache.get(Releases(RELEASES, mirror._mirror, pins=own, checksums=pins), [ONE])
    with pytest.raises(Permanent, match="brought have none of"):
        await cache.get(Releases(RELEASES, mirror._mirror, pins=own, checksums={}), [ONE])


def test_what_programs_were_checked_against_is_said_in_a_line(mirror):
    assert pinning(mirror, one="0" * 64, server="0" * 64).describe_checksums([FILES, ONE, ARCHIVE]) == (
        "programs were checked against pinned checksums: one; against those published beside them: files, archive"
    )
    assert (
        pinning(mirror, one="0" * 64).describe_checksums([ONE]) == "programs were checked against pinned checksums: one"
    )
    assert "brought" in Releases(RELEASES, checksums={}).describe_checksums([ONE])


async def test_what_is_not_published_is_named(mirror, cache, files):
    files["home.invalid/v1.2.3/tool.sha256sum"] = b"<html>not found</html>"
    with pytest.raises(Permanent, match=r"tool\.sha256sum has no SHA-256 of tool-1\.2\.3\.tar\.gz"):
        await cache.get(mirror, [ARCHIVE])
    del files["home.invalid/v1.2.3/tool.sha256sum"]
    with pytest.raises(Permanent, match=r"tool\.sha256sum answers 404"):
        await cache.get(mirror, [ARCHIVE])


async def test_what_is_no_archive_is_refused(mirror, cache, files):
    files["home.invalid/v1.2.3/tool-1.2.3.tar.gz"] = b"no archive"
    files["home.invalid/v1.2.3/tool.sha256sum"] = digest(b"no archive").encode()
    with pytest.raises(Permanent, match="is no archive"):
        await cache.get(mirror, [ARCHIVE])


async def test_a_mirror_in_trouble_is_worth_another_try(mirror, cache, files):
    files["home.invalid/v1.2.3/one.bin"] = 503
    with pytest.raises(Temporary, match="answers 503"):
        await cache.get(mirror, [ONE])
    with pytest.raises(Temporary, match="does not answer"):
        await cache.get(Releases(RELEASES, "http://127.0.0.1:1"), [ONE])


async def test_a_quick_look_tells_whether_it_answers(mirror, files):
    assert await mirror.is_reachable(ONE)
    assert not await Releases(RELEASES, "http://127.0.0.1:1").is_reachable(ONE)
    del files["home.invalid/v1.2.3/SHA256SUMS"]
    assert not await mirror.is_reachable(ONE)


UNPINNED = {("coredns", "v1.14.7"), ("flannel", "v0.28.10"), ("local_path", "v0.0.30"), ("metrics_server", "v0.9.0")}


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_every_file_is_pinned_but_those_of_programs_that_are_named_here(architecture):
    """A new version wants pins in SHA256SUMS, or a place in `UNPINNED` and in docs/node-images.md."""
    source, pins = kubernetes.build_releases(""), kubernetes.read_pins()
    programs = {program for version in kubernetes.list_versions().values() for program in version.programs}
    lacking = {program for program in programs if any(path not in pins for path in source.paths(program, architecture))}
    assert {(program.name, program.version) for program in lacking} == UNPINNED
    assert not {path for program in lacking for path in source.paths(program, architecture)} & set(pins)


def test_no_pin_is_of_a_version_that_is_not_built_any_more():
    source = kubernetes.build_releases("")
    programs = {program for version in kubernetes.list_versions().values() for program in version.programs}
    fetched = {path for program in programs for arch in ("amd64", "arm64") for path in source.paths(program, arch)}
    assert set(kubernetes.read_pins()) - fetched == set()


async def test_the_shipped_pins_are_those_that_count(mirror, cache, files):
    (program,) = (found for found in kubernetes.find_version(None).programs if found.name == "runc")
    source = kubernetes.build_releases(mirror._mirror)
    (path,) = source.paths(program)
    files[path] = b"compiled here"
    files[f"{path.rpartition('/')[0]}/runc.sha256sum"] = digest(b"compiled here").encode()
    with pytest.raises(Permanent, match=f"{digest(b'compiled here')}, and {kubernetes.read_pins()[path]} is pinned"):
        await cache.get(source, [program])
    own = kubernetes.build_releases(mirror._mirror, {path: digest(b"compiled here")})
    assert (await cache.get(own, [program]))["runc"].read_bytes() == b"compiled here"


class Compiled:
    """A source that compiles nothing: it leaves files that say so."""

    async def ready(self) -> None: ...

    async def recipe(self, program: Program) -> str:
        return f"compiled {program.name}"

    async def make(self, program: Program, into) -> None:
        for name in program.outputs:
            (into / name).write_text("compiled")


async def test_what_makers_do_not_publish_is_compiled(cache, at):
    homes = {name: replace(each, url=each.url.replace("https:/", at)) for name, each in RELEASES.items()}
    homes["one"] = replace(homes["one"], at_home=False)
    contents = {"server": b"server", "client": b"client", "tool": tar_gz("./bin/tool", b"tool")}
    paths = {path: path.rpartition("/")[2][:6] for each in (FILES, ARCHIVE) for path in Releases(homes).paths(each)}
    pins = {path: digest(contents["tool" if name.startswith("tool") else name]) for path, name in paths.items()}
    both = FetchOrCompile(Releases(homes, pins=pins), Compiled())
    got = await cache.get(both, [FILES, ONE, ARCHIVE])
    assert {name: path.read_text() for name, path in got.items()} == {
        "server": "server",
        "client": "client",
        "one": "compiled",
        "tool": "tool",
    }
    said = both.describe_checksums([FILES, ONE, ARCHIVE])
    assert said == "programs were checked against pinned checksums: files, archive; compiled from modules: one"


def test_every_program_of_a_node_can_be_fetched_and_checked_or_compiled():
    """Without a word on it and with the homes in reach nothing is refused for want of a checksum."""
    releases = kubernetes.build_releases("")
    modules = tomllib.loads((files_of("jeroboam.nodeimages.kubernetes") / "modules.toml").read_text())["modules"]
    for version in kubernetes.list_versions().values():
        for program in version.programs:
            assert releases.can_fetch(program) or program.name in modules, program
        assert not releases.can_fetch(next(each for each in version.programs if each.name == "flannel"))
    mirrored = kubernetes.build_releases("http://mirror.invalid")
    assert all(
        mirrored.can_fetch(program) for version in kubernetes.list_versions().values() for program in version.programs
    )
