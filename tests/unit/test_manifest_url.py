"""Where manifests may be fetched from: not from what only this machine may speak to, not for ever, not without end."""

import asyncio
import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jeroboam.clients.addresses import AddressRules, list_connected_networks
from jeroboam.clients.manifest_url import UrlManifests
from jeroboam.domain.errors import Invalid

PAGES = {
    "/good": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "/endless": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000,
    "/large": b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 5000,
    "/away": b"HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n",
    "/missing": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "/packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "/noise": b"\x00\x01\x02\r\n\r\n",
    "/slow": b"",
    "/continues": b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
}


def own_address() -> str:
    """An address of this machine that is not loopback: what a user's file server would have."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: it only asks which address would be used.
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


@pytest.fixture
async def pages():
    """A file server; its root."""

    async def answer(reader, writer):
        line = (await reader.readline()).decode(errors="replace")
        while (await reader.readline()).strip():
            pass
        page = PAGES[line.split()[1]]
        writer.write(page)
        if not page:
            await reader.read()  # until the client has gone
        writer.close()

    host = own_address()
    server = await asyncio.start_server(answer, host, 0)
    yield f"http://{host}:{server.sockets[0].getsockname()[1]}"
    server.close()


def anywhere(seconds: float = 5.0) -> UrlManifests:
    return UrlManifests(AddressRules(allowed_networks=[ipaddress.ip_network("0.0.0.0/0")]), seconds=seconds)


async def refusal(of: UrlManifests, url: str) -> str:
    with pytest.raises(Invalid) as caught:
        await of.fetch(url, max_octets=4096)
    assert caught.value.field == "manifest_url"
    return caught.value.detail


async def test_what_is_there(pages):
    assert await anywhere().fetch(f"{pages}/good", max_octets=5) == b"hello"


@pytest.mark.parametrize(
    ("page", "word"),
    [
        ("/endless", "more than 4096 octets"),
        ("/continues", "cannot be fetched"),
        ("/large", "more than 4096 octets"),
        ("/away", "answers 302"),
        ("/missing", "answers 404"),
        ("/packed", "compressed"),
        ("/noise", "cannot be fetched"),
    ],
)
async def test_what_cannot_be_used(pages, page, word):
    assert word in await refusal(anywhere(), pages + page)


async def test_what_takes_too_long(pages):
    assert "within 0.2 seconds" in await refusal(anywhere(0.2), f"{pages}/slow")


async def test_nobody_there():
    with socket.socket() as taken:
        taken.bind((own_address(), 0))
        host, port = taken.getsockname()
        assert "cannot be fetched" in await refusal(anywhere(), f"http://{host}:{port}/")


async def test_this_machines_own_networks_are_not_asked(pages):
    assert "a network that manifests are not fetched from" in await refusal(UrlManifests(), f"{pages}/good")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.9.9.9", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]", "169.254.169.254", "[fe80::1]", "0.0.0.0", "[::]", "224.0.0.1", "[ff02::1]",
        "[2002:7f00:1::]",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "of", [UrlManifests(), UrlManifests(AddressRules(allowed_networks=[ipaddress.ip_network("0.0.0.0/0")]))]
)
async def test_what_nobody_may_be_led_to_whatever_is_allowed(host, of):
    assert "a network that manifests are not fetched from" in await refusal(of, f"http://{host}:1/")


@pytest.mark.parametrize(
    "host", ["10.1.2.3", "172.16.5.5", "192.168.1.1", "100.64.0.1", "[fd00::1]", "198.51.100.7", "240.0.0.1"]
)
async def test_what_no_route_of_the_internet_leads_to(host):
    of = UrlManifests(AddressRules(list_connected=list))
    assert "a network that manifests are not fetched from" in await refusal(of, f"http://{host}:1/")


async def test_a_public_network_that_this_machine_stands_in():
    own = ipaddress.ip_network("93.184.216.0/24")
    of = UrlManifests(AddressRules(list_connected=lambda: [own]))
    assert "a network that manifests are not fetched from" in await refusal(of, "http://93.184.216.34:1/")


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("nothing", "begin with http"),
        ("ftp://x/", "begin with http"),
        ("file:///etc/passwd", "begin with http"),
        ("http://", "begin with http"),
        ("http://x:99999/", "not a valid URL"),
        ("http://[::1/", "not a valid URL"),
        ("http://xn--a/", "not a valid URL"),
        ("http://xn--0000h/", "not a valid URL"),
        ("http://user:word@x/", "must not contain a user or a password"),
        ("http://nowhere.invalid/", "host name cannot be resolved"),
        ("http://a\0b/", "host name cannot be resolved"),
        ("http://" + "a" * 300 + "/", "host name cannot be resolved"),
    ],
)
async def test_bad_urls(url, word):
    said = await refusal(UrlManifests(), url)
    assert word in said
    assert "word@" not in said


@given(st.text(max_size=40))
def test_no_text_is_a_bug(text):
    try:
        asyncio.run(UrlManifests(seconds=0.001).fetch(text, max_octets=10))
    except Invalid:
        return
    raise AssertionError(text)


def test_the_networks_that_this_machine_stands_in():
    own = ipaddress.ip_address(own_address())
    assert any(own in network for network in list_connected_networks() if network.version == 4)
    assert all(network.prefixlen > 0 for network in list_connected_networks())
