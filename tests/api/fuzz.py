"""Requests by the thousand, made up from the OpenAPI documents that the application serves, and judged by them.

`test_openapi` sends a bounded number of them, `make fuzz` twenty thousand. The application
runs in process on a real store; what requests delete is made again, so that most of them reach something.
"""

import collections
import io
import json
import pathlib
from urllib.parse import parse_qsl, urlsplit

import hypothesis
import jsonschema_rs
import requests
import schemathesis
import urllib3
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks

from jeroboam.api.app import create_app
from jeroboam.domain.bay_manifests import BayManifestKind
from jeroboam.domain.clusters import Operation
from jeroboam.domain.noderecords import NodeRecord
from jeroboam.store.migrations import upgrade
from tests.api.client import Client
from tests.api.conftest import open_store, parts_of
from tests.api.loops import bury, csr, run_in_bay, run_on_host, settle
from tests.builders import manifest

HOST = "http://cloud:9511"
TOKENS = ("member", "member", "admin", "admin", "colleague", "reader", "stranger")
NEWEST = {"container-infra": 14, "container": 40}
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
# What requests may find: names that their paths then say.
KNOWN = {
    "template": ("t0", "t1"),
    "cluster": ("c0", "c1", "c2"),
    "group": ("default-worker", "default-master", "g0"),
    "project": ("p1", "p2"),
    "resource": ("Cluster",),
    "container": ("b0", "b1"),
    "host": ("h1",),
    "class": ("default",),
    "federation": ("f0",),
    # Of what is not there yet.
    **dict.fromkeys(("capsule", "image", "network", "registry", "request"), ("n0",)),
    # Of 2015: the same templates and clusters, the names of containers are those of the other family's.
    "baymodel": ("t0", "t1"),
    "bay": ("c0", "c1", "c2"),
    "node": ("3c2f1a94-2b5c-4d39-a3b0-8d2e0d6d0a11",),
    **dict.fromkeys(("pod", "service", "rc"), ("x0", "x1")),
}
_MANIFESTS = {f"/{kind}s": kind for kind in BayManifestKind}
TEND_EVERY = 40
PILE = 20
SETTINGS = hypothesis.settings(
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


def versions_of(family: str) -> list[str]:
    """What a request may say in its version header, from the oldest on."""
    return [f"{family} 1.{minor}" for minor in range(1, NEWEST[family] + 1)] + [f"{family} latest"]


class _InProcess(requests.adapters.HTTPAdapter):
    """Ends where the application begins."""

    def __init__(self, ask) -> None:
        super().__init__()
        self._ask = ask

    def send(self, request, **_options):
        answer = self._ask(request)
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(answer.body), headers=answer.headers, status=answer.status, preload_content=False
        )
        return self.build_response(request, raw)


class Range:
    """An application, and objects in it for requests to hit."""

    def __init__(self, database: pathlib.Path, run) -> None:
        self._run = run
        self._store = open_store(database)
        run(upgrade(self._store.engine))
        self._app = create_app(parts_of(self._store))
        self._infra = Client(self._app, "/container-infra", version="latest")
        self._zun = Client(self._app, "/container", version="latest")
        self._csr = csr()
        self._session = requests.Session()
        self._session.mount(HOST, _InProcess(self._ask))
        self._sent = 0
        self.seen: collections.Counter[tuple[str, str, int]] = collections.Counter()
        self.breaches: dict[tuple[str, str], str] = {}

    def close(self) -> None:
        self._run(self._store.close())

    def totals(self, of: str) -> dict[int, int]:
        """How many answers of each status there were, of a family or in a version."""
        counts: collections.Counter[int] = collections.Counter()
        for (family, version, status), many in self.seen.items():
            if of in {family, version}:
                counts[status] += many
        return dict(sorted(counts.items()))

    def document(self, family: str):
        """The family's document as anyone gets it."""
        return self._run(Client(self._app, f"/{family}", token=None).get("/openapi.json")).json()

    def schema(self, family: str):
        """The same for schemathesis. Which version a request asks for is not left to chance."""
        document = self.document(family)
        for methods in document["paths"].values():
            for operation in methods.values():
                del operation["parameters"][0]
        schema = schemathesis.openapi.from_dict(document)
        schema.config.generation.update(with_security_parameters=False)
        return schema

    def strategy(self, family: str, mode: GenerationMode):
        """Cases of all operations, most of them for objects that are there."""
        schema = self.schema(family)
        operations = [result.ok() for result in schema.get_all_operations()]
        return st.sampled_from(operations).flatmap(lambda operation: _cases(operation, mode))

    def send(self, case, version: str, token: str) -> None:
        """Send it, and raise what is wrong with the answer."""
        if self._sent % TEND_EVERY == 0:
            self._run(self._tend())
        self._sent += 1
        self._aim(case)
        family = version.partition(" ")[0]
        headers = {"X-Auth-Token": token, "OpenStack-API-Version": version}
        response = case.call(base_url=f"{HOST}/{family}/v1", session=self._session, headers=headers)
        self.seen[family, version, response.status_code] += 1
        case.validate_response(response, checks=_checks_for(case, response))

    def shoot(self, family: str, version: str, mode: GenerationMode, count: int, seed: int) -> None:
        """So many requests; what is wrong is noted, not raised."""

        @hypothesis.seed(seed)
        @hypothesis.settings(SETTINGS, max_examples=count)
        @hypothesis.given(self.strategy(family, mode), st.sampled_from(TOKENS))
        def one(case, token):
            try:
                self.send(case, version, token)
            except FailureGroup as group:
                for failure in group.exceptions:
                    key = (f"{case.method} {case.path}", type(failure).__name__)
                    self.breaches.setdefault(key, f"{version}, {mode.value}: {failure}\n{case.as_curl_command()}")

        one()

    def _aim(self, case) -> None:
        """Let a well-formed body name what is there; where it is malformed it stays as it is."""
        if case.meta.generation.mode is not GenerationMode.POSITIVE or not isinstance(case.body, dict):
            return
        there = {
            "cluster_template_id": "t0",
            "cluster_template": "t1",
            "cluster_uuid": "c0",
            "csr": self._csr,
            "project_id": "p1",
            "baymodel_id": "t0",
            "bay_uuid": "c0",
        }
        kind = _MANIFESTS.get(case.path)
        if kind is not None:
            there |= {"bay_uuid": "k0", "manifest": json.dumps(manifest(kind, KNOWN["pod"][1]))}
            if "manifest" in case.body:
                case.body.pop("manifest_url", None)
        case.body.update({name: value for name, value in there.items() if name in case.body})

    def _ask(self, request):
        target = urlsplit(request.url)
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        headers.setdefault("content-type", None)
        body = request.body or b""
        path = target.path + (f"?{target.query}" if target.query else "")
        client = Client(self._app, "", token=None)
        raw = body.encode() if isinstance(body, str) else body
        return self._run(client.request(request.method, path, raw=raw, headers=headers))

    async def _tend(self) -> None:
        """End what is under way, clear what has piled up, make what is gone."""
        async with self._store.read() as tx:
            made = await tx.clusters.select()
        strange = [cluster for cluster in made if cluster.name not in KNOWN["cluster"]]
        gone = [cluster for cluster in made if cluster.operation is Operation.DELETE]
        for cluster in {each.uuid: each for each in (*gone, *strange[:-PILE])}.values():
            await bury(self._store, cluster.uuid)
        async with self._store.write() as tx:
            await tx.quotas.remove()
            inside = [
                each
                for each in await tx.bay_containers.select()
                if each.deleting or each.name not in KNOWN["container"]
            ]
            for each in inside:
                await tx.bay_containers.remove({"uuid": each.uuid})
            for rows, known in ((tx.containers, KNOWN["container"]), (tx.templates, KNOWN["template"])):
                piled = [each for each in await rows.select() if each.name not in known][:-PILE]
                for each in piled:
                    if rows is tx.containers or not await tx.clusters.count({"template_id": each.uuid}):
                        await rows.remove({"uuid": each.uuid})
        for name in KNOWN["template"]:
            await self._make(self._infra, "clustertemplates", name, coe="swarm", image_id="i", flavor_id="m1")
        for name in KNOWN["cluster"]:
            made = await self._make(self._infra, "clusters", name, cluster_template_id="t0", master_count=1)
            await settle(self._store, made["uuid"])
            await self._make(self._infra, f"clusters/{name}/nodegroups", "g0")
        for name in KNOWN["container"]:
            made = await self._make(self._zun, "containers", name, image="busybox")
            await run_on_host(self._store, made["uuid"])
            made = await self._make(self._infra, "containers", name, image="busybox", bay_uuid="c0")
            await run_in_bay(self._store, made["uuid"])
        await self._fill_kubernetes()
        await self._write_nodes_down()

    async def _fill_kubernetes(self) -> None:
        """A bay that speaks Kubernetes, with one object of each kind and whatever requests have put beside them."""
        await self._make(self._infra, "clustertemplates", "t2", coe="kubernetes", image_id="i", flavor_id="m1")
        made = await self._make(self._infra, "clusters", "k0", cluster_template_id="t2", master_count=1)
        await settle(self._store, made["uuid"])
        async with self._store.write() as tx:
            for each in await tx.bay_manifests.select():
                if each.deleting or each.name not in KNOWN["pod"]:
                    await tx.bay_manifests.remove({"uuid": each.uuid})
        for kind in BayManifestKind:
            for name in KNOWN["pod"][:1]:
                wish = {"bay_uuid": "k0", "manifest": json.dumps(manifest(kind, name))}
                answer = await self._infra.post(f"/v1/{kind}s", wish)
                assert answer.status in {201, 409}, answer.body

    async def _write_nodes_down(self) -> None:
        async with self._store.write() as tx:
            await tx.node_records.remove()
            for uuid in KNOWN["node"]:
                node = NodeRecord(uuid=uuid, project_id="p1", user_id="u1", created_at=tx.now)
                await tx.node_records.insert(node)

    async def _make(self, client: Client, collection: str, name: str, **fields):
        found = await client.get(f"/v1/{collection}/{name}")
        if found.status == 404:
            made = await client.post(f"/v1/{collection}", {"name": name} | fields)
            assert made.status in {201, 202}, made.body
            found = await client.get(f"/v1/{collection}/{name}")
        return found.json()


def _text(value) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _cases(operation, mode: GenerationMode):
    """Cases of one operation: its path leads to what is there, mostly."""
    free = operation.as_strategy(generation_mode=mode)
    names = [parameter.name for parameter in operation.path_parameters]
    if not names:
        return free
    there = st.fixed_dictionaries({name: st.sampled_from(KNOWN[name]) for name in names})
    aimed = there.flatmap(lambda found: operation.as_strategy(generation_mode=mode, path_parameters=found))
    return st.one_of(aimed, aimed, aimed, free)


def _checks_for(case, response) -> list:
    """A 501 is no accident where the document announces it; a query may be good by the time that it is sent."""
    left = set(CHECKS)
    if response.status_code == 501 and "501" in case.operation.definition.raw["responses"]:
        left.remove(not_a_server_error)
    if case.meta.generation.mode is GenerationMode.NEGATIVE and _is_good_as_sent(case, response.request.url):
        left.remove(checks.negative_data_rejection)
    return [check for check in CHECKS if check in left]


def _is_good_as_sent(case, url: str) -> bool:
    """Whether only the query was to be bad, and is not: an empty list is not sent at all, and [0] is sent as 0."""
    bad = {place for place, part in case.meta.components.items() if part.mode is GenerationMode.NEGATIVE}
    if bad != {ParameterLocation.QUERY}:
        return False
    parameters = case.operation.definition.raw["parameters"]
    known = {parameter["name"]: parameter["schema"] for parameter in parameters if parameter["in"] == "query"}
    return all(
        name in known and any(jsonschema_rs.is_valid(known[name], reading) for reading in _readings(said))
        for name, said in parse_qsl(urlsplit(url).query, keep_blank_values=True)
    )


def _readings(said: str) -> list:
    """What a text in a query may stand for."""
    try:
        return [said, json.loads(said)]
    except ValueError:
        return [said]
