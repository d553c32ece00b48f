"""Speaking to a cluster over mutual TLS as somebody whom its authority vouches for, with no key on any disk.

Neighbours: the COEs whose clusters are reached that way.
"""

import ssl
from collections.abc import Sequence

from jeroboam.coes.base import Authority
from jeroboam.kit.clock import Clock
from jeroboam.kit.tls import showing
from jeroboam.kit.x509 import CLIENT, KeyPair, issue


def client_tls(
    authority: Authority, signer: Authority, clock: Clock, *, organizations: Sequence[str] = ()
) -> ssl.SSLContext:
    """Trust that authority and those beside it, and show a certificate that was issued just now."""
    ca = KeyPair(pem=signer.pem, key=signer.key)
    certificate = issue(ca=ca, common_name="jeroboam", organizations=organizations, usages=[CLIENT], now=clock.now())
    return showing(certificate, authority.trusted)
