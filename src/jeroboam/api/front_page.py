"""The page at `/`, for people with a browser: what this is, whether it works, how to point a client here.

It is a page of its own with no script and nothing from elsewhere, and shows only what anybody may know. Clients never
ask for it: the version documents of the families are below their prefixes. Neighbours: `app`; `health`.
"""

from collections.abc import Iterable
from functools import cache
from html import escape
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from string import Template
from urllib.parse import urlsplit

from jeroboam.api import openapi
from jeroboam.api.call import Answer, Family
from jeroboam.api.edge import RequestHead

_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
)
_API_REFERENCES = {
    "container-infra": "https://docs.openstack.org/api-ref/container-infrastructure-management/",
    "container": "https://docs.openstack.org/api-ref/application-container/",
}
_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Jeroboam</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
pre { background: #f4f4f4; padding: .8rem; overflow-x: auto; }
.works { color: #176b2c; } .limps { color: #a3310a; }
</style>
</head>
<body>
<h1>Jeroboam</h1>
<p>Containers, and clusters that run containers, as cloud resources. Version $version.</p>
<p>State: $state</p>
<h2>Point a client here</h2>
<p>The clients of OpenStack find this service in the catalogue of its Keystone, <code>$auth_uri</code>. On the machine
of the service, <code>jeroboam up</code> prints the line that reads the file <code>openrc</code>, with the variables of
the user demo; <code>clouds.yaml</code> is in the same folder. With a user of your own, $reach:</p>
<pre>
export OS_AUTH_URL=$auth_uri
export OS_USERNAME=USER OS_PASSWORD=PASSWORD OS_PROJECT_NAME=PROJECT
export OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default OS_IDENTITY_API_VERSION=3
openstack coe cluster template list
openstack appcontainer list
</pre>
<h2>APIs</h2>
<ul>
$families
</ul>
<h2>For operators</h2>
<ul>
<li><a href="healthcheck">healthcheck</a>, on this machine or with an admin's token also
<a href="healthcheck?detailed=true">in detail</a></li>
<li><a href="metrics">metrics</a> for Prometheus</li>
<li>the documentation is in the folder <code>docs</code> of the source: <code>tutorial.md</code>,
<code>operators.md</code>, <code>api-notes.md</code></li>
</ul>
</body>
</html>
""")


@cache
def read_version() -> str:
    """The version of the installed package."""
    try:
        return version("jeroboam")
    except PackageNotFoundError:
        return "unknown"


def render_front_page(head: RequestHead, families: Iterable[Family], *, auth_uri: str, faults: list[str]) -> Answer:
    """The page; `faults` is what does not work, as far as anybody may know."""
    state = (
        f'<strong class="limps">{escape(" ".join(faults))}</strong>'
        if faults
        else '<strong class="works">works</strong>'
    )
    page = _PAGE.substitute(
        version=escape(read_version()),
        state=state,
        auth_uri=escape(auth_uri),
        reach=_describe_reach(auth_uri),
        families="\n".join(_render_family(head, family) for family in families),
    )
    return Answer(body=page.encode(), media_type="text/html; charset=utf-8", headers=_HEADERS)


def _describe_reach(auth_uri: str) -> str:
    """Return from where clients can log in, as far as the address says so."""
    host = urlsplit(auth_uri).hostname or ""
    try:
        address = ip_address(host)
    except ValueError:
        is_local, is_any = host == "localhost", False
    else:
        is_local, is_any = address.is_loopback, address.is_unspecified
    if is_local:
        options = "<code>[keystone] listen</code> and <code>[api] listen</code>"
        return f"on that machine only (the options {options} open the service to others)"
    return f"with the address of that machine in place of {escape(host)}" if is_any else "also from elsewhere"


def _render_family(head: RequestHead, family: Family) -> str:
    url = escape(f"{head.origin}/{family.prefix}/v1")
    links = [
        f'<a href="{family.prefix}/">versions</a>',
        f'<a href="{family.prefix}/{openapi.NAME}">OpenAPI document</a>',
    ]
    if family.prefix in _API_REFERENCES:
        links.append(f'<a href="{_API_REFERENCES[family.prefix]}">{family.peer}\'s API reference</a>')
    return f"<li>{family.prefix}, the API of {family.peer}: <code>{url}</code> ({', '.join(links)})</li>"
