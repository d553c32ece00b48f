"""The user's kubeconfig: adds contexts of clusters, and removes them again. Everything else in the file stays.

The file is read and written as a tree of YAML nodes, so that no value of others changes its type or its form; comments
are lost, as with `kubectl config`. What is ours is known by the cluster's uuid in an extension of the entry. The file
is replaced as a whole and is readable by its owner alone; kubectl's own lock file is respected. Neighbours:
`kubeconfig`, `changes`.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

EXTENSION = "jeroboam.io/cluster"
_LISTS = ("clusters", "users", "contexts")
_MAP, _SEQUENCE, _TEXT = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:str"


def default_kubeconfig() -> Path:
    """Return the file that kubectl writes to: the first of $KUBECONFIG, else ~/.kube/config."""
    return list_kubeconfigs()[0]


def list_kubeconfigs() -> list[Path]:
    """Return the files that kubectl reads: those of $KUBECONFIG, else ~/.kube/config."""
    names = [name for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    return [Path(name) for name in dict.fromkeys(names)] or [Path.home() / ".kube" / "config"]


class KubeconfigFile:
    """One file, which need not exist. Raises `ValueError` for a file that is no kubeconfig."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, context: str, config: Mapping[str, Any], *, uuid: str, make_current: bool) -> None:
        """Add or replace the cluster, the user and the context of that name. `config` has one of each."""
        with self._lock():
            root = self._read()
            extension = {"name": EXTENSION, "extension": {"uuid": uuid}}
            entries = {
                "clusters": {"cluster": {**config["clusters"][0]["cluster"], "extensions": [extension]}},
                "users": {"user": config["users"][0]["user"]},
                "contexts": {"context": {"cluster": context, "user": context, "extensions": [extension]}},
            }
            for key, entry in entries.items():
                sequence = self._get_list(root, key)
                sequence.value = [node for node in sequence.value if _read_name(node) != context]
                sequence.value.append(_build_node({"name": context, **entry}))
            if make_current or _get(root, "current-context") is None:
                _set(root, "current-context", _build_node(context if make_current else ""))
            self._write(root)

    def remove(self, uuid: str) -> list[str]:
        """Remove what was added for the cluster with that uuid. Return the names of the contexts."""
        if not self.path.exists():
            return []
        with self._lock():
            root = self._read()
            names = [
                _read_name(node)
                for node in self._get_list(root, "clusters").value
                if _read_uuid(_get(node, "cluster")) == uuid
            ]
            if not names:
                return []
            for key in _LISTS:
                sequence = self._get_list(root, key)
                sequence.value = [node for node in sequence.value if _read_name(node) not in names]
            if _get_text(root, "current-context") in names:
                _set(root, "current-context", _build_node(""))
            self._write(root)
        return names

    def _read(self) -> yaml.MappingNode:
        text = self.path.read_text() if self.path.exists() else ""
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            raise ValueError(f"{self.path}: this is no YAML, so it is left as it is") from error
        if root is None:
            return _build_node({"apiVersion": "v1", "kind": "Config"})
        if not isinstance(root, yaml.MappingNode):
            raise ValueError(f"{self.path}: this is no kubeconfig, so it is left as it is")  # noqa: TRY004
        return root

    def _get_list(self, root: yaml.MappingNode, key: str) -> yaml.SequenceNode:
        """Return the list under that key, which is created if it is absent or null."""
        node = _get(root, key)
        if node is None or (isinstance(node, yaml.ScalarNode) and node.value in ("", "null", "~")):
            node = yaml.SequenceNode(tag=_SEQUENCE, value=[], flow_style=False)
            _set(root, key, node)
        if not isinstance(node, yaml.SequenceNode):
            raise ValueError(f"{self.path}: {key} is no list, so the file is left as it is")  # noqa: TRY004
        if not node.value:
            node.flow_style = False
        return node

    def _write(self, root: yaml.MappingNode) -> None:
        # A link stays a link.
        path = self.path.resolve()
        text = yaml.serialize(root, Dumper=yaml.SafeDumper, allow_unicode=True, width=1 << 30)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold kubectl's lock of the file."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self.path.with_name(f"{self.path.name}.lock")
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError as error:
            raise ValueError(f"another program changes {self.path}; if none does, remove {lock}") from error
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _build_node(value: Any) -> Any:
    """Return the node for a value of JSON."""
    node = yaml.compose(json.dumps(value), Loader=yaml.SafeLoader)
    _loosen(node)
    return node


def _loosen(node: yaml.Node) -> None:
    """Write the node in lines, as kubectl does, with quotes only where they are needed."""
    if isinstance(node, yaml.ScalarNode):
        node.style = None
        return
    node.flow_style = False
    for child in node.value:
        for part in child if isinstance(child, tuple) else (child,):
            _loosen(part)


def _get(node: Any, key: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _get_text(node: Any, key: str) -> str:
    value = _get(node, key)
    return value.value if isinstance(value, yaml.ScalarNode) else ""


def _set(node: yaml.MappingNode, key: str, value: yaml.Node) -> None:
    for index, (name, _) in enumerate(node.value):
        if name.value == key:
            node.value[index] = (name, value)
            return
    node.value.append((yaml.ScalarNode(tag=_TEXT, value=key), value))


def _read_name(node: Any) -> str:
    return _get_text(node, "name")


def _read_uuid(node: Any) -> str:
    """Return the uuid in our extension of an entry; empty if there is none."""
    extensions = _get(node, "extensions")
    if not isinstance(extensions, yaml.SequenceNode):
        return ""
    return next(
        (_get_text(_get(item, "extension"), "uuid") for item in extensions.value if _read_name(item) == EXTENSION), ""
    )
