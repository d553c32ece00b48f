"""Requests to OpenStack APIs as one user, with credentials from `OS_*` variables or a clouds.yaml.

openstacksdk reads the credentials, since it supports every way to log in. It blocks, so each request has a thread.
A server may be broken or hostile: every call has a deadline, and every answer is checked. Neighbours:
`container_infra` and `container`, the clients of one API each; `openstack_transport`; `answers`, the shapes.
"""

import asyncio
import contextlib
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.extras import describe_missing_extra

if TYPE_CHECKING:
    from jeroboam.clients.openstack_transport import BoundedAdapter

T = TypeVar("T")

CONTAINER_INFRA = "container-infra"
CONTAINER = "container"
LOCAL_CLOUD = "jeroboam"
"""The cloud of the member in the clouds.yaml of this machine's own installation."""
# keystoneauth's words for a refused connection and for silence; a certificate that is not trusted has others.
_UNREACHABLE = re.compile(r"(?:establish connection to|Request to) (https?://\S+?)(?:[:.]? |$)")

CALL_SECONDS = 60.0
"""How long a call may take as a whole, with its login: a server that sends an octet now and then never ends."""
LIST_SECONDS = 300.0
"""The same for all pages of a list."""
MOST_PAGES = 1000
MOST_DETAIL = 4000
"""The most characters of a server's explanation that are shown."""

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


class NoLogin(ValueError):
    """Nothing says who the user is."""

    def __init__(self, state: Path) -> None:
        super().__init__(f"there is no installation in {state}, and neither OS_CLOUD nor OS_AUTH_URL is set")
        self.state = state


class BadAnswer(Permanent):
    """A server answers with something that its API does not have."""

    def __init__(self, address: str, what: str) -> None:
        super().__init__(f"the answer of {address} is not what the API says: {what}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiAccess:
    """What a connection to an API needs. `headers` have the user's token."""

    endpoint: str
    headers: Mapping[str, str]
    verify: bool | str | None
    """Whether the server's certificate is checked, or the file of the authority that it is checked against."""


class OpenStackApi:
    """Requests to one API as one user.

    Raises `Permanent` if a request is refused, `BadAnswer` (which is one) for an answer that the API does not have,
    `Temporary` if nobody answers in time.
    """

    def __init__(
        self,
        session: KeystoneSession,
        *,
        service: str,
        read_address: Callable[[], str] = lambda: "the API",
        has_sent_change: Callable[[], bool] = lambda: False,
        seconds: float = CALL_SECONDS,
    ) -> None:
        """`service` is the API's name in the header with the version; `read_address` names the server asked last.

        `has_sent_change` is the source of the method of that name.
        """
        self._session = session
        self._headers = {"OpenStack-API-Version": f"{service} latest", "Accept": "application/json"}
        self._read_address = read_address
        self._has_sent_change = has_sent_change
        self._seconds = seconds

    def has_sent_change(self) -> bool:
        """Whether a request was sent that may change something."""
        return self._has_sent_change()

    async def read_access(self) -> "ApiAccess":
        """Return what a connection of one's own to the API needs."""

        def read() -> ApiAccess:
            session: Any = self._session
            token = session.get_token()
            headers = {**self._headers, **({"X-Auth-Token": token} if token else {})}
            return ApiAccess(
                endpoint=str(session.get_endpoint()).rstrip("/"), headers=headers, verify=session.session.verify
            )

        async with asyncio.timeout(self._seconds):
            return await call_in_thread(read, "logging in")

    async def get(self, path: str, action: str, shape: Any = Any) -> Any:
        """Return the answer, which has that shape. `action` begins an error's text: `looking for cluster dev`."""
        return self._parse(await self._send("GET", path, action), shape)

    async def find(self, path: str, action: str, shape: Any = Any) -> Any:
        """Return the same, or None for an object that does not exist."""
        answer = await self._send("GET", path, action, accept=(HTTPStatus.NOT_FOUND,))
        return None if answer.status_code == HTTPStatus.NOT_FOUND else self._parse(answer, shape)

    async def list_pages(self, path: str, key: str, action: str, shape: Any) -> list[dict[str, Any]]:
        """Return the objects of a list with all its pages. `path` has a query, and no marker."""
        objects: dict[str, dict[str, Any]] = {}
        try:
            async with asyncio.timeout(LIST_SECONDS):
                page = await self.get(path, action, shape)
                for _ in range(MOST_PAGES):
                    count = len(objects)
                    objects |= {item["uuid"]: item for item in page[key]}
                    if not (page[key] and page.get("next")):
                        return list(objects.values())
                    if len(objects) == count:
                        raise BadAnswer(self._read_address(), "the list repeats itself")
                    page = await self.get(f"{path}&marker={quote(page[key][-1]['uuid'], safe='')}", action, shape)
        except TimeoutError as error:
            raise Temporary(f"{action}: the list has no end after {LIST_SECONDS:.0f} s") from error
        raise BadAnswer(self._read_address(), f"the list has more than {MOST_PAGES} pages")

    async def send(
        self, method: str, path: str, action: str, body: Any = None, *, shape: Any = None, seconds: float | None = None
    ) -> Any:
        """Send a change; return the answer, which has that shape. Without a shape it is not read."""
        answer = await self._send(method, path, action, body=body, seconds=seconds)
        return None if shape is None else self._parse(answer, shape)

    async def _send(
        self,
        method: str,
        path: str,
        action: str,
        *,
        body: Any = None,
        accept: Sequence[int] = (),
        seconds: float | None = None,
    ) -> Any:
        content = {} if body is None else {"json": body}

        def request() -> Any:
            try:
                return self._session.request(path, method, raise_exc=False, headers=self._headers, **content)
            except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
                # keystoneauth takes what a Keystone answers as it comes.
                raise BadAnswer(self._read_address(), f"{type(error).__name__}: {error}") from error

        try:
            async with asyncio.timeout(seconds or self._seconds):
                answer = await call_in_thread(request, action)
        except TimeoutError as error:
            limit = seconds or self._seconds
            raise Temporary(f"{action}: {self._read_address()} has not answered within {limit:.0f} s") from error
        if answer.status_code in accept or answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
            return answer
        if answer.status_code < HTTPStatus.BAD_REQUEST:
            raise BadAnswer(self._read_address(), f"a redirect ({answer.status_code})")
        trouble = Temporary if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else Permanent
        raise trouble(f"{action}: {_read_detail(answer)}")

    def _parse(self, answer: Any, shape: Any) -> Any:
        """Return the answer's content if it has that shape. Raises `BadAnswer`."""
        try:
            content = answer.json()
            msgspec.convert(content, shape)
        except (ValueError, RecursionError) as error:
            raise BadAnswer(self._read_address(), _describe_fault(error)) from error
        return content


def _describe_fault(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return str(error).replace("`", "")
    return "it is nested too deeply" if isinstance(error, RecursionError) else "it is no JSON"


def find_clouds(state: Path) -> Path | None:
    """Return the clouds.yaml to log in with: None if the environment says who the user is.

    Raises `NoLogin` if neither the environment nor an installation in the folder `state` says so.
    """
    if any(os.environ.get(name) for name in _WHO):
        return None
    clouds = state / "clouds.yaml"
    if not clouds.exists():
        raise NoLogin(state)
    return clouds


async def open_api(service: str, *, clouds: Path | None, seconds: float = CALL_SECONDS) -> OpenStackApi:
    """Return the API as the environment's user; with `clouds`, as the cloud `jeroboam` of that clouds.yaml."""
    session, transport = await call_in_thread(lambda: _open_session(service, clouds), "logging in")
    return OpenStackApi(
        session,
        service=service,
        read_address=lambda: transport.address,
        has_sent_change=lambda: transport.has_sent_change,
        seconds=seconds,
    )


def _open_session(service: str, clouds: Path | None) -> tuple[KeystoneSession, "BoundedAdapter"]:
    """Return the user's session, and its transport. Nothing is sent before the first request."""
    try:
        from keystoneauth1.adapter import Adapter  # noqa: PLC0415  (half a second, and an extra)
        from openstack.config import OpenStackConfig  # noqa: PLC0415

        from jeroboam.clients.openstack_transport import BoundedAdapter, build_session  # noqa: PLC0415
    except ImportError as error:
        raise Permanent(describe_missing_extra("openstacksdk, which logs in,", "clients")) from error
    transport = BoundedAdapter()
    constructor: Any = partial(build_session, transport)
    if clouds is None:
        region = OpenStackConfig(session_constructor=constructor).get_one()
    else:
        region = OpenStackConfig(config_files=[str(clouds)], session_constructor=constructor).get_one(cloud=LOCAL_CLOUD)
    session: KeystoneSession = Adapter(
        region.get_session(),
        service_type=region.get_service_type(service),
        interface=region.get_interface(service),
        region_name=region.get_region_name(service),
        endpoint_override=region.get_endpoint(service),
    )
    return session, transport


async def call_in_thread(ask: Callable[[], T], action: str) -> T:
    """Return the result of `ask`. The library's errors name the credentials, the host and the cloud."""
    try:
        return await _run_in_thread(ask)
    except Exception as error:
        # keystoneauth raises plain exceptions for what is missing of the credentials.
        if not isinstance(error, _list_library_errors()) and type(error) is not Exception:
            raise
        unreachable = _UNREACHABLE.search(str(error))
        if unreachable is not None:
            url = urlsplit(unreachable[1])
            raise ServiceDown(f"{url.scheme}://{url.netloc}") from error
        raise Temporary(f"{action}: {error}") from error


async def _run_in_thread(ask: Callable[[], T]) -> T:
    """Return the result of `ask`. A caller that is cancelled leaves the thread, and a program ends without it."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def deliver(outcome: Callable[[], None]) -> None:
        # The loop is closed if the program no longer waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if result.done() else outcome())

    def run() -> None:
        try:
            value = ask()
        except BaseException as error:  # noqa: BLE001  (the caller raises it)
            failure = error
            deliver(lambda: result.set_exception(failure))
        else:
            deliver(lambda: result.set_result(value))

    threading.Thread(target=run, daemon=True, name="openstack").start()
    return await result


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
        return str(errors[0]["detail"])[:MOST_DETAIL]
    except (ValueError, LookupError, TypeError, RecursionError):
        return f"the API answers {answer.status_code}"
