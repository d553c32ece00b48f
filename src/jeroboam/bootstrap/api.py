"""Builds what the API is made of."""

from collections.abc import Mapping

from jeroboam.api.parts import ApiParts
from jeroboam.bootstrap.api_options import build_api_options
from jeroboam.bootstrap.audit import audit_into
from jeroboam.bootstrap.context import ProcessContext
from jeroboam.clients.addresses import AddressRules
from jeroboam.clients.manifest_url import UrlManifests
from jeroboam.coes.base import Coe
from jeroboam.conductor.admission.admission import DriverAdmission
from jeroboam.conductor.bays.connector import ClusterConnector
from jeroboam.conductor.bays.queries import BayQueries
from jeroboam.domain.ports import HostGateway
from jeroboam.identity.keystone import KeystoneProjects, KeystoneTokens
from jeroboam.providers.base import Provider
from jeroboam.settings import parse_networks


def build_api_parts(
    context: ProcessContext,
    *,
    tokens: KeystoneTokens,
    auth_uri: str,
    gateway: HostGateway,
    providers: Mapping[str, Provider],
    coes: Mapping[str, Coe],
    connector: ClusterConnector,
) -> ApiParts:
    """Return the parts of the API; `auth_uri` is where callers without a token are sent.

    Raises `ValueError` for settings that cannot be used.
    """
    settings = context.settings
    networks = parse_networks(settings.clusters.manifest_networks, "[clusters] manifest_networks")
    return ApiParts(
        store=context.store,
        tokens=tokens,
        projects=KeystoneProjects(tokens),
        admission=DriverAdmission(providers=providers, coes=coes, default_provider=settings.clusters.default_provider),
        gateway=gateway,
        workloads=BayQueries(
            connector=connector, clock=context.clock, execute_seconds=settings.containers.execute_seconds
        ),
        manifests=UrlManifests(AddressRules(allowed_networks=networks)),
        sealer=context.sealer,
        clock=context.clock,
        ids=context.ids,
        options=build_api_options(settings, auth_uri=auth_uri),
        limits=context.limits,
        audit=audit_into(settings.api.audit_file, context.clock),
        counters=(context.counters,),
    )
