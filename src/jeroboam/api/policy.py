"""Who may do what: oslo.policy with a family's defaults and the operator's policy file.

`app` checks the rule of a route once for each request, against the caller's own project. Handlers check again if the
object belongs to another project. Neighbours: `policy_file` reads the file; each family's `policies.py` holds its
defaults.
"""

from collections.abc import Mapping
from functools import lru_cache

from oslo_config import cfg
from oslo_policy.policy import Enforcer, RuleDefault, Rules

from jeroboam.api.policy_file import find_broken_check, read_policy_file
from jeroboam.domain.caller import Caller
from jeroboam.domain.errors import Forbidden
from jeroboam.kit.controls import escape_line

_CACHE_SIZE = 4096


class Policy:
    """The rules of one family. The operator's file is read once, at the start; a broken file stops the start."""

    def __init__(self, defaults: Mapping[str, str], policy_file: str | None) -> None:
        """Without a policy file only the defaults count. Raises `ValueError` that names the file and the rule."""
        checks = dict(defaults)
        for name, check in ({} if policy_file is None else read_policy_file(policy_file)).items():
            if (fault := find_broken_check(check)) is not None:
                raise ValueError(escape_line(f'policy file {policy_file}: rule "{name}": {fault}'))
            checks[name] = check
        conf = cfg.ConfigOpts()
        conf([], project="jeroboam", default_config_files=[], default_config_dirs=[])
        # Without use_conf the library reads no file. Else it would look for a policy.yaml in the home and in /etc, and
        # would read it again, sound or not, when it changes.
        self._enforcer = Enforcer(conf, rules=Rules.from_dict(checks), use_conf=False)
        self._enforcer.suppress_default_change_warnings = True
        for name, check in defaults.items():
            self._enforcer.register_default(RuleDefault(name, check))
        self._names = frozenset(defaults)
        # The rules do not change any more, and none asks another service, so decisions are cached: a check by
        # oslo.policy costs more than the rest of a small request.
        self._decide = lru_cache(maxsize=_CACHE_SIZE)(self._ask)

    def __contains__(self, rule: str) -> bool:
        return rule in self._names

    def check_of(self, rule: str) -> str:
        """The effective check of a rule: the operator's or the default."""
        return str(self._enforcer.rules[rule])

    def allows(self, rule: str, caller: Caller, *, project_id: str | None = None, user_id: str | None = None) -> bool:
        """Whether the caller is allowed. The target is the caller's own project unless another owner is named."""
        return self._decide(rule, caller, project_id or caller.project_id, user_id or caller.user_id)

    def _ask(self, rule: str, caller: Caller, project_id: str, user_id: str) -> bool:
        target = {"project_id": project_id, "user_id": user_id}
        return bool(self._enforcer.enforce(rule, target, _credentials(caller)))

    def enforce(self, rule: str, caller: Caller, *, project_id: str | None = None, user_id: str | None = None) -> None:
        """Raise `Forbidden` if the caller is not allowed."""
        if not self.allows(rule, caller, project_id=project_id, user_id=user_id):
            raise Forbidden(f"Policy doesn't allow {rule} to be performed.")


def _credentials(caller: Caller) -> dict[str, object]:
    return {
        "roles": list(caller.roles),
        "user_id": caller.user_id,
        "project_id": caller.project_id,
        "user_domain_id": caller.user_domain_id,
        "project_domain_id": caller.project_domain_id,
        "is_admin": caller.is_admin,
    }
