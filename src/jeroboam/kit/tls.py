"""TLS contexts that show a certificate whose key is on no disk.

Neighbours: `x509` creates the certificates; the COEs and the client of a user's cluster connect to APIs with them.
"""

import os
import ssl

from jeroboam.kit.x509 import KeyPair


def build_client_context(key_pair: KeyPair, ca_certificates: str) -> ssl.SSLContext:
    """Return a context that trusts those authorities (PEM) and shows that certificate.

    The ssl module reads keys from files only. This file is in memory, and is gone with its descriptor.
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
    """Return a context that trusts those authorities (PEM) and shows no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca_certificates)
    return context
