"""Stand-ins for what the API needs of others, simple enough to be right by looking at them."""

from dataclasses import dataclass, field, replace

from jeroboam.conductor.clusters.certificates import CertificateSigner
from jeroboam.domain.archives import PathStat
from jeroboam.domain.caller import Caller
from jeroboam.domain.clusters import MASTER, ROLES
from jeroboam.domain.errors import Conflict, Invalid, NotFound, Unavailable
from jeroboam.domain.limits import LimitOwner
from jeroboam.domain.ports import ExecResult
from jeroboam.domain.streams import ByteStream
from jeroboam.runtimes.fake_streams import PROGRAMS, FakePrograms, keep_all, print_all


def caller(user: str = "u1", project: str = "p1", *roles: str) -> Caller:
    return Caller(user_id=user, project_id=project, roles=frozenset(roles or ("member", "reader")))


class KnownTokens:
    """Tokens by what they are: a test writes its callers in."""

    def __init__(self) -> None:
        self.known = {
            "member": caller(),
            "colleague": caller("u2"),
            "reader": caller("u3", "p1", "reader"),
            "stranger": caller("u9", "p2"),
            "admin": caller("root", "p0", "admin", "member", "reader"),
        }
        self.away = False

    async def caller(self, token: str) -> Caller | None:
        if self.away:
            raise Unavailable("The identity service does not answer.")
        return self.known.get(token)


class AllProjects:
    async def exists(self, project_id: str) -> bool:
        return project_id.startswith("p")

    async def describe(self, project_id: str) -> LimitOwner | None:
        known = {"p1": "demo", "p2": "strangers", "p0": "admin"}
        return LimitOwner(project_id=project_id, project_name=known.get(project_id, ""), domain_id=f"d-{project_id}")


class EasyAdmission:
    """Admits everything but what a test names."""

    def __init__(self) -> None:
        self.refused: str | None = None
        self.keypairs = True
        """Whether the provider has any."""

    async def admit_template(self, spec, caller):
        if spec.image_id == self.refused:
            raise Invalid(f"Unable to find image {spec.image_id}.", field="image_id")
        return replace(spec, driver=spec.driver or "fake", cluster_distro="busybox")

    async def admit_cluster(self, cluster, groups, caller) -> None:
        if cluster.spec.keypair is not None and not self.keypairs:
            raise NotFound(f"Unable to find keypair {cluster.spec.keypair}.", field="keypair")
        if cluster.spec.flavor_id == self.refused and self.refused is not None:
            raise Invalid(f"Unable to find flavor {cluster.spec.flavor_id}.", field="flavor_id")

    async def admit_nodegroup(self, cluster, group, caller) -> None:
        if self.refused is not None and self.refused in {group.spec.flavor_id, group.spec.image_id}:
            raise Invalid(f"Unable to find {self.refused}.", field="flavor_id")

    async def admit_growth(self, cluster, group, more) -> None:
        if self.refused == "growth":
            raise Conflict(f"{more} nodes have no room.", field="node_count")

    async def admit_change(self, before, after, groups) -> frozenset[str]:
        for group in groups:
            await self.admit_nodegroup(after, group, None)
        changed = {key for key, value in before.spec.labels.items() if after.spec.labels.get(key) != value}
        changed |= {key for key, value in after.spec.labels.items() if before.spec.labels.get(key) != value}
        if before.spec.template != after.spec.template or "fake_setting" in changed:
            return ROLES
        return frozenset({MASTER}) if "fake_master_setting" in changed else frozenset()

    async def admit_rotation(self, cluster) -> None:
        if self.refused == "rotation":
            raise Invalid("Rotating the CA certificate is not supported.")


@dataclass
class FakeGateway:
    """Answers live questions and remembers them."""

    asked: list[tuple] = field(default_factory=list)
    fault: Exception | None = None
    programs: FakePrograms = field(default_factory=FakePrograms)
    files: dict[str, bytes] = field(default_factory=dict)

    def _ask(self, *question) -> None:
        self.asked.append(question)
        if self.fault is not None:
            raise self.fault

    async def logs(self, host_id, container, **options) -> str:
        self._ask("logs", host_id, container, options)
        return "one\ntwo\n"

    async def execute(self, host_id, container, command) -> ExecResult:
        self._ask("execute", host_id, container, tuple(command))
        return ExecResult(output="hello\n", exit_code=3)

    async def top(self, host_id, container, ps_args):
        self._ask("top", host_id, container, ps_args)
        return {"Titles": ["PID", "CMD"], "Processes": [["1", "sh"]]}

    async def search_images(self, host_id, name, *, exact, project_id):
        self._ask("search_images", host_id, name, exact, project_id)
        return ["registry.example:5000/team/app:1", "registry.example:5000/team/app:2", "busybox:latest"]

    async def stats(self, host_id, container):
        self._ask("stats", host_id, container)
        return {
            "cpu_percent": 12.345,
            "memory_mib": 64.0,
            "memory_limit_mib": 512.0,
            "block_read": 1,
            "block_write": 2,
            "net_rx": 3,
            "net_tx": 4,
        }

    async def open_attach(self, host_id, container) -> ByteStream:
        self._ask("attach", host_id, container)
        return self.programs.start(container, PROGRAMS["cat"], (), None)

    async def open_exec(self, host_id, container, command, *, tty, size, exec_id) -> ByteStream:
        self._ask("exec", host_id, container, tuple(command), tty, size, exec_id)
        return self.programs.start(container, PROGRAMS[command[0]], command[1:], size)

    async def resize_terminal(self, host_id, container, exec_id, size) -> None:
        self._ask("resize", host_id, container, exec_id, size)

    async def stat_path(self, host_id, container, path) -> PathStat:
        self._ask("stat", host_id, container, path)
        return PathStat(name=path.rpartition("/")[2], size=len(self.files[path]), mode=0o644, mtime="then")

    async def read_archive(self, host_id, container, path) -> ByteStream:
        self._ask("read", host_id, container, path)
        return self.programs.start(container, print_all(self.files[path]), (), None)

    async def write_archive(self, host_id, container, path) -> ByteStream:
        self._ask("write", host_id, container, path)
        return self.programs.start(container, keep_all(self.files, path), (), None)


class FakeConductor(EasyAdmission):
    """Admits, answers live questions to bays and remembers them, and signs with the authorities in the store."""

    def __init__(self, signer: CertificateSigner) -> None:
        super().__init__()
        self.asked: list[tuple] = []
        self.fault: Exception | None = None
        self.manifests: dict[str, bytes] = {}
        """By where they lie."""
        self.sign_csr = signer.sign

    async def read_bay_logs(self, cluster_id, workload) -> str:
        return self._answer("one\ntwo\n", "logs", cluster_id, workload)

    async def check_manifest(self, manifest) -> None:
        self._answer(None, "check", manifest.cluster_id, manifest.uuid, manifest.spec.manifest)

    async def execute_in_bay(self, cluster_id, workload, command) -> ExecResult:
        return self._answer(ExecResult(output="hello\n", exit_code=3), "execute", cluster_id, workload, tuple(command))

    async def fetch_manifest(self, url, *, max_octets) -> bytes:
        if url not in self.manifests:
            raise Invalid("manifest_url at x cannot be used: the host name cannot be resolved.", field="manifest_url")
        return self.manifests[url][: max_octets + 1]

    def _answer(self, answer, *question):
        self.asked.append(question)
        if self.fault is not None:
            raise self.fault
        return answer


class PlainSealer:
    """Seals by naming the context in clear: enough to see that it is the right one."""

    def seal(self, plain: bytes, *, context: str) -> bytes:
        return context.encode() + b"|" + plain

    def open(self, sealed: bytes, *, context: str) -> bytes:
        said, _, plain = sealed.partition(b"|")
        if said.decode() != context:
            raise ValueError("another context")
        return plain
