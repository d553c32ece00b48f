"""Names of images: what they say, which may be pulled, and that none leads anywhere else on the way to an Engine."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jeroboam.clients.addresses import AddressRules
from jeroboam.clients.docker import check_path, connect
from jeroboam.clients.docker_images import RegistryUnreachable, check_pull, explain_failure
from jeroboam.domain.errors import Permanent
from jeroboam.domain.images import ImageReference, is_reference, parse_reference

pytestmark = pytest.mark.security

DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    ("text", "registry", "repository"),
    [
        ("busybox", "docker.io", "busybox"),
        ("library/busybox:1.36", "docker.io", "library/busybox"),
        ("team/app", "docker.io", "team/app"),
        ("docker.io/team/app", "docker.io", "team/app"),
        ("Index.Docker.IO/team/app", "docker.io", "team/app"),
        ("localhost/app", "localhost", "app"),
        ("127.0.0.1:5000/app:v1", "127.0.0.1:5000", "app"),
        (f"registry.example.org/a/b/c@{DIGEST}", "registry.example.org", "a/b/c"),
        ("[::1]:5000/app", "[::1]:5000", "app"),
        ("UPPER/app", "upper", "app"),
    ],
)
def test_what_a_name_says(text, registry, repository):
    assert parse_reference(text) == ImageReference(registry=registry, repository=repository)


@pytest.mark.parametrize("text", [DIGEST, "0123456789ab", "busybox"])
def test_ids_name_images_too(text):
    assert is_reference(text)


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "../events?x=", "a/../b", "a/./b", "a//b", "/a", "a/", "a b", "a\n", "a?b", "a#b", "a%2fb",
     "A", "a:", "a@b", "a:b:c", "http://x/y", "x" * 600, "a\0", "\u0430bc", "sha256:short@", "a:..", "a/..:x",
     "a.b:0/c", "a.b:65536/c", "a.b:99999/c"],
)  # fmt: skip
def test_what_names_no_image(text):
    assert not is_reference(text)


@given(st.text(max_size=60))
def test_no_name_of_an_image_becomes_another_path(text):
    if is_reference(text):
        check_path(f"images/{text}/json")
    for path in (f"images/{text}/json", f"containers/{text}/json"):
        try:
            check_path(path)
        except Permanent:
            continue
        assert path.split("/")[0] in {"images", "containers"}
        assert not set(path) & set("?#%\\ ")
        assert ".." not in path.split("/")


async def test_the_client_sends_no_name_that_is_none(tmp_path):
    """There is no Engine at that address: whatever is sent fails as unreachable, and this is refused before."""
    engine = connect(f"unix://{tmp_path}/none.sock")
    # As after the first answer, which tells the version.
    engine.api_version = "v1.41"
    try:
        for asked in (
            engine.images.inspect("../events?x="),
            engine.containers.get("../../info"),
            engine.volumes.get("a?b"),
            engine.networks.get("a/../../b"),
            engine.images.delete("x%2f..%2fy"),
        ):
            with pytest.raises(Permanent, match="it contains an invalid name"):
                await asked
    finally:
        await engine.close()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "localhost", "localhost:80", "[::1]:5000",
     "169.254.169.254", "0.0.0.0", "10.0.0.1", "192.168.1.1:5000", "172.17.0.1:2375",
     "[fe80::1]:1", "[fec0::1]:1", "[fd00::1]:1", "192.88.99.1",
     "[64:ff9b::7f00:1]:1", "[2002:7f00:1::]:1", "100.64.0.1", "0x7f.1", "224.0.0.1"],
)  # fmt: skip
async def test_registries_on_the_services_own_networks_are_refused(host):
    name = f"{host}/team/app"
    if parse_reference(name).registry == "docker.io":
        pytest.fail(f"{name} is no name with a host")
    with pytest.raises((Permanent, RegistryUnreachable)) as caught:
        await check_pull(name, AddressRules(may_allow_own=True))
    assert "not pulled from" in caught.value.reason or "cannot be resolved" in caught.value.reason


@pytest.mark.parametrize(
    ("registry", "host", "port"),
    [("a.b", "a.b", 443), ("a.b:5000", "a.b", 5000), ("[::1]:5000", "::1", 5000), ("[::1]", "::1", 443)],
)
def test_where_a_registry_is(registry, host, port):
    reference = parse_reference(f"{registry}/x")
    assert (reference.host, reference.port) == (host, port)


@given(st.from_regex(r"[A-Za-z0-9._:\[\]-]{1,30}/[a-z]{1,5}", fullmatch=True))
@settings(max_examples=200, deadline=None)
def test_no_name_of_an_image_is_a_bug(text):
    reference = parse_reference(text)
    if reference is not None:
        assert reference.host
        assert 0 < reference.port < 1 << 16


async def test_an_operator_may_allow_loopback():
    allowed = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.0.0.0/24")]
    rules = AddressRules(allowed_networks=allowed, may_allow_own=True)
    await check_pull("127.0.0.1:5000/app", rules)
    await check_pull("10.0.0.7/app", rules)
    with pytest.raises(Permanent):
        await check_pull("10.0.1.7/app", rules)


@pytest.mark.parametrize(
    ("image", "message", "why"),
    [
        ("busybox:nosuch", "manifest for busybox:nosuch not found: manifest unknown", "no such image"),
        ("a.b/x:1", "manifest for a.b/x:1 not found", "no such image"),
        ("a.b/x", "name unknown: repository name not known to registry", "no such image"),
        ("a.b/x:1", 'failed to resolve reference "a.b/x:1": a.b/x:1: not found', "no such image"),
        ("a.b/x:1", "error parsing HTTP 404 response body: invalid character '<'", "no such image"),
        ("a.b/x:1", "unexpected status from HEAD request to https://a.b/v2/x/manifests/1: 403 Forbidden", "private"),
        ("a.b/x:1", "received unexpected HTTP status: 403 Forbidden", "private"),
        ("a.b/x:1", "error parsing HTTP 401 response body: unexpected end of JSON input", "private"),
        ("denied", "pull access denied for denied, repository does not exist or may require 'docker login'", "private"),
        ("denied", "denied: requested access to the resource is denied", "private"),
        ("a.b/x", 'Head "https://a.b/v2/x/manifests/latest": no basic auth credentials', "private"),
        ("a.b/x", "unauthorized: access to the requested resource is not authorized", "private"),
        ("x", "toomanyrequests: You have reached your pull rate limit.", "too many"),
        ("a.b/x", "error parsing HTTP 429 response body: invalid character 'T'", "too many"),
        ("a.b/x", 'Get "https://a.b/v2/": x509: certificate signed by unknown authority', "certificate"),
        ("a.b/x", 'Get "https://a.b/v2/": x509: certificate has expired or is not yet valid', "certificate"),
        ("a.b/x", "tls: failed to verify certificate: x509: certificate is valid for c.d, not a.b", "certificate"),
        ("a.b/x", 'Get "https://a.b/v2/": http: server gave HTTP response to HTTPS client', "certificate"),
        ("x", "no matching manifest for linux/arm64 in the manifest list entries", "other platforms"),
    ],
)  # fmt: skip
def test_how_registries_refuse(image, message, why):
    error = explain_failure(image, message)
    assert isinstance(error, Permanent), error.reason
    assert why in error.reason


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("registry.x:4043/a/b:1", 'Get "https://registry.x:4043/v2/": dial tcp 192.0.2.1:4043: i/o timeout'),
        ("a.b/x:404", 'Get "https://a.b/v2/x/manifests/404": net/http: request canceled (Client.Timeout exceeded)'),
        ("a.b/denied/x:403", 'Head "https://a.b/v2/denied/x/manifests/403": EOF'),
        ("denied:5000/x", 'Get "https://denied:5000/v2/": dial tcp: lookup denied on 192.0.2.53:53: no such host'),
        ("denied:5000/x", 'Get "https://denied:5000/v2/": dial tcp: lookup denied: no such host'),
        ("unauthorized.example.org/x", "failed to do request: lookup unauthorized.example.org: server misbehaving"),
        (f"a.b/x@sha256:{'429a' * 16}", f"failed to copy a.b/x@sha256:{'429a' * 16}: connection reset by peer"),
        ("a.b/toomanyrequests/x:unauthorized", "pulling a.b/toomanyrequests/x:unauthorized: unexpected EOF"),
        ("a.b/x", "error parsing HTTP 500 response body: invalid character '<': \"<p>denied: 404 not found</p>\""),
        ("a.b/x", "received unexpected HTTP status: 503 Service Unavailable"),
        ("a.b/x", 'Get "https://a.b/v2/": dial tcp 192.0.2.3:443: connect: connection refused'),
        ("a.b/x", 'Get "https://a.b/v2/": net/http: TLS handshake timeout'),
        ("x509.example.org/x", 'Get "https://x509.example.org/v2/": EOF'),
        ("a.b/x", "write /var/lib/docker/tmp/x: permission denied"),
    ],
)
def test_what_is_no_refusal_of_a_registry(image, message):
    assert isinstance(explain_failure(image, message), RegistryUnreachable)
