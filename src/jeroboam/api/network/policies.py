"""Policy defaults of the network family, under Neutron's names."""

ADMIN = "role:admin"
OWNER = f"({ADMIN}) or project_id:%(project_id)s"
ALL_PROJECTS = "context_is_admin"
"""The rule of those who see and change the networks of all projects."""

_KINDS = ("network", "subnet", "port", "security_group", "security_group_rule")

RULES = {
    **{f"{verb}_{kind}": OWNER for kind in _KINDS for verb in ("create", "get", "update", "delete")},
    "get_extension": OWNER,
    ALL_PROJECTS: ADMIN,
}
del RULES["update_security_group_rule"]
