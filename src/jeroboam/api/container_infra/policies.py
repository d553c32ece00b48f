"""Policy defaults of the container-infra family (contract: container-infra, section 10).

One rule differs from the published defaults on purpose: any member of a project may have a certificate of its
clusters, not only the member who made them; otherwise a colleague can never use a cluster.
"""

ADMIN = "role:admin"
MEMBER = f"({ADMIN}) or (role:member and project_id:%(project_id)s)"
READER = f"({ADMIN}) or ((role:reader or role:member) and project_id:%(project_id)s)"

RULES = {
    "clustertemplate:create": MEMBER,
    "clustertemplate:delete": MEMBER,
    "clustertemplate:update": MEMBER,
    "clustertemplate:get": READER,
    "clustertemplate:get_all": READER,
    "clustertemplate:detail": READER,
    "clustertemplate:publish": ADMIN,
    "clustertemplate:get_one_all_projects": ADMIN,
    "clustertemplate:get_all_all_projects": ADMIN,
    "clustertemplate:detail_all_projects": ADMIN,
    "clustertemplate:update_all_projects": ADMIN,
    "clustertemplate:delete_all_projects": ADMIN,
    "cluster:create": MEMBER,
    "cluster:delete": MEMBER,
    "cluster:update": MEMBER,
    "cluster:resize": MEMBER,
    "cluster:resize_all_projects": ADMIN,
    "cluster:upgrade": MEMBER,
    "cluster:upgrade_all_projects": ADMIN,
    "cluster:get": READER,
    "cluster:get_all": READER,
    "cluster:detail": READER,
    "cluster:update_health_status": MEMBER,
    "cluster:get_one_all_projects": ADMIN,
    "cluster:get_all_all_projects": ADMIN,
    "cluster:detail_all_projects": ADMIN,
    "cluster:update_all_projects": ADMIN,
    "cluster:delete_all_projects": ADMIN,
    "nodegroup:get": READER,
    "nodegroup:get_all": READER,
    "nodegroup:get_one_all_projects": ADMIN,
    "nodegroup:get_all_all_projects": ADMIN,
    "nodegroup:create": MEMBER,
    "nodegroup:update": MEMBER,
    "nodegroup:delete": MEMBER,
    "nodegroup:create_all_projects": ADMIN,
    "nodegroup:update_all_projects": ADMIN,
    "nodegroup:delete_all_projects": ADMIN,
    "certificate:create": MEMBER,
    "certificate:get": READER,
    "certificate:rotate_ca": MEMBER,
    "certificate:rotate_ca_all_projects": ADMIN,
    # Only the project's own members: an admin is none of them.
    "credential:rotate": "role:member and project_id:%(project_id)s",
    "federation:create": MEMBER,
    "federation:update": MEMBER,
    "federation:delete": MEMBER,
    "federation:get": READER,
    "federation:get_all": READER,
    "federation:detail": READER,
    "quota:get": READER,
    "quota:get_all": ADMIN,
    "quota:create": ADMIN,
    "quota:update": ADMIN,
    "quota:delete": ADMIN,
    "stats:get_all": READER,
    "magnum-service:get_all": ADMIN,
}
