"""Builds the parts of the API.

An API process needs the store, the identity service and the ports to dispatch and to the conductor: no Engine, no
driver and no key of a cluster. Neighbours: `service`; `api_options`; `audit`.
"""

from collections.abc import Mapping

from jeroboam.api.parts import ApiParts, HealthCheck
from jeroboam.bootstrap.api_options import build_api_options
from jeroboam.bootstrap.audit import audit_into
from jeroboam.bootstrap.context import ProcessContext
from jeroboam.domain.ports import Conductor, HostGateway
from jeroboam.identity.keystone import KeystoneProjects, KeystoneTokens


def build_api_parts(
    context: ProcessContext,
    *,
    tokens: KeystoneTokens,
    auth_uri: str,
    gateway: HostGateway,
    conductor: Conductor,
    details: Mapping[str, HealthCheck] | None = None,
) -> ApiParts:
    """Return the parts of the API; `auth_uri` is where callers without a token are sent.

    `details` are the checks of the detailed `/healthcheck`, of parts that this process has besides.

    Raises `ValueError` for settings that cannot be used.
    """
    return ApiParts(
        store=context.store,
        tokens=tokens,
        projects=KeystoneProjects(tokens),
        conductor=conductor,
        gateway=gateway,
        clock=context.clock,
        ids=context.ids,
        options=build_api_options(context.settings, auth_uri=auth_uri),
        limits=context.limits,
        audit=audit_into(context.settings.api.audit_file, context.clock),
        counters=(context.counters,),
        details=details or {},
    )
