"""Certificates: what an authority issues, and what it signs or refuses of users' requests."""

import base64
import datetime as dt
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from jeroboam.kit import x509 as kit
from jeroboam.kit.x509 import CLIENT, issue, make_ca, sign_csr

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
CA = make_ca(common_name="demo", now=NOW)
SHA256 = hashes.SHA256()
USAGES = (
    "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
    "encipher_only decipher_only"
).split()


def load(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in names for name in USAGES})


def request(*extensions, key=None, digest=SHA256, cn="admin") -> str:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = [
        x509.NameAttribute(NameOID.COMMON_NAME, cn),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM).decode()


def extension(cert: x509.Certificate, kind):
    return cert.extensions.get_extension_for_class(kind)


def has(cert: x509.Certificate, kind) -> bool:
    return any(isinstance(each.value, kind) for each in cert.extensions)


def test_an_authority_signs_leaves_only():
    cert = load(CA.pem)
    cert.verify_directly_issued_by(cert)
    assert extension(cert, x509.BasicConstraints).value == x509.BasicConstraints(ca=True, path_length=0)
    assert extension(cert, x509.BasicConstraints).critical
    assert extension(cert, x509.KeyUsage).value.key_cert_sign
    assert cert.subject == cert.issuer == x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "demo")])
    assert cert.not_valid_before_utc == NOW - dt.timedelta(days=1)
    assert cert.not_valid_after_utc == NOW + dt.timedelta(days=3650)


@given(name=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=242))
def test_any_name_of_a_cluster_makes_an_authority(name):
    subject = load(make_ca(common_name=name, now=NOW).pem).subject
    shown = subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert name.startswith(shown)
    assert len(shown.encode()) > 60 or shown == name


def test_no_key_shows():
    assert "PRIVATE" not in repr(CA)


def test_a_leaf_has_its_names_and_usages():
    pair = issue(ca=CA, common_name="n0", organizations=["o"], dns=["n0", "localhost"], ips=["10.0.0.1"], now=NOW)
    cert = load(pair.pem)
    cert.verify_directly_issued_by(load(CA.pem))
    names = extension(cert, x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n0", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("10.0.0.1")]
    assert set(extension(cert, x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    assert not extension(cert, x509.BasicConstraints).value.ca
    key = serialization.load_pem_private_key(pair.key, None)
    assert key.public_key() == cert.public_key()


def test_a_leaf_without_names_has_no_empty_extension():
    cert = load(issue(ca=CA, common_name="x", usages=[CLIENT], now=NOW).pem)
    assert not has(cert, x509.SubjectAlternativeName)
    assert list(extension(cert, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_leaf_never_outlives_its_authority():
    late = NOW + dt.timedelta(days=3640)
    assert load(issue(ca=CA, common_name="x", now=late).pem).not_valid_after_utc == load(CA.pem).not_valid_after_utc
    with pytest.raises(ValueError, match="expired"):
        issue(ca=CA, common_name="x", now=NOW + dt.timedelta(days=3651))


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()),
        (rsa.generate_private_key(65537, 2048), hashes.SHA512()),
        (ed25519.Ed25519PrivateKey.generate(), None),
    ],
    ids=["ec", "rsa", "ed25519"],
)
def test_a_request_is_signed_as_it_stands(key, digest):
    csr = request(key=key, digest=digest)
    cert = load(sign_csr(ca=CA, csr=csr, now=NOW))
    cert.verify_directly_issued_by(load(CA.pem))
    assert cert.subject == x509.load_pem_x509_csr(csr.encode()).subject
    assert cert.issuer == load(CA.pem).subject
    assert cert.public_key() == key.public_key()
    assert cert.not_valid_before_utc == NOW - dt.timedelta(days=1)
    assert cert.not_valid_after_utc == NOW + dt.timedelta(days=365)
    assert extension(cert, x509.SubjectKeyIdentifier).value == x509.SubjectKeyIdentifier.from_public_key(
        key.public_key()
    )
    assert cert.signature_hash_algorithm is not None
    assert cert.signature_hash_algorithm.name == "sha256"


def test_serials_differ():
    csr = request()
    assert (
        load(sign_csr(ca=CA, csr=csr, now=NOW)).serial_number != load(sign_csr(ca=CA, csr=csr, now=NOW)).serial_number
    )


def test_allowed_extensions_are_copied():
    names = x509.SubjectAlternativeName([x509.DNSName("a"), x509.IPAddress(ip_address("10.1.2.3"))])
    extended = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    csr = request((names, True), (extended, False), (usage("digital_signature"), True))
    cert = load(sign_csr(ca=CA, csr=csr, now=NOW))
    assert extension(cert, x509.SubjectAlternativeName).value == names
    assert extension(cert, x509.SubjectAlternativeName).critical
    assert extension(cert, x509.ExtendedKeyUsage).value == extended
    assert extension(cert, x509.KeyUsage).value == usage("digital_signature")


def test_a_wish_to_be_an_authority_is_stripped_or_refused():
    asked = x509.BasicConstraints(ca=True, path_length=3)
    cert = load(sign_csr(ca=CA, csr=request((asked, False)), now=NOW))
    assert not extension(cert, x509.BasicConstraints).value.ca
    with pytest.raises(ValueError, match="CA:true"):
        sign_csr(ca=CA, csr=request((asked, True)), now=NOW)


@given(names=st.sets(st.sampled_from(USAGES[:7])), critical=st.booleans())
def test_key_usages_are_filtered_or_refused(names, critical):
    allowed = {"digital_signature", "key_encipherment", "content_commitment"}
    csr = request((usage(*names), critical))
    if critical and names - allowed:
        with pytest.raises(ValueError, match="key usage"):
            sign_csr(ca=CA, csr=csr, now=NOW)
    else:
        cert = load(sign_csr(ca=CA, csr=csr, now=NOW))
        found = [each.value for each in cert.extensions if each.oid == x509.KeyUsage.oid]
        # An extension that allows nothing is read as it pleases: there is none.
        assert found == ([usage(*(names & allowed))] if names & allowed else [])


def test_other_extensions_are_dropped_or_refused():
    asked = x509.OCSPNoCheck()
    assert not has(load(sign_csr(ca=CA, csr=request((asked, False)), now=NOW)), x509.OCSPNoCheck)
    with pytest.raises(ValueError, match="critical extension"):
        sign_csr(ca=CA, csr=request((asked, True)), now=NOW)


def test_the_requests_own_key_identifier_is_not_believed():
    csr = request((x509.SubjectKeyIdentifier(b"not it"), False))
    cert = load(sign_csr(ca=CA, csr=csr, now=NOW))
    assert extension(cert, x509.SubjectKeyIdentifier).value.digest != b"not it"


def test_a_key_on_a_curve_that_nobody_knows_is_refused_with_the_keys_there_are():
    # secp256k1 is known to the library, so the request names a curve that nobody has.
    known = request(key=ec.generate_private_key(ec.SECP256K1()))
    der = base64.b64decode("".join(known.splitlines()[1:-1])).replace(
        bytes.fromhex("2b8104000a"), b"\x2b\x81\x04\x00\x7f"
    )
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(
        ValueError, match=r"the request's key is of a kind .* ECDSA on P-256, P-384 or P-521, or Ed25519"
    ):
        sign_csr(ca=CA, csr=pem, now=NOW)


@given(junk=st.text(max_size=200))
def test_junk_is_refused_with_a_reason(junk):
    for csr in (junk, f"-----BEGIN CERTIFICATE REQUEST-----\n{junk}\n-----END CERTIFICATE REQUEST-----\n"):
        with pytest.raises(ValueError, match="not a certificate request"):
            sign_csr(ca=CA, csr=csr, now=NOW)


# An RSA signature is the same for the same request, and hypothesis wants the same data for the same draws.
WHOLE = x509.load_pem_x509_csr(request(key=rsa.generate_private_key(65537, 2048)).encode()).public_bytes(
    serialization.Encoding.DER
)


@given(data=st.data())
def test_a_damaged_request_is_signed_by_nobody(data):
    der = bytearray(WHOLE)
    at = data.draw(st.integers(0, len(der) - 1))
    der[at] ^= 1 << data.draw(st.integers(0, 7))
    body = base64.encodebytes(bytes(der)).decode()
    csr = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(ValueError, match="request"):
        sign_csr(ca=CA, csr=csr, now=NOW)


def test_a_request_of_our_own_is_signed_as_it_asks():
    asked = kit.build_signing_request(common_name="admin", organizations=["system:masters"])
    signed = load(sign_csr(ca=CA, csr=asked.csr, now=NOW))
    assert signed.subject.rfc4514_string() == "CN=admin,O=system:masters"
    assert list(signed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [CLIENT]
    own = serialization.load_pem_private_key(asked.key, password=None)
    assert own.public_key() == signed.public_key()
    assert "PRIVATE" not in repr(asked)


# What the library signs with no more, and clients of users still do.
SHA256_WITH_RSA, SHA1_WITH_RSA, MD5_WITH_RSA = (
    bytes.fromhex(f"300d06092a864886f70d0101{last}0500") for last in ("0b", "05", "04")
)
ECDSA_WITH_SHA1 = bytes.fromhex("300906072a8648ce3d0401")


def der(tag: int, *parts: bytes) -> bytes:
    """A value in DER."""
    content = b"".join(parts)
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (size if len(content) < 128 else bytes([0x80 | len(size)]) + size) + content


def signed(asked: bytes, algorithm: bytes, signature: bytes) -> str:
    """The request in PEM, with that signature."""
    body = base64.encodebytes(der(0x30, asked, algorithm, der(0x03, b"\0", signature))).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


def with_numbers(n: int, e: int) -> str:
    """A request whose RSA key has these numbers; nobody has the other half."""
    whole = request(key=rsa.generate_private_key(65537, 2048))
    der = x509.load_pem_x509_csr(whole.encode()).public_bytes(serialization.Encoding.DER)
    own = x509.load_pem_x509_csr(whole.encode()).public_key()
    info = (serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    former, changed = own.public_bytes(*info), rsa.RSAPublicNumbers(e=e, n=n).public_key().public_bytes(*info)
    assert len(former) == len(changed)
    body = base64.encodebytes(der.replace(former, changed)).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), "RSA of 1024 bits"),
        (lambda: ec.generate_private_key(ec.SECP192R1()), "ECDSA on secp192r1"),
        (lambda: ec.generate_private_key(ec.SECP224R1()), "ECDSA on secp224r1"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "ECDSA on secp256k1"),
        (lambda: ec.generate_private_key(ec.BrainpoolP256R1()), "ECDSA on brainpoolP256r1"),
        (lambda: dsa.generate_private_key(2048), "of the kind DSA"),
        (lambda: rsa.generate_private_key(3, 2048), "RSA with the exponent 3"),
    ],
)
def test_a_key_that_protects_nothing_or_that_nobody_reads_is_refused_with_the_rule(key, why):
    with pytest.raises(ValueError, match=f"the request's key is {why}, and a key has to be RSA of 2048 to 8192 bits"):
        sign_csr(ca=CA, csr=request(key=key()), now=NOW)


@pytest.mark.parametrize(
    ("n", "e", "why"),
    [
        ((1 << 2047) + 3 * 5 * 7, 65537, "a broken modulus"),
        # A third of what has ones only is one, too.
        ((1 << 2048) - 1, 65537, "a broken modulus"),
    ],
)
def test_an_rsa_key_that_nobody_made_is_refused(n, e, why):
    with pytest.raises(ValueError, match=why):
        sign_csr(ca=CA, csr=with_numbers(n, e), now=NOW)


def test_a_huge_rsa_key_is_refused_before_its_signature_is_looked_at():
    # 16384 bits take seconds to make, and a public half takes none.
    numbers = rsa.RSAPublicNumbers(e=65537, n=(1 << 16383) + 1)
    huge = numbers.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def field(tag: int, *parts: bytes) -> bytes:
        content = b"".join(parts)
        size = len(content).to_bytes((len(content).bit_length() + 7) // 8 or 1, "big")
        head = bytes([tag]) + (size if len(content) < 128 else bytes([0x80 | len(size)]) + size)
        return head + content

    sha256_with_rsa = bytes.fromhex("300d06092a864886f70d01010b0500")
    asked = field(0x30, b"\x02\x01\x00", field(0x30), huge, field(0xA0))
    der = field(0x30, asked, sha256_with_rsa, field(0x03, b"\x00", b"\x01" * 2048))
    body = base64.encodebytes(der).decode()
    with pytest.raises(ValueError, match="RSA of 16384 bits"):
        sign_csr(ca=CA, csr=f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n", now=NOW)


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())], ids=["rsa", "ec"]
)
def test_a_request_signed_with_sha1_is_answered_with_sha256(key):
    asked = x509.load_pem_x509_csr(request(key=key).encode()).tbs_certrequest_bytes
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm, signature = SHA1_WITH_RSA, key.sign(asked, padding.PKCS1v15(), hashes.SHA1())
    else:
        algorithm, signature = ECDSA_WITH_SHA1, key.sign(asked, ec.ECDSA(hashes.SHA1()))
    csr = signed(asked, algorithm, signature)
    cert = load(sign_csr(ca=CA, csr=csr, now=NOW))
    assert cert.signature_hash_algorithm.name == "sha256"
    assert cert.public_key() == key.public_key()
    other = x509.load_pem_x509_csr(request(key=key, cn="root").encode()).tbs_certrequest_bytes
    with pytest.raises(ValueError, match=r"the request's signature \(\S+\) is not that of its key"):
        sign_csr(ca=CA, csr=signed(other, algorithm, signature), now=NOW)


def test_a_request_signed_with_md5_is_refused_for_that():
    key = rsa.generate_private_key(65537, 2048)
    csr = signed(x509.load_pem_x509_csr(request(key=key).encode()).tbs_certrequest_bytes, MD5_WITH_RSA, b"\1" * 256)
    with pytest.raises(
        ValueError, match="signed with md5WithRSAEncryption, which proves nothing; sign it with SHA-256"
    ):
        sign_csr(ca=CA, csr=csr, now=NOW)


@pytest.mark.parametrize("days", [1, 365, 3650])
def test_a_certificate_lasts_as_long_as_the_operator_says(days):
    cert = load(sign_csr(ca=CA, csr=request(), now=NOW, days=days))
    assert cert.not_valid_after_utc == NOW + dt.timedelta(days=days)
