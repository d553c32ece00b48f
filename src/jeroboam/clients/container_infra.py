"""A client of the container-infra API for one user: clusters, and access to them.

Neighbours: `openstack`, which sends the requests; bootstrap and `cli`, for the commands of a cluster's user.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jeroboam.clients import answers
from jeroboam.clients.openstack import CONTAINER_INFRA, OpenStackApi, open_api
from jeroboam.domain.errors import Permanent
from jeroboam.kit.x509 import KeyPair, build_signing_request

_COMMON_NAME = "admin"
_ORGANIZATIONS = ("system:masters",)


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

    def __init__(self, api: OpenStackApi) -> None:
        self._api = api

    def has_sent_change(self) -> bool:
        """Whether a request was sent that may change something."""
        return self._api.has_sent_change()

    async def cluster(self, ident: str) -> ClusterView:
        """Return the cluster with that name or uuid."""
        body = await self.show_cluster(ident)
        action = f"looking at cluster {ident}"
        template = await self._api.get(
            f"/clustertemplates/{_escape(body['cluster_template_id'])}", action, answers.TemplateCoe
        )
        return ClusterView(
            uuid=body["uuid"],
            name=body["name"],
            coe=template["coe"],
            status=body["status"],
            api_address=body.get("api_address") or "",
            coe_version=body.get("coe_version") or "",
        )

    async def access(self, cluster: ClusterView) -> ClusterCredentials:
        """Return a new key, with a certificate that the cluster's authority signs for it."""
        if not cluster.api_address:
            raise Permanent(f"cluster {cluster.name} has no API yet: its status is {cluster.status}")
        action = f"asking for access to cluster {cluster.name}"
        signing_request = build_signing_request(common_name=_COMMON_NAME, organizations=_ORGANIZATIONS)
        wish = {"cluster_uuid": cluster.uuid, "csr": signing_request.csr}
        certificate = await self._api.send("POST", "/certificates", action, wish, shape=answers.CertificateAnswer)
        authority = await self._api.get(f"/certificates/{_escape(cluster.uuid)}", action, answers.CertificateAnswer)
        key_pair = KeyPair(pem=certificate["pem"], key=signing_request.key)
        return ClusterCredentials(url=cluster.api_address, ca_certificates=authority["pem"], own=key_pair)

    async def list_clusters(self) -> list[dict[str, Any]]:
        """Return the project's clusters as the API shows them."""
        path = "/clusters/detail?sort_key=name"
        return await self._api.list_pages(path, "clusters", "listing clusters", answers.ClustersPage)

    async def list_templates(self) -> list[dict[str, Any]]:
        """Return the templates that the user may name, as the API shows them."""
        path = "/clustertemplates/detail?sort_key=name"
        return await self._api.list_pages(path, "clustertemplates", "listing templates", answers.TemplatesPage)

    async def show_cluster(self, ident: str) -> dict[str, Any]:
        """Return the cluster with that name or uuid as the API shows it."""
        return dict(
            await self._api.get(f"/clusters/{_escape(ident)}", f"looking for cluster {ident}", answers.ClusterAnswer)
        )

    async def find_cluster(self, ident: str) -> dict[str, Any] | None:
        """Return the same; None if there is none."""
        cluster = await self._api.find(
            f"/clusters/{_escape(ident)}", f"looking for cluster {ident}", answers.ClusterAnswer
        )
        return None if cluster is None else dict(cluster)

    async def show_template(self, ident: str) -> dict[str, Any]:
        """Return the template with that name or uuid as the API shows it."""
        return dict(
            await self._api.get(
                f"/clustertemplates/{_escape(ident)}", f"looking for template {ident}", answers.TemplateAnswer
            )
        )

    async def create_template(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Create a template and return it."""
        action = f"creating template {wish['name']}"
        return dict(await self._api.send("POST", "/clustertemplates", action, wish, shape=answers.TemplateAnswer))

    async def create_cluster(self, wish: Mapping[str, Any]) -> str:
        """Ask for a cluster; return its uuid."""
        action = f"creating cluster {wish['name']}"
        answer = await self._api.send("POST", "/clusters", action, wish, shape=answers.Created)
        return str(answer["uuid"])

    async def delete_cluster(self, ident: str, *, name: str = "") -> None:
        """Ask for the removal of a cluster."""
        await self._api.send("DELETE", f"/clusters/{_escape(ident)}", f"deleting cluster {name or ident}")

    async def resize_cluster(self, ident: str, wish: Mapping[str, Any], *, name: str = "") -> None:
        """Ask for another number of nodes in one of the cluster's groups."""
        action = f"scaling cluster {name or ident}"
        await self._api.send("POST", f"/clusters/{_escape(ident)}/actions/resize", action, wish)

    async def upgrade_cluster(self, ident: str, wish: Mapping[str, Any], *, name: str = "") -> None:
        """Ask for another template, or for all nodes anew."""
        action = f"upgrading cluster {name or ident}"
        await self._api.send("POST", f"/clusters/{_escape(ident)}/actions/upgrade", action, wish)

    async def list_nodegroups(self, ident: str) -> list[dict[str, Any]]:
        """Return the cluster's node groups with their nodes, as the API shows them."""
        path = f"/clusters/{_escape(ident)}/nodegroups"
        action = f"looking at cluster {ident}"
        groups = await self._api.list_pages(f"{path}?sort_key=id", "nodegroups", action, answers.NodeGroupsPage)
        return [
            await self._api.get(
                f"{path}/{_escape(group['uuid'])}", f"looking at node group {group['name']}", answers.NodeGroupAnswer
            )
            for group in groups
        ]

    async def create_nodegroup(self, ident: str, wish: Mapping[str, Any]) -> None:
        """Ask for another node group."""
        action = f"creating node group {wish['name']}"
        await self._api.send("POST", f"/clusters/{_escape(ident)}/nodegroups", action, wish)

    async def list_events(self, uuid: str, *, after: str | None) -> list[dict[str, Any]]:
        """Return the cluster's events after the one with the uuid `after`, the oldest first.

        The list is empty for an API without events, which are an extension of this service.
        """
        path = f"/events?cluster={_escape(uuid)}" + (f"&marker={_escape(after)}" if after else "")
        answer = await self._api.find(path, "reading events", answers.EventsPage)
        return [] if answer is None else list(answer["events"])


async def log_in(*, clouds: Path | None) -> ContainerInfraClient:
    """Log in as the environment says; with `clouds`, as the cloud `jeroboam` of that clouds.yaml."""
    return ContainerInfraClient(await open_api(CONTAINER_INFRA, clouds=clouds))


def _escape(ident: str) -> str:
    return quote(ident, safe="")
