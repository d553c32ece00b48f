"""The labels that a Swarm cluster supports: settings of the Engine on each node.

Neighbours: the COE, which checks them and writes them into the Engine's configuration. Other labels have no effect, and
a condition of the cluster says so.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from jeroboam.domain import automation
from jeroboam.domain.conditions import Condition
from jeroboam.domain.errors import bad_label
from jeroboam.domain.field_effects import list_infra_labels

LOG_SIZE = "docker_log_max_size"
"""Size at which a container's log is rotated, as `10m`; without it a log grows without limit."""
LOG_FILES = "docker_log_max_file"
"""How many rotated logs are kept, as `3`."""
MIRROR = "docker_registry_mirror"
"""URL of a mirror of Docker Hub."""
GROUP_LABEL = "jeroboam.group"
GIVEN_LABEL = "jeroboam.given"
"""Names of the labels that a node has from its group, with commas. They are removed when the group loses them."""
KNOWN = frozenset({LOG_SIZE, LOG_FILES, MIRROR})
# Labels that the service itself uses, for every COE.
_ELSEWHERE = automation.LABELS

_SIZE = re.compile(r"[1-9][0-9]{0,8}[kmg]?", re.ASCII)
_COUNT = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)


def check(labels: Mapping[str, str]) -> None:
    """Raise `Invalid` for a label with a value that the Engine rejects."""
    automation.check_labels(labels)
    if (size := labels.get(LOG_SIZE)) is not None and _SIZE.fullmatch(size) is None:
        raise bad_label(LOG_SIZE, size, "it has to be a number with k, m or g behind it, as 10m.")
    if (count := labels.get(LOG_FILES)) is not None and _COUNT.fullmatch(count) is None:
        raise bad_label(LOG_FILES, count, "it has to be a number from 1 to 999.")
    if LOG_FILES in labels and LOG_SIZE not in labels:
        raise bad_label(LOG_FILES, labels[LOG_FILES], f"it has no meaning without {LOG_SIZE}.")
    if (mirror := labels.get(MIRROR)) is not None and not _is_url(mirror):
        raise bad_label(MIRROR, mirror, "it has to be a URL with http or https, a host and no path.")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or "@" in parts.netloc)
    return (
        parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.path in {"", "/"} and plain and port != 0
    )


def build_engine_config(options: Mapping[str, str]) -> dict[str, object]:
    """Return the fields of the Engine's configuration file that these options set."""
    config: dict[str, object] = {}
    if LOG_SIZE in options:
        log_options = {"max-size": options[LOG_SIZE], "max-file": options.get(LOG_FILES, "1")}
        config |= {"log-driver": "json-file", "log-opts": log_options}
    if MIRROR in options:
        config["registry-mirrors"] = [options[MIRROR]]
    return config


def build_labels_condition(labels: Mapping[str, str], driver: str | None = None) -> Condition:
    """Return the condition that says whether this COE, the service or that provider supports every label."""
    ignored_labels = sorted(labels.keys() - KNOWN - _ELSEWHERE - list_infra_labels(driver))
    if not ignored_labels:
        return Condition(type="LabelsHonoured", status=True)
    text = f"These labels have no effect on a Swarm: {', '.join(ignored_labels)}."
    return Condition(type="LabelsHonoured", status=False, reason="NoMeaning", message=text)


def merge_labels(has: Mapping[str, str], group_labels: Mapping[str, str], group: str) -> dict[str, str]:
    """Return the labels of a node in the swarm, with those of its group. Labels of users are kept."""
    given_names = {name for name in has.get(GIVEN_LABEL, "").split(",") if name}
    user_labels = {name: value for name, value in has.items() if name not in given_names and name != GIVEN_LABEL}
    given_label = {GIVEN_LABEL: ",".join(sorted(group_labels))} if group_labels else {}
    return {**user_labels, **group_labels, **given_label, GROUP_LABEL: group}
