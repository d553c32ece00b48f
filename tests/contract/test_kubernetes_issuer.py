"""Users of a Kubernetes cluster who come with tokens of somebody else's, for real.

The issuer is the test's own, where the cluster's network meets this machine, with a certificate that only the cluster's
labels vouch for.
"""

import base64
import copy
import dataclasses
import json
import ssl
import time
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from jeroboam.domain.errors import Temporary
from jeroboam.kit.x509 import SERVER, issue, make_ca
from tests.contract.rigs import CLOCK, eventually, gateway, kubernetes_rig, ready
from tests.contract.test_kubernetes import User

pytestmark = [pytest.mark.docker, pytest.mark.kubernetes, pytest.mark.slow]

CLIENT_ID = "kubernetes"


class Issuer:
    """Says who somebody is, and where to find the key that it says so with."""

    def __init__(self) -> None:
        self.url = ""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    async def discovery(self, _: web.Request) -> web.Response:
        said = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", "id_token_signing_alg_values_supported": ["RS256"]}
        return web.json_response(said)

    async def keys(self, _: web.Request) -> web.Response:
        key = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return web.json_response({"keys": [key | {"kid": "one", "use": "sig", "alg": "RS256"}]})

    def token(self, name: str, *, audience: str = CLIENT_ID, groups: tuple[str, ...] = ()) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": audience, "sub": name, "iat": now, "exp": now + 600, "groups": groups}
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "one"})


@asynccontextmanager
async def answering(issuer: Issuer, host: str, folder):
    """The PEM of who vouches for it, while it answers there."""
    ca = make_ca(common_name="nobody knows", now=CLOCK.now())
    own = issue(ca=ca, common_name=host, ips=[host], usages=[SERVER], now=CLOCK.now())
    (folder / "own.pem").write_bytes(own.pem.encode() + own.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", issuer.discovery)
    app.router.add_get("/keys", issuer.keys)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, 0, ssl_context=context)
        await site.start()
        issuer.url = f"https://{host}:{runner.addresses[0][1]}"
        yield ca.pem
    finally:
        await runner.cleanup()


@pytest.fixture
async def rig():
    made = await kubernetes_rig()
    yield made
    await made.infra.close()


def bearing(user: User, token: str) -> User:
    """The same kubectl, with a token in place of a certificate."""
    made = copy.copy(user)
    made.config = user.config | {"users": [{"name": "u", "user": {"token": token}}]}
    return made


async def test_tokens_of_an_issuer_that_only_the_labels_vouch_for(rig, tmp_path):
    nodes = rig.nodes(1, 0)
    await rig.provider.reserve(rig.want(nodes))
    issuer = Issuer()
    async with answering(issuer, await gateway(rig.cluster_id), tmp_path) as ca:
        labels = {
            "oidc_issuer_url": issuer.url,
            "oidc_client_id": CLIENT_ID,
            "oidc_ca": base64.b64encode(ca.encode()).decode(),
            "oidc_username_prefix": "them:",
            "oidc_groups_claim": "groups",
            "oidc_groups_prefix": "their:",
        }
        rig.coe.check(dataclasses.replace(rig.plan().template, labels=labels))
        made = rig.plan
        rig.plan = lambda **more: made(**{"labels": labels, **more})
        await rig.boot(nodes)
        assert all(ready(await rig.coe.join(rig.plan())).values())
        admin = User(rig)
        await eventually(
            lambda: admin("create", "clusterrolebinding", "readers", "--clusterrole=view", "--group=their:readers"),
            bool,
        )

        ann = bearing(admin, issuer.token("ann", groups=("readers",)))
        said = await eventually(lambda: ann("auth", "whoami"), bool, seconds=30)
        assert "them:ann" in said
        assert "their:readers" in said
        assert "kubernetes" in await ann("get", "services", "-n", "default")
        with pytest.raises(Temporary, match=r"(?i)forbidden"):
            await ann("create", "configmap", "a")
        with pytest.raises(Temporary, match=r"(?i)forbidden"):
            await bearing(admin, issuer.token("bob"))("get", "services", "-n", "default")
        for stranger in (issuer.token("ann", audience="others"), issuer.token("ann")[:-8] + "AAAAAAAA"):
            with pytest.raises(Temporary, match=r"Unauthorized|logged in"):
                await bearing(admin, stranger)("get", "services", "-n", "default")


FORMER = "https://kubernetes.default.svc.cluster.local"


async def test_tokens_of_service_accounts_are_verified_where_they_say_they_are_from(rig):
    await rig.boot(rig.nodes(1, 0))
    assert all(ready(await rig.coe.join(rig.plan())).values())
    user = User(rig)
    token = await eventually(lambda: user("create", "token", "default", "--audience=others"), bool)
    claims = jwt.decode(token, options={"verify_signature": False})
    # One's own cluster, and no other, and whoever is shown a token may ask there without a name.
    assert claims["iss"] == user.api
    context = ssl.create_default_context(cadata=rig.authority.pem)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as stranger:
        async with stranger.get(f"{claims['iss']}/.well-known/openid-configuration") as answer:
            document = await answer.json()
        assert document["issuer"] == claims["iss"]
        async with stranger.get(document["jwks_uri"]) as answer:
            keys = jwt.PyJWKSet.from_dict(await answer.json())
        async with stranger.get(f"{claims['iss']}/api/v1/namespaces") as answer:
            assert answer.status == HTTPStatus.UNAUTHORIZED
    key = keys[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, algorithms=["ES256"], audience="others")["sub"] == claims["sub"]

    # Tokens that say what issuers were called before are good as long as they last.
    account = json.loads(await user("get", "serviceaccount", "default", "-o", "json"))["metadata"]
    about = {"namespace": "default", "serviceaccount": {"name": "default", "uid": account["uid"]}}
    now = int(time.time())
    for issuer in (f"{FORMER}/clusters/{rig.cluster_id}", FORMER):
        given = claims | {
            "iss": issuer,
            "aud": [issuer],
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "kubernetes.io": about,
        }
        former = jwt.encode(given, rig.others["service-account"].key, algorithm="ES256")
        assert "system:serviceaccount:default:default" in await bearing(user, former)("auth", "whoami")
    with pytest.raises(Temporary, match=r"Unauthorized|logged in"):
        other = jwt.encode(given | {"iss": f"{FORMER}/clusters/another"}, rig.others["service-account"].key, "ES256")
        await bearing(user, other)("auth", "whoami")
