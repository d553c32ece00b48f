"""Compiling: what the machine must have, what a compiler's words mean, and that an end in the middle is no harm."""

import asyncio
import os
import signal
import textwrap

import pytest

from jeroboam.domain.errors import Permanent, Temporary
from jeroboam.kit.clock import SystemClock
from jeroboam.nodeimages import kubernetes
from jeroboam.nodeimages.gomodules import GoModules, ModuleRecipe, Toolchain
from jeroboam.nodeimages.programs import Program, ProgramCache
from jeroboam.nodeimages.subprocesses import run_program
from tests.unit.test_programs import Told

TOOL = Program(name="tool", version="v1.2.3", outputs=("tool",))
KUBE = Program(name="kube", version="v1.36.3", outputs=("kubeadm", "kubelet"))
RECIPES = {
    "tool": ModuleRecipe(module="example.org/tools", install=("cmd/tool",), defines={"main.version": "{bare}"}),
    "kube": ModuleRecipe(module="example.org/kube", folder="kube", output="kubeadm", names=("kubelet",), staging=True),
}
PAIR = [Program(name=name, version="v1.2.3", outputs=(name,)) for name in ("left", "right")]
RECIPES |= {
    program.name: ModuleRecipe(
        module=f"example.org/{program.name}", folder="pair", build=f"./{program.name}", output=program.name
    )
    for program in PAIR
}
NO_C = Toolchain(go="1.26.0", programs={}, libraries={})

# Stands in for Go: says its version, notes what it is called with, and does what the test wants.
GO = """\
#!/bin/sh
echo "$GOWORK $CGO_ENABLED $*" >>"{notes}"
case "$1" in
    env) echo "${{FAKE_GO:-go1.26.8}}"; exit ;;
    mod) [ "$2" = tidy ] || echo '{{"GoMod": "{notes}.mod"}}'; exit ;;
esac
{does}
while [ $# -gt 0 ]; do
    [ "$1" = -o ] && echo built >"$2"
    case "$1" in *@*) name=${{1%@*}}; echo built >"$GOBIN/${{name##*/}}" ;; esac
    shift
done
"""


@pytest.fixture
def go(tmp_path, monkeypatch):
    """Puts a `go` first on the path that does that before it builds; gives what it was called with."""
    notes, bin_folder = tmp_path / "notes", tmp_path / "bin"
    bin_folder.mkdir()
    (tmp_path / "notes.mod").write_text("go 1.26\n\treplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\n")
    monkeypatch.setenv("PATH", str(bin_folder), prepend=os.pathsep)

    def does(what: str = ":"):
        program = bin_folder / "go"
        program.write_text(GO.format(notes=notes, does=textwrap.dedent(what)))
        program.chmod(0o755)
        return notes

    return does


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "sources" / "kube"
    folder.mkdir(parents=True)
    (folder / "main.go").write_text("package main\n")
    return folder.parent


@pytest.fixture
def cache(tmp_path):
    return ProgramCache(tmp_path / "cache", SystemClock(), Told())


def modules(sources, toolchain=NO_C):
    return GoModules(RECIPES, sources, toolchain)


async def test_a_command_is_installed_as_published(go, sources, cache):
    notes = go()
    made = await cache.get(modules(sources), [TOOL])
    assert made["tool"].read_text() == "built\n"
    (call,) = [line for line in notes.read_text().splitlines() if " install " in line]
    assert call.startswith("off 0 ")
    assert "-X main.version=1.2.3" in call
    assert call.endswith("example.org/tools/cmd/tool@v1.2.3")


async def test_a_package_of_ours_is_built_with_published_staging_modules(go, sources, cache):
    go('cp go.mod "{}"'.format(sources / "seen.mod"))
    made = await cache.get(modules(sources), [KUBE])
    assert made["kubelet"].samefile(made["kubeadm"])
    seen = (sources / "seen.mod").read_text()
    assert "require example.org/kube v1.36.3\n" in seen
    assert "replace k8s.io/api => k8s.io/api v0.36.3\n" in seen
    assert sorted(path.name for path in made["kubeadm"].parent.iterdir()) == ["kubeadm", "kubelet"]


@pytest.fixture
def pair(sources):
    """A folder with a module for two programs."""
    folder = sources / "pair"
    folder.mkdir()
    (folder / "go.sum").write_text("sums\n")
    lines = ["module pair", "require (", "\texample.org/left v1.2.3", "\texample.org/right v1.2.3", ")"]
    (folder / "go.mod").write_text("\n".join(lines))
    return folder


async def test_programs_of_one_module_of_ours_are_built_as_it_is(go, sources, pair, cache):
    notes = go(f'cmp go.mod "{pair}/go.mod" && cmp go.sum "{pair}/go.sum" || exit 1')
    outputs = await cache.get(modules(sources), PAIR)
    assert set(outputs) == {"left", "right"}
    calls = [line.split() for line in notes.read_text().splitlines() if " env " not in line]
    assert [(call[2], call[-1]) for call in calls] == [("build", "./left"), ("build", "./right")]


async def test_a_module_of_ours_with_another_version_is_refused(go, sources, pair, cache):
    go()
    (pair / "go.mod").write_text("module pair\nrequire example.org/left v1.2.30\nrequire example.org/right v1.2.3\n")
    with pytest.raises(Permanent, match=r"left v1\.2\.3: pair/go\.mod requires v1\.2\.30 of example\.org/left"):
        await cache.get(modules(sources), PAIR[:1])
    assert await cache.get(modules(sources), PAIR[1:])


async def test_a_sum_that_changes_makes_the_programs_anew(go, sources, pair, cache):
    go()
    former_outputs = await cache.get(modules(sources), PAIR)
    (pair / "go.sum").write_text("other sums\n")
    outputs = await cache.get(modules(sources), PAIR)
    assert all(outputs[name] != former_outputs[name] for name in ("left", "right"))


@pytest.mark.parametrize(("version", "said"), [("go1.19.8", "has go1.19.8"), ("", "has none")])
async def test_a_go_that_is_too_old_or_absent_is_named(go, sources, cache, monkeypatch, version, said):
    go()
    monkeypatch.setenv("FAKE_GO", version)
    if not version:
        monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Permanent, match=rf"Go 1\.26\.0 or later.*{said}"):
        await cache.get(modules(sources), [TOOL])


@pytest.mark.parametrize("own_release", ["", "go1.19.8"])
async def test_a_packaged_go_compiles_where_the_machine_has_none_that_can(
    go, sources, cache, monkeypatch, tmp_path, own_release
):
    go()
    packaged = tmp_path / "packaged" / "go"
    packaged.parent.mkdir()
    packaged.write_text((tmp_path / "bin" / "go").read_text().replace("${FAKE_GO:-go1.26.8}", "go1.26.6"))
    packaged.chmod(0o755)
    monkeypatch.setenv("FAKE_GO", own_release)
    if not own_release:
        (tmp_path / "bin" / "go").unlink()
        monkeypatch.setenv("PATH", "/nowhere")
    source = GoModules(RECIPES, sources, NO_C, packaged_go=packaged)
    assert "go1.26.6" in await source.recipe(TOOL)
    assert (await cache.get(source, [TOOL]))["tool"].read_text() == "built\n"


async def test_missing_tools_are_named_by_their_packages(go, sources, cache):
    go()
    lacking = Toolchain(go="1.26.0", programs={"no-such-cc": "gcc", "sh": "dash"}, libraries={})
    with pytest.raises(Permanent, match=r"apt-get install gcc$"):
        await cache.get(modules(sources, lacking), [TOOL])
    lacking = Toolchain(go="1.26.0", programs={}, libraries={"no-such-library": "libseccomp-dev"})
    with pytest.raises(Permanent, match=r"apt-get install libseccomp-dev$"):
        await cache.get(modules(sources, lacking), [TOOL])


async def test_of_many_complaints_the_last_lines_are_shown(go, sources, cache):
    go("seq 500 >&2; echo 'main.go:3: undefined: x' >&2; exit 1")
    with pytest.raises(Permanent, match=r"compiling tool v1\.2\.3 failed:") as caught:
        await cache.get(modules(sources), [TOOL])
    lines = caught.value.reason.splitlines()
    assert lines[-1] == "main.go:3: undefined: x"
    assert len(lines) < 15


async def test_a_proxy_that_is_away_is_worth_another_try(go, sources, cache):
    go("echo 'go: example.org: dial tcp 192.0.2.1:443: connect: connection refused' >&2; exit 1")
    with pytest.raises(Temporary, match="proxy does not answer"):
        await cache.get(modules(sources), [TOOL])
    go()
    assert await cache.get(modules(sources), [TOOL])


async def test_a_full_disk_of_the_compiler_is_said_so(go, sources, cache):
    go("echo 'write /tmp/x: no space left on device' >&2; exit 1")
    with pytest.raises(Permanent, match=r"tool v1\.2\.3: write /tmp/x: no space left on device; free some GiB"):
        await cache.get(modules(sources), [TOOL])


async def test_a_compiler_that_is_killed_leaves_nothing(go, sources, cache, tmp_path):
    go("kill -9 $$")
    with pytest.raises(Permanent, match="ended by something else"):
        await cache.get(modules(sources), [TOOL])
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


async def test_a_slow_compiler_ends_with_us(go, sources, cache, tmp_path):
    pid = tmp_path / "pid"
    go(f'echo $$ >"{pid}.new"; mv "{pid}.new" "{pid}"; sleep 600 & wait')
    work = asyncio.ensure_future(cache.get(modules(sources), [TOOL]))
    while not pid.exists():
        await asyncio.sleep(0.01)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), signal.SIG_DFL)


async def test_one_that_is_given_up_as_it_starts_ends_too(tmp_path, monkeypatch):
    """It may have a child by then, which holds its pipes: ending the program alone would wait for that child."""
    loop, begun = asyncio.get_running_loop(), tmp_path / "begun"
    connect = loop.connect_read_pipe

    async def connect_late(*args):
        while not begun.exists():
            await asyncio.sleep(0.01)
        if not work.cancelling():
            work.cancel()
        await asyncio.sleep(0.1)
        return await connect(*args)

    monkeypatch.setattr(loop, "connect_read_pipe", connect_late)
    script = f'sleep 60 & touch "{begun}"; wait'
    work = asyncio.ensure_future(run_program("sh", "-c", script, cwd=tmp_path, env={}))
    async with asyncio.timeout(20):
        assert isinstance(*await asyncio.gather(work, return_exceptions=True), asyncio.CancelledError)


async def test_what_is_ours_and_the_compiler_are_part_of_the_key(go, sources, cache, monkeypatch):
    go()
    first = await cache.get(modules(sources), [KUBE])
    assert await cache.get(modules(sources), [KUBE]) == first
    monkeypatch.setenv("FAKE_GO", "go1.27.0")
    assert await cache.get(modules(sources), [KUBE]) != first
    monkeypatch.delenv("FAKE_GO")
    (sources / "kube" / "main.go").write_text("package main // changed\n")
    assert await cache.get(modules(sources), [KUBE]) != first


async def test_every_program_of_every_version_has_a_recipe(go, tmp_path):
    go()
    source = kubernetes.build_modules()
    for version in kubernetes.list_versions().values():
        for program in version.programs:
            assert program.version in version.components.values()
            assert await source.recipe(program)
            folder = tmp_path / version.name / program.name
            folder.mkdir(parents=True)
            await source.make(program, folder)
            assert {path.name for path in folder.iterdir()} >= set(program.outputs)
