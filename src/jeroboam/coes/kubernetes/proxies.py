"""The proxies that a template names, on the way of images to nodes: what containerd has in its environment.

Only containerd gets it, which fetches the images. Kubelets, etcd and kubeadm speak to the cluster itself, and that way
leads through no proxy. Neighbours: `boot`, which lays the file; the COE, whose checks ask; the node image, whose entry
reads it. (kube-proxy is something else.)
"""

import re

from jeroboam.coes.base import CoePlan
from jeroboam.coes.kubernetes.options import networks
from jeroboam.domain.clusters import TemplateSpec
from jeroboam.domain.errors import Invalid
from jeroboam.domain.nodes import File

_PATH = "/etc/containerd/environment"
_LARGEST_PORT = 65535
# What Go's programs can read; without a user in it, it has no secret.
_USER = r"([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})+@"
_HOST = r"([A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
_URL = re.compile(rf"[Hh][Tt][Tt][Pp][Ss]?://({_USER})?{_HOST}(:(?P<port>[1-9][0-9]{{0,4}}))?/?", re.ASCII)
_DIRECT = re.compile(r"[A-Za-z0-9.:*/_\[\]-]+", re.ASCII)
# A node itself, and services by their names.
_OWN = ("localhost", "127.0.0.1", ".svc", ".cluster.local")


def check(template: TemplateSpec) -> None:
    """Raise `Invalid` for proxies that cannot be. What was said is not repeated: there may be a password in it."""
    for name, url in (("http_proxy", template.http_proxy), ("https_proxy", template.https_proxy)):
        if url is not None and not _is_url(url):
            text = (
                f"{name} is no URL of a proxy such as http://user:password@proxy.example.com:3128, "
                "with a host and no path; other signs in a user or a password are written as %40."
            )
            raise Invalid(text, field=name)
    for word in (template.no_proxy or "").split(","):
        if word and _DIRECT.fullmatch(word) is None:
            text = f"no_proxy has {word[:80]!r}, but takes names, addresses and networks, with commas and no spaces."
            raise Invalid(text, field="no_proxy")


def files(plan: CoePlan, registry: str) -> list[File]:
    """What containerd is told; nothing where there is no proxy. `registry` is the address of the cluster's own."""
    template = plan.template
    said = {"HTTP_PROXY": template.http_proxy, "HTTPS_PROXY": template.https_proxy}
    named = {name: url for name, url in said.items() if url}
    if not named:
        return []
    named["NO_PROXY"] = ",".join(_direct(plan, registry))
    text = "".join(f"{name}={value}\n" for name, value in named.items())
    return [File(path=_PATH, content=text.encode(), mode=0o600)]


def _direct(plan: CoePlan, registry: str) -> list[str]:
    """What is asked without a proxy: what users say, and all that is in the cluster."""
    nets = networks(plan.labels)
    nodes = [member.address for member in plan.members] + ([plan.balancer] if plan.balancer else [])
    said = [word for word in (plan.template.no_proxy or "").split(",") if word]
    return list(dict.fromkeys([*said, *_OWN, *nodes, str(nets.pods), str(nets.services), registry]))


def _is_url(text: str) -> bool:
    found = _URL.fullmatch(text)
    return found is not None and int(found["port"] or "1") <= _LARGEST_PORT
