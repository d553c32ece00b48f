"""The fields of a cluster template, in one table (contract: container-infra, section 5).

Checks, views, OpenAPI and the table in the docs follow from it. A new field takes an attribute of `TemplateSpec` and a
row here, in the order of answers; where drivers carry it out, also their rules in `domain.field_effects`. Neighbours:
`templates`, the handlers; `bays.baymodels`, which shows some of these fields to clients of 2015.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict
from uuid import UUID

from jeroboam.api.call import Call
from jeroboam.api.container_infra.fields import (
    InfraField,
    create_checks,
    effects_of,
    links_to,
    patch_checks,
    read_only_names,
    show_created_at,
    show_updated_at,
)
from jeroboam.api.container_infra.schema import ipv4_list, labels
from jeroboam.api.container_infra.shapes import Labels
from jeroboam.api.field_table import build_shape, compile_view
from jeroboam.api.fields import FieldCheck, choice, flag, integer, optional, text
from jeroboam.api.shapes import Link, Moment, NextPage, Uuid
from jeroboam.domain import field_effects
from jeroboam.domain.clusters import Template
from jeroboam.domain.errors import Invalid
from jeroboam.domain.field_effects import service
from jeroboam.kit.ids import is_uuid

_TEXT = optional(text())
_SECRET = optional(text(secret=True))
# User and password in a URL, also where a password that nobody escaped has slashes or at signs.
_USER = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)
_MASK = "***@"


def _uuid(name: str, value: Any) -> str:
    if not (isinstance(value, str) and is_uuid(value)):
        raise Invalid(f"Expected a uuid but received {value}.", field=name)
    return str(UUID(value))


IDENT = optional(FieldCheck(_uuid, {"type": "string", "format": "uuid"}))
"""The id of a new object; the client may choose it."""


def mask_password(url: str | None) -> str | None:
    """The URL of a proxy without its user and password."""
    return None if url is None else _USER.sub(rf"\g<1>{_MASK}", url)


def _show_proxy(template: Template, call: Call, name: str) -> str | None:
    """The URL of a template's proxy. Its password is shown to callers of the project that owns the template."""
    url: str | None = getattr(template.spec, name)
    return url if template.project_id == call.caller.project_id else mask_password(url)


def keep_password(name: str, value: Any, old: str | None = None) -> Any:
    """The value that a request means for this field: a masked URL is the old one.

    Raises `Invalid` for a mask that stands for no password, so that a mask is never stored.
    """
    if name not in _PROXIES or not isinstance(value, str) or _MASK not in value or value != mask_password(value):
        return value
    if value == mask_password(old):
        return old
    reason = "*** stands for a user and a password that are not shown: write them, or leave the field as it is"
    raise Invalid(f"Invalid input for field '{name}': {reason}.", field=name)


FIELDS = (
    InfraField(name="uuid", check=IDENT, effect=service("the id of the new template"), type=Uuid, show="uuid"),
    InfraField(name="name", check=_TEXT, effect=service(), updatable=True, type=str, show="name"),
    InfraField(
        name="coe",
        check=text(),
        effect=service("one of the COEs that the operator has switched on"),
        required=True,
        updatable=True,
        removable=False,
        type=str,
    ),
    InfraField(name="image_id", check=text(), required=True, updatable=True, removable=False, type=str),
    InfraField(name="flavor_id", check=_TEXT, updatable=True, type=str | None),
    InfraField(name="master_flavor_id", check=_TEXT, updatable=True, type=str | None),
    InfraField(name="keypair_id", check=_TEXT, updatable=True, type=str | None),
    InfraField(name="external_network_id", check=_TEXT, updatable=True, removable=False, type=str | None),
    InfraField(name="fixed_network", check=_TEXT, updatable=True, type=str | None),
    InfraField(name="fixed_subnet", check=_TEXT, updatable=True, type=str | None),
    InfraField(name="network_driver", check=_TEXT, updatable=True, removable=False, type=str | None),
    InfraField(name="volume_driver", check=_TEXT, updatable=True, type=str | None),
    InfraField(name="dns_nameserver", check=optional(ipv4_list), updatable=True, type=str | None),
    InfraField(name="apiserver_port", check=optional(integer(low=1024, high=65535)), updatable=True, type=int | None),
    InfraField(name="docker_volume_size", check=optional(integer(low=1)), updatable=True, type=int | None),
    InfraField(name="docker_storage_driver", check=_TEXT, updatable=True, type=str | None),
    InfraField(
        name="cluster_distro",
        check=_TEXT,
        effect=service("read from the image, whatever the request says"),
        updatable=True,
        removable=False,
        type=str | None,
    ),
    InfraField(
        name="http_proxy",
        check=_SECRET,
        updatable=True,
        type=str | None,
        show=lambda template, call: _show_proxy(template, call, "http_proxy"),
        sortable=False,
    ),
    InfraField(
        name="https_proxy",
        check=_SECRET,
        updatable=True,
        type=str | None,
        show=lambda template, call: _show_proxy(template, call, "https_proxy"),
        sortable=False,
    ),
    InfraField(name="no_proxy", check=_TEXT, updatable=True, type=str | None),
    InfraField(name="insecure_registry", check=_TEXT, updatable=True, type=str | None),
    InfraField(name="labels", check=labels, updatable=True, type=Labels),
    InfraField(name="registry_enabled", check=flag, updatable=True, removable=False, type=bool),
    InfraField(name="tls_disabled", check=flag, updatable=True, removable=False, type=bool),
    InfraField(name="master_lb_enabled", check=flag, updatable=True, type=bool),
    InfraField(name="floating_ip_enabled", check=flag, updatable=True, type=bool),
    InfraField(name="server_type", check=choice("vm", "bm"), updatable=True, removable=False, type=str),
    InfraField(
        name="tags",
        check=optional(text(low=0)),
        effect=service("stored for its users"),
        updatable=True,
        type=str | None,
    ),
    InfraField(
        name="driver",
        check=_TEXT,
        effect=service("the provider; the operator's default without it"),
        updatable=True,
        type=str | None,
    ),
    InfraField(name="public", check=flag, effect=service(), updatable=True, removable=False, type=bool, show="public"),
    InfraField(name="hidden", check=flag, effect=service(), updatable=True, removable=False, type=bool, show="hidden"),
    InfraField(name="project_id", type=str, show="project_id"),
    InfraField(name="user_id", type=str, show="user_id"),
    InfraField(name="links", type=list[Link], show=links_to("clustertemplates"), sortable=False),
    InfraField(name="created_at", type=Moment | None, show=show_created_at),
    InfraField(name="updated_at", type=Moment | None, show=show_updated_at),
)

_PROXIES = {
    "http_proxy": lambda template, _: mask_password(template.spec.http_proxy),
    "https_proxy": lambda template, _: mask_password(template.spec.https_proxy),
}


def mask_passwords(table: Iterable[InfraField]) -> tuple[InfraField, ...]:
    """The same rows as lists show them: no list shows the password of a proxy, whoever asks."""
    return tuple(replace(field, show=_PROXIES.get(field.name, field.show)) for field in table)


CREATE_CHECKS = create_checks(FIELDS)
PATCH_CHECKS = patch_checks(FIELDS)
READ_ONLY = read_only_names(FIELDS)
REQUIRED = tuple(field.name for field in FIELDS if field.required)
UNREMOVABLE = frozenset(field.name for field in FIELDS if not field.removable)
EFFECTS = effects_of(FIELDS, field_effects.TEMPLATES)
HIDDEN: frozenset[str] = frozenset()
"""Attributes of the spec that answers do not show."""

view = compile_view(FIELDS)
"""The full object, for a call."""
list_view = compile_view(mask_passwords(FIELDS))
"""The object as lists show it, for a call: whole, but for the passwords of proxies."""
if TYPE_CHECKING:
    TemplateShape = dict[str, Any]
else:
    TemplateShape = build_shape("TemplateShape", "A cluster template.", FIELDS)


class TemplateList(TypedDict):
    """A page of cluster templates, whole: this list has no shorter form."""

    clustertemplates: list[TemplateShape]
    next: NotRequired[NextPage]
    total_count: NotRequired[int]
