"""Files into containers and out of them."""

import base64
import gzip
import io
import json
import tarfile

import pytest

from jeroboam.domain.archives import ArchiveGuard
from jeroboam.domain.errors import Invalid
from tests.clock import settle

LARGE = 3 << 20


def pack(content=b"x" * 1000, name="note", **members) -> bytes:
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w", **members) as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return into.getvalue()


@pytest.fixture
async def box(make, on_host, parts):
    yield await on_host(await make.container())
    await parts.gateway.programs.close()


async def put(client, data: bytes | str, raw: bytes | None = None):
    text = data if isinstance(data, str) else base64.b64encode(data).decode()
    body = json.dumps({"data": text}).encode() if raw is None else raw
    return await client.request("POST", "/v1/containers/box/put_archive?path=/srv", raw=body)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4096, LARGE])
async def test_what_goes_in_comes_out(zun, box, parts, size):
    archive = pack(b"x" * size)
    assert (await put(zun, archive)).json() is None
    assert parts.gateway.files["/srv"] == archive
    answer = await zun.get("/v1/containers/box/get_archive?path=/srv")
    assert base64.b64decode(answer.json()["data"], validate=True) == archive
    assert answer.json()["stat"] == {
        "name": "srv",
        "size": len(archive),
        "mode": 0o644,
        "mtime": "then",
        "linkTarget": "",
    }


async def test_text_before_base64(zun, box, parts):
    archive = pack("héllo".encode())
    old = zun.at("1.24")
    assert (await put(old, archive.decode())).status == 200
    assert parts.gateway.files["/srv"] == archive
    assert (await old.get("/v1/containers/box/get_archive?path=/srv")).json()["data"].encode() == archive
    parts.gateway.files["/srv"] = pack(b"\xff\xfe")
    answer = await old.get("/v1/containers/box/get_archive?path=/srv")
    assert answer.status == 400
    assert "1.25" in answer.error["detail"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data": 1}',
        b'{"data": "AAA',
        b'{"data": "AAA"}',
        b'{"data": "AAAA"} more',
        b'{"data": "AA*A"}',
        b'{"data": "AA==AAAA"}',
        b'{"other": "AAAA"}',
        b'{"data": "AAAA", "path": "/"}',
    ],
)
async def test_bodies_that_are_none(zun, box, raw):
    answer = await put(zun, b"", raw)
    assert answer.status == 400, raw
    assert "data" in answer.error["detail"]


async def test_line_breaks_and_escapes_in_base64(zun, box, parts):
    archive = pack(bytes(range(256)) * 40)
    text = base64.encodebytes(archive).decode()
    raw = json.dumps({"data": text}).replace("/", "\\/").encode()
    assert (await put(zun, b"", raw)).status == 200
    assert parts.gateway.files["/srv"] == archive


async def test_a_path_is_needed(zun, box):
    for answer in (
        await zun.get("/v1/containers/box/get_archive"),
        await zun.request("POST", "/v1/containers/box/put_archive", raw=b'{"data": ""}'),
    ):
        assert answer.status == 400
        assert "path" in answer.error["detail"]


async def test_states(zun, make):
    await make.container(name="fresh")
    assert (await zun.get("/v1/containers/fresh/get_archive?path=/")).status == 409


def sparse() -> bytes:
    header = bytearray(tarfile.TarInfo("s").tobuf(format=tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    return bytes(header)


def behind_a_link() -> bytes:
    """A sparse file behind a link whose header lies about a size."""
    link = tarfile.TarInfo("l")
    link.type, link.size = tarfile.SYMTYPE, 100_000
    return link.tobuf(format=tarfile.GNU_FORMAT) + sparse()


def with_extended_header(**headers: str) -> bytes:
    return pack(format=tarfile.PAX_FORMAT, pax_headers=headers)


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (gzip.compress(pack(), mtime=0), "compressed (gzip)"),
        (b"BZh91AY", "compressed (bzip2)"),
        (sparse(), "sparse"),
        (pack()[:1536] + sparse(), "sparse"),
        (behind_a_link(), "sparse"),
        (with_extended_header(**{"GNU.sparse.realsize": "1099511627776"}), "sparse"),
        (b"no archive" * 100, "not a tar"),
    ],
    ids=("gzip", "bzip2", "sparse", "second", "behind-a-link", "extended-header", "none"),
)
@pytest.mark.parametrize("step", [1, 700, 1 << 20])
def test_archives_that_unpack_to_more_than_was_sent(archive, words, step):
    guard = ArchiveGuard()
    padded = archive + bytes(1024)
    with pytest.raises(Invalid) as caught:
        for begin in range(0, len(padded), step):
            guard.feed(padded[begin : begin + step])
        guard.finish()
    assert words in caught.value.detail


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_plain_archives_pass(kind):
    guard = ArchiveGuard()
    guard.feed(pack(b"y" * 100_000, "n" * 90, format=kind))
    if kind != tarfile.USTAR_FORMAT:
        guard.feed(pack(b"y", "é" * 200, format=kind))


async def test_a_refused_archive_is_told_and_the_host_is_asked_for_nothing_more(zun, box, parts):
    answer = await put(zun, gzip.compress(pack(), mtime=0))
    assert answer.status == 400
    assert "compressed" in answer.error["detail"]
    await settle()
    assert not parts.gateway.programs.running[box.uuid]
