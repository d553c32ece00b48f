"""Policy defaults of the container family (contract: container, section 6)."""

ADMIN = "role:admin"
OWNER = f"({ADMIN}) or project_id:%(project_id)s"
NOBODY = "!"

_OWNERS = (
    "container:create container:delete container:get_one container:get_all container:update container:start "
    "container:stop container:reboot container:pause container:unpause container:logs container:execute "
    "container:kill container:rename container:top container:stats availability_zones:get_all quota:get "
    "quota:get_default"
).split()
_ADMINS = (
    "container:create:runtime container:create:image_pull_policy container:create:requested_destination "
    "container:delete_force container:delete_all_projects container:get_one_all_projects "
    "container:get_all_all_projects container:get_one:host container:get_one:image_pull_policy "
    "container:get_one:privileged container:get_one:runtime host:get_all host:get zun-service:get_all "
    "quota:update quota:delete quota_class:get quota_class:update "
    "zun-service:enable zun-service:disable zun-service:force_down"
).split()

RULES = dict.fromkeys(_OWNERS, OWNER) | dict.fromkeys(_ADMINS, ADMIN) | {"container:create:privileged": NOBODY}
