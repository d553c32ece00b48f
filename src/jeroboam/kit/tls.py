"""One way to show a certificate over TLS whose key lies on no disk.

Neighbours: `x509` makes the certificates; the COEs and the client of a user's cluster speak to APIs with them.
"""

import os
import ssl

from jeroboam.kit.x509 import KeyPair


def build_client_context(key_pair: KeyPair, ca_certificates: str) -> ssl.SSLContext:
    """Trust those authorities (PEM), and show that certificate.

    The ssl module reads keys from files only: this one lies in memory and is gone with its descriptor.
    """
    context = build_trusting_context(ca_certificates)
    handle = os.memfd_create("jeroboam-client")
    try:
        os.write(handle, key_pair.pem.encode() + key_pair.key)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
    return context


def build_trusting_context(ca_certificates: str) -> ssl.SSLContext:
    """Trust those authorities (PEM), and show no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca_certificates)
    return context
