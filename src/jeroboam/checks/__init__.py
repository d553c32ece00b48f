"""What a Kubernetes cluster has to do for those who use it, tried out on a real one: `jeroboam cluster check`.

Each check makes what its user would make, in a namespace of its own, and looks whether it behaves as the Kubernetes
documentation says. No registry is needed: everything runs from the one image that our node images carry. `base` says
what a check is, `site` is where checks work, `runner` runs them; the other modules hold the checks by what they look
at. Neighbours: bootstrap, which brings a connection to the cluster; nothing here knows how the cluster was made.
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
    """The checks with these names; all of them for none. Raises `ValueError` with those that there are."""
    names_of_checks = {check.name for check in ALL}
    for name in names:
        if name not in names_of_checks:
            raise ValueError(f"there is no check {name}; there are: {', '.join(check.name for check in ALL)}")
    return tuple(check for check in ALL if not names or check.name in names)
