"""Credentials that a cluster holds for its cloud (contract: container-infra, section 9).

No provider stores any in a cluster, so there is none to rotate, and the answer says so.
"""

from jeroboam.api.call import Answer, Call
from jeroboam.api.container_infra.lookup import cluster_of, project_scope
from jeroboam.domain.errors import Invalid


async def rotate(call: Call) -> Answer:
    """PATCH /credentials/{cluster}: another credential for the cluster"""
    scope = project_scope(call, "credential:rotate_all_projects")
    async with call.parts.store.read() as tx:
        cluster = await cluster_of(tx, call.path["cluster"], scope)
    driver = cluster.spec.template.driver
    raise Invalid(f"Rotating the credential is not supported by driver {driver}: its clusters hold none.")
