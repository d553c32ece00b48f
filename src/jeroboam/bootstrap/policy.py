"""The operator's policy file, checked once at the start, with the rules of all API families.

Neighbours: `limits`; `service`; `config`; `cli`.
"""

from collections.abc import Sequence

from jeroboam.api.bays.policies import RULES as BAYS
from jeroboam.api.container.policies import RULES as CONTAINER
from jeroboam.api.container_infra.policies import RULES as CONTAINER_INFRA
from jeroboam.api.network.policies import RULES as NETWORK
from jeroboam.api.policy_file import list_policy_faults, read_policy_file
from jeroboam.bootstrap import limits
from jeroboam.bootstrap.limits import read_limits
from jeroboam.kit.controls import escape_line

# As the service mounts them: one family has the rules of bays too.
FAMILIES = (CONTAINER_INFRA | BAYS, CONTAINER, NETWORK)


def list_faults(file: str) -> list[str]:
    """Return everything that is wrong with that policy file, in a line each; nothing if no file is named."""
    if not file:
        return []
    try:
        rules = read_policy_file(file)
    except ValueError as error:
        return [str(error)]
    return [escape_line(f"policy file {file}: {fault}") for fault in list_policy_faults(rules, FAMILIES)]


def check_policy(file: str) -> None:
    """Raise `ValueError` with the first fault of that policy file, in one line that names the rule."""
    faults = list_faults(file)
    if len(faults) > 1:
        raise ValueError(f"{faults[0]} ({len(faults) - 1} more: see `jeroboam policy check`)")
    if faults:
        raise ValueError(faults[0])


def check_file(file: str) -> tuple[list[str], str]:
    """Return the faults of a policy file or of a file of limits, and a line on what is in it.

    A file of limits is told by its key `limits`, which no rule may have as its name.
    """
    try:
        rules = read_policy_file(file)
        if "limits" in rules:
            faults = limits.list_faults(file)
            return faults, "" if faults else _summarize(file, "limit", [limit.name for limit in read_limits(file)])
    except ValueError as error:
        return [str(error)], ""
    return list_faults(file), _summarize(file, "rule", [str(name) for name in rules])


def _summarize(file: str, noun: str, names: Sequence[str]) -> str:
    return escape_line(f"{file}: {len(names)} {noun}{'' if len(names) == 1 else 's'}: {', '.join(names)}")
