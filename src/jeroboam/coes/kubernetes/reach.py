"""Speaking to a Kubernetes cluster's API as somebody who may do everything there.

Neighbours: the COE, which makes nodes one cluster, and `manifests`, which makes what users ask for in it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from jeroboam.clients.kubernetes import KubernetesApi
from jeroboam.coes.base import CoePlan
from jeroboam.coes.kubernetes import boot
from jeroboam.coes.tls import client_tls
from jeroboam.kit.clock import Clock


@asynccontextmanager
async def speaking_to(plan: CoePlan, clock: Clock) -> AsyncIterator[KubernetesApi]:
    """The cluster's API; nothing is sent by this alone."""
    main = plan.authorities["main"]
    tls = client_tls(main, replace(main, also=()), clock, organizations=["system:masters"])
    async with KubernetesApi(boot.api(plan), tls) as api:
        yield api
