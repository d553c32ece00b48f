"""How this machine reaches package registries, so that a guest on it reaches them in the same way.

On a usual machine all of it is empty, and the guest uses the defaults of its tools. Names of hosts are read here and
written nowhere but into the guest. Neighbours: `image`, which writes it into the disk.
"""

import os
import pathlib
import re
import subprocess
from collections.abc import Mapping

CODENAME = "bookworm"
"""The release of Debian whose sources may be taken from this machine."""

_APT = pathlib.Path("/etc/apt")
_SOURCES = ("sources.list", "sources.list.d/debian.sources")
_APT_OPTIONS = re.compile(r"^Acquire::(Check|Retries|https?::)")
_VARIABLES = re.compile(r"^(PIP|UV)_|_proxy$|^GO(PROXY|SUMDB|NOSUMDB|PRIVATE)$|^(REQUESTS|CURL)_CA_BUNDLE$|^SSL_CERT_")
# Folders of this machine, and what is no business of a registry.
_NOT_TAKEN = re.compile(r"^PIP_(FIND_LINKS|REQUIRE_VIRTUALENV|CACHE_DIR|TARGET)$|^UV_(CACHE_DIR|PROJECT|PYTHON)")
_AUTHORITIES = pathlib.Path("/usr/local/share/ca-certificates")
_CERTIFICATES = "/etc/ssl/certs"


def read_apt_sources(release: str) -> str:
    """Return the machine's own sources of Debian, for that release; empty where it has none of Debian 12."""
    texts = [path.read_text() for name in _SOURCES if (path := _APT / name).is_file()]
    return rename_release("\n".join(text for text in texts if CODENAME in text), release)


def rename_release(sources: str, release: str) -> str:
    """Return the sources without comments, for another release of the same distribution."""
    lines = [line for line in sources.splitlines() if not line.startswith("#")]
    text = re.sub(rf"\b{CODENAME}\b", release, "\n".join(lines)).strip()
    return f"{text}\n" if text else ""


def read_apt_options() -> str:
    """Return the options of apt that say how packages are fetched."""
    done = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True)
    return "".join(f"{line}\n" for line in done.stdout.splitlines() if _APT_OPTIONS.match(line))


def select_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that say how packages are fetched and which authorities are trusted.

    A variable that names a file of this machine is taken only if the guest has the file too.
    """
    chosen = {}
    for name, value in environment.items():
        is_wanted = _VARIABLES.search(name) or _VARIABLES.search(name.lower())
        is_elsewhere = value.startswith("/") and not value.startswith(_CERTIFICATES)
        if is_wanted and not _NOT_TAKEN.match(name) and not is_elsewhere:
            chosen[name] = value
    return chosen


def list_files() -> dict[str, bytes]:
    """Return the files of settings and authorities, by their path in the guest."""
    home = pathlib.Path.home()
    pip = (home / ".config/pip/pip.conf", home / ".pip/pip.conf", pathlib.Path("/etc/pip.conf"))
    places = {
        "etc/pip.conf": _first_file(*pip),
        "etc/uv/uv.toml": _first_file(home / ".config/uv/uv.toml", pathlib.Path("/etc/uv/uv.toml")),
        "root/.config/go/env": _first_file(home / ".config/go/env"),
    }
    files = {place: path.read_bytes() for place, path in places.items() if path is not None}
    files |= {str(path.relative_to("/")): path.read_bytes() for path in _AUTHORITIES.rglob("*.crt")}
    variables = select_variables(os.environ)
    files["etc/environment"] = "".join(f'{name}="{value}"\n' for name, value in sorted(variables.items())).encode()
    return files


def _first_file(*paths: pathlib.Path) -> pathlib.Path | None:
    return next((path for path in paths if path.is_file()), None)
