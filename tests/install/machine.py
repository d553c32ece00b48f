"""A machine with next to nothing on it, for scripts that set machines up.

A script runs in namespaces of its own: `/run`, `/usr/sbin` and what else is named are empty there, PATH has a few
programs and the stand-ins for `apt-get`, `systemctl` and `dockerd`, and all that it has started ends with it.
"""

import os
import pathlib
import shutil
import subprocess
import sys
from dataclasses import dataclass

EMPTY = ("/run", "/usr/sbin", "/usr/include", "/usr/lib/postgresql", "/var/lib", "/var/log")
TOOLS = "bash cat chmod dirname grep id ls mkdir mktemp mv rm rmdir seq setsid sh sleep sort tail tr".split()
ENGINE = """\
#!{python}
import http.server, socketserver
class Ping(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write({containers!r}.encode())
    def log_message(self, *_): pass
    def address_string(self): return ""
socketserver.ThreadingUnixStreamServer("/var/run/docker.sock", Ping).serve_forever()
"""
APT_GET = """\
echo "apt-get $*" >>{calls}
case "$*" in
    *install*) [ -x /usr/sbin/policy-rc.d ] && ! /usr/sbin/policy-rc.d docker start && echo guarded >>{calls} ;;
esac
case "$*" in *docker.io*) cp {engine} {bin}/dockerd ;; esac
true
"""
SYSTEMCTL = """\
echo "systemctl $*" >>{calls}
case "$*" in
    is-failed*) ! {works} ;;
    enable*docker.service) if {works}; then dockerd >/dev/null 2>&1 & fi ;;
esac
"""


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str
    calls: list[str]
    """What the stand-ins were called with, one after the other."""

    @property
    def installed(self) -> set[str]:
        """The packages that `apt-get` was to install."""
        words = [word for call in self.calls if " install " in call for word in call.partition(" install ")[2].split()]
        return {word for word in words if not word.startswith("-")}


class Machine:
    """The machine. `works` says whether its Engine starts, `containers` is what the Engine lists."""

    def __init__(self, folder: pathlib.Path, *, has_systemd: bool, works: bool = True, containers: str = "[]") -> None:
        self._bin = folder / "bin"
        self._calls = folder / "calls"
        self._has_systemd = has_systemd
        self._bin.mkdir()
        for tool in (*TOOLS, "cp"):
            (self._bin / tool).symlink_to(shutil.which(tool))
        (self._bin / "python3").symlink_to(sys.executable)
        engine = folder / "engine"
        engine.write_text(
            ENGINE.format(python=sys.executable, containers=containers)
            if works
            else "#!/bin/sh\necho no room >&2\nexit 1\n"
        )
        engine.chmod(0o755)
        places = {"calls": self._calls, "engine": engine, "bin": self._bin, "works": str(works).lower()}
        self.add_program("apt-get", APT_GET.format(**places))
        if has_systemd:
            self.add_program("systemctl", SYSTEMCTL.format(**places))

    def add_program(self, name: str, text: str) -> None:
        """Add a stand-in: a script of the shell."""
        (self._bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (self._bin / name).chmod(0o755)

    def run(self, script: pathlib.Path, *options: str, first: str = "true", then: str = "true") -> Done:
        """Run a line of the shell there, the script, and another line if the script was successful."""
        self._calls.write_text("")
        folders = [folder for folder in EMPTY if pathlib.Path(folder).is_dir()]
        before = [f"mount -t tmpfs none {folder}" for folder in folders]
        before += ["mkdir -p /run/systemd/system"] if self._has_systemd else []
        line = " && ".join([*before, f'export PATH={self._bin} && {first} && bash {script} "$@" && {then}'])
        done = subprocess.run(
            [
                *"unshare --map-root-user --mount --pid --mount-proc --fork --kill-child sh -c".split(),
                line,
                "sh",
                *options,
            ],
            env={key: value for key, value in os.environ.items() if not key.startswith(("DOCKER_", "JEROBOAM_"))},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr, self._calls.read_text().splitlines())
