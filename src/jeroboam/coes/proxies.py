"""The proxies of a template: their validation, and the environment file that sets them for a program on a node.

Only the program that pulls images gets them. They are in a file, because an argument would show a password to
everybody on the node. Neighbours: `kubernetes.proxies` and the Swarm COE, which use this.
"""

import re
from collections.abc import Iterable

from jeroboam.domain.clusters import TemplateSpec
from jeroboam.domain.errors import Invalid
from jeroboam.domain.nodes import NodeFile

_LARGEST_PORT = 65535
# What Go programs can parse. A URL without a user has no secret.
_USER = r"([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})+@"
_HOST = r"([A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
_URL = re.compile(rf"[Hh][Tt][Tt][Pp][Ss]?://({_USER})?{_HOST}(:(?P<port>[1-9][0-9]{{0,4}}))?/?", re.ASCII)
_DIRECT = re.compile(r"[A-Za-z0-9.:*/_\[\]-]+", re.ASCII)
# A node itself.
_OWN = ("localhost", "127.0.0.1")


def check(template: TemplateSpec) -> None:
    """Raise `Invalid` for malformed proxies. The text does not repeat the value, which may contain a password."""
    for name, url in (("http_proxy", template.http_proxy), ("https_proxy", template.https_proxy)):
        if url is not None and not _is_url(url):
            text = (
                f"{name} is not the URL of a proxy such as http://user:password@proxy.example.com:3128, "
                "with a host and no path; other characters in a user or a password are written as %40."
            )
            raise Invalid(text, field=name)
    for word in (template.no_proxy or "").split(","):
        if word and _DIRECT.fullmatch(word) is None:
            text = f"no_proxy has {word[:80]!r}, but takes names, addresses and networks, with commas and no spaces."
            raise Invalid(text, field="no_proxy")


def build_environment_files(path: str, template: TemplateSpec, inside: Iterable[str]) -> list[NodeFile]:
    """Return the environment file of a program; empty without a proxy.

    `inside` are the names and networks of the cluster: they bypass the proxy, as do those of the user's `no_proxy`.
    """
    variables = {"HTTP_PROXY": template.http_proxy, "HTTPS_PROXY": template.https_proxy}
    settings = {name: url for name, url in variables.items() if url}
    if not settings:
        return []
    words = [word for word in (template.no_proxy or "").split(",") if word]
    settings["NO_PROXY"] = ",".join(dict.fromkeys([*words, *_OWN, *inside]))
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    return [NodeFile(path=path, content=text.encode(), mode=0o600)]


def _is_url(text: str) -> bool:
    match = _URL.fullmatch(text)
    return match is not None and int(match["port"] or "1") <= _LARGEST_PORT
