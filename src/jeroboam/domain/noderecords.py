"""Records of machines in the API of 2015. Nothing is made of a record, and no bay uses one."""

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeRecord:
    """A record of a machine (contract: container-infra, section 15)."""

    uuid: str
    project_id: str
    user_id: str
    type: str | None = None
    image_id: str | None = None
    ironic_node_id: str | None = None
    created_at: dt.datetime
    updated_at: dt.datetime | None = None
