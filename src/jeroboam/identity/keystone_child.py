"""The child process in which an embedded Keystone runs.

`python -m jeroboam.identity.keystone_child CONFIG FD URL first|again PARENT`; PARENT is the starter's process id.
Keystone reads the process's arguments and keeps its configuration in a global, so it gets a process of its own.
Input is the configuration file, one inherited listening socket and, on the first start, the admin's password on
standard input. The process ends when its parent ends, in any way. Neighbour: `embedded`, which starts the process.
"""

import ctypes
import os
import signal
import socket
import sys

PR_SET_PDEATHSIG = 1
FIRST = (
    ("db_sync",),
    ("fernet_setup",),
    ("credential_setup",),
    ("bootstrap", "--bootstrap-username", "admin", "--bootstrap-project-name", "admin"),
)


def main() -> None:
    """Prepare what is missing, then serve until SIGTERM."""
    config, descriptor, url, first = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == "first"
    _end_with(int(sys.argv[5]))
    sys.argv = ["keystone", "--config-file", config]
    # Only the owner may read databases and keys.
    os.umask(0o077)
    if first:
        _prepare(config, url, sys.stdin.read())
    folder, name = os.path.split(config)
    os.environ |= {"OS_KEYSTONE_CONFIG_DIR": folder, "OS_KEYSTONE_CONFIG_FILES": name}

    import waitress  # noqa: PLC0415  (only after the arguments were put out of Keystone's way)
    from keystone.server.wsgi import initialize_public_application  # noqa: PLC0415

    sys.argv = sys.argv[:1]
    application = initialize_public_application()
    listener = socket.socket(fileno=descriptor)
    # Nothing is lost: SQLite keeps committed data, and all clients have ended before. A shutdown would take seconds.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    waitress.serve(application, sockets=[listener], threads=4, ident=None, _quiet=True)


def _end_with(parent: int) -> None:
    """Have the kernel end this process with that parent; end at once if the parent is gone already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("keystone: the process that started this one is gone")


def _prepare(config: str, url: str, password: str) -> None:
    """Create tables, keys and the first admin: Keystone's own commands, each in a fork that shares the loaded code."""
    from keystone.cmd import cli  # noqa: PLC0415

    if not password:
        sys.exit("keystone: the process that started this one has not said the admin's password")
    for command in FIRST:
        arguments = [*command]
        if command[0].endswith("_setup"):
            arguments += ["--keystone-user", "root", "--keystone-group", "root"] if os.getuid() == 0 else []
        if command[0] == "bootstrap":
            arguments += ["--bootstrap-region-id", "RegionOne", "--bootstrap-public-url", url]
        here = os.getpid()
        pid = os.fork()
        if pid == 0:
            _end_with(here)
            # The variable ends with this command. No list of processes shows a variable that a process sets itself.
            os.environ["OS_BOOTSTRAP_PASSWORD"] = password
            sys.argv = ["keystone-manage", "--config-file", config, *arguments]
            cli.main(sys.argv)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            sys.exit(f"keystone: {command[0]} failed")


if __name__ == "__main__":
    main()
