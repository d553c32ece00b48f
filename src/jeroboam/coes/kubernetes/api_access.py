"""Speaking to a Kubernetes cluster's API as somebody who may do everything there.

Neighbours: the COE, which makes nodes one cluster, and `manifests`, which makes what users ask for in it.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from jeroboam.clients.kubernetes import KubernetesApi
from jeroboam.coes.base import CoePlan
from jeroboam.coes.kubernetes.components import api
from jeroboam.coes.tls import client_tls
from jeroboam.kit.clock import Clock


@asynccontextmanager
async def speaking_to(plan: CoePlan, clock: Clock) -> AsyncIterator[KubernetesApi]:
    """The cluster's API; nothing is sent by this alone."""
    async with KubernetesApi(api(plan), admin_tls(plan, clock)) as connection:
        yield connection


def admin_tls(plan: CoePlan, clock: Clock) -> ssl.SSLContext:
    """What is shown to the API, and to that of each master."""
    main = plan.authorities["main"]
    return client_tls(main, replace(main, also=()), clock, organizations=["system:masters"])
