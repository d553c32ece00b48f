"""Checks tokens and reads projects at a Keystone.

A valid token is checked at most once a minute. Keystone's answer is kept under the token's digest, never the token
itself, and no longer than the token lives. Neighbours: the ports `TokenValidator` and `Projects` of the domain.
"""

import asyncio
import datetime as dt
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from jeroboam.clients.http import HttpClient, NoAnswer
from jeroboam.domain.caller import AccessRule, Caller
from jeroboam.domain.errors import Forbidden, Unavailable
from jeroboam.domain.limits import LimitOwner
from jeroboam.kit.clock import Clock

ANSWER_SECONDS = 10.0
GOOD_SECONDS = 60.0
BAD_SECONDS = 10.0
CACHED = 4096
_TOKEN_LONGEST = 16384
_OK = 200
_UNAUTHORIZED = 401
_NOT_FOUND = 404
_SERVER_ERROR = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class _CachedToken:
    """Keystone's answer on a token, and how long (by the monotonic clock) it may be used."""

    caller: Caller | None
    until: float
    wrong_scope: str | None = None
    """The scope of a valid token that is not scoped to a project."""


class KeystoneTokens:
    """Checks tokens with the rights of the service's own user. Implements `TokenValidator`."""

    def __init__(
        self,
        *,
        auth_url: str,
        username: str,
        password: str,
        project_name: str,
        clock: Clock,
        user_domain: str = "Default",
        project_domain: str = "Default",
    ) -> None:
        """Nothing is sent yet. The URL may end in `/v3` or not; domains are given by name."""
        root = auth_url.rstrip("/")
        self._url = root if root.endswith("/v3") else f"{root}/v3"
        self._identity = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": username, "domain": {"name": user_domain}, "password": password}},
                },
                "scope": {"project": {"name": project_name, "domain": {"name": project_domain}}},
            }
        }
        self._clock = clock
        self._http = HttpClient(total_seconds=ANSWER_SECONDS)
        self._own: tuple[str, Caller] | None = None
        self._own_turn = asyncio.Lock()
        self._cache: OrderedDict[bytes, _CachedToken] = OrderedDict()
        self._asking: dict[bytes, asyncio.Future[_CachedToken]] = {}

    async def caller(self, token: str) -> Caller | None:
        """Return the caller of the token. Concurrent requests with one token share one check.

        Raises `Forbidden` for a valid token that is scoped to no project.
        """
        cached = await self._look_up_token(token)
        if cached is not None and cached.wrong_scope is not None:
            text = f"This token is scoped to {cached.wrong_scope}, and a token that is scoped to a project is needed."
            raise Forbidden(text, field="X-Auth-Token")
        return None if cached is None else cached.caller

    async def _look_up_token(self, token: str) -> _CachedToken | None:
        if not token or len(token) > _TOKEN_LONGEST or not token.isascii() or not token.isprintable():
            return None
        key = hashlib.sha256(token.encode()).digest()
        while True:
            cached = self._cache.get(key)
            if cached is not None and cached.until > self._clock.monotonic():
                return cached
            question = self._asking.get(key)
            if question is None:
                return await self._ask_once(key, token)
            try:
                return await asyncio.shield(question)
            except asyncio.CancelledError:
                # If only the task that asked was cancelled, a task that still waits asks again.
                task = asyncio.current_task()
                if not question.cancelled() or (task is not None and task.cancelling()):
                    raise

    async def _ask_once(self, key: bytes, token: str) -> _CachedToken:
        future: asyncio.Future[_CachedToken] = asyncio.get_running_loop().create_future()
        self._asking[key] = future
        try:
            result = await self._ask(token)
        except Unavailable as error:
            future.set_exception(error)
            future.exception()  # nobody may be waiting for it
            raise
        else:
            future.set_result(result)
            self._remember(key, result)
            return result
        finally:
            del self._asking[key]
            future.cancel()  # of no effect where there is an answer

    def _remember(self, key: bytes, result: _CachedToken) -> None:
        self._cache[key] = result
        self._cache.move_to_end(key)
        while len(self._cache) > CACHED:
            self._cache.popitem(last=False)

    async def _ask(self, token: str) -> _CachedToken:
        # Without the second header Keystone rejects tokens with access rules: the caller has to enforce the rules.
        headers = {"X-Subject-Token": token, "OpenStack-Identity-Access-Rules": "1.0"}
        status, body = await self.get("/auth/tokens?nocatalog", headers)
        now = self._clock.monotonic()
        if status == _NOT_FOUND:
            return _CachedToken(caller=None, until=now + BAD_SECONDS)
        seconds = _seconds_left(body["token"], self._clock.now())
        if seconds <= 0:
            return _CachedToken(caller=None, until=now + BAD_SECONDS)
        caller = _caller(body["token"])
        wrong_scope = _scope(body["token"]) if caller is None else None
        return _CachedToken(caller=caller, until=now + min(GOOD_SECONDS, seconds), wrong_scope=wrong_scope)

    async def check(self) -> str | None:
        """Return why Keystone cannot be used, in a sentence; None if it answers now."""
        try:
            status, _, _ = await self._send("GET", "", {})
        except Unavailable as error:
            return error.detail
        return None if status == _OK else f"The identity service answered {status}."

    async def own(self) -> Caller:
        """Return the service's own user and project."""
        return (await self._authenticate(None))[1]

    async def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """GET with the service's own token. Return 200 and the body, or 404. Raises `Unavailable` for all else."""
        own_token, _ = await self._authenticate(None)
        status, body, _ = await self._send("GET", path, {"X-Auth-Token": own_token, **(headers or {})})
        if status == _UNAUTHORIZED:
            own_token, _ = await self._authenticate(own_token)
            status, body, _ = await self._send("GET", path, {"X-Auth-Token": own_token, **(headers or {})})
        if status not in {200, _NOT_FOUND}:
            raise Unavailable(f"The identity service answered {status}.")
        return status, body

    async def _authenticate(self, refused_token: str | None) -> tuple[str, Caller]:
        """Return the service's own token. Get a new one if there is none, or if this one was refused."""
        async with self._own_turn:
            if self._own is None or self._own[0] == refused_token:
                status, body, headers = await self._send("POST", "/auth/tokens", {}, self._identity)
                token = headers.get("X-Subject-Token")
                caller = _caller(body["token"]) if status in {200, 201} else None
                if token is None or caller is None:
                    raise Unavailable("The identity service does not accept this service's own user.")
                self._own = token, caller
            return self._own

    async def _send(
        self, method: str, path: str, headers: dict[str, str], body: Any = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        try:
            answer = await self._http.request(method, self._url + path, headers=headers, body=body)
        except NoAnswer as error:
            raise Unavailable("The identity service does not answer.") from error
        if answer.status >= _SERVER_ERROR:
            raise Unavailable(f"The identity service answered {answer.status}.")
        try:
            return answer.status, answer.json(), answer.headers
        except ValueError as error:
            raise Unavailable("The answer of the identity service is not JSON.") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


class KeystoneProjects:
    """Keystone's projects. Implements `Projects`."""

    def __init__(self, tokens: KeystoneTokens) -> None:
        self._tokens = tokens

    async def exists(self, project_id: str) -> bool:
        """Whether the project exists. Raises `Unavailable` if Keystone does not answer."""
        status, _ = await self._tokens.get(f"/projects/{quote(project_id, safe='')}")
        return status != _NOT_FOUND

    async def describe(self, project_id: str) -> LimitOwner | None:
        """Return the project's name and domain. Raises `Unavailable` if Keystone does not answer."""
        status, body = await self._tokens.get(f"/projects/{quote(project_id, safe='')}")
        if status == _NOT_FOUND:
            return None
        project = body["project"]
        return LimitOwner(
            project_id=project_id, project_name=project.get("name", ""), domain_id=project.get("domain_id") or ""
        )


def _seconds_left(token: dict[str, Any], now: dt.datetime) -> float:
    expires = dt.datetime.fromisoformat(token["expires_at"])
    return (expires - now).total_seconds()


def _caller(token: dict[str, Any]) -> Caller | None:
    """Return the caller of a token that is scoped to a project; None for other tokens."""
    project, user = token.get("project"), token["user"]
    if project is None:
        return None
    return Caller(
        user_id=user["id"],
        project_id=project["id"],
        roles=frozenset(role["name"].lower() for role in token.get("roles", ())),
        user_name=user.get("name", ""),
        project_name=project.get("name", ""),
        user_domain_id=user.get("domain", {}).get("id", ""),
        project_domain_id=project.get("domain", {}).get("id", ""),
        access_rules=_access_rules(token.get("application_credential") or {}),
    )


def _access_rules(credential: dict[str, Any]) -> tuple[AccessRule, ...] | None:
    rules = credential.get("access_rules")
    if rules is None:
        return None
    return tuple(AccessRule(service=rule["service"], method=rule["method"], path=rule["path"]) for rule in rules)


def _scope(token: dict[str, Any]) -> str:
    """Describe the scope of a token that is not scoped to a project."""
    if "domain" in token:
        return f"the domain {token['domain'].get('name') or token['domain'].get('id', '')}"
    if "system" in token:
        return "the system"
    return "nothing"
