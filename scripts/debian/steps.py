"""What a user of README types on a plain Debian, step by step, and what has to come out.

Neighbours: `guest`, the machine; `__main__`, which takes the times.
"""

import json
import pathlib
import shlex
import subprocess
import tempfile
from collections.abc import Callable

from .guest import Guest, StepFailed

# An emulated processor is twenty times slower than the machine's own.
DEMO_SECONDS = 3600
INSTALL_SECONDS = 3600
CREATE_SECONDS = 1800
COMPILE_SECONDS = 8 * 3600
COME_BACK_SECONDS = 900
_HOME = "cd /root/jeroboam && export PATH=$PWD/.venv/bin:$PATH &&"
_STATE = "/root/.local/state/jeroboam"
_HANDED = "/mnt/programs"
_SWARM = ". /root/fleet/config &&"
_LIST_OBJECTS = "docker ps -aq; docker volume ls -q; docker network ls -q --filter type=custom"
_READY = "jeroboam kubectl dev wait --for=condition=Ready node --all"
_CLUSTER = "name: dev\nmasters: 1\nworkers: 0\nmaster_flavor: m1.medium\n"
_REF = "refs/jeroboam/debian"


def clone_checkout(guest: Guest, checkout: pathlib.Path) -> str:
    """Bring the checkout, with changes that are not committed, and clone it as a user does."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()

    commit = git("stash", "create") or git("rev-parse", "HEAD")
    with tempfile.TemporaryDirectory(prefix="jeroboam-debian-") as folder:
        bundle = pathlib.Path(folder, "bundle")
        git("update-ref", _REF, commit)
        try:
            git("bundle", "create", "--quiet", str(bundle), _REF)
        finally:
            git("update-ref", "-d", _REF)
        guest.run("cat >jeroboam.bundle", content=bundle.read_bytes())
    guest.run(f"git init -q jeroboam && cd jeroboam && git fetch -q ../jeroboam.bundle {_REF}")
    guest.run("cd jeroboam && git checkout -q FETCH_HEAD")
    return commit[:12]


def run_demo(guest: Guest) -> str:
    """README's first command, without Kubernetes."""
    guest.run("cd /root/jeroboam && make demo-quick", seconds=DEMO_SECONDS, log="demo-quick")
    return read_usage(guest)


def run_doctor(guest: Guest) -> str:
    """Ask the doctor, and expect a machine on which the service works."""
    text = guest.run(f"{_HOME} jeroboam doctor", log="doctor")
    expect_text("version 2, driver systemd", text)
    return "cgroup v2"


def build_image(guest: Guest, *, handed: bool) -> str:
    """Make the node image of Kubernetes, with the programs on the second disk or from nothing."""
    if not handed:
        guest.run(f"{_HOME} make kubernetes-image", seconds=COMPILE_SECONDS, log="kubernetes-image")
        return "programs fetched or compiled in the guest"
    guest.run(f"mkdir -p {_HANDED} && mount -o ro LABEL=programs {_HANDED}")
    guest.run(f"{_HOME} python -m scripts.debian.programs {_HANDED}", log="programs")
    build = f"{_HOME} nice jeroboam node-image build kubernetes --from modules"
    guest.run(build, seconds=INSTALL_SECONDS, log="kubernetes-image")
    return "programs of this machine's cache"


def start_service(guest: Guest) -> str:
    """Start the service in the background."""
    guest.run(f"{_HOME} jeroboam up --detach", log="up")
    return ""


def run_container(guest: Guest) -> str:
    """Run a container with limits, and ask cgroups and the service what it may take and takes."""
    guest.run(f"{_HOME} jeroboam run --name hello --memory 64 --cpu 0.5 --restart always busybox top -b")
    limits = guest.run(f"{_HOME} jeroboam exec hello cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max")
    expect_text(str(64 << 20), limits)
    expect_text("50000 100000", limits)
    expect_text("Load average", guest.run(f"{_HOME} jeroboam logs hello --tail 20"))
    text = guest.run(f"{_HOME} . {_STATE}/openrc && openstack appcontainer stats hello", log="stats")
    row = next((line for line in text.splitlines() if "MEM LIMIT" in line), text)
    expect_text(" 64.0 ", row)
    return "memory.max and cpu.max as asked for"


def create_swarm(guest: Guest) -> str:
    """Create a Swarm with one worker, and ask a service by its published port, which takes IPVS."""
    guest.run(f"{_HOME} jeroboam cluster create fleet --coe swarm", seconds=CREATE_SECONDS, log="swarm-create")
    guest.run(f"{_HOME} jeroboam cluster load-image fleet busybox", seconds=CREATE_SECONDS)
    config = "openstack coe cluster config fleet --dir /root/fleet --output-certs --force >/root/fleet/config"
    guest.run(f"{_HOME} . {_STATE}/openrc && mkdir /root/fleet && {config}")
    serve = "while true; do echo served | nc -l -p 8080; done"
    options = "--quiet --detach --no-resolve-image --replicas 2 --publish 8080:8080 --name web"
    guest.run(f"{_SWARM} docker service create {options} busybox sh -c {shlex.quote(serve)}")
    address = "$(docker node inspect self --format '{{.Status.Addr}}')"
    guest.wait_for(f"{_SWARM} busybox nc -w 5 {address} 8080 </dev/null | grep served", seconds=COME_BACK_SECONDS)
    guest.run(f"{_HOME} jeroboam cluster delete fleet", seconds=CREATE_SECONDS)
    return "its virtual address answers"


def create_kubernetes(guest: Guest) -> str:
    """Create a cluster of one node by the words of users of kind; it becomes Ready."""
    guest.run("cat >cluster.yaml", content=_CLUSTER.encode())
    # On an emulated processor the service may be too slow at times for those who ask it.
    guest.run(f"{_HOME} jeroboam cluster create --no-wait -f /root/cluster.yaml", seconds=CREATE_SECONDS)
    guest.wait_for(f"{_HOME} jeroboam cluster list | grep 'dev .*CREATE_COMPLETE'", seconds=CREATE_SECONDS)
    guest.run(f"{_HOME} jeroboam cluster kubeconfig dev")
    guest.run(f"{_HOME} jeroboam kubectl dev get nodes", log="kubernetes-nodes")
    guest.run(f"{_HOME} {_READY} --timeout=60s")
    return read_usage(guest)


def run_pod(guest: Guest, name: str = "hello") -> str:
    """Run a pod to its end, with limits of its own, and read its output."""
    container = {
        "name": name,
        "image": "busybox",
        "imagePullPolicy": "IfNotPresent",
        "command": ["cat", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max"],
        "resources": {"limits": {"memory": "32Mi", "cpu": "250m"}},
    }
    # The cluster's only node is a master.
    spec = {"restartPolicy": "Never", "containers": [container], "tolerations": [{"operator": "Exists"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    guest.run("cat >pod.json", content=json.dumps(pod).encode())
    guest.wait_for(f"{_HOME} jeroboam kubectl dev apply -f /root/pod.json", seconds=COME_BACK_SECONDS)
    succeeded = f"jeroboam kubectl dev wait --for=jsonpath={{.status.phase}}=Succeeded pod/{name} --timeout=50s"
    guest.wait_for(f"{_HOME} {succeeded}", seconds=COME_BACK_SECONDS)
    text = guest.wait_for(f"{_HOME} jeroboam kubectl dev logs {name}", seconds=COME_BACK_SECONDS)
    expect_text(str(32 << 20), text)
    expect_text("25000 100000", text)
    return "memory.max and cpu.max as asked for"


def take_unit(guest: Guest) -> str:
    """Let systemd run the service on the same state: it starts, answers, restarts, and its clusters stay."""
    guest.run(f"{_HOME} jeroboam stop", log="stop")
    guest.run(f"{_HOME} jeroboam systemd-unit --state {_STATE} >/etc/systemd/system/jeroboam.service")
    guest.run("systemctl daemon-reload && systemctl enable --quiet --now jeroboam", log="unit")
    expect_text("dev", guest.run(f"{_HOME} jeroboam cluster list"))
    guest.run("systemctl restart jeroboam && systemctl is-active jeroboam", log="unit-restart")
    expect_text("CREATE_COMPLETE", guest.run(f"{_HOME} jeroboam cluster list", log="unit-clusters"))
    return "started, restarted, clusters kept"


def reboot(guest: Guest) -> str:
    """Restart the machine: the Engine and the service come up by systemd, and so do clusters and containers."""
    guest.run("sync")
    guest.reboot()
    guest.wait_for("systemctl is-active docker && systemctl is-active jeroboam", seconds=COME_BACK_SECONDS)
    guest.wait_for(f"{_HOME} jeroboam ps | grep -w hello | grep -w Running", seconds=COME_BACK_SECONDS)
    return "Engine, service and container are up"


def see_cluster_back(guest: Guest) -> str:
    """Wait until the cluster does its work again."""
    guest.wait_for(f"{_HOME} {_READY} --timeout=30s", seconds=COME_BACK_SECONDS)
    run_pod(guest, "again")
    guest.run(f"{_HOME} jeroboam cluster list", log="clusters-after-reboot")
    return "a pod ran"


def remove_all(guest: Guest) -> str:
    """Delete by the commands of users, stop the unit, and find nothing left on the Engine."""
    guest.run(f"{_HOME} jeroboam cluster delete dev && jeroboam rm --force hello", seconds=CREATE_SECONDS, log="delete")
    # The network of a project goes within a minute of its last container.
    guest.wait_for(f'test -z "$({_LIST_OBJECTS})"', seconds=COME_BACK_SECONDS)
    guest.run("systemctl disable --now jeroboam", log="unit-stop")
    result = guest.run("systemctl show --property Result --value jeroboam").strip()
    left = guest.run(_LIST_OBJECTS).split()
    if result != "success" or left:
        raise StepFailed(f"the unit ended with {result}; left on the Engine: {' '.join(left) or 'nothing'}")
    return "nothing left"


def expect_text(wanted: str, text: str) -> None:
    """Raise `StepFailed` unless the text has that in it."""
    if wanted not in text:
        raise StepFailed(f"{wanted!r} is missing in:\n{text}")


def read_usage(guest: Guest) -> str:
    """Return what the machine uses of memory and disk by now."""
    memory = guest.run("free -m | awk '/^Mem/ {print $3}'").strip()
    disk = guest.run("df -m --output=used / | tail -n 1").strip()
    return f"{memory} MiB of memory and {int(disk) / 1024:.1f} GiB of disk in use"


STEPS: tuple[tuple[str, Callable[[Guest], str]], ...] = (
    ("jeroboam doctor", run_doctor),
    ("jeroboam up --detach", start_service),
    ("a container with limits", run_container),
    ("a Swarm with a published port", create_swarm),
    ("a Kubernetes of one node: jeroboam cluster create", create_kubernetes),
    ("a pod with limits", run_pod),
    ("the service as a unit of systemd", take_unit),
    ("reboot, until Engine, service and container are up", reboot),
    ("and until the cluster works", see_cluster_back),
    ("deleted and stopped", remove_all),
)
