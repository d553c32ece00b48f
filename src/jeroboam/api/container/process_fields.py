"""Fields that Zun does not have, and users of `docker run` expect: who the process is and what it may do; how it ended.

They belong to the newest version, so that no older client meets them. Neighbour: `fields`, the table that has them too.
"""

import re
from functools import partial
from typing import Any

from jeroboam.api.container.field_checks import check_path
from jeroboam.api.container.field_row import ADDED_SINCE, ContainerField
from jeroboam.api.fields import LARGEST, FieldCheck, InvalidField, choice, integer, mapping, strict_flag, strings, text
from jeroboam.domain.containers import CAPABILITIES, SAFE_SYSCTLS, Ulimit
from jeroboam.domain.field_effects import docker

_ULIMITS = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
_LIMIT = integer(low=-1, high=LARGEST)
_MIB = integer(low=1, high=1 << 20)
_MOST_MOUNTS = 32
_USER = text(
    pattern=r"\A[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,31}(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,31})?\Z",
    rule="it has to be a user or a number, optionally with :GROUP.",
)
_VALUE = re.compile(r"-?[0-9]+([ \t,-][0-9]+)*", re.ASCII)


def _ulimits(name: str, value: Any) -> dict[str, Ulimit]:
    if not isinstance(value, dict):
        raise InvalidField(name, value, 'it has to be an object like {"nofile": {"soft": 1024, "hard": 2048}}.')
    limits = {}
    for key, limit in value.items():
        choice(*_ULIMITS)(name, key)
        pair = limit if isinstance(limit, dict) else {"soft": limit, "hard": limit}
        if set(pair) != {"soft", "hard"}:
            raise InvalidField(f"{name}/{key}", limit, "it has to be a number, or an object with soft and hard.")
        soft, hard = (_LIMIT(f"{name}/{key}", pair[kind]) for kind in ("soft", "hard"))
        if hard != -1 and (soft == -1 or soft > hard):
            raise InvalidField(f"{name}/{key}", soft, f"the soft limit is more than the hard one, {hard}.")
        limits[key] = Ulimit(soft=soft, hard=hard)
    return limits


def _tmpfs(name: str, value: Any) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > _MOST_MOUNTS:
        raise InvalidField(
            name, value, f'it has to be an object like {{"/run": 64}}, at most {_MOST_MOUNTS} sizes in MiB.'
        )
    for path in value:
        check_path(name, path)
    return {path: _MIB(f"{name}/{path}", size) for path, size in value.items()}


def _capabilities(name: str, value: Any) -> tuple[str, ...]:
    words: tuple[str, ...] = strings()(name, value)
    plain_words = [word.upper().removeprefix("CAP_") for word in words]
    for word, plain in zip(words, plain_words, strict=True):
        if plain not in CAPABILITIES and plain != "ALL":
            raise InvalidField(name, word, "it is no capability of Linux.")
    return tuple(dict.fromkeys(plain_words))


def _sysctls(name: str, value: Any) -> dict[str, str]:
    parameters: dict[str, str] = mapping(scalars=True)(name, value)
    for key, setting in parameters.items():
        if key not in SAFE_SYSCTLS:
            raise InvalidField(f"{name}/{key}", setting, f"containers may set: {', '.join(sorted(SAFE_SYSCTLS))}.")
        if _VALUE.fullmatch(setting) is None:
            raise InvalidField(f"{name}/{key}", setting, "it has to be a number, or several.")
    return parameters


_OBJECT = {"type": "object"}
_NAMES = {"type": "array", "items": {"type": "string"}}

_added_field = partial(ContainerField, since=ADDED_SINCE, sortable=False, is_added=True)

PROCESS_FIELDS = (
    _added_field(
        name="user",
        check=_USER,
        effect=docker("`USER[:GROUP]`, by name or number"),
        type=str | None,
    ),
    _added_field(
        name="ulimits",
        check=FieldCheck(_ulimits, _OBJECT),
        effect=docker("by name, a number or `soft` and `hard`; -1 is no limit"),
        type=dict[str, Ulimit],
    ),
    _added_field(
        name="init",
        check=strict_flag,
        effect=docker("a first process that reaps orphans and passes signals on"),
        type=bool,
    ),
    _added_field(
        name="read_only",
        check=strict_flag,
        effect=docker("a root file system that nobody can write to"),
        type=bool,
    ),
    _added_field(
        name="tmpfs",
        check=FieldCheck(_tmpfs, _OBJECT),
        effect=docker("folders in memory, with their sizes in MiB"),
        type=dict[str, int],
    ),
    _added_field(
        name="cap_drop",
        check=FieldCheck(_capabilities, _NAMES),
        effect=docker("capabilities of Linux, or `ALL`; NET_RAW is dropped in any case"),
        type=tuple[str, ...],
    ),
    _added_field(
        name="cap_add",
        check=FieldCheck(_capabilities, _NAMES),
        effect=docker("capabilities of Linux; those that Docker gives by default, others by policy"),
        type=tuple[str, ...],
    ),
    _added_field(
        name="sysctls",
        check=FieldCheck(_sysctls, _OBJECT),
        effect=docker("parameters of the kernel that are safe to set in a network of one's own"),
        type=dict[str, str],
    ),
    _added_field(
        name="exit_code",
        type=int | None,
        show=lambda container, _: container.observed.exit_code,
    ),
    _added_field(
        name="health",
        type=str | None,
        show=lambda container, _: container.observed.health,
    ),
)
