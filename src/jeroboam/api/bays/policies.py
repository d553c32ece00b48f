"""Policy defaults of the API of 2015, which had one rule for admins and owners. Today readers and members differ.

An action on a bay or a baymodel is one on a cluster or a template, so it needs the rule of those too: `routes` checks
both.
"""

from jeroboam.api.container_infra.policies import ADMIN, MEMBER, READER

_COLLECTIONS = ("bay", "baymodel", "node", "pod", "service", "rc", "container")
_READS = ("get", "get_all", "detail")
_WRITES = ("create", "update", "delete")

RULES = {
    **{f"{one}:{verb}": READER for one in _COLLECTIONS for verb in _READS},
    **{f"{one}:{verb}": MEMBER for one in _COLLECTIONS for verb in _WRITES},
    "container:logs": READER,
    **{f"container:{verb}": MEMBER for verb in ("start", "stop", "reboot", "pause", "unpause", "execute")},
    **{
        f"{one}:{verb}_all_projects": ADMIN
        for one in ("container", "pod", "service", "rc")
        for verb in ("get_one", "get_all", "update", "delete")
    },
}
