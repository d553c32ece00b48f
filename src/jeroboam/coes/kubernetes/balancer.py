"""The load balancer in front of several masters: HAProxy, which forwards connections to API servers that are ready.

Neighbours: the COE, which returns its script; the image that it boots from (`jeroboam.nodeimages.loadbalancer`).
"""

from jeroboam.coes.base import CoePlan
from jeroboam.coes.kubernetes.components import api_port
from jeroboam.domain.nodes import NodeFile, NodeScript

IMAGE = "load-balancer"

_CONFIG = "/etc/haproxy/haproxy.cfg"
# Watches and `kubectl exec` last long and may be silent for a long time.
_TEMPLATE = """\
global
    user nobody
    group nogroup
defaults
    mode tcp
    timeout connect 2s
    timeout check 2s
    timeout client 24h
    timeout server 24h
    option clitcpka
    option srvtcpka
    option redispatch
    retries 3
frontend api
    bind :{port}
    default_backend masters
backend masters
    balance leastconn
    option httpchk GET /readyz
    # An API server that answers nobody without a certificate answers for all that.
    http-check expect rstatus ^(200|401)$
    default-server check check-ssl verify none inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


def build_script(plan: CoePlan) -> NodeScript:
    """Return the script of the load balancer."""
    servers = "\n".join(f"    server {member.name} {member.address}:{api_port(plan)}" for member in plan.masters)
    config = _TEMPLATE.format(port=api_port(plan), servers=servers)
    return NodeScript(
        files=(NodeFile(path=_CONFIG, content=config.encode()),),
        commands=(("/usr/sbin/haproxy", "-db", "-f", _CONFIG),),
    )
