"""Requests to OpenStack APIs as one user, with credentials from `OS_*` variables or a clouds.yaml.

openstacksdk reads the credentials, since it supports every way to log in. It blocks, so each request has a thread.
Neighbours: `container_infra` and `container`, the clients of one API each.
"""

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from jeroboam.domain.errors import Permanent, Temporary

T = TypeVar("T")

CONTAINER_INFRA = "container-infra"
CONTAINER = "container"
LOCAL_CLOUD = "jeroboam"
"""The cloud of the member in the clouds.yaml of this machine's own installation."""
# keystoneauth's words for a refused connection and for silence; a certificate that is not trusted has others.
_UNREACHABLE = re.compile(r"(?:establish connection to|Request to) (https?://\S+?)(?:[:.]? |$)")


_WHO = ("OS_CLOUD", "OS_AUTH_URL")


class KeystoneSession(Protocol):
    """A logged-in user at one API, as openstacksdk represents it."""

    def request(
        self, url: str, method: str, *, raise_exc: bool, headers: Mapping[str, str], json: Any = None
    ) -> Any: ...


class ServiceDown(Temporary):
    """Nobody answers where the service should be."""

    def __init__(self, address: str) -> None:
        super().__init__(f"service: down: nothing answers at {address}")
        self.address = address


class OpenStackApi:
    """Requests to one API as one user. Raises `Permanent` if a request is refused, `Temporary` if nobody answers."""

    def __init__(self, session: KeystoneSession, *, service: str) -> None:
        """`service` is the API's name in the header with the version."""
        self._session = session
        self._headers = {"OpenStack-API-Version": f"{service} latest", "Accept": "application/json"}

    async def get(self, path: str, action: str) -> Any:
        """Return the answer. `action` is the begin of an error's text, such as `looking for cluster dev`."""
        answer = await self._send("GET", path, action)
        return answer.json()

    async def find(self, path: str, action: str) -> Any:
        """Return the same, or None for an object that does not exist."""
        answer = await self._send("GET", path, action, accept=(HTTPStatus.NOT_FOUND,))
        return None if answer.status_code == HTTPStatus.NOT_FOUND else answer.json()

    async def list_pages(self, path: str, key: str, action: str) -> list[dict[str, Any]]:
        """Return the objects of a list with all its pages. `path` has a query, and no marker."""
        objects: list[dict[str, Any]] = []
        page = await self.get(path, action)
        while page[key]:
            objects += page[key]
            if not page.get("next"):
                break
            page = await self.get(f"{path}&marker={objects[-1]['uuid']}", action)
        return objects

    async def send(self, method: str, path: str, action: str, body: Any = None) -> Any:
        """Send a change; return the answer, None if it is empty."""
        answer = await self._send(method, path, action, body=body)
        return answer.json() if answer.content else None

    async def _send(self, method: str, path: str, action: str, *, body: Any = None, accept: Sequence[int] = ()) -> Any:
        content = {} if body is None else {"json": body}
        answer = await call_in_thread(
            lambda: self._session.request(path, method, raise_exc=False, headers=self._headers, **content), action
        )
        if answer.status_code < HTTPStatus.BAD_REQUEST or answer.status_code in accept:
            return answer
        trouble = Temporary if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else Permanent
        raise trouble(f"{action}: {_read_detail(answer)}")


def find_clouds(state: Path) -> Path | None:
    """Return the clouds.yaml to log in with: None if the environment says who the user is.

    Raises `ValueError` if neither the environment nor an installation in the folder `state` says so.
    """
    if any(os.environ.get(name) for name in _WHO):
        return None
    clouds = state / "clouds.yaml"
    if not clouds.exists():
        raise ValueError(f"set OS_CLOUD, or OS_AUTH_URL and so on: there is no installation in {state}")
    return clouds


async def open_api(service: str, *, clouds: Path | None) -> OpenStackApi:
    """Return the API as the environment's user; with `clouds`, as the cloud `jeroboam` of that clouds.yaml."""
    session = await call_in_thread(lambda: _open_session(service, clouds), "logging in")
    return OpenStackApi(session, service=service)


def _open_session(service: str, clouds: Path | None) -> KeystoneSession:
    try:
        from keystoneauth1.adapter import Adapter  # noqa: PLC0415  (half a second, and an extra)
        from openstack.config import OpenStackConfig  # noqa: PLC0415
    except ImportError as error:
        raise Permanent("openstacksdk is not installed: install jeroboam with its extra `clients`") from error
    if clouds is None:
        region = OpenStackConfig().get_one()
    else:
        region = OpenStackConfig(config_files=[str(clouds)]).get_one(cloud=LOCAL_CLOUD)
    session: KeystoneSession = Adapter(
        region.get_session(),
        service_type=region.get_service_type(service),
        interface=region.get_interface(service),
        region_name=region.get_region_name(service),
        endpoint_override=region.get_endpoint(service),
    )
    return session


async def call_in_thread(ask: Callable[[], T], action: str) -> T:
    """Return the result of `ask`. The library's errors name the credentials, the host and the cloud."""
    try:
        return await asyncio.to_thread(ask)
    except Exception as error:
        # keystoneauth raises plain exceptions for what is missing of the credentials.
        if not isinstance(error, _list_library_errors()) and type(error) is not Exception:
            raise
        unreachable = _UNREACHABLE.search(str(error))
        if unreachable is not None:
            url = urlsplit(unreachable[1])
            raise ServiceDown(f"{url.scheme}://{url.netloc}") from error
        raise Temporary(f"{action}: {error}") from error


def _list_library_errors() -> tuple[type[Exception], ...]:
    try:
        from keystoneauth1.exceptions import ClientException  # noqa: PLC0415
        from openstack.exceptions import SDKException  # noqa: PLC0415
    except ImportError:
        return ()
    return ClientException, SDKException


def _read_detail(answer: Any) -> str:
    try:
        errors: Sequence[Mapping[str, Any]] = answer.json()["errors"]
        return str(errors[0]["detail"])
    except (ValueError, LookupError, TypeError):
        return f"the API answers {answer.status_code}"
