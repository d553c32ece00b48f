"""Registries of images that a project has a login for (contract: container, section 5, registries).

A password goes in and never comes out: answers show stars, whether or not there is one. The store seals both parts of
the login, so nothing here has a key.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jeroboam.api.call import NO_CONTENT, Answer, Call, reply
from jeroboam.api.container.field_checks import NAME
from jeroboam.api.container.lookup import flag_of
from jeroboam.api.container.refusals import RegistryNotFound, SchemaError
from jeroboam.api.container.shapes import RegistryAnswer, RegistryList, RegistryShape
from jeroboam.api.fields import FieldCheck, InvalidField, Schema, body_of, optional, read_fields, text
from jeroboam.api.wire import links, next_page, page_of
from jeroboam.domain.errors import Conflict
from jeroboam.domain.images import is_registry, normalise_registry, qualify_image, split_host
from jeroboam.domain.registries import Registry, RegistryLogin
from jeroboam.kit.ids import is_uuid
from jeroboam.store import RegistrySelector, Transaction

_HIDDEN = "***"
_TEXT = text(low=0)
FILTERS: Mapping[str, FieldCheck] = dict.fromkeys(("name", "domain", "username", "project_id", "user_id"), _TEXT)
_DOMAIN_TEXT = text()


def _domain(name: str, value: Any) -> str:
    domain: str = _DOMAIN_TEXT(name, value)
    if not is_registry(domain):
        raise InvalidField(name, value, "it has to be HOST or HOST:PORT, such as registry.example.org:5000.")
    return domain


# The Engine sends both in one line of HTTP; what clients send by mistake, such as a line break, belongs to neither.
_PRINTABLE = r"\A[^\x00-\x1f\x7f]+\Z"
FIELDS: Mapping[str, FieldCheck] = {
    "name": optional(NAME),
    "domain": FieldCheck(_domain, _DOMAIN_TEXT.schema),
    "username": optional(text(pattern=r"\A[^\x00-\x1f\x7f:]+\Z", rule="it has neither colons nor line breaks.")),
    "password": optional(text(pattern=_PRINTABLE, rule="it has no line breaks.", secret=True)),
}


def build_schema(*required_names: str) -> Schema:
    """The schema of a body with a registry."""
    registry = FieldCheck(lambda _, value: value, body_of(FIELDS, *required_names))
    return body_of({"registry": registry}, "registry")


def _read(call: Call) -> dict[str, Any]:
    """The checked fields of the body."""
    body = call.fields()
    for name in body:
        if name != "registry":
            text = f"Additional properties are not allowed ('{name[:80]}' was unexpected)."
            raise SchemaError(text, field=name)
    fields = body.get("registry")
    if not isinstance(fields, dict):
        raise SchemaError("'registry' is a required property, and has to be an object.", field="registry")
    for name in fields:
        if name not in FIELDS:
            text = f"Additional properties are not allowed ('{name[:80]}' was unexpected)."
            raise SchemaError(text, field=name)
    if fields.get("password") == _HIDDEN:
        raise InvalidField("password", _HIDDEN, "that is how a password is shown, and none.")
    return read_fields(fields, FIELDS)


def _view(registry: Registry, base: str) -> RegistryShape:
    return {
        "uuid": registry.uuid,
        "name": registry.name,
        "domain": registry.domain,
        "username": registry.login.registry_username,
        "password": _HIDDEN,
        "project_id": registry.project_id,
        "user_id": registry.user_id,
        "links": links(base, "registries", registry.uuid),
    }


def _single(registry: Registry, call: Call, status: int = 200) -> Answer:
    shape = _view(registry, call.base)
    body: RegistryAnswer = {"registry": shape}
    headers = (("Location", shape["links"][0]["href"]),) if status != 200 else ()  # noqa: PLR2004
    return reply(body, status, *headers)


async def find_registry(tx: Transaction, ident: str, project_id: str | None, field: str | None = None) -> Registry:
    """The registry with that uuid or name, of that project (None: of any)."""
    selector: RegistrySelector = {} if project_id is None else {"project_id": project_id}
    matches = await tx.registries.find(ident, selector)
    if not matches:
        raise RegistryNotFound(f"Registry {ident} could not be found.", field=field)
    if len(matches) > 1:
        text = "Multiple registries exist with same name, please use the registry uuid instead."
        raise Conflict(text, field=field)
    return matches[0]


async def _registry_of(tx: Transaction, call: Call) -> Registry:
    """The registry that the path names. Who may list all projects' may name any by its uuid."""
    ident = call.path["registry"]
    wants_all = flag_of(call, "all_projects")
    if wants_all:
        call.enforce("registry:get_all_all_projects")
    sees_all = wants_all or (is_uuid(ident) and call.allows("registry:get_all_all_projects"))
    registry = await find_registry(tx, ident, None if sees_all else call.caller.project_id)
    call.subject.set_object(registry.uuid, registry.name)
    return registry


async def index(call: Call) -> Answer:
    """GET /registries: the registries"""
    page = page_of(call)
    sees_all = flag_of(call, "all_projects")
    if sees_all:
        call.enforce("registry:get_all_all_projects")
    selector: RegistrySelector = {}
    for name in ("name", "domain", "user_id", "project_id"):
        if name in call.query:
            selector[name] = call.query[name]
    if not sees_all:
        if selector.get("project_id", call.caller.project_id) != call.caller.project_id:
            return reply({"registries": [], "next": None})
        selector["project_id"] = call.caller.project_id
    async with call.parts.store.read() as tx:
        registries = await tx.registries.list_page(page, selector, call.query.get("username"))
    body: RegistryList = {
        "registries": [_view(registry, call.base) for registry in registries],
        "next": next_page(call, page, "registries", registries),
    }
    return reply(body)


async def create(call: Call) -> Answer:
    """POST /registries: a new registry"""
    values = _read(call)
    if "domain" not in values:
        raise SchemaError("'domain' is a required property.", field="domain")
    async with call.parts.store.write() as tx:
        registry = Registry(
            uuid=call.parts.ids.uuid(),
            name=values.get("name"),
            project_id=call.caller.project_id,
            user_id=call.caller.user_id,
            domain=values["domain"],
            login=_build_login(RegistryLogin(), values),
            created_at=tx.now,
        )
        await tx.registries.insert(registry)
    call.subject.set_object(registry.uuid, registry.name)
    return _single(registry, call, 201)


def _build_login(login: RegistryLogin, values: Mapping[str, Any]) -> RegistryLogin:
    new_login = RegistryLogin(
        registry_username=values.get("username", login.registry_username),
        registry_password=values.get("password", login.registry_password),
    )
    if new_login.registry_password is not None and new_login.registry_username is None:
        raise InvalidField("username", None, "it is required with a password.")
    return new_login


async def show(call: Call) -> Answer:
    """GET /registries/{id or name}: a registry"""
    async with call.parts.store.read() as tx:
        registry = await _registry_of(tx, call)
    return _single(registry, call)


async def update(call: Call) -> Answer:
    """PATCH /registries/{id or name}: another name, domain or login"""
    values = _read(call)
    async with call.parts.store.write() as tx:
        registry = await _registry_of(tx, call)
        moves = normalise_registry(values.get("domain", registry.domain)) != normalise_registry(registry.domain)
        if moves and registry.login.registry_password is not None and "password" not in values:
            reason = "the password has to come with it: the one that is stored is for the present domain alone."
            raise InvalidField("domain", values["domain"], reason)
        updated_registry = replace(
            registry,
            name=values.get("name", registry.name),
            domain=values.get("domain", registry.domain),
            login=_build_login(registry.login, values),
            updated_at=tx.now,
        )
        await tx.registries.update(updated_registry)
    return _single(updated_registry, call)


async def delete(call: Call) -> Answer:
    """DELETE /registries/{id or name}: the registry's end"""
    async with call.parts.store.write() as tx:
        registry = await _registry_of(tx, call)
        containers = await tx.containers.uuids({"registry_id": registry.uuid})
        if containers:
            others = f" and {len(containers) - 1} more" if len(containers) > 1 else ""
            text = f"Registry {registry.uuid} is in use: container {containers[0]}{others} gets its image from there."
            raise Conflict(text)
        await tx.registries.remove({"uuid": registry.uuid})
    return NO_CONTENT


def check_image_of(registry: Registry, image: str) -> None:
    """Raise if the registry cannot have that image: a login goes to its own registry and to no other."""
    host, _ = split_host(image)
    if host is not None and normalise_registry(host) != normalise_registry(registry.domain):
        reason = f"its domain is {registry.domain}, and image {image[:80]} is named in {host[:80]}."
        raise InvalidField("registry", registry.name or registry.uuid, reason)
    if "/" not in qualify_image(image, registry.domain):
        raise InvalidField("image", image, "an image with a registry is named by its repository.")
