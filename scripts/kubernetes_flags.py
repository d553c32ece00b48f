"""Writes the list of options of Kubernetes' programs, from the programs themselves.

Run it for each new version with the folders of the programs of all versions that have a node image
(`~/.cache/jeroboam/kube-*`). Users may be allowed the options that all versions have.
"""

import pathlib
import re
import subprocess
import sys
from collections import defaultdict

TABLE = pathlib.Path(__file__).parents[1] / "src" / "jeroboam" / "coes" / "kubernetes" / "flags.toml"
PROGRAMS = ("kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
FLAG = re.compile(r"^\s+(?:-\w, )?--([A-Za-z0-9-]+)(?:\[=[^\]]*\])?(?: (\S+))?(?:\s\s|$)", re.MULTILINE)
PLUGINS = re.compile(r"--enable-admission-plugins .*Comma-delimited list of admission plugins: ([A-Za-z, ]+)\.")
GATE = re.compile(r"(?:\w+:)?(\w+)=true\|false \(")
WIDTH = 116


def main(folders: list[str]) -> None:
    """Write the table."""
    lines = ["# What the programs of every version of Kubernetes here can be set to on their command lines, by what"]
    lines += ["# the values are. Written by scripts/kubernetes_flags.py from the programs themselves.", ""]
    plugins = [set(PLUGINS.search(_help(folder, "kube-apiserver"))[1].split(", ")) for folder in folders]
    lines += ["[admission]", *_listed("plugins", set.intersection(*plugins)), "", "[gates]"]
    gates = [set(GATE.findall(_help(each, "kube-apiserver"))) for each in folders]
    lines += [*_listed("names", set.intersection(*gates)), ""]
    for program in PROGRAMS:
        found = [{name: kind or "bool" for name, kind in FLAG.findall(_help(each, program))} for each in folders]
        kinds = defaultdict(set)
        for name, kind in found[0].items():
            if all(each.get(name) == kind for each in found):
                kinds[kind].add(name)
        lines.append(f"[{program}]")
        for kind in sorted(kinds):
            lines += _listed(kind if re.fullmatch(r"\w+", kind) else f'"{kind}"', kinds[kind])
        lines.append("")
    TABLE.write_text("\n".join(lines[:-1]) + "\n")


def _help(folder: str, program: str) -> str:
    done = subprocess.run([f"{folder}/{program}", "--help"], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def _listed(key: str, names: set[str]) -> list[str]:
    lines, line = [f'{key} = """\\'], ""
    for name in sorted(names):
        if len(line) + len(name) + 1 > WIDTH:
            lines.append(f"{line} \\")
            line = ""
        line = f"{line} {name}".strip()
    return [*lines, f'{line}"""']


if __name__ == "__main__":
    main(sys.argv[1:])
