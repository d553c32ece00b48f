"""The checks of a Kubernetes cluster: `jeroboam cluster check` tests on a real cluster what its users need.

Each check creates what a user would create, in a namespace of its own, and tests that it behaves as the Kubernetes
documentation says. The checks need no registry: all containers run the one image that our node images carry. `base`
defines a check, `site` holds the context of the checks, `runner` runs them. The other modules hold the checks by
subject. Neighbours: bootstrap, which connects to the cluster. The checks do not know how the cluster was made.
"""

from collections.abc import Sequence

from jeroboam.checks.access import CHECKS as ACCESS
from jeroboam.checks.base import ClusterCheck
from jeroboam.checks.networks import CHECKS as NETWORKS
from jeroboam.checks.pods import CHECKS as PODS
from jeroboam.checks.workloads import CHECKS as WORKLOADS

__all__ = ["ALL", "chosen"]

ALL: tuple[ClusterCheck, ...] = (*NETWORKS, *PODS, *WORKLOADS, *ACCESS)


def select_checks(names: Sequence[str]) -> tuple[ClusterCheck, ...]:
    """Return the checks with these names; without names, all checks. Raises `ValueError`, which lists all names."""
    names_of_checks = {check.name for check in ALL}
    for name in names:
        if name not in names_of_checks:
            raise ValueError(f"there is no check {name}; there are: {', '.join(check.name for check in ALL)}")
    return tuple(check for check in ALL if not names or check.name in names)
