"""Proxies of a template: which are taken, what of them is laid into nodes, and that no password is shown."""

from dataclasses import replace

import pytest

from jeroboam.coes.kubernetes.coe import KubernetesCoe
from jeroboam.coes.swarm.coe import SwarmCoe
from jeroboam.domain.errors import Invalid
from tests.unit.test_kubernetes_options import CLOCK, SPEC, plan

URL = "http://u:p%40ss@proxy.example:3128"
ENVIRONMENT = "/etc/containerd/environment"
ENGINE = "/etc/docker/environment"
BOTH = pytest.mark.parametrize("coe", [KubernetesCoe, SwarmCoe], indirect=True)


@pytest.fixture
def coe(request):
    return getattr(request, "param", KubernetesCoe)(clock=CLOCK)


@BOTH
@pytest.mark.parametrize("field", ["http_proxy", "https_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "http://proxy.example",
        "https://proxy.example:3128/",
        "HTTP://192.0.2.7:1",
        "http://[2001:db8::7]:65535",
        URL,
        "http://alone@proxy.example",
    ],
)
def test_urls_of_proxies_are_taken(coe, field, value):
    coe.check(replace(SPEC, **{field: value}))


@BOTH
@pytest.mark.parametrize("field", ["http_proxy", "https_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "u:hunter2@proxy.example:3128",
        "socks5://u:hunter2@proxy.example",
        "http://u:hunter2@",
        "http://u:hunter2@:3128",
        "http://u:hunter2@proxy.example:0",
        "http://u:hunter2@proxy.example:65536",
        "http://u:hunter2@proxy.example:port",
        "http://u:hunter2@proxy.example/path",
        "http://u:hunter2@proxy.example?query",
        "http://u:hunter2@proxy.example#part",
        "http://u:hunter2@proxy example",
        "http://u:hunter2@proxy.example\n",
        "http://u:hunter2@proxy.example\nPATH=/tmp",
        "http://u:hunter2@2001:db8::7",
        "http://u:hunter2@x@proxy.example",
        "http://u:hunter2 @proxy.example",
        "http://u:hunter2%4@proxy.example",
        "http://u:hunter2²@proxy.example",
    ],
)
def test_others_are_refused_by_name_and_not_repeated(coe, field, value):
    with pytest.raises(Invalid, match=field) as refused:
        coe.check(replace(SPEC, **{field: value}))
    assert refused.value.field == field
    assert "hunter2" not in str(refused.value)


@BOTH
@pytest.mark.parametrize("value", ["a.example", ".example,10.0.0.0/8,[::1]:80,*.b.example,", "*", "2001:db8::/32"])
def test_lists_of_whom_to_ask_directly_are_taken(coe, value):
    coe.check(replace(SPEC, no_proxy=value))


@BOTH
@pytest.mark.parametrize("value", ["a, b", "a b", "a\nPATH=/tmp", "a\t", "$(reboot)", "é.example"])
def test_other_lists_are_refused_with_the_word(coe, value):
    with pytest.raises(Invalid, match=r"no_proxy has '.+', but takes names") as refused:
        coe.check(replace(SPEC, no_proxy=value))
    assert refused.value.field == "no_proxy"


def laid(coe, made) -> list:
    """What containerd's environment is on each node of that plan: at most one file."""
    return [
        [file for file in coe.build_script(made, member).files if file.path == ENVIRONMENT] for member in made.members
    ]


def test_without_a_proxy_there_is_nothing_to_tell(coe):
    made = plan(coe)
    assert laid(coe, made) == [[], []]
    assert laid(coe, replace(made, template=replace(SPEC, no_proxy="a.example"))) == [[], []]


def test_every_node_is_told_the_proxies_and_whom_to_ask_without(coe):
    fields = {"http_proxy": URL, "https_proxy": "http://other.example", "no_proxy": "a.example,,10.9.0.3"}
    made = replace(plan(coe, service_cluster_ip_range="10.60.0.0/16"), balancer="10.9.0.9")
    for [file] in laid(coe, replace(made, template=replace(SPEC, **fields))):
        *proxies, direct = file.content.decode().splitlines()
        assert proxies == [f"HTTP_PROXY={URL}", "HTTPS_PROXY=http://other.example"]
        assert direct == (
            "NO_PROXY=a.example,10.9.0.3,localhost,127.0.0.1,.svc,.cluster.local,10.9.0.2,10.9.0.9,"
            "10.100.0.0/16,10.60.0.0/16,10.60.0.11"
        )


@pytest.mark.parametrize("coe", [SwarmCoe], indirect=True)
def test_an_engine_of_a_swarm_is_told_and_asks_the_others_without(coe):
    made = plan(coe)
    fields = {"http_proxy": URL, "no_proxy": "a.example"}
    for member in made.members:
        told = coe.build_script(replace(made, template=replace(SPEC, **fields)), member)
        [file] = [file for file in told.files if file.path == ENGINE]
        text = f"HTTP_PROXY={URL}\nNO_PROXY=a.example,localhost,127.0.0.1,10.9.0.2,10.9.0.3\n"
        assert (file.content.decode(), file.mode) == (text, 0o600)
        assert "p%40ss" not in repr(told)
        assert ENGINE not in {file.path for file in coe.build_script(made, member).files}


def test_one_of_the_two_is_enough(coe):
    for [file] in laid(coe, replace(plan(coe), template=replace(SPEC, https_proxy=URL))):
        named = [line.partition("=")[0] for line in file.content.decode().splitlines()]
        assert named == ["HTTPS_PROXY", "NO_PROXY"]


def test_a_password_lies_where_only_root_reads_it_and_is_not_shown(coe):
    made = replace(plan(coe), template=replace(SPEC, http_proxy=URL, https_proxy=URL))
    for [file] in laid(coe, made):
        assert file.mode == 0o600
    shown = repr([made, *(coe.build_script(made, member) for member in made.members)])
    assert ENVIRONMENT in shown
    assert "p%40ss" not in shown
