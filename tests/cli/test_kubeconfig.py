"""The user's kubeconfig: a context comes and goes, and everything else stays."""

import json
import stat

import pytest
import yaml

from jeroboam.cli.clusters.kubeconfig_file import KubeconfigFile, default_kubeconfig
from jeroboam.clients.container_infra import ClusterCredentials
from jeroboam.clients.kubeconfig import build_kubeconfig
from jeroboam.kit.x509 import KeyPair

THEIRS = """\
apiVersion: v1
kind: Config
current-context: "on"
preferences: {}
clusters:
- cluster: {server: 'https://192.0.2.9:6443', insecure-skip-tls-verify: true}
  name: "on"
contexts:
- context: {cluster: "on", namespace: "0123", user: yes}
  name: "on"
users:
- name: yes
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      args: [get-token, --since, 2026-01-01]
      command: aws
    token: 0123
"""


def content(name: str) -> dict:
    access = ClusterCredentials(url="https://192.0.2.1:6443", ca_certificates="CA", own=KeyPair(pem="CERT", key=b"KEY"))
    return build_kubeconfig(cluster=name, user=name, context=name, access=access)


@pytest.fixture
def file(tmp_path):
    return KubeconfigFile(tmp_path / "config")


def read_raw(file: KubeconfigFile):
    """The file with every value as it was written."""
    return yaml.load(file.path.read_text(), Loader=yaml.BaseLoader)


def test_a_file_that_is_not_there_is_made(tmp_path):
    file = KubeconfigFile(tmp_path / "new" / "config")
    file.add("jeroboam-dev", content("jeroboam-dev"), uuid="u-1", make_current=False)
    config = yaml.safe_load(file.path.read_text())
    assert (config["apiVersion"], config["kind"], config["current-context"]) == ("v1", "Config", "")
    assert config["clusters"][0]["cluster"]["server"] == "https://192.0.2.1:6443"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in file.path.parent.iterdir()] == ["config"]


def test_what_others_wrote_stays_as_it_was(file):
    file.path.write_text(THEIRS)
    before = read_raw(file)
    file.add("jeroboam-dev", content("jeroboam-dev"), uuid="u-1", make_current=True)
    during = read_raw(file)
    assert during["current-context"] == "jeroboam-dev"
    for key in ("clusters", "contexts", "users"):
        assert during[key][0] == before[key][0]
        assert during[key][1]["name"] == "jeroboam-dev"
    # Types stay too: what was a text is one, what was none is none.
    assert yaml.safe_load(file.path.read_text())["users"][0] == yaml.safe_load(THEIRS)["users"][0]
    assert file.remove("u-1") == ["jeroboam-dev"]
    assert read_raw(file) == before | {"current-context": ""}


def test_no_switch_leaves_the_current_context(file):
    file.path.write_text(THEIRS)
    file.add("jeroboam-dev", content("jeroboam-dev"), uuid="u-1", make_current=False)
    assert read_raw(file)["current-context"] == "on"
    file.remove("u-1")
    assert read_raw(file)["current-context"] == "on"


def test_a_second_time_replaces_the_first(file):
    for uuid in ("u-1", "u-2"):
        file.add("jeroboam-dev", content("jeroboam-dev"), uuid=uuid, make_current=True)
    assert [len(read_raw(file)[key]) for key in ("clusters", "contexts", "users")] == [1, 1, 1]
    assert file.remove("u-1") == []
    assert file.remove("u-2") == ["jeroboam-dev"]


def test_a_context_of_the_same_name_that_is_not_ours_is_not_removed(file):
    file.path.write_text(THEIRS.replace('"on"', "jeroboam-dev"))
    assert file.remove("u-1") == []
    assert file.path.read_text() == THEIRS.replace('"on"', "jeroboam-dev")


def test_lists_that_are_null_are_filled(file):
    file.path.write_text("apiVersion: v1\nkind: Config\nclusters: null\ncontexts: []\nusers:\n")
    file.add("a", content("a"), uuid="u", make_current=True)
    assert [item["name"] for item in yaml.safe_load(file.path.read_text())["users"]] == ["a"]


def test_a_link_stays_a_link_and_an_open_file_is_closed(tmp_path):
    (tmp_path / "real").write_text(THEIRS)
    (tmp_path / "real").chmod(0o644)
    (tmp_path / "config").symlink_to("real")
    KubeconfigFile(tmp_path / "config").add("a", content("a"), uuid="u", make_current=True)
    assert (tmp_path / "config").is_symlink()
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["- a\n", "clusters: {a: b}\n", "a: [\n", "just text"])
def test_what_is_no_kubeconfig_is_left_alone(file, text):
    file.path.write_text(text)
    with pytest.raises(ValueError, match="left as it is"):
        file.add("a", content("a"), uuid="u", make_current=True)
    assert file.path.read_text() == text
    assert not file.path.with_name("config.lock").exists()


def test_a_lock_of_kubectl_is_respected(file):
    lock = file.path.with_name("config.lock")
    lock.touch()
    with pytest.raises(ValueError, match=f"another program changes .*; if none does, remove {lock}"):
        file.add("a", content("a"), uuid="u", make_current=True)
    assert lock.exists()


def test_which_file_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", f":{tmp_path}/one:{tmp_path}/two")
    assert default_kubeconfig() == tmp_path / "one"
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_kubeconfig() == tmp_path / ".kube" / "config"


async def test_a_context_comes_with_kubeconfig_and_goes_with_the_cluster(cli, service):
    await cli("cluster create dev")
    path = service.folder / "kubeconfig"
    path.write_text(THEIRS)
    assert await cli("cluster kubeconfig dev") == (
        f"context jeroboam-dev is in {path}\ntry: kubectl --context jeroboam-dev get nodes\n"
    )
    config = yaml.safe_load(path.read_text())
    assert config["current-context"] == "jeroboam-dev"
    [cluster] = json.loads(await cli("cluster list -o json"))
    assert config["clusters"][-1]["cluster"]["server"] == cluster["api_address"]
    printed = json.loads(await cli("cluster kubeconfig dev --print --context x"))
    assert printed["contexts"][0]["name"] == "x"
    assert f"context jeroboam-dev is no more in {path}" in await cli("cluster delete dev")
    assert yaml.safe_load(path.read_text())["clusters"] == yaml.safe_load(THEIRS)["clusters"]


async def test_a_context_in_another_file_goes_where_kubeconfig_names_it(cli, service, tmp_path):
    await cli("cluster create dev")
    other = tmp_path / "other"
    written = await cli(f"cluster kubeconfig dev -f {other} --no-switch --context foo")
    assert written.splitlines()[-1] == f"try: kubectl --kubeconfig {other} --context foo get nodes"
    assert yaml.safe_load(other.read_text())["current-context"] == ""
    cli.environment["KUBECONFIG"] = f"{service.folder / 'kubeconfig'}:{other}"
    assert f"context foo is no more in {other}" in await cli("cluster delete dev")
    config = yaml.safe_load(other.read_text())
    assert [config[key] for key in ("clusters", "users", "contexts", "current-context")] == [[], [], [], ""]


async def test_a_kubeconfig_that_cannot_be_read_does_not_keep_the_cluster(cli, service):
    await cli("cluster create dev")
    (service.folder / "kubeconfig").write_text("[")
    assert "its context stays" in await cli("cluster delete dev")
    assert json.loads(await cli("cluster list -o json")) == []


async def test_swarm_has_none(cli):
    await cli("cluster create dev --coe swarm")
    assert await cli.refused("cluster kubeconfig dev") == (
        "jeroboam: cluster dev is a cluster of swarm: kubectl cannot use it"
    )
