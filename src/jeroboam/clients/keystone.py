"""The part of Keystone's REST API that the setup of an embedded Keystone needs.

Every `ensure_…` may be called again and then returns what exists. Raises `Temporary` if Keystone does not answer,
`Permanent` if it refuses. Neighbours: `http`; `identity.embedded`; `bootstrap.explain`.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from jeroboam.clients.http import HttpAnswer, HttpClient, NoAnswer
from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.domain.limits import LimitOwner

DOMAIN = "default"
INTERFACES = ("public", "internal", "admin")
_CLIENT_ERRORS = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleAssignment:
    """A role of a user in a project, direct or not."""

    owner: LimitOwner
    role: str


class KeystoneAdmin:
    """An admin's session with one Keystone."""

    def __init__(self, url: str, *, password: str) -> None:
        """`url` ends in `/v3`."""
        self._url = url
        self._password = password
        self._http = HttpClient(total_seconds=30)
        self._token = ""

    async def __aenter__(self) -> Self:
        try:
            self._token = await self._login()
        except BaseException:
            await self._http.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def _login(self) -> str:
        user = {"name": "admin", "domain": {"id": DOMAIN}, "password": self._password}
        scope = {"project": {"name": "admin", "domain": {"id": DOMAIN}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = await self._send("POST", "/auth/tokens", body, {})
        if answer.status >= _CLIENT_ERRORS:
            raise Permanent(f"Keystone refuses the admin ({answer.status})")
        return answer.headers["X-Subject-Token"]

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = await self._send(method, path, body, {"X-Auth-Token": self._token})
        if answer.status >= _CLIENT_ERRORS:
            text = answer.content.decode(errors="replace")
            raise Permanent(f"Keystone answers {answer.status} to {method} {path}: {text}")
        return dict(answer.json() or {})

    async def _send(self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]) -> HttpAnswer:
        try:
            return await self._http.request(method, self._url + path, headers=headers, body=body)
        except NoAnswer as error:
            raise Temporary(f"Keystone does not answer: {error}") from error

    async def _ensure(self, collection: str, query: str, fields: dict[str, Any]) -> str:
        """Return the id of the object that the query finds. Create the object, or correct its fields.

        A password is set only when its user is created. Keystone shows none to compare with, and setting one revokes
        all tokens of that second, including tokens that are issued a moment later.
        """
        one = collection.removesuffix("s")
        matches = (await self._call("GET", f"/{collection}?{query}"))[collection]
        if not matches:
            created = await self._call("POST", f"/{collection}", {one: fields})
            return str(created[one]["id"])
        is_same = all(matches[0].get(key) == value for key, value in fields.items() if key != "password")
        if not is_same:
            await self._call("PATCH", f"/{collection}/{matches[0]['id']}", {one: fields})
        return str(matches[0]["id"])

    async def ensure_project(self, name: str) -> str:
        return await self._ensure("projects", f"name={name}&domain_id={DOMAIN}", {"name": name, "domain_id": DOMAIN})

    async def ensure_user(self, name: str, password: str) -> str:
        fields = {"name": name, "domain_id": DOMAIN, "password": password}
        return await self._ensure("users", f"name={name}&domain_id={DOMAIN}", fields)

    async def ensure_role(self, role: str, *, user_id: str, project_id: str) -> None:
        role_id = (await self._call("GET", f"/roles?name={role}"))["roles"][0]["id"]
        await self._call("PUT", f"/projects/{project_id}/users/{user_id}/roles/{role_id}")

    async def ensure_service(self, kind: str, name: str, url: str) -> None:
        """Ensure a service in the catalogue, with the same endpoint for each interface: there is only one way to it."""
        service = await self._ensure("services", f"type={kind}", {"type": kind, "name": name})
        for interface in INTERFACES:
            endpoint = {"service_id": service, "interface": interface, "region_id": "RegionOne", "url": url}
            await self._ensure("endpoints", f"service_id={service}&interface={interface}", endpoint)

    async def remove_service(self, name: str) -> None:
        """Remove the service of that name from the catalogue."""
        for service in (await self._call("GET", f"/services?name={name}"))["services"]:
            await self._call("DELETE", f"/services/{service['id']}")

    async def find_user(self, ident: str) -> tuple[str, str]:
        """Return id and name of the user with that name or id. Raises `ValueError` for none, or for several."""
        users = (await self._call("GET", f"/users?name={quote(ident, safe='')}"))["users"]
        users = users or [user for user in (await self._call("GET", "/users"))["users"] if user["id"] == ident]
        if len(users) != 1:
            raise ValueError(f"there {'are several users' if users else 'is no user'} {ident}")
        return str(users[0]["id"]), str(users[0]["name"])

    async def assignments(self, user_id: str) -> list[RoleAssignment]:
        """Return the user's roles in projects, including roles from groups and implied roles."""
        query = f"user.id={quote(user_id, safe='')}&effective&include_names"
        assignments = (await self._call("GET", f"/role_assignments?{query}"))["role_assignments"]
        return [
            RoleAssignment(owner=_owner(each["scope"]["project"]), role=each["role"]["name"])
            for each in assignments
            if "project" in each["scope"]
        ]

    async def project(self, project_id: str) -> LimitOwner:
        """Return the project; one that is gone has no name."""
        projects = [each for each in (await self._call("GET", "/projects"))["projects"] if each["id"] == project_id]
        return _owner(projects[0]) if projects else LimitOwner(project_id=project_id)


def _owner(project: dict[str, Any]) -> LimitOwner:
    domain = project.get("domain", {}).get("id") or project.get("domain_id") or ""
    return LimitOwner(project_id=project["id"], project_name=project["name"], domain_id=domain)
