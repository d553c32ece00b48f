"""Policy defaults of the container family (contract: container, section 6)."""

ADMIN = "role:admin"
OWNER = f"({ADMIN}) or project_id:%(project_id)s"
NOBODY = "!"

_OWNERS = (
    "container:create container:delete container:get_one container:get_all container:update container:start "
    "container:stop container:reboot container:pause container:unpause container:logs container:execute "
    "container:kill container:rename container:top container:stats container:attach container:resize "
    "container:execute_resize container:get_archive container:put_archive container:actions "
    "container:rebuild container:resize_container container:network_list container:network_attach "
    "container:network_detach container:add_security_group container:remove_security_group "
    "availability_zones:get_all quota:get quota:get_default image:search "
    "capsule:create capsule:get capsule:get_all capsule:delete capsule:events "
    "registry:get_all registry:create registry:get_one registry:update registry:delete"
).split()
_ADMINS = (
    "container:create:runtime container:create:cap_add container:create:image_pull_policy "
    "container:create:requested_destination "
    "container:delete_force container:delete_all_projects container:get_one_all_projects "
    "container:get_all_all_projects container:get_one:host container:get_one:image_pull_policy "
    "container:action:events container:get_one:privileged container:get_one:runtime "
    "capsule:get:host capsule:get_one_all_projects capsule:get_all_all_projects capsule:delete_all_projects "
    "host:get_all host:get zun-service:get_all "
    "quota:update quota:delete quota_class:get quota_class:update "
    "zun-service:delete zun-service:enable zun-service:disable zun-service:force_down "
    "image:get_all image:pull image:get_one image:delete registry:get_all_all_projects "
    "network:create network:delete"
).split()

# Routes that answer 501 have Zun's rules too: a caller without permission gets a 403 first.
ABSENT_RULES = {
    **{
        f"{method} /containers/{{container}}/{name}": f"container:{name}"
        for method, names in {
            "POST": "commit",
        }.items()
        for name in names.split()
    },
}

RULES = (
    dict.fromkeys(_OWNERS, OWNER)
    | dict.fromkeys(_ADMINS, ADMIN)
    | {"container:create:privileged": NOBODY}
    | dict.fromkeys(ABSENT_RULES.values(), OWNER)
)
