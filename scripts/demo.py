"""The demonstration: the main job, end to end, with the published clients on real systems; `make demo` runs it.

The script starts `jeroboam up` with a state folder of its own, types what a user would type, checks the output, shows
each step with its time, and removes everything. The exit status is 0 only if every step worked.
Neighbours: `stage`, the tools; `demo_kubernetes`, the second half, whose node image is built during the first.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

from demo_kubernetes import ImageBuild, kubernetes
from rich.table import Table
from rich.text import Text
from stage import (
    BIN,
    DEADLINE_SECONDS,
    OpenStack,
    StepFailed,
    console,
    end_on_signals,
    expect,
    leftovers,
    run,
    service,
    step,
    times,
    until,
)

REPLICAS = 4


def swarm(openstack: OpenStack, folder: pathlib.Path) -> None:
    """Show a Swarm of three nodes: create, use, resize, look."""
    with step("a Swarm of 1 + 2 nodes, from the request to CREATE_COMPLETE"):
        said = openstack("coe cluster create --cluster-template swarm --master-count 1 --node-count 2 demo")
        if "accepted" not in said:
            raise StepFailed(said)
        show = "coe cluster show demo -c status -f value"
        until("cluster status", lambda: openstack.quietly(show).strip(), "CREATE_COMPLETE")
    with step("its configuration: docker --tlsverify node ls"):
        exports = openstack(f"coe cluster config demo --dir {folder} --output-certs --force")
        docker_host = next(line.split("=", 1)[1] for line in exports.splitlines() if "DOCKER_HOST" in line)
        tls = [f"--tls{name}={folder}/{name}.pem" for name in ("cert", "key")]
        docker = ["docker", "-H", docker_host, "--tlsverify", f"--tlscacert={folder}/ca.pem", *tls]
        nodes = run(*docker, "node", "ls", "--format", "{{.Hostname}} {{.Status}}")
        console.print(nodes.rstrip())
        expect(sorted(line.split()[1] for line in nodes.splitlines()), ["Ready"] * 3, "nodes")
    with step("a service of four replicas over the nodes, answering on a host-mode port"):
        _service(docker)
    with step("one node more: coe cluster resize"):
        openstack("coe cluster resize demo 3")
        until("cluster status", lambda: openstack.quietly(show).strip(), "UPDATE_COMPLETE")
        ready = run(*docker, "node", "ls", "--format", "{{.Status}}").split()
        expect(ready, ["Ready"] * 4, "nodes")
    with step("every node made anew from its image, three workers at once: coe cluster upgrade"):
        openstack("coe cluster upgrade demo swarm --max-batch-size 3")
        until("cluster status", lambda: openstack.quietly(show).strip(), "UPDATE_COMPLETE")
        expect(run(*docker, "node", "ls", "--format", "{{.Status}}").split(), ["Ready"] * 4, "nodes")
        until("replicas", lambda: run(*docker, "service", "ls", "--format", "{{.Replicas}}").strip(), "4/4")
    with step("node groups, CA, stats"):
        groups = openstack.json("coe nodegroup list demo")
        expect(
            {group["name"]: group["node_count"] for group in groups},
            {"default-master": 1, "default-worker": 3},
            "groups",
        )
        if "BEGIN CERTIFICATE" not in openstack("coe ca show demo"):
            raise StepFailed("coe ca show printed no certificate")
        project = openstack("token issue -f value -c project_id").strip()
        console.print(openstack(f"coe stats list {project}").rstrip())


def _service(docker: list[str]) -> None:
    """Put a small image on the Swarm's nodes, run four replicas of it, and ask each on its own host-mode port."""
    nodes = run(*docker, "node", "ls", "-q").split()
    addresses = [run(*docker, "node", "inspect", node, "--format", "{{.Status.Addr}}").strip() for node in nodes]
    engines = {
        address: [f"tcp://{address}:2376" if part.startswith("tcp://") else part for part in docker]
        for address in addresses
    }
    saved = subprocess.run(["docker", "image", "save", "busybox:latest"], capture_output=True, check=True).stdout
    for engine in engines.values():
        load = [*engine, "image", "load"]
        subprocess.run(load, input=saved, capture_output=True, check=True, timeout=DEADLINE_SECONDS)
    serve = "while true; do echo served by $(hostname) | nc -l -p 8080; done"
    publish = ["--publish", "mode=host,target=8080", "--endpoint-mode", "dnsrr", "--no-resolve-image", "--detach"]
    run(
        *docker,
        "service",
        "create",
        *publish,
        "--stop-grace-period",
        "1s",
        "--replicas",
        "4",
        "--name",
        "web",
        "busybox",
        "sh",
        "-c",
        serve,
    )
    until("replicas", lambda: run(*docker, "service", "ls", "--format", "{{.Replicas}}").strip(), "4/4")
    answers = []
    for address, engine in engines.items():
        for ports in run(*engine, "ps", "--format", "{{.Ports}}").splitlines():
            port = int(ports.split("->")[0].rsplit(":", 1)[1])
            answers.append(f"{address}:{port} {_asked(address, port)}")
    console.print("\n".join(answers))
    if len(answers) != REPLICAS or not all("served by" in answer for answer in answers):
        raise StepFailed(f"four replicas should answer: {answers}")


def _asked(address: str, port: int) -> str:
    """Return the server's answer."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=2) as connection:
            if said := connection.recv(200).decode().strip():
                return said
    return ""


def top(environment: dict[str, str]) -> dict[str, list[list[str]]]:
    """Return the processes by python-zunclient's own call: its command line prints them with Python 2's `print`."""
    ask = (
        "import json, openstack; from zunclient.client import Client;"
        "session = openstack.connect().session;"
        "print(json.dumps(Client('1', session=session).containers.top('hello')))"
    )
    return json.loads(run(sys.executable, "-c", ask, environment=environment))


def containers(openstack: OpenStack, environment: dict[str, str]) -> None:
    """Show the whole life of a container."""
    show = "appcontainer show hello -c status -f value"

    def to(status: str, command: str) -> None:
        openstack(command)
        until(f"status after {command}", lambda: openstack.quietly(show).strip(), status)

    with step("a container, from the request to Running"):
        to("Running", "appcontainer run --name hello --cpu 0.5 --memory 64 busybox top -b")
    with step("list, logs, exec, top, stats"):
        expect([row["name"] for row in openstack.json("appcontainer list")], ["hello"], "containers")
        openstack("appcontainer logs hello --tail 12")
        log = "appcontainer logs hello"
        until("the log holds what was printed", lambda: "Mem:" in openstack.quietly(log), wanted=True)
        console.print(executed := openstack("appcontainer exec hello echo seen inside").rstrip())
        if "seen inside" not in executed:
            raise StepFailed(f"exec: {executed}")
        processes = top(environment)
        console.print(f"            {processes}")
        if not any("top -b" in " ".join(process) for process in processes["Processes"]):
            raise StepFailed(f"top: {processes}")
        console.print(openstack("appcontainer stats hello").rstrip())
    with step("stop, start, restart, pause, unpause, kill"):
        to("Stopped", "appcontainer stop hello --timeout 0")
        to("Running", "appcontainer start hello")
        to("Running", "appcontainer restart hello --timeout 0")
        to("Paused", "appcontainer pause hello")
        to("Running", "appcontainer unpause hello")
        to("Stopped", "appcontainer kill hello")


def main(*options: str) -> int:
    """Run everything in order; with `--quick` all but Kubernetes."""
    if set(options) - {"--quick"}:
        console.print(f"{' '.join(options)}: the one option is --quick")
        return 2
    started = time.monotonic()
    image = None if options else ImageBuild()
    with tempfile.TemporaryDirectory(prefix="jeroboam-demo-") as temporary:
        folder = pathlib.Path(temporary)
        state = folder / "state"
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "DOCKER_"))}
        environment |= {"OS_CLIENT_CONFIG_FILE": f"{state}/clouds.yaml", "OS_CLOUD": "jeroboam"}
        environment.setdefault("SHELL", "/bin/sh")
        try:
            with end_on_signals():
                _story(state, folder, environment, image)
        except (StepFailed, subprocess.SubprocessError) as error:
            console.print(Text.assemble(("failed", "red"), f" {error}"))
            return _end_early(has_image=image is not None)
        except KeyboardInterrupt:
            console.print(Text.assemble(("stopped", "red"), "; what it made is being removed"))
            return _end_early(has_image=image is not None)
        finally:
            if image is not None:
                image.stop()
            if (state / "installation").exists():
                subprocess.run([BIN / "jeroboam", "down", "--state", state, "--yes"], check=False)
    table = Table("step", "seconds", title=f"everything in {time.monotonic() - started:.1f} s", title_justify="left")
    for title, took in times:
        table.add_row(title, f"{took:.2f}")
    console.print(table)
    console.print(f"now by hand: {BIN / 'jeroboam'} up, and docs/tutorial.md")
    return 0


def _end_early(*, has_image: bool) -> int:
    """Say that nothing is lost. Return the exit status."""
    console.print(
        "run it again: make demo; what was finished of the node image is kept"
        if has_image
        else "run it again: make demo-quick"
    )
    return 1


def _story(state: pathlib.Path, folder: pathlib.Path, environment: dict[str, str], image: ImageBuild | None) -> None:
    certs, kube = folder / "certs", folder / "kube"
    certs.mkdir()
    kube.mkdir()
    with contextlib.ExitStack() as stack:
        with step("jeroboam up, with a Keystone of its own, from nothing"):
            stack.enter_context(service(state))
        installation = (state / "installation").read_text().strip()
        with step("a token; two public templates"):
            openstack = OpenStack(environment)
            stack.callback(openstack.close)
            openstack("token issue -c user_id -c project_id")
            console.print(openstack("coe cluster template list").rstrip())
            names = {row["name"] for row in openstack.json("coe cluster template list")}
            expect(names, {"swarm", "kubernetes"}, "templates")
        swarm(openstack, certs)
        containers(openstack, environment)
        if image is not None:
            with step("the Kubernetes node image, made meanwhile"):
                image.wait()
            kubernetes(openstack, kube)
        with step("everything deleted"):
            openstack("appcontainer delete hello")
            openstack("coe cluster delete demo" + (" kube" if image is not None else ""))
            until("clusters", lambda: openstack.json("coe cluster list"), [])
            until("containers", lambda: openstack.json("appcontainer list"), [])
            expect(leftovers(installation), [], "left on the Engine")
    with step("jeroboam down"):
        run(BIN / "jeroboam", "down", "--state", state, "--yes")
        expect(state.exists(), False, "state folder")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
