"""The field `insecure_registry` of a template: the registries from which a cluster's nodes pull without TLS."""

import re
from ipaddress import ip_network

from jeroboam.domain.clusters import TemplateSpec
from jeroboam.domain.errors import Invalid

HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[1-9][0-9]{0,4})?"
"""Matches the name or address of a registry, with or without a port."""
_REGISTRY = re.compile(HOST, re.ASCII)


def list_insecure_registries(template: TemplateSpec) -> list[str]:
    """Return the registries of the field, which is a list with commas."""
    return [name.strip() for name in (template.insecure_registry or "").split(",") if name.strip()]


def check_insecure_registries(template: TemplateSpec, *, networks: bool) -> None:
    """Raise `Invalid` for malformed registry names. With `networks`, networks are valid too, as in Docker Engine."""
    for name in list_insecure_registries(template):
        if _REGISTRY.fullmatch(name) is None and not (networks and _is_network(name)):
            hint = ", or a network such as 192.0.2.0/24" if networks else ""
            rule = f"the name or the address of a registry, with or without a port{hint}"
            text = f"insecure_registry {name[:80]!r} is not {rule}."
            raise Invalid(text, field="insecure_registry")


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
