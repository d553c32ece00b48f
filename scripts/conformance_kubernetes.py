"""The conformance suite of Kubernetes against a cluster of ours; `make conformance-kubernetes` runs it.

Tests and the images that they ask for are made once, with no container registry. A service of its own makes a cluster,
the tests that may run beside each other go first, the others one by one, and everything is removed. The JUnit reports
stay in `build/conformance`. The exit status is 0 only if no test failed. Neighbours: `stage`, `conformance_programs`,
`conformance_images.sh`.
"""

import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from conformance_programs import make_programs
from stage import BIN, OpenStack, StepFailed, console, leftovers, run, service, step, until

from jeroboam.nodeimages.kubectl import find_cached
from jeroboam.settings import default_cache

VERSION = "v1.36.3"
IMAGES = "registry.k8s.io/e2e-test-images"
# One test always pulls this image, and asks the cluster's own registry first.
PULLED = "kitten:1.8"
REGISTRY = "10.254.0.11:5000"
COMPLETE_SECONDS = 120
REPORTS = pathlib.Path("build/conformance")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Tests that run in one go."""

    name: str
    focus: str
    skip: str
    at_once: int


PARTS = (
    Part(name="parallel", focus=r"\[Conformance\]", skip=r"\[Serial\]", at_once=8),
    Part(name="serial", focus=r"\[Serial\].*\[Conformance\]", skip="", at_once=1),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """The inputs of the tests."""

    cache: pathlib.Path
    source: pathlib.Path
    kubectl: pathlib.Path
    config: pathlib.Path


def main() -> int:
    """Run the suite. Return 1 if a test failed or no test ran."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--focus", default="", help="A regular expression: only conformance tests with such names.")
    words.add_argument("--cache", type=pathlib.Path, default=default_cache() / f"conformance-{VERSION}")
    given = words.parse_args()
    cache = given.cache.absolute()
    source = make_programs(VERSION, cache)
    with step("images of the suite"):
        subprocess.run(["bash", pathlib.Path(__file__).with_name("conformance_images.sh"), cache, source], check=True)
    with step(f"node image of {VERSION}"):
        subprocess.run([BIN / "jeroboam", "node-image", "build", "kubernetes", "--version", VERSION], check=True)
    kubectl = find_cached(default_cache(), VERSION)
    if kubectl is None:
        raise StepFailed(f"there is no kubectl {VERSION}: the node image was not made of programs of this machine")
    parts = [Part(name="focus", focus=rf"{given.focus}.*\[Conformance\]", skip="", at_once=4)] if given.focus else PARTS
    totals: Counter[str] = Counter()
    with cluster() as config:
        for part in parts:
            suite = Suite(cache=cache, source=source, kubectl=kubectl, config=config)
            with step(f"conformance tests, {part.name}"):
                counts, failed = run_part(suite, part)
            totals += counts
            console.print(f"            {part.name}: {told(counts)}")
            for name in failed:
                console.print(f"            [red]failed[/red] {name}", markup=True)
    console.print(f"{told(totals)}; reports are in {REPORTS}")
    return 0 if totals["passed"] and not totals["failed"] else 1


@contextlib.contextmanager
def cluster() -> Iterator[pathlib.Path]:
    """Give the kubeconfig of a cluster of 1 + 2 with the suite's images on its nodes, until the block ends."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        state = folder / "state"
        try:
            with service(state):
                environment = {
                    **os.environ,
                    "OS_CLIENT_CONFIG_FILE": str(state / "clouds.yaml"),
                    "OS_CLOUD": "jeroboam",
                }
                openstack = OpenStack(environment)
                yield made(openstack, folder, state)
                openstack("coe cluster delete conformance")
                until("clusters", lambda: openstack.json("coe cluster list"), [], COMPLETE_SECONDS)
                openstack.close()
        finally:
            installation = (state / "installation").read_text().strip()
            run(BIN / "jeroboam", "down", "--state", state, "--yes")
        if left := leftovers(installation):
            raise StepFailed(f"the Engine still has {left}")


def made(openstack: OpenStack, folder: pathlib.Path, state: pathlib.Path) -> pathlib.Path:
    """Create the cluster and load the images onto it. Return its kubeconfig."""
    with step("a cluster of 1 + 2"):
        template = "coe cluster template create --coe kubernetes --image kubernetes-node --external-network public"
        template += " --flavor m1.large --master-flavor m1.large --registry-enabled --insecure-registry"
        labels = f"kube_tag={VERSION},container_infra_prefix={REGISTRY}/"
        openstack(f"{template} {REGISTRY} --labels {labels} conformance")
        openstack("coe cluster create --cluster-template conformance --node-count 2 conformance")
        status = "coe cluster show conformance -c status -f value"
        until("cluster status", lambda: openstack.quietly(status).strip(), "CREATE_COMPLETE", COMPLETE_SECONDS)
    openstack(f"coe cluster config conformance --dir {folder} --force")
    with step("images of the suite on its nodes"):
        names = run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", f"{IMAGES}/*").split()
        subprocess.run([BIN / "jeroboam", "cluster", "load-image", "--state", state, "conformance", *names], check=True)
    with step("an image in its registry"):
        kubectl = [BIN / "jeroboam", "kubectl", "--state", state, "conformance", "-n", "kube-system"]
        subprocess.run([*kubectl, "rollout", "status", "deployment/registry", "--timeout=120s"], check=True)
        uuid = openstack.quietly("coe cluster show conformance -c uuid -f value").strip()
        nodes = run("docker", "ps", "-q", "--filter", f"label=jeroboam.cluster={uuid}").split()
        push = ["ctr", "-n", "k8s.io", "images", "push", "--plain-http", "--local"]
        run("docker", "exec", nodes[0], *push, f"{REGISTRY}/e2e-test-images/{PULLED}", f"{IMAGES}/{PULLED}")
    return folder / "config"


def run_part(suite: Suite, part: Part) -> tuple[Counter[str], list[str]]:
    """Return the number of tests by outcome, and the names of failed tests."""
    reports = (REPORTS / part.name).absolute()
    reports.mkdir(parents=True, exist_ok=True)
    for old in reports.glob("*.xml"):
        old.unlink()
    own = [f"--procs={part.at_once}", "--no-color", "--timeout=3h", "--silence-skips", "--show-node-events=false"]
    chosen = [f"--focus={part.focus}", *([f"--skip={part.skip}"] if part.skip else [])]
    tests = [
        "--provider=skeleton",
        f"--kubeconfig={suite.config}",
        f"--kubectl-path={suite.kubectl}",
        "--disable-log-dump=true",
        f"--report-dir={reports}",
        f"--repo-root={suite.source}",
    ]
    programs = suite.cache / "bin"
    with (reports / "log").open("w") as log:
        command = [programs / "ginkgo", *own, *chosen, programs / "e2e.test", "--", *tests]
        subprocess.run(command, stdout=log, stderr=log, check=False)
    return counted(reports)


def counted(folder: pathlib.Path) -> tuple[Counter[str], list[str]]:
    """Return the same from the JUnit reports in a folder. Steps of the suite itself do not count."""
    counts: Counter[str] = Counter()
    failed = []
    for report in sorted(folder.glob("junit*.xml")):
        for case in ET.parse(report).getroot().iter("testcase"):
            name, status = case.get("name", ""), case.get("status", "")
            if status == "skipped" or not name.startswith("[It]"):
                continue
            counts["passed" if status == "passed" else "failed"] += 1
            if status != "passed":
                failed.append(name)
    return counts, failed


def told(counts: Counter[str]) -> str:
    """Return the counts in words."""
    return f"{counts['passed']} of {counts['passed'] + counts['failed']} passed"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (StepFailed, subprocess.CalledProcessError) as error:
        console.print(f"[red]failed[/red] {error}")
        sys.exit(1)
