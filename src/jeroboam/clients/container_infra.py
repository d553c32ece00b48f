"""A client of the container-infra API for one user, with credentials from `OS_*` variables or a clouds.yaml.

openstacksdk reads the credentials, since it supports every way to log in. It blocks, so each request has a thread.
Neighbours: bootstrap, for the commands that act on a cluster as its user.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.x509 import KeyPair, build_signing_request

T = TypeVar("T")

_COMMON_NAME = "admin"
_ORGANIZATIONS = ("system:masters",)


class KeystoneSession(Protocol):
    """A logged-in user at one API, as openstacksdk represents it."""

    def get(self, url: str, *, raise_exc: bool) -> Any: ...

    def post(self, url: str, *, json: Mapping[str, Any], raise_exc: bool) -> Any: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterView:
    """A cluster, as its user sees it."""

    uuid: str
    name: str
    coe: str
    status: str
    api_address: str
    coe_version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterCredentials:
    """The credentials for a cluster's own API. `repr` shows no key."""

    url: str
    ca_certificates: str
    """Certificates of the cluster's authorities, in PEM."""
    own: KeyPair = field(repr=False)
    """The key pair of a user who may do anything in the cluster."""


class ContainerInfraClient:
    """Requests to one API as one user. Raises `Permanent` if a request is refused, `Temporary` if nobody answers."""

    def __init__(self, session: KeystoneSession) -> None:
        self._session = session

    async def cluster(self, ident: str) -> ClusterView:
        """Return the cluster with that name or uuid."""
        body = await self._get(f"/clusters/{quote(ident, safe='')}", f"looking for cluster {ident}")
        template = await self._get(f"/clustertemplates/{body['cluster_template_id']}", f"looking at cluster {ident}")
        return ClusterView(
            uuid=body["uuid"],
            name=body["name"],
            coe=template["coe"],
            status=body["status"],
            api_address=body["api_address"] or "",
            coe_version=body["coe_version"] or "",
        )

    async def access(self, cluster: ClusterView) -> ClusterCredentials:
        """Return a new key, with a certificate that the cluster's authority signs for it."""
        if not cluster.api_address:
            raise Permanent(f"cluster {cluster.name} has no API yet: its status is {cluster.status}")
        action = f"asking for access to cluster {cluster.name}"
        signing_request = build_signing_request(common_name=_COMMON_NAME, organizations=_ORGANIZATIONS)
        certificate = await self._post(
            "/certificates", {"cluster_uuid": cluster.uuid, "csr": signing_request.csr}, action
        )
        authority = await self._get(f"/certificates/{cluster.uuid}", action)
        key_pair = KeyPair(pem=certificate["pem"], key=signing_request.key)
        return ClusterCredentials(url=cluster.api_address, ca_certificates=authority["pem"], own=key_pair)

    async def _get(self, path: str, action: str) -> dict[str, Any]:
        return await self._ask(lambda: self._session.get(path, raise_exc=False), action)

    async def _post(self, path: str, body: Mapping[str, Any], action: str) -> dict[str, Any]:
        return await self._ask(lambda: self._session.post(path, json=body, raise_exc=False), action)

    async def _ask(self, ask: Callable[[], Any], action: str) -> dict[str, Any]:
        answer = await _in_a_thread(ask, action)
        if answer.status_code < HTTPStatus.BAD_REQUEST:
            return dict(answer.json())
        trouble = Temporary if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else Permanent
        raise trouble(f"{action}: {_detail(answer)}")


async def log_in(*, clouds: Path | None) -> ContainerInfraClient:
    """Log in as the environment says; with `clouds`, as the cloud `jeroboam` of that clouds.yaml."""
    return ContainerInfraClient(await _in_a_thread(lambda: _session(clouds), "logging in"))


def _session(clouds: Path | None) -> KeystoneSession:
    try:
        from openstack.config import OpenStackConfig  # noqa: PLC0415  (half a second, and an extra)
        from openstack.connection import Connection  # noqa: PLC0415
    except ImportError as error:
        raise Permanent("openstacksdk is not installed: install jeroboam with its extra `clients`") from error
    if clouds is None:
        region = OpenStackConfig().get_one()
    else:
        region = OpenStackConfig(config_files=[str(clouds)]).get_one(cloud="jeroboam")
    session: KeystoneSession = Connection(config=region).container_infrastructure_management
    return session


async def _in_a_thread(ask: Callable[[], T], action: str) -> T:
    """Return the result of `ask`. The library's errors name the credentials, the host and the cloud."""
    try:
        return await asyncio.to_thread(ask)
    except _troubles() as error:
        raise Temporary(f"{action}: {error}") from error


def _troubles() -> tuple[type[Exception], ...]:
    try:
        from keystoneauth1.exceptions import ClientException  # noqa: PLC0415
        from openstack.exceptions import SDKException  # noqa: PLC0415
    except ImportError:
        return ()
    return ClientException, SDKException


def _detail(answer: Any) -> str:
    try:
        errors: Sequence[Mapping[str, Any]] = answer.json()["errors"]
        return str(errors[0]["detail"])
    except (ValueError, LookupError, TypeError):
        return f"the API answers {answer.status_code}"
