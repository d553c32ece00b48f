"""Reads text and YAML that an operator wrote.

Such a file is named on a command line or in an option, and may be anything. Its reader always ends, with the text or
with one sentence. Neighbours: `jeroboam.settings`, and the readers of policy files and of limits.
"""

import os
import stat
from pathlib import Path
from typing import Any

import yaml

MAX_FILE_BYTES = 1 << 20
_MOST_DEPTH = 40


def read_operator_file(file: str | Path) -> str:
    """Return the text of that file. Raises `OSError`, or `ValueError` with the reason, without the file's name."""
    # Without a writer, the opening of a FIFO would never end.
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise ValueError("this is no regular file")
        content = stream.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"this is no text in UTF-8: line {line} has the octet 0x{content[error.start]:02x}") from error


def read_operator_yaml(file: str | Path) -> Any:
    """Return the value of that YAML file. Raises as `read_operator_file` does.

    A key that is there twice is refused: YAML itself would silently take the last one.
    """
    text = read_operator_file(file)
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506  (a subclass of the safe loader)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split()).replace('in "<unicode string>", ', "in ")) from error
    except Exception as error:
        # A value that has the form of a date, of a number or of a tagged type, and is none.
        raise ValueError(f"a value cannot be read: {error}") from error


class _StrictLoader(yaml.SafeLoader):  # type: ignore[misc]
    """The safe loader, without keys that are there twice, and with a bound for brackets in each other."""

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        # Its work grows with the square of their number.
        if self.flow_level >= _MOST_DEPTH:
            raise RecursionError
        super().fetch_flow_collection_start(token_class)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        keys: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in keys:
                raise yaml.composer.ComposerError(
                    None, None, f'the key "{key.value}" is there twice, for the second time', key.start_mark
                )
            keys.add((key.tag, key.value))
        return node
