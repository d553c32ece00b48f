"""systemd: a unit for the service, and the messages that the service sends to systemd.

Neighbours: `up`, which sends them; the package itself.
"""

import os
import shlex
import socket
import sys
from pathlib import Path

from jeroboam.cli.terminal import Config, State, show_line

_STATE = "/var/lib/jeroboam"

_UNIT = """\
# jeroboam systemd-unit | sudo tee /etc/systemd/system/jeroboam.service
# sudo systemctl daemon-reload && sudo systemctl enable --now jeroboam
[Unit]
Description=Jeroboam: clusters and containers by the APIs of Magnum and Zun
Wants=network-online.target docker.service
After=network-online.target docker.service

[Service]
Type=notify
ExecStart={command}
Environment=OS_NODE_IMAGES__CACHE=/var/cache/jeroboam
StateDirectory=jeroboam
StateDirectoryMode=0700
CacheDirectory=jeroboam
UMask=0077
Restart=on-failure
RestartSec=5
# An emulated or very busy processor takes minutes for the first start.
TimeoutStartSec=600
TimeoutStopSec=15
# Keystone is a child that ends with the service. Clusters and containers belong to the Engine and run on.
KillMode=mixed

# The service runs as root: it talks to the Docker Engine, which is as good as root, and it closes the networks of
# containers with iptables. What it does not need is taken away; files elsewhere, as [api] audit_file, need another
# ReadWritePaths=.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_DAC_OVERRIDE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={writable}
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def show_unit(state: State = None, config: Config = None) -> None:
    """Print a unit of systemd that runs this program as a service.

    For the file /etc/systemd/system/jeroboam.service. The state is in /var/lib/jeroboam unless --state names
    another folder, which has to exist.
    """
    program = Path(sys.executable).with_name("jeroboam")
    words = [str(program), "up", "--state", str(Path(state).absolute()) if state else _STATE]
    words += ["--config", str(config.absolute())] if config else []
    # In a unit a % begins a specifier, and a $ a variable.
    command = shlex.join(words).replace("%", "%%").replace("$", "$$")
    folder = shlex.quote(words[3]).replace("%", "%%")
    # Where the folder is another one it has to exist: systemd does not make it.
    show_line(_UNIT.format(command=command, writable=f"/run {folder}" if state else "/run").rstrip())


def notify(message: str) -> None:
    """Send a message such as `READY=1` to the systemd that started this process; without one do nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # A leading @ stands for the abstract namespace.
    target = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(message.encode(), target)
