"""Who may do what: oslo.policy with a family's defaults and the operator's policy file.

`app` checks the rule of a route once for each request, against the caller's own project. Handlers check again if the
object belongs to another project. Neighbours: each family's `policies.py` holds its defaults.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from oslo_config import cfg
from oslo_policy import opts
from oslo_policy.policy import Enforcer, RuleDefault

from jeroboam.domain.caller import Caller
from jeroboam.domain.errors import Forbidden

_CACHE_SIZE = 4096


class Policy:
    """The rules of one family. The operator's file is read once, at the start; a broken file stops the start."""

    def __init__(self, defaults: Mapping[str, str], policy_file: str | None) -> None:
        conf = cfg.ConfigOpts()
        conf([], project="jeroboam", default_config_files=[], default_config_dirs=[])
        opts.set_defaults(conf, policy_file=policy_file or "policy.yaml")
        if policy_file is not None and not Path(policy_file).is_file():
            raise FileNotFoundError(f"there is no policy file {policy_file}")
        self._enforcer = Enforcer(conf, policy_file=policy_file)
        self._enforcer.suppress_default_change_warnings = True
        conf.set_override("policy_dirs", [], group="oslo_policy")
        for name, check in defaults.items():
            self._enforcer.register_default(RuleDefault(name, check))
        self._enforcer.load_rules()
        # From here on no file is read: checking its age at each request costs more than the check.
        self._enforcer.use_conf = False
        self._names = frozenset(defaults)
        # The rules do not change any more, so decisions are cached: a check by oslo.policy costs more than the rest of
        # a small request. Only rules that ask another service are not cached.
        remote = any("http" in str(rule) for rule in self._enforcer.rules.values())
        self._decide = self._ask if remote else lru_cache(maxsize=_CACHE_SIZE)(self._ask)

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
