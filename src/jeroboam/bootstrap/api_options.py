"""Converts the operator's settings into the API's options. Neighbour: `api`."""

from jeroboam.api.options import ApiOptions, ContainerBounds, VolumeBounds
from jeroboam.settings import Settings


def build_api_options(settings: Settings, *, auth_uri: str) -> ApiOptions:
    """Return the API's options; `auth_uri` is where callers without a token are sent."""
    containers = settings.containers
    return ApiOptions(
        auth_uri=auth_uri,
        policy_file=settings.api.policy_file or None,
        max_limit=settings.api.max_limit,
        max_body=settings.api.max_body,
        max_upload=settings.api.max_upload,
        cors_origins=tuple(settings.api.cors_origins),
        parallel_requests=settings.api.parallel_requests,
        heat_views=settings.api.heat_views,
        service_down_time=settings.conductor.service_down_seconds,
        max_clusters_per_project=settings.clusters.max_per_project,
        create_timeout=settings.clusters.operation_minutes,
        container_bounds=ContainerBounds(
            default_cpu=containers.default_cpu,
            default_memory=containers.default_memory,
            minimum_cpu=containers.minimum_cpu,
            maximum_cpu=containers.maximum_cpu,
            minimum_memory=containers.minimum_memory,
            maximum_memory=containers.maximum_memory,
            maximum_disk=containers.maximum_disk,
        ),
        container_quota={
            "containers": containers.max_containers,
            "memory": containers.max_memory,
            "cpu": containers.max_cpu,
            "disk": containers.max_disk,
        },
        volume_bounds=VolumeBounds(
            is_offered=settings.volumes.driver != "none",
            maximum_size=settings.volumes.maximum_size,
            max_volumes=settings.volumes.max_volumes,
            max_gigabytes=settings.volumes.max_gigabytes,
        ),
        create_seconds=containers.create_seconds,
        op_seconds=containers.action_seconds,
        runtime=containers.runtime,
    )
