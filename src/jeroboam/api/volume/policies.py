"""Policy defaults of the volume family, under Cinder's names."""

ADMIN = "role:admin"
OWNER = f"({ADMIN}) or project_id:%(project_id)s"
ALL_PROJECTS = "volume:get_all_tenants"
"""The rule of those who see and change the volumes of all projects."""
SHOW_HOST = "volume_extension:volume_host_attribute"

RULES = {
    **{f"volume:{verb}": OWNER for verb in ("create", "get", "get_all", "update", "delete")},
    "volume_extension:type_get_all": OWNER,
    ALL_PROJECTS: ADMIN,
    SHOW_HOST: ADMIN,
}
