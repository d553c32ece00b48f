"""Certificates: an own authority, leaves that it issues, and requests that it signs.

Neighbours: the conductor creates a cluster's authorities here, the API signs users' requests, COEs issue the
certificates of nodes, the command line creates its own requests. This module has no clock and no policy of clusters:
the caller gives `now`.
"""

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

CA_DAYS = 3650
LEAF_DAYS = 1825
"""The lifetime of node certificates, which are renewed before their end."""
CLIENT_DAYS = 365
"""The lifetime of certificates for users' requests, unless the operator sets another."""
# Clocks of nodes and users differ, so a new certificate is valid since yesterday.
SKEW = dt.timedelta(days=1)

SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH

_Signer = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
_NAME_OCTETS = 64
KEY_RULE = "a key has to be RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519"
"""The keys that servers of clusters can read and nobody can break."""
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_RSA_BITS = range(2048, 8193)
# Smaller exponents have known attacks. No program of a cluster reads larger ones, which are also slow.
_RSA_EXPONENTS = range(65537, 2**31, 2)
# No properly generated modulus has a small factor.
_SMALL_PRIMES = math.prod(number for number in range(3, 752, 2) if all(number % lower for lower in range(3, number, 2)))
# They prove only that the caller has the key, for which SHA-1 is enough; the certificate has SHA-256.
_DIGESTS = (hashes.SHA1, hashes.SHA224, hashes.SHA256, hashes.SHA384, hashes.SHA512)
_USAGES = (
    "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
    "encipher_only decipher_only"
).split()
# Contract: container-infra, section 8. `content_commitment` is today's word for non-repudiation.
_ALLOWED_USAGES = frozenset({"digital_signature", "key_encipherment", "content_commitment"})
_ALLOWED_EXTENSIONS = frozenset(
    {
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPair:
    """A certificate with its key. `repr` shows no key."""

    pem: str
    key: bytes = field(repr=False)
    """PKCS#8 PEM, not encrypted."""


def make_ca(*, common_name: str, now: dt.datetime) -> KeyPair:
    """Return a new self-signed authority that may sign leaves only. A name that is too long for X.509 is cut."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name, ())
    builder = _builder(subject=name, issuer=name, now=now, days=CA_DAYS).public_key(key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage({"key_cert_sign", "crl_sign"}), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return KeyPair(pem=_pem(builder.sign(key, hashes.SHA256())), key=_key_pem(key))


def issue(
    *,
    ca: KeyPair,
    common_name: str,
    organizations: Sequence[str] = (),
    dns: Iterable[str] = (),
    ips: Iterable[str] = (),
    usages: Sequence[x509.ObjectIdentifier] = (SERVER, CLIENT),
    now: dt.datetime,
) -> KeyPair:
    """Return a new key with a signed certificate for those names. Raises `ValueError` for a bad address."""
    ca_cert, ca_key = _authority(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _leaf(ca_cert, _name(common_name, organizations), now).public_key(key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage({"digital_signature", "key_encipherment"}), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns]
    names += [x509.IPAddress(ip_address(ip)) for ip in ips]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return KeyPair(pem=_pem(builder.sign(ca_key, _digest(ca_key))), key=_key_pem(key))


@dataclass(frozen=True, kw_only=True, slots=True)
class SigningRequest:
    """A request for a certificate, with its key. `repr` shows no key."""

    csr: str
    key: bytes = field(repr=False)
    """PKCS#8 PEM, not encrypted."""


def build_signing_request(*, common_name: str, organizations: Sequence[str] = ()) -> SigningRequest:
    """Return a new key with a request for a client's certificate of that name."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(common_name, organizations))
    builder = builder.add_extension(x509.ExtendedKeyUsage([CLIENT]), critical=False)
    csr = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    return SigningRequest(csr=csr, key=_key_pem(key))


def public_key(pem: str) -> str:
    """Return the public key of a certificate, in PEM."""
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def sign_csr(*, ca: KeyPair, csr: str, now: dt.datetime, days: int = CLIENT_DAYS) -> str:
    """Return the certificate, in PEM, for a user's request. It lasts `days` days, and no longer than the authority.

    Subject and the allowed extensions are the request's (contract: container-infra, section 8). Raises
    `ValueError` with the reason if a request is refused.
    """
    ca_cert, ca_key = _authority(ca)
    signing_request = _request(csr)
    public_key = signing_request.public_key()
    builder = _leaf(ca_cert, signing_request.subject, now, days=days).public_key(public_key)
    for extension in _grant_extensions(_extensions(signing_request)):
        builder = builder.add_extension(extension.value, critical=extension.critical)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    return _pem(builder.sign(ca_key, _digest(ca_key)))


def _request(csr: str) -> x509.CertificateSigningRequest:
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        public_key = request.public_key()
    except UnsupportedAlgorithm as error:
        raise ValueError(f"the request's key is of a kind that is not known here, and {KEY_RULE}") from error
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        text = "not a certificate request: it has to be PKCS #10 in PEM, from -----BEGIN CERTIFICATE REQUEST----- on"
        raise ValueError(text) from error
    # The key comes first: verifying the signature of an unlimited key takes unlimited time.
    if weakness := _weakness(public_key):
        raise ValueError(f"the request's key is {weakness}, and {KEY_RULE}")
    _check_signature(request)
    return request


def _weakness(key: object) -> str:
    """Return what is wrong with a key; empty if nothing is."""
    match key:
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            if key.key_size not in _RSA_BITS:
                return f"RSA of {key.key_size} bits"
            if numbers.e not in _RSA_EXPONENTS:
                return f"RSA with the exponent {numbers.e if numbers.e < _RSA_EXPONENTS.stop else 'above 2^31'}"
            return "" if numbers.n % 2 and math.gcd(numbers.n, _SMALL_PRIMES) == 1 else "RSA with a broken modulus"
        case ec.EllipticCurvePublicKey():
            return "" if isinstance(key.curve, _CURVES) else f"ECDSA on {key.curve.name}"
        case ed25519.Ed25519PublicKey():
            return ""
        case _:
            return f"of the kind {type(key).__name__.removesuffix('PublicKey')}"


def _check_signature(request: x509.CertificateSigningRequest) -> None:
    """Raise `ValueError` with the reason unless the request is signed with its own key."""
    name = getattr(request.signature_algorithm_oid, "_name", request.signature_algorithm_oid.dotted_string)
    try:
        digest = request.signature_hash_algorithm
    except UnsupportedAlgorithm as error:
        text = f"the request is signed with {request.signature_algorithm_oid.dotted_string}, which is not known here"
        raise ValueError(text) from error
    if digest is not None and not isinstance(digest, _DIGESTS):
        raise ValueError(f"the request is signed with {name}, which proves nothing; sign it with SHA-256")
    if not (_is_signed_with_sha1(request) if isinstance(digest, hashes.SHA1) else request.is_signature_valid):
        raise ValueError(f"the request's signature ({name}) is not that of its key")


def _is_signed_with_sha1(request: x509.CertificateSigningRequest) -> bool:
    """Verify a SHA-1 signature, which the library never accepts as valid."""
    key, signature, content = request.public_key(), request.signature, request.tbs_certrequest_bytes
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, content, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303  (not our choice)  # nosec B303
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, content, ec.ECDSA(hashes.SHA1()))  # noqa: S303  # nosec B303
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _extensions(request: x509.CertificateSigningRequest) -> x509.Extensions:
    try:
        return request.extensions
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(f"the request's extensions cannot be read: {_describe_error(error)}") from error


def _describe_error(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _grant_extensions(extensions: x509.Extensions) -> list[x509.Extension[x509.ExtensionType]]:
    """Return the requested extensions that the certificate may have. The subject key identifier is computed anew."""
    extensions_granted: list[x509.Extension[x509.ExtensionType]] = []
    for extension in extensions:
        if extension.oid not in _ALLOWED_EXTENSIONS:
            if extension.critical:
                raise ValueError(f"critical extension {extension.oid.dotted_string} is not allowed")
            continue
        value: x509.ExtensionType = extension.value
        if isinstance(value, x509.SubjectKeyIdentifier):
            continue
        if isinstance(value, x509.BasicConstraints):
            value = _without_ca(value, critical=extension.critical)
        elif isinstance(value, x509.KeyUsage):
            value = _without_usages(value, critical=extension.critical)
            if not any(_wants(value, name) for name in _USAGES):
                # The extension is dropped: programs differ on an extension that allows nothing.
                continue
        extensions_granted.append(x509.Extension(extension.oid, extension.critical, value))
    return extensions_granted


def _without_ca(constraints: x509.BasicConstraints, *, critical: bool) -> x509.BasicConstraints:
    if constraints.ca and critical:
        raise ValueError("a certificate of an authority (basicConstraints CA:true, critical) is not allowed")
    return x509.BasicConstraints(ca=False, path_length=None)


def _without_usages(usage: x509.KeyUsage, *, critical: bool) -> x509.KeyUsage:
    usages = {name for name in _USAGES if _wants(usage, name)}
    forbidden = sorted(usages - _ALLOWED_USAGES)
    if forbidden and critical:
        raise ValueError(f"critical key usage is not allowed: {', '.join(forbidden)}")
    return _key_usage(usages & _ALLOWED_USAGES)


def _wants(usage: x509.KeyUsage, name: str) -> bool:
    # The library raises for these two when they have no meaning.
    if name in {"encipher_only", "decipher_only"} and not usage.key_agreement:
        return False
    return bool(getattr(usage, name))


def _key_usage(usages: set[str] | frozenset[str]) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in usages for name in _USAGES})


def _name(common_name: str, organizations: Sequence[str]) -> x509.Name:
    cut = common_name.encode()[:_NAME_OCTETS].decode(errors="ignore")
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, text) for text in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, cut)])


def _builder(*, subject: x509.Name, issuer: x509.Name, now: dt.datetime, days: int) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - SKEW).not_valid_after(now + dt.timedelta(days=days))


def _leaf(
    ca: x509.Certificate, subject: x509.Name, now: dt.datetime, *, days: int = LEAF_DAYS
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(ca.subject)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - SKEW)
    until = min(now + dt.timedelta(days=days), ca.not_valid_after_utc)
    if until <= now:
        raise ValueError("the authority's own certificate has expired")
    above = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above)
    return builder.not_valid_after(until).add_extension(identifier, critical=False)


def _authority(ca: KeyPair) -> tuple[x509.Certificate, _Signer]:
    key = serialization.load_pem_private_key(ca.key, password=None)
    if not isinstance(key, _Signer):
        raise ValueError("the authority's key cannot sign certificates")  # noqa: TRY004
    return x509.load_pem_x509_certificate(ca.pem.encode()), key


def _digest(key: _Signer) -> hashes.SHA256 | None:
    """Return the digest; None for Edwards curves, which have their own and refuse others."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
