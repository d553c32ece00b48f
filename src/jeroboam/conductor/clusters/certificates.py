"""Signs requests with a cluster's authority (container-infra contract, section 8).

The authority's key is decrypted for one signature only, and never leaves this module. Neighbours: `sealed_keys`, which
opens the key; the API, which decides which one signs.
"""

from jeroboam.conductor.clusters.sealed_keys import open_key
from jeroboam.domain.errors import Invalid, NotFound
from jeroboam.domain.ports import Sealer
from jeroboam.kit.clock import Clock
from jeroboam.kit.x509 import KeyPair, sign_csr
from jeroboam.store import Store


class CertificateSigner:
    """Signs with the authorities in the store."""

    def __init__(self, *, store: Store, sealer: Sealer, clock: Clock, days: int) -> None:
        """`days` is how long a certificate is valid."""
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._days = days

    async def sign(self, cluster_id: str, kind: str, csr: str) -> str:
        """Return the certificate, in PEM.

        Raises `NotFound` if the cluster has no such authority and `Invalid` for a request that cannot be signed.
        """
        async with self._store.read() as tx:
            authorities = await tx.certificates.select({"cluster_id": cluster_id, "kind": kind})
        if not authorities:
            raise NotFound(f"Cluster {cluster_id} has no {kind} certificate authority.", field="ca_cert_type")
        [authority] = authorities
        key = open_key(self._sealer, authority)
        try:
            return sign_csr(ca=KeyPair(pem=authority.pem, key=key), csr=csr, now=self._clock.now(), days=self._days)
        except ValueError as error:
            raise Invalid(f"Received invalid csr: {error}.", field="csr") from error
