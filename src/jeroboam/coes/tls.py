"""Speaking to a cluster over mutual TLS as somebody whom its authority vouches for, with no key on any disk.

Neighbours: the COEs whose clusters are reached that way.
"""

import os
import ssl
from collections.abc import Sequence

from jeroboam.coes.base import Authority
from jeroboam.kit.clock import Clock
from jeroboam.kit.x509 import CLIENT, Pair, issue


def client_tls(
    authority: Authority, shown: Authority, clock: Clock, *, organizations: Sequence[str] = ()
) -> ssl.SSLContext:
    """Trust that authority and those beside it, and show a certificate that was issued just now.

    The ssl module reads keys from files only: this one lies in memory and is gone with its descriptor.
    """
    ca = Pair(pem=shown.pem, key=shown.key)
    own = issue(ca=ca, common_name="jeroboam", organizations=organizations, usages=[CLIENT], now=clock.now())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.trusted)
    handle = os.memfd_create("jeroboam-client")
    try:
        os.write(handle, own.pem.encode() + own.key)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
    return context
