"""Access to a Kubernetes cluster's API as an administrator.

Neighbours: the COE, which makes nodes one cluster, and `manifests`, which creates the objects of users in it.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from jeroboam.clients.kubernetes import KubernetesApi
from jeroboam.coes.base import CoePlan
from jeroboam.coes.kubernetes.components import api_url
from jeroboam.coes.tls import build_client_tls
from jeroboam.kit.clock import Clock


@asynccontextmanager
async def connect_api(plan: CoePlan, clock: Clock) -> AsyncIterator[KubernetesApi]:
    """Yield a client of the cluster's API. Opening it sends nothing."""
    async with KubernetesApi(api_url(plan), build_admin_tls(plan, clock)) as connection:
        yield connection


def build_admin_tls(plan: CoePlan, clock: Clock) -> ssl.SSLContext:
    """Return the TLS context for the cluster's API and for the API server of each master."""
    main = plan.authorities["main"]
    return build_client_tls(main, replace(main, peers=()), clock, organizations=["system:masters"])
