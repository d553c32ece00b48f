"""The client side of mutual TLS with a cluster, with a fresh certificate of its authority and no key on disk.

Neighbours: the COEs, which reach their clusters this way.
"""

import ssl
from collections.abc import Sequence

from jeroboam.coes.base import Authority
from jeroboam.kit.clock import Clock
from jeroboam.kit.tls import build_client_context
from jeroboam.kit.x509 import CLIENT, KeyPair, issue


def build_client_tls(
    authority: Authority, signer: Authority, clock: Clock, *, organizations: Sequence[str] = ()
) -> ssl.SSLContext:
    """Return a context that trusts `authority` and its peers and shows a new certificate issued by `signer`."""
    ca = KeyPair(pem=signer.pem, key=signer.key)
    certificate = issue(ca=ca, common_name="jeroboam", organizations=organizations, usages=[CLIENT], now=clock.now())
    return build_client_context(certificate, authority.trust_bundle)
