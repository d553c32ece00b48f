"""Compiles the programs of the conformance suite of Kubernetes from published Go modules.

They are the tests, their runner, and the programs in the images that tests ask for. Each is compiled once and kept.
Neighbours: `conformance_kubernetes`, which runs the tests.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

from stage import StepFailed, step

# The packages of commands by name; the tests are compiled in another way.
PROGRAMS = {
    "ginkgo": "github.com/onsi/ginkgo/v2/ginkgo",
    "agnhost": "k8s.io/kubernetes/test/images/agnhost",
    "nnp": "k8s.io/kubernetes/test/images/nonewprivs",
    "sample-apiserver": "k8s.io/sample-apiserver",
}
TESTS = "k8s.io/kubernetes/test/e2e"
# Without the data for debuggers, which takes time to compile.
SMALL = ["-gcflags=all=-dwarf=false", "-ldflags", "-s -w"]
_STAGING = re.compile(r"^\s*(k8s\.io/[a-z0-9-]+) => \./staging/", re.MULTILINE)
_GO = re.compile(r"^go (\S+)", re.MULTILINE)
_GODEBUG = re.compile(r"^godebug [^(\n].*|^godebug \((?:.|\n)*?\)", re.MULTILINE)


def make_programs(version: str, cache: pathlib.Path) -> pathlib.Path:
    """Ensure all programs in the folder's `bin`. Return the path of that version's Kubernetes source."""
    source = pathlib.Path(json.loads(_go(cache, "mod", "download", "-json", f"k8s.io/kubernetes@{version}"))["Dir"])
    wanted = {name: ["build", *SMALL, "-o", "@", package] for name, package in PROGRAMS.items()}
    wanted["e2e.test"] = ["test", "-c", *SMALL, "-o", "@", TESTS]
    folder, module = cache / "bin", cache / "mod"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in wanted if not (folder / name).exists()]
    if missing:
        with step("Go modules of the suite"):
            _write_module(version, source, module)
    for name in missing:
        with step(f"compiling {name}"):
            part = folder / f"{name}.part"
            _go(module, *(str(part) if word == "@" else word for word in wanted[name]))
            part.rename(folder / name)
    return source


def _write_module(version: str, source: pathlib.Path, folder: pathlib.Path) -> None:
    """Write a module that depends on that version of Kubernetes as its own repository builds it.

    The repository replaces its staging modules by its own folders. Each is published under a version that follows the
    repository's.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    theirs = (source / "go.mod").read_text()
    published = f"v0.{version.removeprefix('v1.')}"
    release = _GO.search(theirs)
    lines = [
        "module conformance",
        f"go {release[1] if release else '1.26'}",
        *_GODEBUG.findall(theirs),
        f"require k8s.io/kubernetes {version}",
        *(f"replace {module} => {module} {published}" for module in _STAGING.findall(theirs)),
    ]
    (folder / "go.mod").write_text("\n".join([*lines, ""]))
    imports = "".join(f'\t_ "{package}"\n' for package in [*PROGRAMS.values(), TESTS])
    (folder / "tools.go").write_text(f"//go:build tools\n\npackage main\n\nimport (\n{imports})\n")
    modules = [f"{TESTS}@{version}", f"{PROGRAMS['agnhost']}@{version}", f"k8s.io/sample-apiserver@{published}"]
    _go(folder, "get", "-t", *modules)


def _go(folder: pathlib.Path, *words: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0", "GOWORK": "off"}
    done = subprocess.run(["go", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StepFailed(f"go {' '.join(words)}: {done.stderr[-2000:]}")
    return done.stdout
