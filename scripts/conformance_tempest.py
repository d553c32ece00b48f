"""Tempest's suite of Zun against a service of ours, at three versions; `make conformance` runs it.

A service of its own runs until the end, with the images that the suites name made of busybox. What a suite needs and
is not there (Neutron, Glance, Cinder) is listed in `WAITING`; any other failure is one of ours. The exit status is 0
only if there is none. Neighbour: `stage`.
"""

import argparse
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from stage import BIN, StepFailed, console, end_on_signals, leftovers, run, service, step

ENGINE = "/var/run/docker.sock"
ENGINE_PORT = 2375
"""Where the suite of Zun looks at the Engine, past the service."""
IMAGES = ("cirros:latest", "nginx:latest")
SECONDS = 3600
REPORTS = pathlib.Path("build/conformance")
WAITING = {
    "Neutron": (
        "container_expose_port container_network detach_and_attach_network_to_container run_container_with_network "
        "run_container_with_no_gateway_subnet run_container_with_port run_container_with_port_in_dual_net "
        "run_container_with_security_groups run_container_with_shared_network run_container_without_security_groups "
        "add_and_remove_security_group"
    ),
    "Cinder": "run_container_with_cinder_volume_dynamic_created run_container_with_cinder_volumes",
    "Glance": "commit_container commit_container_140 run_container_with_image_driver_glance",
}
_WAITS_FOR = {f"test_{name}": service for service, names in WAITING.items() for name in names.split()}
_RESULT = re.compile(r"^\{\d+\} (\S+)(?: \[[^]]*\])? \.\.\. (ok|FAILED|SKIPPED)(?:: (.*))?$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """One run of a suite. `version`: the microversion of the container API."""

    name: str
    version: str


SUITES = (
    Suite(name="zun at 1.40", version="1.40"),
    Suite(name="zun at 1.19", version="1.19"),
    Suite(name="zun at 1.24", version="1.24"),
)


def main() -> int:
    """Run the suites. Return 1 if a test failed that waits for nothing."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("tempest", type=pathlib.Path, help="The folder of an environment with tempest in it.")
    words.add_argument("--focus", default="", help="Only suites with this in their name.")
    given = words.parse_args()
    failed: list[str] = []
    REPORTS.mkdir(parents=True, exist_ok=True)
    with end_on_signals(), suite_images(), installation() as state, engine_port():
        for suite in SUITES:
            if given.focus in suite.name:
                with step(suite.name):
                    failed += run_suite(given.tempest.absolute() / "bin", state, suite)
    for name in failed:
        console.print(f"            failed {name}", markup=False)
    return 1 if failed else 0


@contextlib.contextmanager
def installation() -> Iterator[pathlib.Path]:
    """Give the state folder of a running service; in the end it is removed with all that it made."""
    with tempfile.TemporaryDirectory() as place:
        state = pathlib.Path(place) / "state"
        try:
            with service(state):
                yield state
        finally:
            name = (state / "installation").read_text().strip()
            run(BIN / "jeroboam", "down", "--state", state, "--yes")
        if left := leftovers(name):
            raise StepFailed(f"the Engine still has {left}")


@contextlib.contextmanager
def engine_port() -> Iterator[None]:
    """Let the Engine answer on loopback too."""
    listen = f"TCP-LISTEN:{ENGINE_PORT},bind=127.0.0.1,fork,reuseaddr"
    process = subprocess.Popen(["socat", listen, f"UNIX-CONNECT:{ENGINE}"], start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def suite_images() -> Iterator[None]:
    """Let the Engine have the images that the suite names, made of busybox; those that it has stay as they are."""
    missing = [name for name in IMAGES if not run("docker", "images", "--quiet", name).strip()]
    try:
        for name in missing:
            container = run("docker", "create", "busybox:latest").strip()
            run("docker", "commit", "--change", 'CMD ["sleep","86400"]', container, name)
            run("docker", "rm", container)
        yield
    finally:
        for name in missing:
            subprocess.run(["docker", "rmi", name], capture_output=True, check=False)


def write_config(state: pathlib.Path, folder: pathlib.Path, suite: Suite) -> None:
    """Write tempest.conf for that suite."""
    admin = yaml.safe_load((state / "clouds.yaml").read_text())["clouds"]["jeroboam-admin"]["auth"]
    absent = "".join(f"{name} = false\n" for name in ("neutron", "nova", "glance", "cinder", "swift"))
    (folder / "etc").mkdir(parents=True, exist_ok=True)
    (folder / "etc" / "tempest.conf").write_text(
        f"""[DEFAULT]
log_dir = {folder}
log_file = tempest.log
[auth]
use_dynamic_credentials = true
create_isolated_networks = false
admin_username = {admin["username"]}
admin_password = {admin["password"]}
admin_project_name = {admin["project_name"]}
admin_domain_name = {admin["user_domain_name"]}
[identity]
auth_version = v3
uri_v3 = {admin["auth_url"]}
region = RegionOne
[identity-feature-enabled]
api_v3 = true
[service_available]
{absent}zun = true
[container_service]
min_microversion = {suite.version}
max_microversion = {suite.version}
[oslo_concurrency]
lock_path = {folder}/lock
"""
    )


def run_suite(programs: pathlib.Path, state: pathlib.Path, suite: Suite) -> list[str]:
    """Run the suite and show its counts. Return the tests that failed and wait for nothing."""
    folder = state.parent / suite.name.replace(" ", "-")
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    workspaces = state.parent / "workspaces.yaml"
    run(programs / "tempest", "init", "--workspace-path", workspaces, folder, environment=environment)
    write_config(state, folder, suite)
    done = subprocess.run(
        [programs / "tempest", "run", "--serial", "--regex", "^zun_tempest_plugin"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    (REPORTS / f"{suite.name.replace(' ', '-')}.txt").write_text(done.stdout + done.stderr)
    results = _RESULT.findall(done.stdout)
    if not results:
        raise StepFailed(f"{suite.name}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    passed = [name for name, result, _ in results if result == "ok"]
    failed = [name for name, result, _ in results if result == "FAILED"]
    waiting = [name for name in failed if name.rpartition(".")[2] in _WAITS_FOR]
    skipped = [name for name, result, _ in results if result == "SKIPPED"]
    counts = f"{len(passed)} passed, {len(failed) - len(waiting)} failed, {len(waiting)} wait for other services"
    console.print(f"            {suite.name}: {counts}, {len(skipped)} skipped", markup=False)
    return [name for name in failed if name not in waiting]


if __name__ == "__main__":
    sys.exit(main())
