"""Published programs come from a mirror on loopback, and count only with the right checksum."""

import hashlib
import io
import tarfile

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.clock import SystemClock
from jeroboam.nodeimages import kubernetes
from jeroboam.nodeimages.programs import Program, ProgramCache
from jeroboam.nodeimages.releases import Release, Releases, checksums
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
async def mirror(files):
    async def serve(request: web.Request) -> web.Response:
        found = files.get(request.match_info["path"], 404)
        return web.Response(status=found) if isinstance(found, int) else web.Response(body=found)

    app = web.Application()
    app.router.add_get("/mirror/{path:.*}", serve)
    async with TestServer(app) as server:
        yield Releases(RELEASES, str(server.make_url("/mirror/")))


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
    with pytest.raises(Permanent, match=f"client has the SHA-256 {digest(b'something else')}, and {digest(b'client')}"):
        await cache.get(mirror, [FILES])
    files["home.invalid/v1.2.3/client"] = b"client"
    assert await cache.get(mirror, [FILES])


async def test_a_pinned_checksum_beats_the_published_one(mirror, cache, files):
    pinned = Release(url=f"{HOME}/one.bin", checksum=f"{HOME}/none", output="one", pinned={"one.bin": digest(b"one")})
    source = Releases({"one": pinned}, mirror._mirror)
    assert (await cache.get(source, [ONE]))["one"].read_bytes() == b"one"
    bad = Release(url=f"{HOME}/one.bin", checksum=f"{HOME}/SHA256SUMS", output="one", pinned={"one.bin": "0" * 64})
    with pytest.raises(Permanent, match="was expected"):
        await cache.get(Releases({"one": bad}, mirror._mirror), [ONE])


async def test_checksums_that_are_brought_count_alone(mirror, cache):
    own = checksums(
        f"# ours\n{digest(b'one')}  ./home.invalid/v1.2.3/one.bin\n\n{'0' * 64} *home.invalid/v1.2.3/server\n"
    )
    source = Releases(RELEASES, mirror._mirror, own)
    assert (await cache.get(source, [ONE]))["one"].read_bytes() == b"one"
    with pytest.raises(Permanent, match=f"server has the SHA-256 {digest(b'server')}, and {'0' * 64} was expected"):
        await cache.get(source, [FILES])
    with pytest.raises(Permanent, match=r"brought have none of home\.invalid/v1\.2\.3/tool-1\.2\.3\.tar\.gz"):
        await cache.get(source, [ARCHIVE])
    pinned = Release(url=f"{HOME}/one.bin", checksum="", output="one", pinned={"one.bin": "1" * 64})
    with pytest.raises(Permanent, match=f"is {digest(b'one')}, and {'1' * 64} is known"):
        await cache.get(Releases({"one": pinned}, mirror._mirror, own), [ONE])
    with pytest.raises(ValueError, match="line 2 is no SHA-256"):
        checksums("\nnonsense\n")


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
    assert await mirror.answers(ONE)
    assert not await Releases(RELEASES, "http://127.0.0.1:1").answers(ONE)
    del files["home.invalid/v1.2.3/SHA256SUMS"]
    assert not await mirror.answers(ONE)


async def test_every_program_of_every_version_is_published_somewhere():
    source = kubernetes.releases("")
    for version in kubernetes.versions().values():
        for program in version.programs:
            assert await source.recipe(program)
