"""The page at `/`, for people with a browser: what this is, whether it works, how to point a client here.

It is a page of its own with no script and nothing from elsewhere, and shows only what anybody may know. Clients never
ask for it: the version documents of the families are below their prefixes. Neighbours: `app`; `health`.
"""

from collections.abc import Iterable
from functools import cache
from html import escape
from importlib.metadata import PackageNotFoundError, version
from string import Template

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
of the service, <code>jeroboam up</code> prints where the files <code>clouds.yaml</code> and <code>openrc</code> are;
from elsewhere:</p>
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
        families="\n".join(_render_family(head, family) for family in families),
    )
    return Answer(body=page.encode(), media_type="text/html; charset=utf-8", headers=_HEADERS)


def _render_family(head: RequestHead, family: Family) -> str:
    url = escape(f"{head.origin}/{family.prefix}/v1")
    links = [
        f'<a href="{family.prefix}/">versions</a>',
        f'<a href="{family.prefix}/{openapi.NAME}">OpenAPI document</a>',
    ]
    if family.prefix in _API_REFERENCES:
        links.append(f'<a href="{_API_REFERENCES[family.prefix]}">{family.peer}\'s API reference</a>')
    return f"<li>{family.prefix}, the API of {family.peer}: <code>{url}</code> ({', '.join(links)})</li>"
