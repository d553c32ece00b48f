"""Commands in a cluster as its user: run checks, and give kubectl access.

The user comes from the usual `OS_*` variables or a clouds.yaml; without them it is the member of this machine's own
installation. Neighbours: the clients of both APIs; `checks`; `nodeimages.kubectl`, the cache of programs.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jeroboam.checks import select_checks
from jeroboam.checks.base import CheckProgress, CheckResult
from jeroboam.checks.runner import carry_out
from jeroboam.checks.site import CheckFailed, enter
from jeroboam.clients.container_infra import ClusterCredentials, ClusterView, log_in
from jeroboam.clients.docker import connect
from jeroboam.clients.kubeconfig import build_kubeconfig
from jeroboam.clients.kubernetes import KubernetesApi
from jeroboam.clients.openstack import find_clouds
from jeroboam.kit.clock import SystemClock
from jeroboam.kit.tls import build_client_context, build_trusting_context
from jeroboam.nodeimages.kubectl import extract_kubectl, find_cached
from jeroboam.settings import Settings


async def check(
    settings: Settings, ident: str, report: CheckProgress, *, only: Sequence[str], image: str, seconds: float
) -> list[CheckResult]:
    """Run these checks in that cluster; all checks if none is named.

    Raises `ValueError` for an unknown check and if the checks cannot start, `DriverError` for a cluster that cannot be
    reached.
    """
    checks = select_checks(only)
    _, access = await _open_cluster(settings, ident)

    def bearer(token: str) -> KubernetesApi:
        return KubernetesApi(access.url, build_trusting_context(access.ca_certificates), token=token)

    async with KubernetesApi(access.url, build_client_context(access.own, access.ca_certificates)) as api:
        try:
            site = await enter(api, bearer, SystemClock(), image=image, seconds=seconds)
        except CheckFailed as error:
            raise ValueError(str(error)) from error
        return await carry_out(site, checks, report)


async def kubectl_for(
    settings: Settings, ident: str, words: Sequence[str]
) -> tuple[Path, list[str], Mapping[str, str]]:
    """Return the program to run: the kubectl of the cluster's version, with its arguments and its environment.

    Its configuration is in memory, in a descriptor that the program inherits, so no key is written to a disk.
    """
    cluster, access = await _open_cluster(settings, ident)
    program = find_cached(settings.image_cache, cluster.coe_version)
    if program is None:
        async with connect(settings.docker_url) as docker:
            program = await extract_kubectl(docker, settings.image_cache, cluster.coe_version)
    handle = os.memfd_create("kubeconfig", 0)
    os.write(handle, json.dumps(kubeconfig(cluster, access)).encode())
    return program, ["kubectl", *words], {**os.environ, "KUBECONFIG": f"/proc/self/fd/{handle}"}


def kubeconfig(cluster: ClusterView, access: ClusterCredentials) -> dict[str, Any]:
    """Return the configuration of kubectl for that cluster."""
    return build_kubeconfig(cluster=cluster.name, user="admin", context="default", access=access)


async def _open_cluster(settings: Settings, ident: str) -> tuple[ClusterView, ClusterCredentials]:
    infra = await log_in(clouds=find_clouds(settings.state))
    cluster = await infra.cluster(ident)
    if cluster.coe != "kubernetes":
        raise ValueError(f"cluster {cluster.name} is a cluster of {cluster.coe}: this command supports Kubernetes only")
    return cluster, await infra.access(cluster)
